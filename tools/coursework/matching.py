"""Telling which cell answers which question, and putting the answers into the source."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import nbformat
from nbformat import NotebookNode
from nbgrader.utils import is_grade, is_solution

from .assign import student_version
from .submissions import Look, Remark

OUR_SOLUTION = "### BEGIN SOLUTION"


@dataclass(frozen=True)
class Exercise:
    """An exercise as its author wrote it, with solutions and hidden tests."""

    name: str
    source: NotebookNode

    @cached_property
    def handed_out(self) -> NotebookNode:
        """The version for students."""
        return student_version(self.source)

    @cached_property
    def solutions(self) -> dict[str, str]:
        """Our solutions by the id of their cell."""
        return {grade_id(cell): cell.source for cell in self.source.cells if is_solution(cell)}

    @cached_property
    def stubs(self) -> dict[str, str]:
        """What students find in place of the solutions."""
        return {grade_id(cell): cell.source for cell in self.handed_out.cells if is_solution(cell)}


@dataclass(frozen=True)
class Cell:
    """A cell of a submission; ``name`` is the id of the cell of the exercise that it is, "" if it is the student's."""

    name: str
    text: str
    is_code: bool


@dataclass(frozen=True)
class Matched:
    """A submission whose cells are told apart. ``remarks`` say what was uncertain in that."""

    exercise: Exercise
    cells: list[Cell]
    remarks: list[Remark]

    @cached_property
    def answers(self) -> dict[str, list[str]]:
        """What the student wrote into the solution cells, copies in their order; untouched copies only if alone."""
        answers = {}
        for name, stub in self.exercise.stubs.items():
            texts = [cell.text for cell in self.cells if cell.name == name]
            answers[name] = [text for text in texts if not same(text, stub)] or texts[:1]
        return answers

    @property
    def is_empty(self) -> bool:
        """Whether no cell could be told to be one of the exercise."""
        return not any(cell.name for cell in self.cells)

    @property
    def is_untouched(self) -> bool:
        """Whether there is nothing of the student's own."""
        stubs = self.exercise.stubs
        filled = any(not same(text, stubs[name]) for name, texts in self.answers.items() for text in texts)
        return not filled and not any(cell.is_code and not cell.name and cell.text.strip() for cell in self.cells)

    @property
    def ours(self) -> list[str]:
        """Names of the solution cells that hold the solution from the source, marks included."""
        ours = {name: text for name, text in self.exercise.solutions.items() if OUR_SOLUTION in text}
        return [name for name, texts in self.answers.items() if name in ours and texts and same(texts[-1], ours[name])]


def grade_id(cell: NotebookNode) -> str:
    """The id that nbgrader gave a cell, or ""."""
    marks = cell.metadata.get("nbgrader")
    name = marks.get("grade_id") if isinstance(marks, dict) else None
    return name if isinstance(name, str) else ""


def same(one: str, other: str) -> bool:
    """Whether two texts differ in nothing but the ends of their lines and blank lines."""
    lines = lambda text: [line.rstrip() for line in text.splitlines() if line.strip()]
    return lines(one) == lines(other)


def match(exercise: Exercise, submission: NotebookNode) -> Matched:
    """Tell what every cell of a submission is: by its id, and where an editor has lost it by text, names and place."""
    known = {grade_id(cell): cell for cell in exercise.source.cells if grade_id(cell)}
    names = [grade_id(cell) if grade_id(cell) in known else "" for cell in submission.cells]
    marked = any(names)
    _by_text(exercise, submission.cells, names)
    lost = [name for name in exercise.stubs if name not in names]
    _by_names(exercise, submission.cells, names, lost)
    if not marked:  # where marks are left, a cell without one is the student's own
        _by_place(exercise, submission.cells, names)

    remarks = []
    if not marked and any(names):
        elsewhere = set().union(*(defined(cell.source) for cell in submission.cells if cell.cell_type == "code"))
        missing = [name for name, stub in exercise.stubs.items() if name not in names and not _defines(elsewhere, stub)]
        if missing:
            told = f"the cells have lost their marks, and none is certain to be {', '.join(missing)}"
        else:
            told = "the cells have lost their marks (some editors drop them) and were recognised by text and order"
        remarks.append(Remark(told, Look.YES if missing else Look.IF_POINTS_ARE_MISSING))
    pairs = zip(names, submission.cells, strict=True)
    cells = [Cell(name, cell.source, cell.cell_type == "code") for name, cell in pairs]
    matched, texts = Matched(exercise, cells, remarks), []
    for name, copies in matched.answers.items():
        if len(copies) > 1:
            texts.append(f"there are {len(copies)} copies of cell {name}; all ran, in their order")
    for cell in cells:
        if cell.name in exercise.stubs and not cell.is_code and known[cell.name].cell_type == "code":
            texts.append(f"cell {cell.name} is no code cell any more; it ran as one")
    named = [cell for cell in cells if cell.is_code and cell.name]
    if changed := dict.fromkeys(cell.name for cell in named if _changed(known[cell.name], cell.text, exercise)):
        texts.append(f"changes of {', '.join(changed)} do not count: read-only cells ran as handed out")
    remarks += [Remark(text, Look.IF_POINTS_ARE_MISSING) for text in texts]
    return matched


def _changed(cell: NotebookNode, text: str, exercise: Exercise) -> bool:
    if is_solution(cell) or is_grade(cell):
        return False
    handed_out = next(other.source for other in exercise.handed_out.cells if grade_id(other) == grade_id(cell))
    return not (same(text, cell.source) or same(text, handed_out))


def _by_text(exercise: Exercise, cells: list[NotebookNode], names: list[str]) -> None:
    # What is read-only comes back as it was. Hidden tests all read the same: the next one in order is meant.
    for ours in exercise.handed_out.cells:
        name = grade_id(ours)
        if name and name not in names and not is_solution(ours) and ours.source.strip():
            for k, cell in enumerate(cells):
                if not names[k] and cell.cell_type == "code" and same(cell.source, ours.source):
                    names[k] = name
                    break


def _by_names(exercise: Exercise, cells: list[NotebookNode], names: list[str], lost: list[str]) -> None:
    # A cell that defines what is asked for answers that question; further ones that do are copies.
    for name in lost:
        for k, cell in enumerate(cells):
            if not names[k] and cell.cell_type == "code" and _defines(defined(cell.source), exercise.stubs[name]):
                names[k] = name


def _by_place(exercise: Exercise, cells: list[NotebookNode], names: list[str]) -> None:
    # Between two cells that are certain there is one solution cell in the exercise and one cell here: that is it.
    ours = [(grade_id(cell), cell.source) for cell in exercise.handed_out.cells]
    theirs = [(name, cell.source) for name, cell in zip(names, cells, strict=True)]
    gaps = {(before, after): inside for before, inside, after in _gaps(theirs, ours)}
    for before, inside, after in _gaps(ours, theirs):
        here = [k for k in gaps.get((before, after), []) if cells[k].cell_type == "code" and not names[k]]
        wanted = [ours[k][0] for k in inside if ours[k][0]]
        if len(here) == len(wanted) == 1 and wanted[0] in exercise.stubs:
            names[here[0]] = wanted[0]


def _gaps(
    cells: list[tuple[str, str]], others: list[tuple[str, str]]
) -> Iterator[tuple[tuple[str, str], list[int], tuple[str, str]]]:
    # Runs of cells that are not in the other notebook, with the cells around them that are.
    keys = lambda pairs: [(name, "" if name else "\n".join(text.split())) for name, text in pairs]
    there = set(keys(others))
    before, inside = ("", ""), []
    for k, key in enumerate([*keys(cells), ("", "")]):
        if k == len(cells) or key in there:
            yield before, inside, key
            before, inside = key, []
        else:
            inside.append(k)


def defined(text: str) -> set[str]:
    """Names of the functions, classes and values that a cell defines, also of one that does not parse."""
    try:
        body = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set(re.findall(r"^(?:async def|def|class)\s+(\w+)", text, re.MULTILINE))
    names = {node.name for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}
    targets = [target for node in body if isinstance(node, ast.Assign) for target in node.targets]
    targets += [node.target for node in body if isinstance(node, ast.AnnAssign)]
    return names | {target.id for target in targets if isinstance(target, ast.Name)}


def _defines(names: set[str], stub: str) -> bool:
    # Whether names are all that a solution cell asks for.
    asked = defined(stub)
    return bool(asked) and asked <= names


def merge(submission: Matched) -> NotebookNode:
    """The source with the student's answers in place of ours; what else they wrote runs where it stands.

    Of copies of a solution cell all run. One that is missing is the empty one of the student version, unless the
    student has defined elsewhere what it asks for.
    """
    exercise, answers = submission.exercise, submission.answers
    own = [cell.text for cell in submission.cells if cell.is_code and not cell.name or cell.name in answers]
    elsewhere = set().union(*map(defined, own))
    first, before, waiting = {}, {}, []
    for cell in submission.cells:
        if cell.name in answers and cell.text not in answers[cell.name]:
            continue  # an untouched copy
        if cell.name in first or (cell.is_code and not cell.name):
            waiting.append(nbformat.v4.new_code_cell(cell.text))
        elif cell.name in answers:
            first[cell.name] = cell.text
        if cell.name and cell.name not in before:
            before[cell.name], waiting = waiting, []
    merged = nbformat.from_dict(exercise.handed_out)  # a copy
    cells = []
    for cell, ours in zip(merged.cells, exercise.source.cells, strict=True):
        name = grade_id(cell)
        cells += before.get(name, [])
        if not is_solution(cell):
            cell.source = ours.source  # hidden tests back in
        elif name in first:
            cell.source = first[name]
        elif _defines(elsewhere, cell.source):
            cell.source = ""
        cells.append(cell)
    merged.cells = cells + waiting
    return merged
