"""What students hand in is found, read and told apart, whatever a browser, an editor or a platform made of it.

Nothing runs here but answers that are our own, in this process; tests/test_coursework.py grades a class.
"""

import io
import json
import os
import zipfile
from pathlib import PurePosixPath

import nbformat
import psutil
import pytest
from small_exercise import SMALL, own, solved, stripped, zipped

from tools.coursework import assign, matching, reading, submissions
from tools.coursework.choosing import Kind, choose
from tools.coursework.matching import Exercise, match, merge
from tools.coursework.submissions import Look, UnreadableError, collect

EXERCISE = Exercise("small", SMALL)
UNKNOWN = nbformat.writes(nbformat.v4.new_notebook()).encode()
UNTOUCHED = nbformat.writes(assign.student_version(SMALL)).encode()
SOURCE = nbformat.writes(SMALL).encode()
OLD, NEW = 1_700_000_000, 1_700_086_400


def hand_in(folder, files, times=None):
    """Write a class: {path: content}, with times of modification where they matter."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        if times and name in times:
            os.utime(path, (times[name], times[name]))
    return collect(folder, ["small"])


def chosen(folder, files, times=None):
    """What is chosen of the files of one student, ada, and the paths that are left over."""
    (submission,) = hand_in(folder, {f"ada/{name}": content for name, content in files.items()}, times)[0]
    one = choose(submission, [EXERCISE])
    return one.found["small"], one.left


def said(remarks, *looks):
    return "; ".join(remark.text for remark in remarks if not looks or remark.look in looks)


def variant(text):
    """A right submission of its own: a comment sets it apart."""
    return solved(f"# {text}\n")


def points_of(notebook):
    """Names of the tests that pass, each cell run to its first error."""
    names, passed = {}, []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            try:
                exec(cell.source, names)
                passed.append(matching.grade_id(cell))
            except Exception:
                pass
    return {name for name in passed if "-" in name}


ALL = {"twice-check", "twice-hidden", "square-check", "square-hidden"}


def passes(notebook):
    return points_of(merge(match(EXERCISE, notebook)))


# Which file is taken


@pytest.mark.parametrize(
    "files, kind, name",
    [
        ({"exercises/small.ipynb": SOURCE, "my_exercises/small.ipynb": UNTOUCHED}, "UNTOUCHED", "my_exercises/"),
        ({"exercises/small.ipynb": SOURCE, "my_exercises/small.ipynb": solved()}, "OWN", "my_exercises/small.ipynb"),
        ({"small.ipynb": UNTOUCHED, "deep/in/it/small-Copy1.ipynb": solved()}, "OWN", "deep/in/it/small-Copy1.ipynb"),
        ({"small.ipynb": b"", "small (1).ipynb": solved()}, "OWN", "small (1).ipynb"),
        ({"small.ipynb": UNKNOWN, "x/small.ipynb": solved()}, "OWN", "x/"),
    ],
)  # fmt: skip
def test_the_students_own_work_is_taken(tmp_path, files, kind, name):
    found, _ = chosen(tmp_path, files)
    assert found.kind == Kind[kind]
    assert f"of 2 files {name}" in said(found.remarks)


def test_our_solution_alone_earns_nothing_and_a_person_looks(tmp_path):
    outputs = nbformat.from_dict(SMALL)
    outputs.cells[0].source += "\n\n"
    outputs.metadata.changed = 1
    found, _ = chosen(tmp_path, {"notebooks/exercises/small.ipynb": nbformat.writes(outputs).encode()})
    assert found.kind == Kind.SOURCE and found.matched is None
    assert "no work of the student's own" in said(found.remarks, Look.YES)


def test_a_solution_of_ours_in_one_of_the_cells_is_noted(tmp_path):
    notebook = own()
    notebook.cells[0].source = SMALL.cells[0].source
    found, _ = chosen(tmp_path, {"small.ipynb": nbformat.writes(notebook).encode()})
    assert found.kind == Kind.OWN and "twice holds the published solution" in said(found.remarks, Look.YES)


def test_the_newest_attempt_is_taken(tmp_path):
    files = {"small.ipynb": variant("first"), "small (1).ipynb": variant("second")}
    for newer, older in ("small (1).ipynb", "small.ipynb"), ("small.ipynb", "small (1).ipynb"):
        found, _ = chosen(tmp_path, files, {f"ada/{newer}": NEW, f"ada/{older}": OLD})
        assert said(found.remarks) == f"of 2 files {newer} was graded, the newest; not {older}"
        assert [remark.look for remark in found.remarks] == [Look.IF_POINTS_ARE_MISSING]
    found, _ = chosen(tmp_path, files, dict.fromkeys((f"ada/{name}" for name in files), NEW))
    assert "which is newer is not certain" in said(found.remarks, Look.YES)
    assert "small (1).ipynb was graded" in said(found.remarks)


def test_copies_with_the_same_answers_leave_no_doubt(tmp_path):
    found, _ = chosen(tmp_path, {"small.ipynb": solved(), "backup/small.ipynb": solved()})
    assert said(found.remarks, Look.NO) == said(found.remarks) != ""


# Names and packages


@pytest.mark.parametrize(
    "name",
    [
        "small.ipynb",
        "ada_small.ipynb",
        "SMALL.IPYNB",
        "Small final.ipynb",
        "small-Copy1.ipynb",
        "small(2).ipynb",
        "small.ipynb.txt",
        "lovelaceada_12345_67890_small-1.ipynb",
        "week 1/small.ipynb",
        "Untitled.ipynb",  # told by its cells
    ],
)
def test_a_name_is_understood(tmp_path, name):
    found, left = chosen(tmp_path, {name: solved()})
    assert found.kind == Kind.OWN and not left


def test_what_is_no_name_of_the_exercise(tmp_path):
    assert submissions.exercise_of("smallest.ipynb", ["small"]) == ""
    assert submissions.exercise_of("01_small_extra.ipynb", ["small", "01_small"]) == "01_small"
    found, left = chosen(
        tmp_path, {"small.pdf": b"%PDF", "report.ipynb": b"{}", ".ipynb_checkpoints/small.ipynb": solved()}
    )
    assert found.kind is None and left == ["report.ipynb", "small.pdf"]


def test_cells_count_more_than_a_name():
    other = nbformat.from_dict(SMALL)
    for cell in other.cells:
        cell.metadata.nbgrader.grade_id = cell.metadata.nbgrader.grade_id.replace("twice", "half")
        cell.source = cell.source.replace("twice", "half")
    exercises = [EXERCISE, Exercise("other", other)]
    file = submissions.File(PurePosixPath("other.ipynb"), 0, "", 1, solved)
    one = choose(submissions.Submission("ada", [file]), exercises)
    assert one.found["small"].kind == Kind.OWN and one.found["other"].kind is None
    assert "by its cells" in said(one.found["small"].remarks)


def test_every_exercise_is_told_by_its_cells():
    exercises = [Exercise(name, source) for name, source in assign.read().items()]
    for exercise in exercises:
        for notebook in own(exercise.source), stripped(own(exercise.source)):
            content = nbformat.writes(notebook).encode()
            file = submissions.File(PurePosixPath("Untitled.ipynb"), 0, "", 1, lambda content=content: content)
            one = choose(submissions.Submission("ada", [file]), exercises)
            assert [name for name, found in one.found.items() if found.kind is not None] == [exercise.name]


def test_students_of_a_platforms_package(tmp_path):
    files = {
        "lovelaceada_12345_67890_small-1.ipynb": solved(),
        "lovelaceada_12345_67891_helper.py": b"x = 1",
        "lovelaceada_LATE_77777_67892_small.ipynb": solved(),  # another of the same name
        "Grace Hopper_888_assignsubmission_file_small.ipynb": solved(),
        "ben_small.ipynb": solved(),
        "cem.zip": zipped({"work/small.ipynb": solved()}),
        "dora/small.ipynb": solved(),
        "small.ipynb": solved(),
        "list.xlsx": b"",
    }
    handed_in, nobodys = hand_in(tmp_path, files)
    students = ["Grace Hopper_888", "ben", "cem", "dora", "lovelaceada_12345", "lovelaceada_77777"]
    assert [one.student for one in handed_in] == students
    assert nobodys == ["list.xlsx", "small.ipynb"]
    found = [choose(one, [EXERCISE]).found["small"] for one in handed_in]
    assert {one.kind for one in found} == {Kind.OWN}
    assert found[4].beside == {PurePosixPath("helper.py"): b"x = 1"}


def test_a_zip_is_looked_into_and_does_no_harm(tmp_path):
    inner = zipped({"small.ipynb": solved()})
    found, _ = chosen(
        tmp_path / "nested", {"homework.zip": zipped({"inner.zip": inner, "__MACOSX/._small.ipynb": b"x"})}
    )
    assert found.kind == Kind.OWN
    huge = zipped({"small.ipynb": b" " * (submissions.LARGEST_MB * 10**6 + 1)})
    assert len(huge) < 10**6
    found, _ = chosen(tmp_path / "huge", {"homework.zip": huge})
    assert found.kind == Kind.UNREADABLE and "larger than 50 MB" in said(found.remarks, Look.YES)
    escape = {"../../small.ipynb": solved(), "/etc/small.ipynb": solved(), "C:\\small.ipynb": solved()}
    bad = {
        "ada/a.zip": zipped(escape),
        "ada/b.zip": b"no zip",
        "ada/c.zip": zipped({"1.zip": zipped({"2.zip": inner})}),
    }
    (submission,), _ = hand_in(tmp_path / "bad", bad)
    assert submission.files == []
    text = said(submission.remarks, Look.YES)
    assert text.count("leads out of it") == 3 and "b.zip cannot be opened" in text and "2.zip was left out" in text


def test_much_that_is_packed_small_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(submissions, "MOST_MB", 1)
    monkeypatch.setattr("tools.coursework.choosing.MOST_MB", 1)
    large = zipped({"a.txt": b" " * 600_000})
    inner = {f"{k}.zip": large + b" " * 600_000 for k in range(2)}
    (submission,), _ = hand_in(tmp_path / "zips", {"ada/a.zip": zipped(inner)})
    assert submission.files == [] and "zips of more than 1 MB" in said(submission.remarks, Look.YES)
    many = {"small.ipynb": solved()} | {f"x/{k}/small.ipynb": b" " * 600_000 for k in range(3)}
    found, left = chosen(tmp_path / "many", {"a.zip": zipped(many)})
    assert found.kind == Kind.OWN and left == ["a.zip/x/1/small.ipynb", "a.zip/x/2/small.ipynb"]


def test_zips_are_not_kept_open(tmp_path):
    for student in "ann", "bob":
        (tmp_path / student).mkdir()
        with zipfile.ZipFile(tmp_path / student / "work.zip", "w") as archive:
            archive.writestr("a.txt", student)
    before = psutil.Process().num_fds()
    students, _ = collect(tmp_path, [])
    assert psutil.Process().num_fds() == before
    assert [file.read() for submission in students for file in submission.files] == [b"ann", b"bob"]


def test_a_link_in_a_zip_is_not_followed(tmp_path):
    info = zipfile.ZipInfo("small.ipynb")
    info.external_attr = 0o120777 << 16
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(info, "/etc/passwd")
    found, _ = chosen(tmp_path, {"a.zip": out.getvalue()})
    assert found.kind == Kind.UNREADABLE and "not a file" in said(found.remarks)


# Encodings

ACCENTED = nbformat.writes(own()).replace("def twice", "# fünf €\\ndef twice")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
def test_an_encoding_is_read(encoding):
    notebook, remarks = reading.read_notebook(ACCENTED.encode(encoding))
    assert "# fünf €" in notebook.cells[0].source
    assert said(remarks) == ("the file is not UTF-8 and was read as cp1252" if encoding == "cp1252" else "")


@pytest.mark.parametrize(
    "content, why",
    [
        (b"", "empty"),
        (b"{", "no JSON from line 1"),
        (b"{\n<<<<<<< HEAD\n", "conflict marks"),
        (b"[1, 2]", "JSON, but without cells"),
        (b"[" * 10**5, "no JSON"),
        (b'{"cells": [], "nbformat": 9, "nbformat_minor": 0}', "a format unknown here, 9"),
        (b'{"cells": 5, "nbformat": 4, "nbformat_minor": 5}', "a format unknown here, 4"),
        (b"\x81\x8d", "unknown encoding"),
    ],
)
def test_what_cannot_be_read_says_why(content, why):
    with pytest.raises(UnreadableError, match=why):
        reading.read_notebook(content)


def test_a_cell_of_an_odd_shape_is_read():
    odd = {
        "cells": [{"cell_type": "code", "source": ["a = 1\n", "b"]}, {"cell_type": "code"}],
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    notebook, _ = reading.read_notebook(json.dumps(odd).encode())
    assert [cell.source for cell in notebook.cells] == ["a = 1\nb", ""]
    notebook.cells[0].metadata = {"nbgrader": {"grade_id": ["no", "text"]}}
    assert match(EXERCISE, notebook).is_empty


# Cells


def test_copies_of_a_cell_all_run_in_their_order():
    scratch = own()
    copy = nbformat.from_dict(scratch.cells[0])
    copy.source = "twice(3)"
    scratch.cells.insert(1, copy)
    matched = match(EXERCISE, scratch)
    assert points_of(merge(matched)) == ALL
    assert "2 copies of cell twice" in said(matched.remarks, Look.IF_POINTS_ARE_MISSING)
    kept = own()
    empty = nbformat.from_dict(assign.student_version(SMALL).cells[0])
    kept.cells.insert(1, empty)
    assert passes(kept) == ALL, "an untouched copy below undoes nothing"
    kept.cells[1].source = "def twice(x): return 0"
    assert passes(kept) == {"square-check", "square-hidden"}, "as in the student's own notebook"
    kept.cells.append(kept.cells.pop(1))
    assert passes(kept) == ALL, "below the tests it comes too late"


def test_lost_marks_are_found_again():
    matched = match(EXERCISE, stripped(own()))
    assert points_of(merge(matched)) == ALL
    assert said(matched.remarks, Look.IF_POINTS_ARE_MISSING).startswith("the cells have lost their marks")
    assert match(EXERCISE, stripped(assign.student_version(SMALL))).is_untouched
    more = stripped(own())
    more.cells.insert(0, nbformat.v4.new_code_cell("import math"))
    more.cells[1].source = "from math import floor\n\n" + more.cells[1].source
    assert passes(more) == ALL
    together = stripped(own())
    together.cells[0].source += "\n" + together.cells.pop(3).source
    assert passes(together) == ALL, "two answers in one cell"


def test_lost_marks_of_a_cell_that_defines_nothing_are_found_by_place():
    source = nbformat.from_dict(SMALL)
    source.cells.insert(3, nbformat.v4.new_markdown_cell("## Now the number"))
    source.cells[4].source = "### BEGIN SOLUTION\nsquare = lambda x: x * x\n### END SOLUTION"
    exercise = Exercise("small", source)
    assert points_of(merge(match(exercise, stripped(own(source))))) == ALL
    unclear = stripped(own(source))
    unclear.cells.insert(4, nbformat.v4.new_code_cell("1 + 1"))
    matched = match(exercise, unclear)
    assert "none is certain to be square" in said(matched.remarks, Look.YES)


def test_no_marked_cells_is_not_an_empty_notebook(tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("double = lambda x: 2 * x")])
    found, _ = chosen(tmp_path, {"small.ipynb": nbformat.writes(notebook).encode()})
    assert found.kind == Kind.UNMARKED and "no marked cells found" in said(found.remarks, Look.YES)


def test_a_cell_written_anew_answers_its_question():
    notebook = own()
    notebook.cells[0] = nbformat.v4.new_code_cell(notebook.cells[0].source)
    assert passes(notebook) == ALL
    notebook.cells[3].cell_type = "markdown"
    matched = match(EXERCISE, notebook)
    assert points_of(merge(matched)) == ALL and "no code cell any more" in said(matched.remarks)


def test_a_changed_read_only_cell_is_named():
    source = nbformat.from_dict(SMALL)
    setup = nbformat.from_dict(source.cells[1])
    setup.source, setup.metadata.nbgrader = (
        "import math",
        {**setup.metadata.nbgrader, "grade_id": "setup", "grade": False},
    )
    source.cells.insert(0, setup)
    changed = own(source)
    changed.cells[0].source = "import math, statistics"
    matched = match(Exercise("small", source), changed)
    assert "changes of setup do not count" in said(matched.remarks, Look.IF_POINTS_ARE_MISSING)
    assert match(Exercise("small", source), own(source)).remarks == []


# Files beside the notebook


def test_files_beside_the_notebook_come_along(tmp_path):
    files = {
        "my/small.ipynb": solved(),
        "my/helper.py": b"a = 1",
        "my/data/table.csv": b"1",
        "my/README.md": b"the repository has one",
        "my/hetsyn_core/model/layer.py": b"ours, changed",
        "elsewhere.py": b"",
    }
    found, left = chosen(tmp_path, files)
    assert found.beside == {PurePosixPath("helper.py"): b"a = 1", PurePosixPath("data/table.csv"): b"1"}
    assert "ran with helper.py, data/table.csv beside it" in said(found.remarks)
    assert left == ["elsewhere.py"]


def test_too_much_beside_the_notebook_is_counted(tmp_path, monkeypatch):
    monkeypatch.setattr("tools.coursework.choosing.MOST_BESIDE_MB", 1)
    found, _ = chosen(tmp_path, {"small.ipynb": solved(), "a.bin": b"0" * 900_000, "b.bin": b"0" * 900_000})
    assert list(found.beside) == [PurePosixPath("a.bin")]
    assert "1 files beside it were too many or too large" in said(found.remarks, Look.IF_POINTS_ARE_MISSING)
