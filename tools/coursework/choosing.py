"""Choosing, of all that a student handed in, the one file that is graded for an exercise, and what lies beside it."""

import re
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import PurePosixPath

from hetsyn_core.paths import ROOT

from .matching import Exercise, Matched, match
from .reading import read_notebook
from .submissions import MOST_MB, File, Look, Remark, Submission, UnreadableError, exercise_of, is_notebook, listed

MOST_BESIDE = 200  # files carried along
MOST_BESIDE_MB = 20  # together
APART_S = 60  # of two files: a copy, a download or an unpacked zip gives all its files about the same time
OUR_PACKAGES = {"hetsyn_core", "tools"}


class Kind(IntEnum):
    """What a file is; the highest is taken."""

    SOURCE = 0  # the exercise with our solution
    UNTOUCHED = 1
    UNREADABLE = 2
    UNMARKED = 3  # no cell is certain to be one of the exercise
    OWN = 4


DESCRIBED = "the published solution", "untouched", "unreadable", "no marked cells", "the same answers"  # by kind


@dataclass(frozen=True)
class Candidate:
    """A file that may be the answer to an exercise. ``matched`` is None for one that cannot be read."""

    file: File
    kind: Kind
    matched: Matched | None
    remarks: list[Remark]

    @property
    def order(self) -> tuple:
        """The largest is taken: the student's own, the newest, the highest number in its name."""
        path = self.file.path
        number = re.search(r"(\d+)\)?\.ipynb", path.name, re.IGNORECASE)
        return self.kind, self.file.modified, int(number[1][:9]) if number else 0, -len(path.parts), str(path)


@dataclass(frozen=True)
class Found:
    """What is graded as one exercise of one student: ``matched``, or nothing, and ``remarks`` say why."""

    kind: Kind | None  # None: nothing was handed in
    matched: Matched | None = None
    beside: dict[PurePosixPath, bytes] = field(default_factory=dict)  # content by the path from the file's folder
    remarks: list[Remark] = field(default_factory=list)


@dataclass(frozen=True)
class Chosen:
    """What a student handed in for each exercise, by name, and the paths of files that belong to none."""

    found: dict[str, Found]
    left: list[str]


def choose(submission: Submission, exercises: list[Exercise]) -> Chosen:
    """Sort the files of a student to the exercises, and choose one for each."""
    candidates: dict[str, list[Candidate]] = {exercise.name: [] for exercise in exercises}
    others, size = [], 0
    for file in submission.files:
        size += file.size if is_notebook(file.name) else 0
        candidate = _candidate(file, exercises) if is_notebook(file.name) and size <= MOST_MB * 1e6 else None
        if candidate is None:
            others.append(file)
        else:
            candidates[candidate[0]].append(candidate[1])
    found = {name: _best(files, others) if files else Found(None) for name, files in candidates.items()}
    carried = {other for files in candidates.values() for taken in files for other in _lies_beside(taken.file, others)}
    left = [str(file.path) for file in others if file not in carried and not _of_a_checkout(file.path)]
    return Chosen(found, left)


def _candidate(file: File, exercises: list[Exercise]) -> tuple[str, Candidate] | None:
    # The exercise that a file belongs to: its cells say so, and if they do not, its name.
    named = exercise_of(file.name, [exercise.name for exercise in exercises])
    try:
        notebook, remarks = read_notebook(file.read())
    except UnreadableError as error:
        unreadable = Candidate(file, Kind.UNREADABLE, None, [Remark(f"{file.path}: {error}", Look.YES)])
        return (named, unreadable) if named else None
    matches = [match(exercise, notebook) for exercise in exercises]
    complete = [matched for matched in matches if matched.answers and all(matched.answers.values())]
    name = complete[0].exercise.name if len(complete) == 1 else named
    if not name:
        return None
    matched = next(matched for matched in matches if matched.exercise.name == name)
    remarks = remarks + matched.remarks
    if name != named:
        remarks.append(Remark(f"{file.path} was told by its cells, not by its name"))
    kind = Kind.OWN
    if matched.answers and len(matched.ours) == len(matched.answers):
        kind = Kind.SOURCE
        only = f"{file.path} is the exercise with its published solution: no work of the student's own"
        remarks.append(Remark(only, Look.YES))
    elif matched.is_empty:
        kind, matched = Kind.UNMARKED, None
        remarks.append(Remark(f"no marked cells found in {file.path}", Look.YES))
    elif matched.is_untouched:
        kind = Kind.UNTOUCHED
        remarks.append(Remark("no answer was written"))
    elif matched.ours:
        remarks.append(Remark(f"{', '.join(matched.ours)} holds the published solution", Look.YES))
    return name, Candidate(file, kind, matched, remarks)


def _best(candidates: list[Candidate], others: list[File]) -> Found:
    best = max(candidates, key=lambda candidate: candidate.order)
    remarks = [*_why(best, [other for other in candidates if other is not best]), *best.remarks]
    if best.kind in (Kind.SOURCE, Kind.UNMARKED, Kind.UNREADABLE):
        return Found(best.kind, remarks=remarks)
    beside, left_out = _beside(best.file, others)
    if left_out:
        text = f"{left_out} files beside it were too many or too large to carry along"
        remarks.append(Remark(text, Look.IF_POINTS_ARE_MISSING))
    if beside:
        remarks.append(Remark(f"ran with {listed(list(map(str, beside)), 5)} beside it"))
    return Found(best.kind, best.matched, beside, remarks)


def _why(best: Candidate, rest: list[Candidate]) -> list[Remark]:
    # Which of several files was taken, and whether that is certain.
    if not rest:
        return []
    own = [other for other in rest if other.kind == best.kind == Kind.OWN]
    rivals = [other.file for other in own if _texts(other.matched) != _texts(best.matched)]
    taken = f"of {len(rest) + 1} files {best.file.path} was graded"
    if unreadable := [other for other in rest if other.kind == Kind.UNREADABLE != best.kind]:
        return [Remark(f"{taken}; not {unreadable[0].remarks[0].text}", Look.YES)]
    if not rivals:
        names = listed([f"{other.file.path} ({DESCRIBED[other.kind]})" for other in rest])
        return [Remark(f"{taken}; not {names}")]
    names = ", ".join(str(file.path) for file in rivals[:3])
    newer = (best.file.modified - file.modified > APART_S for file in rivals)
    if all(newer) and {file.archive for file in rivals} == {best.file.archive}:
        return [Remark(f"{taken}, the newest; not {names}", Look.IF_POINTS_ARE_MISSING)]
    return [Remark(f"{taken}; {names} differs, and which is newer is not certain", Look.YES)]


def _texts(matched: Matched) -> list[str]:
    return [cell.text for cell in matched.cells if cell.is_code]


def _lies_beside(file: File, others: list[File]) -> list[File]:
    # Those in its folder and below, but for this repository's own; nearest first.
    folder = file.path.parent
    beside = [other for other in others if other.path.is_relative_to(folder) and not is_notebook(other.name)]
    ours = lambda path: path.parts[0] in OUR_PACKAGES or (ROOT / path).exists()
    theirs = [other for other in beside if not ours(other.path.relative_to(folder))]
    return sorted(theirs, key=lambda other: (len(other.path.parts), other.path))


def _of_a_checkout(path: PurePosixPath) -> bool:
    return any((ROOT / PurePosixPath(*path.parts[k:])).exists() for k in range(len(path.parts)))


def _beside(file: File, others: list[File]) -> tuple[dict[PurePosixPath, bytes], int]:
    # Content by path, and how many were left out.
    content: dict[PurePosixPath, bytes] = {}
    size = left_out = 0
    for other in _lies_beside(file, others):
        size += other.size
        try:
            if len(content) >= MOST_BESIDE or size > MOST_BESIDE_MB * 1e6:
                raise UnreadableError
            content[other.path.relative_to(file.path.parent).with_name(other.name)] = other.read()
        except UnreadableError:
            left_out += 1
    return content, left_out
