"""Every exercise's `changes` runs in its notebook: what a student types ends in figures or in one clear line."""

import ast
import os
import re
from concurrent.futures import ThreadPoolExecutor

import matplotlib
import nbformat
import pytest

from hetsyn_core.paths import ROOT
from hetsyn_core.runs import sweep

SHORTER = {"iterations", "epochs"}  # smoke has its own


def exercises():
    """(notebook, changes) of all exercises that set `changes`."""
    for path in sorted(ROOT.glob("notebooks/[0-9][0-9]_*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "markdown" and "## Exercises" in cell.source:
                for found in re.findall(r"changes = (\{[^`]*?\})`", cell.source):
                    yield pytest.param(path, ast.literal_eval(found), id=f"{path.stem}-{found}")


def run(path, **parameters):
    """All code cells in one namespace, with other parameters, as a kernel would run them."""
    names = {"display": print}
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            exec(compile(cell.source, f"{path.name}", "exec"), names)
            if "parameters" in cell.metadata.get("tags", []):
                assert parameters.keys() <= names.keys()
                names |= parameters
    return names


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    matplotlib.use("agg")
    for name in "FIGURES", "RECORDS":
        monkeypatch.setenv(f"HETSYN_{name}", str(tmp_path / name.lower()))
    # Worker processes would take longer to start than to train.
    monkeypatch.setattr(sweep, "_executor", lambda runs: ThreadPoolExecutor(1))
    yield
    matplotlib.pyplot.close("all")


@pytest.mark.filterwarnings("ignore")  # of five iterations' statistics
@pytest.mark.parametrize("path, changes", list(exercises()))
def test_an_exercise_runs(path, changes):
    changes = {name: value for name, value in changes.items() if name not in SHORTER}
    run(path, profile="smoke", changes=changes)
    assert os.listdir(os.environ["HETSYN_FIGURES"])


@pytest.mark.parametrize(
    "changes, line",
    [
        ({"noise": 8.0}, "PatternGeneration has no setting noise; it has "),
        ({"noise_hz": -8.0}, "noise_hz must be a rate"),
        ({"lr": 1e37}, "all 32 runs of fig2 failed, the first with: "),
    ],
)
def test_what_cannot_run_is_refused_in_one_line(changes, line):
    with pytest.raises((ValueError, RuntimeError), match=line) as caught:
        run(ROOT / "notebooks" / "02_pattern_generation.ipynb", profile="smoke", changes=changes)
    assert "\n" not in str(caught.value)
