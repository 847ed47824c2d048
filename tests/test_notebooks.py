"""Every notebook runs from scratch with profile smoke, and is committed in a fit state."""

import os
from pathlib import Path

import nbformat
import papermill
import pytest

from hetsyn_core.report.notebooks import ROOT, execute, snapshot

NOTEBOOKS = sorted(ROOT.glob("notebooks/[0-9][0-9]_*.ipynb"))
each_notebook = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)


def test_there_are_notebooks():
    assert NOTEBOOKS


@each_notebook
def test_runs_from_scratch(notebook, tmp_path):
    figures = Path(os.environ["HETSYN_FIGURES"])
    before = snapshot(figures)
    execute(notebook, tmp_path / notebook.name, profile="smoke")
    if "save_figure(" in notebook.read_text(encoding="utf-8"):
        assert snapshot(figures) != before, "no figure in the folder named by HETSYN_FIGURES"


@each_notebook
def test_is_fit_to_commit(notebook):
    cells = nbformat.read(notebook, as_version=4).cells
    assert "profile" in papermill.inspect_notebook(notebook), "a cell tagged `parameters` sets profile"
    outputs = [output for cell in cells if cell.cell_type == "code" for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    # nbval would find nothing to compare
    for cell in cells:
        if "nbval-check-output" in cell.metadata.get("tags", []):
            assert cell.outputs, f"run this cell before committing: {cell.source[:60]}"
