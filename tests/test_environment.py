"""pyproject.toml is the one list of dependencies, constraints.txt their exact versions; all else follows the two."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from hetsyn_core.paths import ROOT


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def ranges(requirements):
    return {requirement.name: requirement.specifier for requirement in map(Requirement, requirements)}


PROJECT = tomllib.loads(read("pyproject.toml"))["project"]
NEEDED = ranges(PROJECT["dependencies"])
OPTIONAL = ranges(sum(PROJECT["optional-dependencies"].values(), []))
EXACT = dict(line.split("==") for line in read("constraints.txt").splitlines() if not line.startswith("#"))
PYTHONS = re.search(r"^PYTHONS := (.*)$", read("Makefile"), re.MULTILINE)[1].split()
CONDA = yaml.safe_load(read("environment.yml"))
CITATION = yaml.safe_load(read("CITATION.cff"))

# They download, show and run: no number and no picture depends on them.
AROUND = {"pooch", "requests", "filelock", "tqdm", "jupyterlab", "ipywidgets", "papermill", "nbformat"}


def test_all_that_reaches_a_number_has_an_exact_version_within_its_range():
    assert NEEDED.keys() - AROUND <= EXACT.keys()
    known = NEEDED | OPTIONAL
    assert [name for name, exact in EXACT.items() if exact not in known.get(name, SpecifierSet())] == []


def test_the_exact_versions_are_installed():
    here = {name: version(name).split("+")[0] for name in EXACT}  # 2.13.0+cpu is a build of 2.13.0
    differ = [f"{name} is {here[name]}, not {exact}" for name, exact in EXACT.items() if here[name] != exact]
    if differ and Path(sys.prefix) != ROOT / ".venv":
        pytest.skip(f"not make's own .venv: {', '.join(differ)}")
    assert differ == []


def test_another_torch_satisfies_the_range():
    assert all(build in NEEDED["torch"] for build in ("2.13.0+cu130", "2.14.1"))


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt", "environment.yml", "Makefile"])
def test_no_host_to_install_from_is_named(name):
    assert "://" not in read(name) and "index-url" not in read(name)


READY, TOOLS = ".venv/.installed", ".venv/.installed-test"


def make(folder, *goals, version=PYTHONS[0], fails=""):
    """make in ``folder`` with a Python that only notes down how it is called; installing ``fails`` fails."""
    folder.mkdir(exist_ok=True)
    for name in "Makefile", "pyproject.toml", "constraints.txt":
        if not (folder / name).exists():
            shutil.copy(ROOT / name, folder)
    python = folder / "python"
    python.write_text(f"""#!/bin/sh
echo "$@" >> "{folder}/calls"
case "$*" in
  *version_info*) echo {version} ;;
  "-m venv"*) rm -rf .venv && mkdir -p .venv/bin && ln -s "$0" .venv/bin/python ;;
  {fails or "nothing"}) exit 1 ;;
esac
""")
    python.chmod(0o755)
    (folder / "calls").write_text("")
    command = ["make", f"PYTHON={python}", *goals]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True), (folder / "calls").read_text()


def installed(calls):
    """What pip was told to install."""
    return [call.split(" -e ")[1] for call in calls.splitlines() if " -e " in call]


@pytest.mark.parametrize("version", PYTHONS)
def test_make_installs_what_conda_installs_with_the_exact_versions(version, tmp_path):
    done, calls = make(tmp_path, READY, version=version)
    assert done.returncode == 0, done.stderr
    for option in CONDA["dependencies"][-1]["pip"]:
        assert option in calls.splitlines()[-1]
    assert (tmp_path / READY).read_text().strip() == str(tmp_path)


@pytest.mark.parametrize("goal", ["figures", "lab", "records"])
def test_the_notebooks_get_what_they_need(goal, tmp_path):
    assert installed(make(tmp_path, goal)[1]) == ["."]


@pytest.mark.parametrize("goal", ["test", "site", "browser", "coursework", "grade"])
def test_tests_site_and_grading_get_the_rest(goal, tmp_path):
    done, calls = make(tmp_path, goal, "SUBMISSIONS=x")
    assert installed(calls) == [".", ".[test]"] and "GB" in done.stdout and "1 GB more" in done.stdout
    assert installed(make(tmp_path, goal, "lab", "SUBMISSIONS=x")[1]) == []


def test_an_interrupted_installation_is_done_again(tmp_path):
    assert make(tmp_path, "lab", fails="*-e*.")[0].returncode != 0 and not (tmp_path / READY).exists()
    calls = make(tmp_path, "lab")[1]
    assert "-m venv --clear" in calls and installed(calls) == ["."]
    assert make(tmp_path, "site", fails="*.[[]test]")[0].returncode != 0 and not (tmp_path / TOOLS).exists()
    calls = make(tmp_path, "site")[1]
    assert "-m venv" not in calls and installed(calls) == [".[test]"]


def test_a_moved_checkout_is_built_again(tmp_path):
    make(tmp_path / "here", "site")
    (tmp_path / "here").rename(tmp_path / "there")
    calls = make(tmp_path / "there", "site")[1]
    assert "-m venv --clear" in calls and installed(calls) == [".", ".[test]"]


@pytest.mark.parametrize("changed", ["pyproject.toml", "constraints.txt"])
def test_a_changed_list_is_installed_without_starting_anew(changed, tmp_path):
    make(tmp_path, "site")
    (tmp_path / changed).touch()
    calls = make(tmp_path, "site")[1]
    assert "-m venv" not in calls and installed(calls) == [".", ".[test]"]


def test_notebooks_exercises_and_figures_import_nothing_of_the_rest():
    rest = ["axe_playwright_python", "dask", "distributed", "hypothesis", "mpmath", "myst_nb", "nbgrader", "nbval"]
    rest += ["playwright", "pytest", "ruff", "sphinx"]
    program = f"""
import pkgutil, sys
from importlib import import_module

class Absent:
    def find_spec(name, path, target=None):
        if name.split(".")[0] in {rest}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent)
import hetsyn_core, tools.coursework, tools.figures, tools.benchmark
for module in pkgutil.walk_packages(hetsyn_core.__path__, "hetsyn_core."):
    if module.name != "hetsyn_core.model.fast.gpu":
        import_module(module.name)
tools.coursework.attempt(print)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("version", ["3.10", "3.15"])
def test_make_says_in_one_line_which_pythons_it_takes(version, tmp_path):
    done, calls = make(tmp_path, READY, version=version)
    assert done.returncode != 0 and "install" not in calls
    line = done.stderr.splitlines()[0]
    assert " ".join(PYTHONS) in line and f"is {version};" in line


def test_make_conda_and_the_workflow_take_the_same_pythons():
    workflow = yaml.safe_load(read(".github/workflows/ci.yml"))
    assert workflow["jobs"]["test"]["strategy"]["matrix"]["python"] == PYTHONS
    python, pip, packages = CONDA["dependencies"]
    assert python.removeprefix("python=") in PYTHONS and pip == "pip"
    assert packages["pip"] == ["-c constraints.txt", "-e ."]
    assert all(python in SpecifierSet(PROJECT["requires-python"]) for python in PYTHONS)


def test_changelog_and_citation_name_this_version_and_the_archive_its_authors_and_the_paper():
    assert re.search(r"^## (\S+)", read("CHANGELOG.md"), re.MULTILINE)[1] == PROJECT["version"]
    assert CITATION["version"] == PROJECT["version"] and CITATION["cff-version"] == "1.2.0"
    archive = json.loads(read(".zenodo.json"))
    assert archive["title"] == CITATION["title"] and archive["license"] == CITATION["license"]
    assert archive["creators"] == [{"name": author["name"]} for author in CITATION["authors"]]
    assert "version" not in archive  # the archive takes it from the release
    (paper,) = CITATION["references"]
    assert [r["identifier"] for r in archive["related_identifiers"]] == [i["value"] for i in paper["identifiers"]]
