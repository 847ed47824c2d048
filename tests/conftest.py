"""Headless Chromium for the tests that look at pages."""

import shutil

import pytest


@pytest.fixture(scope="session")
def browser():
    """Headless Chromium, the system's own."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the extra `browser`")
    installed = [path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))]
    if not installed:
        pytest.skip("needs chromium: apt-get install chromium")
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=installed[0], args=["--no-sandbox"])
        yield chromium
        chromium.close()
