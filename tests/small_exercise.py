"""An exercise of two questions that imports nothing, so that a submission takes a second or two."""

import nbformat
from nbgrader.utils import is_solution

from tools.coursework import assign


def cell_of(kind, name, source, **more):
    cell = nbformat.v4.new_code_cell(source)
    cell.metadata.nbgrader = dict(
        grade_id=name, schema_version=3, solution=kind == "solution", grade=kind == "test", locked=kind != "solution",
        task=False, **more,
    )  # fmt: skip
    return cell


def question(name, wanted):
    """A solution cell, a visible and a hidden test."""
    test = f"assert [{name}(x) for x in range(9)] == {wanted}, 'not for every x'"
    hidden = f"### BEGIN HIDDEN TESTS\n{test}\n### END HIDDEN TESTS"
    return [
        cell_of(
            "solution", name, f"def {name}(x):\n    ### BEGIN SOLUTION\n    return {wanted}[x]\n    ### END SOLUTION"
        ),
        cell_of("test", f"{name}-check", f"assert {name}(2) == {wanted[2]}", points=1),
        cell_of("test", f"{name}-hidden", hidden, points=3),
    ]


SMALL = nbformat.v4.new_notebook(
    metadata={"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}},
    cells=question("twice", [2 * x for x in range(9)]) + question("square", [x * x for x in range(9)]),
)


def own(source=SMALL):
    """A submission in which every question is answered rightly: the solutions without their marks."""
    notebook = assign.student_version(source)
    for cell, ours in zip(notebook.cells, source.cells, strict=True):
        if is_solution(cell):
            cell.source = "\n".join(line for line in ours.source.splitlines() if "### " not in line)
    return notebook


def solved(before="", source=SMALL):
    """The bytes of a right submission, with code before the first answer."""
    notebook = own(source)
    cell = next(filter(is_solution, notebook.cells))
    cell.source = before + cell.source
    return nbformat.writes(notebook).encode()


def stripped(notebook):
    """A copy as an editor leaves it that throws away what it does not know."""
    copy = nbformat.from_dict(notebook)
    for cell in copy.cells:
        cell.metadata = {}
        cell.id = nbformat.v4.new_code_cell().id
    return copy
