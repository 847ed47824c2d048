"""Notebooks started by the tests, and by nbval in the same session, inherit these settings:
profile smoke, and a fresh temporary folder in place of figures/ and of the records."""

import os
import tempfile


def pytest_configure(config):
    config.hetsyn_folder = tempfile.TemporaryDirectory(prefix="hetsyn-test-")
    os.environ["HETSYN_PROFILE"] = "smoke"
    for name in "FIGURES", "RECORDS":
        folder = os.path.join(config.hetsyn_folder.name, name.lower())
        os.mkdir(folder)
        os.environ[f"HETSYN_{name}"] = folder


def pytest_unconfigure(config):
    config.hetsyn_folder.cleanup()
