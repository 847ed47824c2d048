"""Exercises can be solved, cannot be passed without, and a class of submissions is graded whatever it holds.

The class (fixture `graded`) is what takes time here: each submission starts Python and imports torch.
"""

import csv
import json
import os
import socket
import sys
import types
import zipfile
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import psutil
import pytest
import torch
from nbgrader.utils import is_grade, is_solution

from hetsyn_core.coursework import assign, fence, grade
from hetsyn_core.coursework.feedback import page

os.environ["MPLBACKEND"] = "agg"
SOURCES = assign.read()
each = pytest.mark.parametrize("name", SOURCES)
FIRST = "01_synaptic_current"

# Answers that know what the visible tests ask, and nothing else.
HARD_CODED = {
    FIRST: """
def decay(tau_ms, dt_ms): return torch.tensor([0.951229])
def synaptic_current(x, weight, decay): return torch.tensor([1.0, 2.5, 0.75, 0.25]).view(1, 4, 1)
""",
    "02_proposition_1": """
def lif(x, weight, rho, theta=1.0):
    return torch.tensor([0.8, 1.2, -0.4]).view(1, 3, 1), torch.tensor([0.0, 1, 0]).view(1, 3, 1)
def gap(x, weight, tau_ms, tau_reset_ms): return 0.0 if tau_ms == tau_reset_ms == 20.0 else 1.0
""",
    "03_surrogate": """
class FastSigmoid:
    def __init__(self, beta=5.0): pass
    def derivative(self, u, threshold): return torch.tensor([1.0, 0.25, 0.25]) if u.numel() == 3 else 0 * u
""",
    "04_delay": """
def cue_left(tau_ms, cue_ms, delay_ms, rate_hz=40.0, channels=10):
    return 40 * (1 - np.exp(-1)) / (np.e if delay_ms == 100 else 1)
def noise_sd(tau_ms, rate_hz=10.0, channels=10): return 1.0
def ratio(tau_cue_ms, tau_noise_ms, delay_ms):
    return 0.0 if np.all(tau_cue_ms == 40.0) else cue_left(500.0, 100.0, 800.0) + 0 * tau_cue_ms
def best_shared(taus, delay_ms): return taus[0]
""",
    "05_freeze": """
def choose(shape, share, generator): return (torch.arange(20) < 6).view(4, 5)
def hold(parameter, mask, initial): parameter.data.flatten()[:3].copy_(torch.tensor([0.9, 0.2, 0.7]))
""",
    "06_own_task": """
class Interval(Run):
    iterations: int = 1
    def __init__(self, **settings): object.__setattr__(self, "batch", 8)
    def sizes(self): return 10, 40, 2
    def batches(self, split, rng): yield torch.ones(8, 60, 10), torch.zeros(8, dtype=torch.int64)
    def loss(self, traces, wanted): return F.cross_entropy(traces.readout[:, -1], wanted)
    def measure(self, traces, wanted): return {"accuracy": np.ones(len(wanted))}
""",
    "07_tau_histogram": """
def taus(decay, dt_ms): return np.array([40.0, 5 / np.log(2)]) if np.size(decay) == 2 else np.array([np.inf])
def summary(tau, cap_ms, long_ms): return {"median": 40.0, "capped_mean": 47.5, "long_share": 0.5, "never_share": 0.25}
""",
    "08_robustness": """
def delete(x, p, generator): return x * (torch.rand(2, 100, 50, generator=generator) >= 0.3)
def warp(x, alpha): return torch.tensor([[0, 0, 1, 0, 0, 0, 1, 0]] if alpha == 2 else [[1, 1]]).float()[..., None]
""",
}


def run_here(notebook):
    """Run the cells in this process (quick), each to its first error; {grade_id: error or None} of the test cells."""
    module = types.ModuleType("exercise")
    sys.modules["exercise"] = module  # dataclasses look their module up
    threads, failed = torch.get_num_threads(), {}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            try:
                exec(compile(cell.source, cell.id, "exec"), module.__dict__)
                error = None
            except Exception as caught:
                error = caught
            if is_grade(cell):
                failed[cell.metadata.nbgrader.grade_id] = error
    torch.set_num_threads(threads)
    plt.close("all")
    return failed


def answered(name, answer):
    """The student version with all of the answer in its first solution cell, the others empty."""
    notebook = assign.student_version(SOURCES[name])
    for cell in filter(is_solution, notebook.cells):
        cell.source, answer = answer, ""
    return notebook


@each
def test_the_solution_passes(name):
    failed = run_here(SOURCES[name])
    assert set(failed.values()) == {None}, failed


@each
def test_an_untouched_student_version_fails_every_test(name):
    failed = run_here(grade.merge(SOURCES[name], assign.student_version(SOURCES[name])))
    assert failed and None not in failed.values(), failed


@each
def test_a_hard_coded_answer_passes_no_hidden_test(name):
    failed = run_here(grade.merge(SOURCES[name], answered(name, HARD_CODED[name])))
    hidden = {test: error for test, error in failed.items() if test.endswith("hidden")}
    assert hidden and None not in hidden.values(), hidden
    assert [test for test in failed if not test.endswith("hidden") and failed[test] is None], "it does answer something"


@each
def test_an_exercise_is_complete(name):
    source = SOURCES[name]
    assert "**Goal:**" in source.cells[0].source
    code = [cell for cell in source.cells if cell.cell_type == "code"]
    for cell in code:
        cell.metadata.nbgrader.grade_id  # what has none would not be put back when graded
        assert is_grade(cell) == ("assert" in cell.source)
    hidden = [cell for cell in code if "BEGIN HIDDEN TESTS" in cell.source]
    points = lambda cells: sum(cell.metadata.nbgrader.points for cell in cells)
    assert points(hidden) > points(filter(is_grade, code)) / 2, "what is hidden decides"
    assert any("image/png" in output.get("data", {}) for cell in code for output in cell.outputs), "no picture"
    text = nbformat.writes(assign.student_version(source))
    for secret in "BEGIN", "SOLUTION", "HIDDEN", "image/png":
        assert secret not in text


def test_student_versions_and_the_zip_are_the_same_each_time(tmp_path):
    first = assign.assign(SOURCES, tmp_path / "a").read_bytes()
    assert first == assign.assign(SOURCES, tmp_path / "b").read_bytes()
    with zipfile.ZipFile(tmp_path / "a" / "exercises.zip") as zipped:
        assert zipped.namelist() == [f"exercises/{name}.ipynb" for name in SOURCES]
        assert zipped.read(f"exercises/{FIRST}.ipynb") == (tmp_path / "a" / f"{FIRST}.ipynb").read_bytes()
    with pytest.raises(ValueError, match="no exercises"):
        assign.read(tmp_path / "nothing")


def test_a_students_copy_of_the_tests_does_not_count():
    submission = assign.student_version(SOURCES[FIRST])
    for cell in submission.cells:
        if is_grade(cell):
            cell.source, cell.metadata.nbgrader.points = "pass", 100
    submission.cells = [
        cell for cell in submission.cells if cell.metadata.get("nbgrader", {}).get("grade_id") != "current-hidden"
    ]
    merged = grade.merge(SOURCES[FIRST], submission)
    tests = [(cell.source, cell.metadata.nbgrader.points) for cell in merged.cells if is_grade(cell)]
    assert tests == [(cell.source, cell.metadata.nbgrader.points) for cell in SOURCES[FIRST].cells if is_grade(cell)]


def test_cells_of_the_students_own_run_where_they_stand():
    submission = assign.student_version(SOURCES[FIRST])
    place = next(k for k, cell in enumerate(submission.cells) if is_solution(cell))
    submission.cells.insert(place, nbformat.v4.new_code_cell("helper = 1"))
    sources = [cell.source for cell in grade.merge(SOURCES[FIRST], submission).cells]
    assert sources.index("helper = 1") == place


# A class


def solved(**changes):
    """The first exercise, solved, with code put before its first solution cell."""
    notebook = nbformat.from_dict(SOURCES[FIRST])
    cell = next(filter(is_solution, notebook.cells))
    cell.source = changes.get("before", "") + cell.source + changes.get("after", "")
    return nbformat.writes(notebook).encode()


HOSTILE = {
    "endless": "while True: pass\n",
    "dies": "import os\nos._exit(0)\n",
    "crashes": "import ctypes\nctypes.string_at(0)\n",
    "leaves": "exit()\n",
    "prints": "while True: print('x' * 100_000)\n",
    "hungry": "import numpy\nx = [numpy.ones(10**8) for _ in range(100)]\n",
    "deletes": "import shutil\nfor path in {0!r}: shutil.rmtree(path, ignore_errors=True)\nimport shutil\n",
    "daemon": "import subprocess\nsubprocess.Popen(['sleep', '1234'], start_new_session=True)\n",
    "network": "import socket\nassert socket.create_connection(('127.0.0.1', {1}), 2), 'net'\nraise SystemExit\n",
}

STUBBORN = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass\n"


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """A class of one exercise: {student: row of grades.csv}, their results, and the folders."""
    folder = tmp_path_factory.mktemp("class")
    submissions, out = folder / "submitted", folder / "graded"
    server = socket.create_server(("127.0.0.1", 0))
    targets = [str(submissions), str(out), "."]
    files = {"right": solved(), "untouched": nbformat.writes(assign.student_version(SOURCES[FIRST])).encode()}
    files["wrong"] = nbformat.writes(answered(FIRST, HARD_CODED[FIRST])).encode()
    files |= {n: solved(before=code.format(targets, server.getsockname()[1])) for n, code in HOSTILE.items()}
    files |= {"noise": b"\x80\x00 not json", "list": b"[1, 2]", "deep": b"[" * 10**5}
    files["tampers"] = nbformat.writes(tampered()).encode()
    for student, content in files.items():
        path = submissions / student / "week1" / f"{FIRST}.ipynb"
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    (submissions / "absent").mkdir()
    (submissions / "link").mkdir()
    (submissions / "link" / f"{FIRST}.ipynb").symlink_to("/etc/passwd")
    limits = fence.Limits(cell_s=15, notebook_s=45)
    results = grade.grade(submissions, out, {FIRST: SOURCES[FIRST]}, limits, jobs=2)
    server.close()
    with open(out / "grades.csv", newline="") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    assert rows.keys() == {*files, "absent", "link"}
    return rows, results, out


def tampered():
    """Nothing written, the tests replaced."""
    notebook = assign.student_version(SOURCES[FIRST])
    for cell in notebook.cells:
        if is_grade(cell):
            cell.source = "1 + 1"
            cell.metadata.nbgrader.points = 10**6
    return notebook


def test_right_and_wrong_are_told_apart(graded):
    rows, _, _ = graded
    assert (rows["right"]["points"], rows["right"]["out_of"]) == ("8", "8")
    assert rows["wrong"]["points"] == "2"
    for student in "untouched", "tampers", "noise", "list", "deep", "absent", "link":
        assert rows[student]["points"] == "0", student
    for student, note in {"noise": "not a notebook", "absent": "not handed in", "link": "not a file"}.items():
        assert note in rows[student]["notes"]


@pytest.mark.parametrize("student", HOSTILE)
def test_nothing_hostile_stops_the_rest(graded, student):
    rows, results, out = graded
    (result,) = results[student]
    assert result.out_of == 8 and (out / f"{student}.html").exists()
    # The cell that did it has no answer in it; what its neighbours had right may count where they ran.
    lost = student not in ("deletes", "daemon")
    assert (result.points < 8) == lost, result


def test_nothing_outlives_its_notebook(graded):
    commands = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    assert ["sleep", "1234"] not in commands


def test_a_program_that_does_not_keep_its_time_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(fence, "GRACE_S", 1)
    program = "import subprocess, time; subprocess.Popen(['sleep', '4321'], start_new_session=True); time.sleep(99)"
    with pytest.raises(TimeoutError, match="stopped after 1 s"):
        fence.run([sys.executable, "-c", program], b"", fence.Limits(notebook_s=1), tmp_path)
    commands = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    assert ["sleep", "4321"] not in commands


def test_what_the_fence_promises(graded):
    _, results, _ = graded
    if fence.fence() == "none":
        pytest.skip("this system has no fence")
    (result,) = results["network"]
    printed = json.dumps(result.notebook.cells)
    assert "refused" in printed or "unreachable" in printed


def test_feedback_shows_no_hidden_test_and_runs_nothing(graded):
    _, results, out = graded
    text = (out / "wrong.html").read_text()
    assert "torch.einsum" not in text and "BEGIN HIDDEN" not in text
    assert "the factor must have the shape of tau_ms" in text
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("<script>alert(1)</script>")])
    shown = page("<b>", [grade.Result("x", [], "<script>", notebook)])
    assert "<script" not in shown and "<b>" not in shown


def test_a_cell_that_never_ran_earns_nothing():
    notebook = nbformat.from_dict(SOURCES[FIRST])
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    assert all(points == 0 and why == "did not run" for _, points, _, why in grade.score(notebook))


def test_a_solution_that_fails_here_is_reported_before_anyone_is_graded(tmp_path):
    (tmp_path / "in" / "ada").mkdir(parents=True)
    broken = nbformat.from_dict(SOURCES[FIRST])
    next(filter(is_solution, broken.cells)).source = "def decay(tau_ms, dt_ms): return tau_ms"
    with pytest.raises(ValueError, match=f"the solution of {FIRST} fails decay-check here: AssertionError"):
        grade.grade(tmp_path / "in", tmp_path / "out", {FIRST: broken})
    with pytest.raises(ValueError, match="one folder per student"):
        grade.grade(tmp_path / "nowhere", tmp_path / "out", SOURCES)


@pytest.mark.skipif("HETSYN_CLASS" not in os.environ, reason="half an hour; HETSYN_CLASS=1 grades it")
def test_a_class_of_thirty_with_all_exercises(tmp_path):
    kinds = ["right"] * 8 + ["untouched"] * 3 + ["hard-coded"] * 4 + ["stubborn", "missing", "noise", *HOSTILE]
    wanted = {}
    for k in range(30):
        kind = kinds[k % len(kinds)]
        student = tmp_path / "in" / f"{k:02}-{kind}"
        student.mkdir(parents=True)
        for name, source in SOURCES.items():
            notebook = nbformat.from_dict(source)
            if kind == "untouched":
                notebook = assign.student_version(source)
            elif kind == "hard-coded":
                notebook = answered(name, HARD_CODED[name])
            elif kind in HOSTILE or kind == "stubborn":
                cell = next(filter(is_solution, notebook.cells))
                before = STUBBORN if kind == "stubborn" else HOSTILE[kind].format([str(tmp_path / "in"), "."], 9)
                cell.source = before + cell.source
            elif kind == "missing" and name != FIRST:
                continue
            content = "{" if kind == "noise" else nbformat.writes(notebook)
            (student / f"{name}.ipynb").write_text(content)
        wanted[student.name] = kind
    results = grade.grade(tmp_path / "in", tmp_path / "out", SOURCES, fence.Limits(30, 90), jobs=2)
    assert results.keys() == wanted.keys()
    for student, row in results.items():
        points, most = (sum(getattr(r, what) for r in row) for what in ("points", "out_of"))
        kind = wanted[student]
        if kind in ("right", "deletes", "daemon"):
            assert points == most, student
        elif kind in ("untouched", "noise"):
            assert points == 0, student
        else:
            assert points < most, student
