"""Finding what was handed in: the files of every student, from folders, zips and the packages of a learning platform.

Nothing is unpacked to disk, no link is followed, and a file is read only when somebody asks for its content.
"""

import io
import os
import re
import stat
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from pathlib import Path, PurePosixPath

LARGEST_MB = 50  # of a file
MOST_MB = 500  # of a student's notebooks together, and of the zips in a zip
MOST_MEMBERS = 20_000  # of a zip
DEEPEST = 2  # a zip in a zip
NOT_THEIRS = {"__MACOSX", "__pycache__", "node_modules", "site-packages"}
# Canvas: adalovelace_LATE_12345_67890_small-1.ipynb; Moodle: Ada Lovelace_12345_assignsubmission_file_small.ipynb
PLATFORM = re.compile(
    r"(?P<student>.+?)(?:_late)?_(?P<number>\d{3,})_(?:\d{3,}|assignsubmission_file)_(?P<file>.+)", re.IGNORECASE
)
UPLOAD = re.compile(r"-\d+(?=\.[^.]*$)")  # Canvas numbers what was uploaded again: small-1.ipynb


class Look(Enum):
    """Whether a person should look at a grade because of a remark."""

    NO = "no"
    IF_POINTS_ARE_MISSING = "if points are missing"
    YES = "yes"


@dataclass(frozen=True)
class Remark:
    """What there is to say about a submission, in words for the student and the teacher."""

    text: str
    look: Look = Look.NO


class UnreadableError(Exception):
    """A file cannot be read or is not what its name says; the message says why."""


@dataclass(frozen=True)
class File:
    """A file of a student."""

    path: PurePosixPath  # within what the student handed in, where a zip counts as a folder
    modified: float  # seconds since 1970, by the clock of ``archive`` (zips know no time zone)
    archive: str  # the zip it lies in, or ""
    size: int  # bytes
    read: Callable[[], bytes] = field(repr=False, compare=False)  # gives the content, or raises UnreadableError

    @property
    def name(self) -> str:
        """As the student called it: without what a learning platform has added."""
        found = PLATFORM.fullmatch(self.path.name)
        return UPLOAD.sub("", found["file"]) if found else self.path.name


@dataclass
class Submission:
    """All that a student handed in. ``remarks`` say what could not be opened."""

    student: str
    files: list[File] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)


def collect(folder: Path, exercises: list[str]) -> tuple[list[Submission], list[str]]:
    """The submissions in a folder, sorted by student, and its files that belong to nobody.

    A student is a folder, a zip, or what a file's own name says: a learning platform's prefix
    (``adalovelace_12345_67890_small.ipynb``), or ``ada_small.ipynb`` where ``small`` is an exercise.

    Raises:
        ValueError: there is no such folder, or it holds nothing of any student.
    """
    students: dict[str, Submission] = {}
    nobodys = []

    def of(student: str) -> Submission:
        return students.setdefault(student, Submission(student))

    for path in sorted(folder.glob("*")):
        name = printable(path.name)
        if name.startswith(".") or name in NOT_THEIRS:
            continue
        if path.is_dir():
            _walk(path, of(name))
        elif student := student_of(name, exercises):
            _add(path, PurePosixPath(name), of(student))
        else:
            nobodys.append(name)
    if not students:
        raise ValueError(f"{folder} must hold one folder per student, with their notebooks inside")
    return [students[name] for name in sorted(students)], nobodys


def student_of(name: str, exercises: list[str]) -> str:
    """Whose file this is by its name, or ""."""
    if found := PLATFORM.fullmatch(name):
        return f"{found['student']}_{found['number']}"
    stem, _, ending = name.rpartition(".")
    if ending.lower() == "zip":
        return stem
    if exercise := exercise_of(name, exercises):
        spelt = r"[\W_]+".join(map(re.escape, words(exercise)))
        return re.split(rf"(?:^|[\W_]+){spelt}(?![^\W_])", stem, flags=re.IGNORECASE)[0]
    return ""


def words(name: str) -> list[str]:
    """A name's letters and digits in lower case, split at whatever else it holds."""
    return [word for word in re.split(r"[\W_]+", name.lower()) if word]


def exercise_of(name: str, exercises: list[str]) -> str:
    """The exercise that a notebook is named after, or ""; people and programs add to names, at either end."""
    if not is_notebook(name):
        return ""
    spaced = f" {' '.join(words(name))} "
    found = [exercise for exercise in exercises if f" {' '.join(words(exercise))} " in spaced]
    return max(found, key=len, default="")


def is_notebook(name: str) -> bool:
    """Whether a file calls itself a notebook; some browsers save small.ipynb as small.ipynb.txt."""
    return name.lower().endswith((".ipynb", ".ipynb.txt", ".ipynb.json"))


def printable(name: str) -> str:
    """A name of a file without what cannot be printed."""
    return name.encode(errors="replace").decode()


def listed(names: list[str], most: int = 3) -> str:
    """The first names of a list, with dots where there are more."""
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def _not_theirs(parts: tuple[str, ...]) -> bool:
    return any(part.startswith(".") or part in NOT_THEIRS for part in parts)


def _walk(folder: Path, submission: Submission) -> None:
    def unreadable(error: OSError) -> None:
        submission.remarks.append(Remark(f"a folder cannot be read: {error.strerror}", Look.YES))

    for where, folders, names in os.walk(folder, onerror=unreadable):
        folders[:] = sorted(name for name in folders if not _not_theirs((name,)))
        for path in (Path(where) / name for name in sorted(names) if not _not_theirs((name,))):
            _add(path, PurePosixPath(printable(path.relative_to(folder).as_posix())), submission)


def _add(path: Path, shown: PurePosixPath, submission: Submission) -> None:
    # A file on disk; of a zip its members.
    status = path.lstat()
    regular = stat.S_ISREG(status.st_mode)
    if regular and path.suffix.lower() == ".zip":
        _open_zip(path, shown, submission, depth=1)
        return

    def read() -> bytes:
        _check_file(regular, status.st_size)
        try:
            return path.read_bytes()
        except OSError as error:
            raise UnreadableError(f"cannot be read: {error.strerror}") from None

    submission.files.append(File(shown, status.st_mtime, "", status.st_size, read))


def _check_file(regular: bool, size: int) -> None:
    if not regular:
        raise UnreadableError("not a file")
    if size > LARGEST_MB * 1e6:
        raise UnreadableError(f"larger than {LARGEST_MB} MB")


def _open_zip(content: Path | io.BytesIO, shown: PurePosixPath, submission: Submission, depth: int) -> None:
    def doubt(text: str) -> None:
        submission.remarks.append(Remark(f"{shown} {text}", Look.YES))

    try:
        with zipfile.ZipFile(content) as archive:  # not kept open: a class may send more than a process may open
            members = [info for info in archive.infolist() if not info.is_dir()]
    except Exception as error:  # whatever a broken file may do to a reader
        doubt(f"cannot be opened as a zip: {error}")
        return
    if len(members) > MOST_MEMBERS:
        doubt(f"holds more than {MOST_MEMBERS} files and was left out")
        return
    if sum(info.file_size for info in members if info.filename.lower().endswith(".zip")) > MOST_MB * 1e6:
        doubt(f"holds zips of more than {MOST_MB} MB and was left out")
        return
    for info in members:
        inside = PurePosixPath(printable(info.filename).replace("\\", "/"))
        if not inside.parts or inside.is_absolute() or ".." in inside.parts or ":" in inside.parts[0]:
            doubt(f"holds a file that leads out of it, {inside}, which was left out")
        elif not _not_theirs(inside.parts):
            file = _member(content, info, shown, inside)
            if inside.suffix.lower() != ".zip":
                submission.files.append(file)
            elif depth == DEEPEST:
                doubt(f"holds zips in zips: {inside} was left out")
            else:
                try:
                    _open_zip(io.BytesIO(file.read()), file.path, submission, depth + 1)
                except UnreadableError as error:
                    doubt(f"holds {inside}: {error}")


def _member(content: Path | io.BytesIO, info: zipfile.ZipInfo, shown: PurePosixPath, inside: PurePosixPath) -> File:
    def read() -> bytes:
        # zipfile stops at the size that the zip names, whatever else is packed
        _check_file(not stat.S_ISLNK(info.external_attr >> 16), info.file_size)
        try:
            with zipfile.ZipFile(content) as archive:
                return archive.read(info)
        except Exception as error:  # a password, a method that is not known, a damaged file
            raise UnreadableError(f"cannot be unpacked: {error}") from None

    try:
        modified = datetime(*info.date_time).timestamp()
    except (ValueError, OverflowError):
        modified = 0.0
    return File(shown / inside, modified, str(shown), info.file_size, read)
