"""pyproject.toml is the one list of dependencies; environment.yml and Makefile follow it."""

import re
import tomllib

import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from hetsyn_core.paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text())
MAKEFILE = (ROOT / "Makefile").read_text()


def test_conda_installs_the_project_and_nothing_else():
    python, pip, packages = CONDA["dependencies"]
    assert re.fullmatch(r"python=3\.\d+", python) and pip == "pip" and len(packages["pip"]) == 1
    assert python.removeprefix("python=") in SpecifierSet(PROJECT["requires-python"])


def test_conda_and_make_install_the_same_extras_and_these_exist():
    (extras,) = re.findall(r"-e '\.\[([\w,]+)\]'", MAKEFILE)
    assert CONDA["dependencies"][-1]["pip"] == [f"-e .[{extras}]"]
    assert set(extras.split(",")) <= set(PROJECT["optional-dependencies"])


def test_make_asks_for_the_python_that_pyproject_requires():
    assert PROJECT["requires-python"] == ">=3.11"
    assert "sys.version_info >= (3, 11)" in MAKEFILE and "Python 3.11 or newer" in MAKEFILE


def test_a_local_cuda_build_of_torch_satisfies_the_pin():
    (torch,) = [r for r in map(Requirement, PROJECT["dependencies"]) if r.name == "torch"]
    assert "2.13.0+cu130" in torch.specifier and "2.14.0" not in torch.specifier


def test_citation_names_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["version"] and citation["cff-version"] == "1.2.0"
