"""Every notebook is committed in a fit state and leaves its figures. nbval runs them, see conftest.py."""

import os
import re

import nbformat
import papermill
import pytest

from tools.figures import ROOT

NOTEBOOKS = sorted(ROOT.glob("notebooks/[0-9][0-9]_*.ipynb"))
each_notebook = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)


def figures_of(notebook):
    """Files that the notebook saves, from its source."""
    source = "\n".join(cell.source for cell in nbformat.read(notebook, as_version=4).cells)
    names = re.findall(r'save_figure\(\w+, "(\w+)"\)', source)
    assert len(names) == source.count("save_figure("), f"{notebook.name}: a figure is saved under a plain name"
    return {f"{name}.{kind}" for name in names for kind in ("png", "svg")}


def test_the_notebooks_save_all_committed_figures_and_no_others():
    saved = set().union(*map(figures_of, NOTEBOOKS))
    assert saved and saved == {path.name for path in (ROOT / "figures").iterdir() if path.suffix in (".png", ".svg")}


@each_notebook
def test_leaves_its_figures(notebook, request):
    if notebook not in {item.path for item in request.session.items}:
        pytest.skip(f"notebooks/{notebook.name} did not run in this session")
    assert figures_of(notebook) <= set(os.listdir(os.environ["HETSYN_FIGURES"]))


@each_notebook
def test_is_fit_to_commit(notebook):
    cells = nbformat.read(notebook, as_version=4).cells
    parameters = papermill.inspect_notebook(notebook)
    assert "profile" in parameters, "a cell tagged `parameters` sets profile"
    assert "HETSYN_PROFILE" in parameters["profile"]["default"], "or the tests run it at the paper's scale"
    outputs = [output for cell in cells if cell.cell_type == "code" for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    # nbval would find nothing to compare
    for cell in cells:
        if "nbval-check-output" in cell.metadata.get("tags", []):
            assert cell.outputs, f"run this cell before committing: {cell.source[:60]}"
