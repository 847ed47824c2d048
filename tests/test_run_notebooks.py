"""`python -m tools.figures` on three small notebooks: good, failing, without parameters."""

import re

import nbformat
import pytest
import yaml

from hetsyn_core import experiment
from hetsyn_core.paths import ROOT
from hetsyn_core.runs.experiments import jobs
from tools import figures

KERNEL = {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}}


def write(path, *sources):
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    if "profile" in sources[0]:
        cells[0].metadata["tags"] = ["parameters"]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=KERNEL), path)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HETSYN_FIGURES", str(tmp_path / "figures"))
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "old.png").touch()
    write(
        tmp_path / "00_good.ipynb",
        'import os\nprofile = os.environ.get("HETSYN_PROFILE", "paper")  # smoke, quick or paper',
        "import sys\nfrom pathlib import Path\n"
        "assert profile == 'quick' and Path.cwd().joinpath('00_good.ipynb').exists()\n"
        f"assert sys.prefix == {figures.sys.prefix!r}\n"
        "Path(os.environ['HETSYN_FIGURES'], 'fig1_new.svg').touch()",
    )
    write(tmp_path / "01_bad.ipynb", "profile = 'paper'\nfresh = False", "assert fresh", "1 / 0\n# two lines")
    write(tmp_path / "02_plain.ipynb", "x = 1")
    return tmp_path


def test_good_and_bad_notebooks(folder, capsys):
    build = folder / "build"
    arguments = ["--notebooks", str(folder), "--build", str(build), "--profile", "quick", "--fresh"]
    assert figures.main(arguments) == 1
    said = capsys.readouterr()
    assert "\r" not in said.err and "00_good: 3 of 3 cells, " in said.err  # no terminal here
    good, bad, plain, *rest = said.out.split("status  figures\n")[1].splitlines()
    assert "ok" in good and good.endswith("fig1_new.svg") and "old" not in good
    assert "failed" in bad and "ok" in plain
    assert rest[0] == "01_bad.ipynb: In [4]: ZeroDivisionError: division by zero"
    assert sorted(path.name for path in build.iterdir()) == ["00_good.ipynb", "01_bad.failed.ipynb", "02_plain.ipynb"]

    write(folder / "01_bad.ipynb", "x = 1")
    assert figures.main(arguments) == 0
    assert not list(build.glob("*.failed.ipynb"))


def test_no_notebooks_is_an_error(tmp_path, capsys):
    assert figures.main(["--notebooks", str(tmp_path)]) == 1
    assert "no notebooks" in capsys.readouterr().err


def test_running_md_shows_how_papermill_takes_a_dict():
    (shown,) = re.findall(r"-y '(.*)'$", (ROOT / "docs" / "running.md").read_text(encoding="utf-8"), re.MULTILINE)
    changes = yaml.safe_load(shown)["changes"]  # what papermill does
    assert {(job.run.hidden, job.run.lr) for job in jobs("figA1", "quick", changes)} == {((50,), 0.001), ((50,), 0.05)}


def test_a_text_where_a_dict_is_meant_is_one_line():
    with pytest.raises(ValueError, match=r"^changes must be a dict, not '{hidden: 50}'; papermill takes one by -y .*$"):
        experiment("figA1", "smoke", "{hidden: 50}")
