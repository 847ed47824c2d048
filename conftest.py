"""Tests, and the notebooks that nbval runs, get profile smoke, temporary folders in place of figures/ and of the
records, and one seed for all that is drawn at random. Worker processes of pytest-xdist share them."""

import os
import secrets
import tempfile

import pytest


def pytest_configure(config):
    if not hasattr(config, "workerinput"):  # not a worker, which inherits the environment
        config.hetsyn_folder = tempfile.TemporaryDirectory(prefix="hetsyn-test-")
        os.environ["HETSYN_PROFILE"] = "smoke"
        for name in "FIGURES", "RECORDS":
            folder = os.path.join(config.hetsyn_folder.name, name.lower())
            os.mkdir(folder)
            os.environ[f"HETSYN_{name}"] = folder
        os.environ["HETSYN_SEED"] = os.environ.get("HETSYN_SEED") or str(secrets.randbelow(2**32))
    config.hetsyn_seed = int(os.environ["HETSYN_SEED"])
    if config.getoption("--hypothesis-seed", None) is None:
        config.option.hypothesis_seed = config.hetsyn_seed


def pytest_unconfigure(config):
    if not hasattr(config, "workerinput"):
        config.hetsyn_folder.cleanup()


def pytest_report_header(config):
    return f"drawn at random with HETSYN_SEED={config.hetsyn_seed}: set it to draw the same again"


def pytest_collection_modifyitems(items):
    """Notebooks first: tests/test_notebooks.py looks at what they left."""
    items.sort(key=lambda item: item.path.suffix != ".ipynb")


@pytest.fixture(scope="session")
def session_seed(pytestconfig):
    """Seed of whatever a test draws anew each time; the header of the session names it."""
    return pytestconfig.hetsyn_seed
