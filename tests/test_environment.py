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


def make(folder, version):
    """`make .venv/.installed` with a Python that says it is `version` and notes down how it is called."""
    for name in "Makefile", "pyproject.toml", "constraints.txt":
        shutil.copy(ROOT / name, folder)
    python = folder / "python"
    python.write_text(f"""#!/bin/sh
echo "$@" >> "{folder}/calls"
case "$*" in
  *version_info*) echo {version} ;;
  "-m venv"*) mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
esac
""")
    python.chmod(0o755)
    command = ["make", f"PYTHON={python}", ".venv/.installed"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True), (folder / "calls").read_text()


@pytest.mark.parametrize("version", PYTHONS)
def test_make_installs_what_conda_installs_with_the_exact_versions(version, tmp_path):
    done, calls = make(tmp_path, version)
    assert done.returncode == 0, done.stderr
    for option in CONDA["dependencies"][-1]["pip"]:
        assert option in calls.splitlines()[-1]
    assert (tmp_path / ".venv" / ".installed").read_text().strip() == str(tmp_path)


@pytest.mark.parametrize("version", ["3.10", "3.15"])
def test_make_says_in_one_line_which_pythons_it_takes(version, tmp_path):
    done, calls = make(tmp_path, version)
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
