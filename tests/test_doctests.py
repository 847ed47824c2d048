"""The examples in docstrings are run, and so is the one in docs/running.md."""

import doctest
import re
from importlib import import_module

import pytest

from hetsyn_core.paths import ROOT

WITH_EXAMPLES = [
    "hetsyn_core.datasets.cochlea",
    "hetsyn_core.model.layer",
    "hetsyn_core.progress",
    "hetsyn_core.results.tables",
    "hetsyn_core.runs.train",
]


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_examples_give_what_they_say(module, monkeypatch, tmp_path):
    monkeypatch.setenv("HETSYN_RECORDS", str(tmp_path))
    found = doctest.testmod(import_module(module))
    assert found.attempted > 0 and found.failed == 0


def test_no_module_with_an_example_is_left_out():
    files = (ROOT / "hetsyn_core").rglob("*.py")
    assert WITH_EXAMPLES == sorted(
        ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in files if ">>>" in path.read_text("utf-8")
    )


def test_the_layer_in_a_model_of_your_own_runs_as_running_md_shows_it(tmp_path, monkeypatch):
    text = (ROOT / "docs" / "running.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"## In a model of your own\n.*?```python\n(.*?)```", text, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    made = {}
    exec(compile(code, "docs/running.md", "exec"), made)
    assert (tmp_path / "network.npz").exists() and made["traces"].readout.shape == (1, 1, 2)
    x = made["torch"].rand(3, 7, 30)
    assert made["Mine"]()(x).shape == (3, 2)
