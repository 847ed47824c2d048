"""Exercises can be solved, cannot be passed without, and a class of submissions is graded whatever it holds.

The class (fixture `graded`) is what takes time here: each submission starts Python and imports torch.
"""

import ast
import contextlib
import csv
import html
import io
import json
import os
import re
import socket
import sys
import time
import types
import zipfile

import matplotlib.pyplot as plt
import nbformat
import psutil
import pytest
import torch
from nbgrader.utils import is_grade, is_solution
from small_exercise import SMALL, odd, solved

from tools.coursework import assign, choosing, fence, grade
from tools.coursework.feedback import page
from tools.coursework.matching import Exercise, match, merge
from tools.coursework.submissions import Look, Remark

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
class Interval(Clicks):
    iterations: int = 1
    def batches(self, split, rng): yield torch.ones(8, 60, 10), torch.zeros(8, dtype=torch.int64)
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
    "09_own_voice": """
def raster(times_ms, units, bin_ms, steps, places):
    x = np.zeros((3, 4), np.float32)
    x[0, 2] = x[1, 0] = 1
    return x
def scores(readout): return torch.tensor([[0.547426, 1.452574]])
def loudest(audio, rate, seconds): return np.array([-3.0, 2.0])
""",
}

INTERVAL = """
class Interval(Clicks):
    def batches(self, split, rng):
        for trials in self.drawn(split):
            label = rng.integers(2, size=trials)
            x = np.resize(poisson((%s, 60, 10), 5.0, self.dt_ms, rng), (trials, 60, 10))
            x[:, 10] = True
            x[np.arange(trials), 10 + np.where(label, self.long_ms, self.short_ms).astype(int) // 5] = True
            yield torch.from_numpy(x.astype(np.float32)), torch.from_numpy(label)
    def measure(self, traces, wanted):
        right = (traces.readout[:, -1].argmax(-1) == wanted).float()
        return %s
"""

# An answer to one question, the others solved: (what is special, exercise, answer cell, tests that it fails): code.
# Right ones fail none. A student's answer that was graded unfairly belongs here.
ANSWERS = {
    ("a power of a number", FIRST, "decay", ""): """
import math
def decay(tau_ms, dt_ms): return math.exp(-dt_ms) ** (1 / tau_ms)
""",
    ("a result in float32", FIRST, "current", ""): """
def synaptic_current(x, weight, decay):
    I, total = torch.zeros(len(x), *weight.shape), torch.zeros(*x.shape[:2], len(weight))
    for t in range(x.shape[1]):
        I = decay * I + weight * x[:, t, None, :]
        total[:, t] = I.sum(-1)
    return total
""",
    ("where there is a spike", FIRST, "current", ""): """
def synaptic_current(x, weight, decay):
    I, total = torch.zeros(len(x), *weight.shape), []
    for t in range(x.shape[1]):
        I = torch.where(x[:, t, None, :] > 0, decay * I + weight, decay * I)
        total.append(I.sum(-1))
    return torch.stack(total, 1)
""",
    ("digits lost", "02_proposition_1", "gap", ""): """
def gap(x, weight, tau_ms, tau_reset_ms):
    rho, kappa = (decay_from_tau(torch.tensor(tau), 1.0).double() for tau in (tau_ms, tau_reset_ms))
    V, _ = reference.spiking(reference.synaptic_current(x, weight, rho), reset_decay=kappa)
    return float((V - lif(x, weight, rho)[0]).abs().max())
""",
    ("the library", "02_proposition_1", "lif", "lif-hidden"): """
def lif(x, weight, rho, theta=1.0):
    rho = torch.as_tensor(rho, dtype=x.dtype)
    return reference.spiking(reference.synaptic_current(x, weight, rho), reset_decay=rho, threshold=theta)
""",
    ("a block", "05_freeze", "choose", "choose-hidden"): """
def choose(shape, share, generator):
    n = int(np.prod(shape))
    mask = torch.arange(n) < round(share * n)
    return mask.roll(int(torch.randint(n, (1,), generator=generator))).view(shape)
""",
    ("hold alone", "05_freeze", "choose", "choose-check choose-hidden training-hidden"): """
def choose(shape, share, generator): raise NotImplementedError()
""",
    ("a tensor", "06_own_task", "task", ""): INTERVAL % ("trials", '{"accuracy": right}'),
    ("no dict", "06_own_task", "task", "measure-check measure-hidden"): INTERVAL % ("trials", "right"),
    ("one noise for all", "06_own_task", "task", "batches-hidden"): INTERVAL % (1, '{"accuracy": right}'),
    ("one mask for all", "08_robustness", "delete", "delete-hidden"): """
def delete(x, p, generator): return x * (torch.rand(x.shape[1:], generator=generator) >= p)
""",
    ("a helper called m", "04_delay", "cue", ""): """
def m(tau_ms, ms): return 1 - np.exp(-ms / tau_ms)
def current(x): return x
def cue_left(tau_ms, cue_ms, delay_ms, rate_hz=40.0, channels=10):
    return current(channels * rate_hz / 1000 * tau_ms * m(tau_ms, cue_ms) * np.exp(-delay_ms / tau_ms))
""",
    ("a helper called noise", "06_own_task", "task", ""): """
def noise(trials, dt_ms, rng): return rng.random((trials, 60, 10)) < 5.0 * dt_ms / 1000
class Interval(Clicks):
    def batches(self, split, rng):
        for trials in self.drawn(split):
            x, label = noise(trials, self.dt_ms, rng), rng.integers(2, size=trials)
            x[:, round(50 / self.dt_ms)] = True
            second = np.where(label == 1, self.long_ms, self.short_ms) + 50
            x[np.arange(trials), (second / self.dt_ms).round().astype(int)] = True
            yield torch.from_numpy(x.astype(np.float32)), torch.from_numpy(label)

    def measure(self, traces, wanted):
        return {"accuracy": (traces.readout[:, -1].argmax(-1) == wanted).double().numpy()}
""",
    ("an exact share", "08_robustness", "delete", "delete-hidden"): """
def delete(x, p, generator):
    spikes, out = x.nonzero(), x.clone()
    out[tuple(spikes[torch.randperm(len(spikes), generator=generator)[: round(p * len(spikes))]].T)] = 0
    return out
""",
    ("absolute values", "09_own_voice", "loudest", "loudest-hidden"): """
def loudest(audio, rate, seconds):
    n = round(seconds * rate)
    start = np.convolve(np.abs(audio), np.ones(n), "valid").argmax() if len(audio) > n else 0
    return audio[start : start + n]
""",
}


def run_here(notebook, without=()):
    """Run the cells in this process (quick), each to its first error; {grade_id: error or None} of the test cells.

    Those whose grade_id is in ``without`` are left out.
    """
    module = types.ModuleType("exercise")
    sys.modules["exercise"] = module  # dataclasses look their module up
    threads, failed = torch.get_num_threads(), {}
    for cell in notebook.cells:
        if cell.cell_type == "code" and cell.metadata.nbgrader.grade_id not in without:
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


def merged(source, submission):
    """What runs of a submission."""
    return merge(match(Exercise("x", source), submission))


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
    failed = run_here(merged(SOURCES[name], assign.student_version(SOURCES[name])))
    assert failed and None not in failed.values(), failed


@each
def test_a_hard_coded_answer_passes_no_hidden_test(name):
    failed = run_here(merged(SOURCES[name], answered(name, HARD_CODED[name])))
    hidden = {test: error for test, error in failed.items() if test.endswith("hidden")}
    assert hidden and None not in hidden.values(), hidden
    assert [test for test in failed if not test.endswith("hidden") and failed[test] is None], "it does answer something"


@pytest.mark.parametrize("what, name, answer, fails", ANSWERS)
def test_an_answer_gets_what_it_is_worth(what, name, answer, fails):
    notebook = nbformat.from_dict(SOURCES[name])
    (cell,) = (cell for cell in filter(is_solution, notebook.cells) if cell.metadata.nbgrader.grade_id == answer)
    cell.source = ANSWERS[what, name, answer, fails]
    failed = run_here(notebook, without=["picture"])
    assert [test for test in failed if failed[test]] == fails.split(), failed


def test_the_library_is_no_answer_to_eq_8():
    for name in "reference", "fast.dispatch":
        answer = "from hetsyn_core.model.layer import decay_from_tau as decay\n"
        answer += f"from hetsyn_core.model.{name} import synaptic_current"
        failed = run_here(merged(SOURCES[FIRST], answered(FIRST, answer)))
        assert failed["current-check"] is None and "write the loop" in str(failed["current-hidden"])


@each
def test_an_exercise_is_complete(name):
    source = SOURCES[name]
    assert "**Goal:**" in source.cells[0].source
    code = [cell for cell in source.cells if cell.cell_type == "code"]
    for cell in code:
        assert "grade_id" in cell.metadata.nbgrader, "it would not be put back when graded"
        assert is_grade(cell) == ("assert" in cell.source)
    hidden = [cell for cell in code if "BEGIN HIDDEN TESTS" in cell.source]
    for cell in hidden:  # at top level they would take the place of a student's helper of that name
        (region,) = re.findall("### BEGIN HIDDEN TESTS\n(.*)### END", cell.source, re.DOTALL)
        definition, call = ast.parse(region).body
        assert definition.name == call.value.func.id == "_hidden_tests"
    points = lambda cells: sum(cell.metadata.nbgrader.points for cell in cells)
    assert points(hidden) > points(filter(is_grade, code)) / 2, "what is hidden decides"
    assert any("image/png" in output.get("data", {}) for cell in code for output in cell.outputs), "no picture"
    handed_out = assign.student_version(source)
    text = nbformat.writes(handed_out)
    assert all("raises-exception" in cell.metadata.tags for cell in filter(is_grade, handed_out.cells)), "Run All stops"
    for secret in "BEGIN", "SOLUTION", "HIDDEN", "image/png":
        assert secret not in text


def test_student_versions_and_the_zip_are_the_same_each_time(tmp_path):
    first = assign.assign(SOURCES, tmp_path / "a").read_bytes()
    assert first == assign.assign(SOURCES, tmp_path / "b").read_bytes()
    with zipfile.ZipFile(tmp_path / "a" / "exercises.zip") as zipped:
        assert zipped.namelist() == [f"my_exercises/{name}.ipynb" for name in SOURCES]
        assert zipped.read(f"my_exercises/{FIRST}.ipynb") == (tmp_path / "a" / f"{FIRST}.ipynb").read_bytes()
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
    ran = merged(SOURCES[FIRST], submission)
    tests = [(cell.source, cell.metadata.nbgrader.points) for cell in ran.cells if is_grade(cell)]
    assert tests == [(cell.source, cell.metadata.nbgrader.points) for cell in SOURCES[FIRST].cells if is_grade(cell)]


def test_cells_of_the_students_own_run_where_they_stand():
    submission = assign.student_version(SOURCES[FIRST])
    place = next(k for k, cell in enumerate(submission.cells) if is_solution(cell))
    submission.cells.insert(place, nbformat.v4.new_code_cell("helper = 1"))
    sources = [cell.source for cell in merged(SOURCES[FIRST], submission).cells]
    assert sources.index("helper = 1") == place


# A class. Its exercise imports nothing, so that a submission takes a second or two.


def hard_coded():
    notebook = nbformat.from_dict(SMALL)
    for cell, value in zip(filter(is_solution, notebook.cells), (4, 4), strict=False):
        cell.source = f"def {cell.metadata.nbgrader.grade_id}(x): return {value}"
    return nbformat.writes(notebook).encode()


def tampered():
    """Nothing written, the tests replaced, and worth more."""
    notebook = assign.student_version(SMALL)
    for cell in filter(is_grade, notebook.cells):
        cell.source, cell.metadata.nbgrader.points = "1 + 1", 10**6
    return nbformat.writes(notebook).encode()


# What stands in the first of two answers, and the points that are left of 8.
HOSTILE = {
    "endless": ("while True: pass\n", 4),
    "dies": ("import os\nos._exit(0)\n", 0),
    "crashes": ("import ctypes\nctypes.string_at(0)\n", 0),
    "leaves": ("raise SystemExit\n", 4),
    "prints": ("while True: print('x' * 100_000)\n", 4),
    "hungry": ("x = [bytearray(10**9) for _ in range(100)]\n", 4),
    "deletes": ("import shutil\nfor path in {targets!r}: shutil.rmtree(path, ignore_errors=True)\n", 8),
    "daemon": ("import subprocess\nsubprocess.Popen(['sleep', '1234'], start_new_session=True)\n", 8),
    "network": ("import socket\nsocket.create_connection(('127.0.0.1', {port}), 2)\n", None),
    "marks": ("### BEGIN HIDDEN TESTS\n", 8),
    "no text": ("print('\\ud800')\nraise ValueError('\\ud800')\n", 4),
    "forges": (
        "k = get_ipython().kernel\ndef more(_): k.session.send(k.iopub_socket, 'execute_result', dict("
        "data={{'text/plain': '99', 'text/html': 5}}, metadata={{}}, execution_count=1), parent=k.get_parent())\n"
        "get_ipython().events.register('post_run_cell', more)\n",
        None,
    ),
    "fills": ("open('big', 'wb').write(b'x' * 10**9)\n", 4),
}
STUBBORN = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass\n"


def write(folder, files):
    """Files of a student, {path: content}."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """A class of one exercise: {student: row of grades.csv}, {student: report}, folder of pages, what was printed."""
    folder = tmp_path_factory.mktemp("class")
    submissions, out = folder / "submitted", folder / "graded"
    with socket.create_server(("127.0.0.1", 0)) as server:
        where = {"targets": [str(submissions), str(out), "."], "port": server.getsockname()[1]}
        files = {name: solved(code.format(**where)) for name, (code, _) in HOSTILE.items()}
        files |= {"right": solved(), "hard-coded": hard_coded(), "tampers": tampered()}
        files["untouched"] = nbformat.writes(assign.student_version(SMALL)).encode()
        files |= {"noise": b"\x80\x00 not json", "list": b"[1, 2]", "deep": b"[" * 10**5}
        for student, content in files.items():
            path = submissions / student / "week1" / "small.ipynb"
            path.parent.mkdir(parents=True)
            path.write_bytes(content)
        (submissions / "absent").mkdir()
        (submissions / "link").mkdir()
        (submissions / "link" / "small.ipynb").symlink_to("/etc/passwd")
        for student, handed_in in odd("small", SMALL).items():
            write(submissions / student, handed_in.files)
        (submissions / "small.ipynb").write_bytes(solved())
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            reports = grade.grade(submissions, out, {"small": SMALL}, fence.Limits(cell_s=5, notebook_s=30), jobs=2)
    with open(out / "grades.csv", newline="") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    assert rows.keys() == {*files, *odd("small", SMALL), "absent", "link"}
    return rows, {report.student: report for report in reports}, out, printed.getvalue()


def test_right_and_wrong_are_told_apart(graded):
    rows, _, _, _ = graded
    assert (rows["right"]["points"], rows["right"]["out_of"]) == ("8", "8")
    assert rows["hard-coded"]["points"] == "2"
    for student in "untouched", "tampers", "noise", "list", "deep", "absent", "link":
        assert (rows[student]["points"], rows[student]["out_of"]) == ("0", "8"), student
    for student, note in {"noise": "not a notebook", "absent": "not handed in: small", "link": "not a file"}.items():
        assert note in rows[student]["notes"] + rows[student]["look by hand"]
    assert rows["right"]["look by hand"] == rows["right"]["notes"] == rows["absent"]["look by hand"] == ""


@pytest.mark.parametrize("student", odd("small", SMALL))
def test_what_real_classes_hand_in_is_graded(graded, student):
    rows, _, out, printed = graded
    handed_in, row = odd("small", SMALL)[student], rows[student]
    assert row["points"] == f"{8 * handed_in.share:g}", row
    assert handed_in.look in row["look by hand"] and bool(handed_in.look) == bool(row["look by hand"]), row
    assert handed_in.look in html.unescape((out / f"{student}.html").read_text())
    ends = printed[printed.index("Look by hand at ") :]
    assert (f"  {student:22} " in ends) == bool(handed_in.look)
    assert ends.strip().endswith("In no student's folder, and not graded: small.ipynb")


@pytest.mark.parametrize("student", HOSTILE)
def test_nothing_hostile_stops_the_rest(graded, student):
    rows, _, out, _ = graded
    assert (out / f"{student}.html").exists()
    left = HOSTILE[student][1]
    if student == "hungry" and sys.platform == "darwin":
        pytest.skip("macOS does not limit the memory of a process")
    assert float(rows[student]["points"]) <= 8
    assert left is None or rows[student]["points"] == str(left), rows[student]
    if student in ("dies", "crashes"):  # the machine may be the reason: it may have run out of memory
        assert rows[student]["look by hand"] == "small: a cell ended the Python process"


def test_nothing_outlives_its_notebook(graded):
    commands = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    assert ["sleep", "1234"] not in commands


def test_a_program_that_does_not_keep_its_time_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(fence, "GRACE_S", 1)
    program = "import subprocess, time; subprocess.Popen(['sleep', '4321'], start_new_session=True); time.sleep(99)"
    with pytest.raises(TimeoutError, match="stopped after 1 s"):
        fence.run([sys.executable, "-c", program], b"", fence.Limits(notebook_s=1, patience=1), tmp_path)
    commands = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    assert ["sleep", "4321"] not in commands


def test_what_the_fence_promises(graded):
    _, reports, _, _ = graded
    if fence.fence() == "none":
        pytest.skip("this system has no fence")
    (result,) = reports["network"].results
    assert "refused" in json.dumps(result.notebook.cells) or "unreachable" in json.dumps(result.notebook.cells)


def test_feedback_shows_no_hidden_test_and_runs_nothing(graded):
    _, _, out, _ = graded
    text = (out / "hard-coded.html").read_text()
    assert "range(9)" not in text and "HIDDEN" not in text and "not for every x" in text
    hostile = "# Title\n\n<script>alert(1)</script> <img src=x onerror=alert(1)> [x](javascript:alert(1))"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(hostile)])
    remark = Remark("<script>", Look.YES)
    shown = page(
        grade.Report("<b>", [grade.Result("x", [], [remark], notebook, {"<script>.py": "<script>"})], [remark])
    )
    assert "<script" not in shown and "<b>" not in shown and "<img" not in shown and 'href="javascript' not in shown
    assert "Title</h1>" in shown  # text is shown as text


def test_a_cell_that_never_ran_earns_nothing():
    assert SMALL.cells[1].outputs == []  # which nbgrader alone takes for a pass
    assert all(mark.points == 0 and mark.why == "did not run" for mark in grade.score(SMALL))


def graded_alone(tmp_path, before, **limits):
    """The result of one submission with code before its first answer."""
    found = choosing.Found(choosing.Kind.OWN, match(Exercise("small", SMALL), nbformat.reads(solved(before), 4)))
    return grade.grade_one(Exercise("small", SMALL), found, fence.Limits(**limits), tmp_path)


def test_waiting_takes_no_marks_and_has_an_end(tmp_path):
    result = graded_alone(tmp_path, "import time\ntime.sleep(5)\n", cell_s=3, notebook_s=20)
    assert result.points == 8 and result.says(by_hand=True) == []
    result = graded_alone(tmp_path, "import time\ntime.sleep(1000)\n", cell_s=3, notebook_s=20, patience=2)
    assert result.points == 4 and "on the wall" in result.says(by_hand=True)[0]
    assert "this cell took too long by the clock on the wall" in json.dumps(result.notebook.cells)


def test_the_time_of_all_its_processes_counts(tmp_path):
    busy = "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'while True: pass'])\n"
    result = graded_alone(tmp_path, busy, cell_s=2, notebook_s=40, patience=100)
    assert result.points == 4 and "more than 2 s of processor time" in json.dumps(result.notebook.cells)
    result = graded_alone(tmp_path, STUBBORN, cell_s=1, notebook_s=40, patience=100)
    assert result.points == 0 and result.says(by_hand=False) == ["a cell could not be interrupted"]
    many = "for _ in range(4):\n    try:\n        while True: pass\n    except KeyboardInterrupt: pass\n"
    result = graded_alone(tmp_path, many, cell_s=30, notebook_s=4, patience=100)
    assert result.points == 0 and result.says(by_hand=False) == ["stopped after 4 s of processor time"]


def test_an_exercise_passes_behind_the_fence_and_a_broken_one_is_reported_first(tmp_path):
    grade.check([Exercise(FIRST, SOURCES[FIRST])], fence.Limits(), tmp_path)
    (tmp_path / "in" / "ada").mkdir(parents=True)
    (tmp_path / "in" / "ada" / "small.ipynb").write_bytes(solved())
    broken = nbformat.from_dict(SMALL)
    broken.cells[0].source = "def twice(x): return x"
    with pytest.raises(ValueError, match="the solution of small fails twice-check here: AssertionError"):
        grade.grade(tmp_path / "in", tmp_path / "out", {"small": broken})
    (tmp_path / "in" / "ada" / "small.ipynb").unlink()
    with pytest.raises(ValueError, match="no notebook in .* is named like one of small"):
        grade.grade(tmp_path / "in", tmp_path / "out", {"small": SMALL})
    with pytest.raises(ValueError, match="one folder per student"):
        grade.grade(tmp_path / "nowhere", tmp_path / "out", {"small": SMALL})


def test_an_interrupt_ends_what_runs_and_drops_what_waits(tmp_path, monkeypatch):
    for student, before in {"ada": "", "ben": "import time\ntime.sleep(1000)\n", "cem": "", "dora": ""}.items():
        write(tmp_path / "in" / student, {"small.ipynb": solved(before)})
    ran, run = [], fence.run

    def shown(report):
        while not fence.RUNNING:  # until ben's waits
            time.sleep(0.1)
        raise KeyboardInterrupt

    monkeypatch.setattr(grade, "page", shown)
    monkeypatch.setattr(fence, "run", lambda *args: ran.append(1) or run(*args))
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        grade.grade(tmp_path / "in", tmp_path / "out", {"small": SMALL}, fence.Limits(patience=100))
    assert time.monotonic() - start < 600, "it waited for ben"
    assert len(ran) == 3 and not fence.RUNNING  # the solution, ada and ben


def test_a_folder_for_grades_that_cannot_be_written_to_is_found_first(tmp_path, capsys, monkeypatch):
    write(tmp_path / "in" / "ada", {"small.ipynb": solved()})
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setattr(fence, "run", lambda *args: pytest.fail("it runs"))
    monkeypatch.setattr(grade, "read", lambda folder: {"small": SMALL})
    assert grade.main([str(tmp_path / "in"), "--to", str(tmp_path / "file" / "grades")]) == 1
    assert capsys.readouterr().err.startswith("nothing can be written to ")


def test_a_name_of_a_file_is_no_formula_in_a_spreadsheet():
    report = grade.Report("=1+1", [grade.Result("x", [])], [Remark("@b.zip cannot be opened", Look.YES), Remark("-c")])
    row = grade.table([report]).splitlines()[1]
    assert row == "'=1+1,0,0,0,'@b.zip cannot be opened,'-c"


def test_the_reason_of_a_failed_program_is_its_error_and_not_what_stands_below(tmp_path):
    program = "raise ValueError('5 is not a text\\n\\nOn instance:\\n5')"
    with pytest.raises(ChildProcessError, match="^ValueError: 5 is not a text$"):
        fence.run([sys.executable, "-c", program], b"", fence.Limits(), tmp_path)


@pytest.mark.skipif("HETSYN_CLASS" not in os.environ, reason="half an hour; HETSYN_CLASS=1 grades it")
def test_a_class_of_fifty_with_the_real_exercises(tmp_path):
    kinds = (
        ["right"] * 9
        + ["untouched"] * 3
        + ["hard-coded"] * 4
        + ["stubborn", "noise", *HOSTILE, *odd(FIRST, SOURCES[FIRST])]
    )
    where = {"targets": [str(tmp_path / "in"), "."], "port": 9}
    code = {name: code.format(**where) for name, (code, _) in HOSTILE.items()} | {"stubborn": STUBBORN}
    handed_in = {}
    for k, kind in enumerate(kinds):
        steps = (0,) if kind in odd(FIRST, SOURCES[FIRST]) else (0, 4)
        names = {list(SOURCES)[(k + step) % len(SOURCES)] for step in steps}
        student = f"{k:02}-{kind}"
        for name in names:
            source, file = SOURCES[name], f"{name}.ipynb"
            if kind in odd(name, source):
                write(tmp_path / "in" / student, odd(name, source)[kind].files)
            elif kind == "noise":
                write(tmp_path / "in" / student, {file: b"{"})
            elif kind == "untouched":
                write(tmp_path / "in" / student, {file: nbformat.writes(assign.student_version(source)).encode()})
            elif kind == "hard-coded":
                write(tmp_path / "in" / student, {file: nbformat.writes(answered(name, HARD_CODED[name])).encode()})
            else:
                write(tmp_path / "in" / student, {file: solved(code.get(kind, ""), source)})
        handed_in[student] = kind, names
    reports = grade.grade(tmp_path / "in", tmp_path / "out", SOURCES, fence.Limits(60, 120), jobs=2)
    print((tmp_path / "out" / "grades.csv").read_text())
    assert [report.student for report in reports] == list(handed_in)
    for report in reports:
        kind, names = handed_in[report.student]
        strange = odd(FIRST, SOURCES[FIRST]).get(kind)
        right = strange.share == 1 if strange else kind == "right" or HOSTILE.get(kind, (0, 0))[1] == 8
        wrong = kind in ("untouched", "noise") or (strange and strange.share < 1)
        if strange:
            assert strange.look in "; ".join(report.says(by_hand=True)), report
        for result in report.results:
            if result.exercise not in names:
                assert result.points == 0, (report.student, result)
            elif right:
                assert result.points == result.out_of, (report.student, result)
            elif wrong or HOSTILE.get(kind, (0, 0))[1] is not None:
                assert result.points < result.out_of, (report.student, result)
