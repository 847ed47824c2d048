"""A person in JupyterLab: open a notebook, Run All, look at the last figure, move a slider, Run All again.

HETSYN_BROWSER=all opens every notebook instead of two. On a busy machine this is slow: each step waits until the page
is in the state it asks for, for at most `PATIENCE_S`, and a step that waited in vain says for what.
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time

import nbformat
import pytest

from hetsyn_core.paths import ROOT
from tools import site

NOTEBOOKS = site.notebooks()
SOME = ("00_start_here", "05_three_targets")  # one that computes at once, one that trains
CHOSEN = [p for p in NOTEBOOKS if p.stem in SOME or os.environ.get("HETSYN_BROWSER") == "all"]
SLIDERS = [p for p in CHOSEN if "ipywidgets" in p.read_text(encoding="utf-8")]
PATIENCE_S = 15 * 60


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """JupyterLab on a copy of the notebooks; its address and its folder."""
    pytest.importorskip("jupyterlab")
    folder = tmp_path_factory.mktemp("lab")
    shutil.copytree(ROOT / "notebooks", folder / "notebooks")
    environment = {
        **os.environ,
        "HETSYN_PROFILE": "smoke",
        "HETSYN_RECORDS": str(folder / "data"),
        "HETSYN_FIGURES": str(folder / "figures"),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_CONFIG_PATH": str(ROOT / ".jupyter"),  # as `make lab` does
        "JUPYTER_PATH": os.path.join(sys.prefix, "share", "jupyter"),
        "PYTHONPATH": str(ROOT),
    }
    options = ["--no-browser", "--allow-root", "--ip=127.0.0.1", "--port=0", "--IdentityProvider.token="]
    seen = ["--LabApp.expose_app_in_browser=True", f"--ServerApp.root_dir={folder}"]
    command = [sys.executable, "-m", "jupyterlab", *options, *seen]
    with open(folder / "log", "w+") as log:
        server = subprocess.Popen(command, env=environment, stderr=log)
        try:
            yield address(server, folder / "log"), folder
        finally:
            server.terminate()
            try:
                server.wait(60)  # it ends its kernels first
            except subprocess.TimeoutExpired:
                server.kill()


def address(server, log):
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if found := re.search(r"http://127\.0\.0\.1:\d+/", log.read_text()):
            return found[0]
        assert server.poll() is None, log.read_text()
        time.sleep(0.1)
    pytest.fail(f"waited {PATIENCE_S} s for JupyterLab to name its address: {log.read_text()}")


@pytest.fixture
def page(browser):
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(1000 * PATIENCE_S)
    page.asked = []
    page.on("request", lambda request: page.asked.append(request.url))
    yield page
    page.close()


def wait(page, what, state):
    """Until the JavaScript ``state`` is true."""
    try:
        page.wait_for_function(f"() => {state}")
    except pytest.importorskip("playwright.sync_api").TimeoutError:
        pytest.fail(f"waited {PATIENCE_S} s for {what}; the cells are {page.evaluate(STATES)}")


def opened(page, lab, notebook):
    page.goto(f"{lab[0]}lab/tree/notebooks/{notebook.name}?reset")
    wait(page, "the notebook to open", f"window.jupyterapp?.shell.currentWidget?.content.model && {CELLS}.length")
    wait(page, "the kernel to be idle", f"document.querySelector('{INDICATOR}')?.dataset.status === 'idle'")


INDICATOR = ".jp-Notebook-ExecutionIndicator"
CELLS = """[...jupyterapp.shell.currentWidget.content.model.cells]
    .filter(cell => cell.type === 'code' && cell.sharedModel.source.trim())"""
STATES = f"() => window.jupyterapp?.shell.currentWidget ? {CELLS}.map(c => [c.executionCount, c.executionState]) : []"
FORGET = f"() => {CELLS}.forEach(cell => cell.executionCount = null)"
STARTED = f"{CELLS}.some(cell => cell.executionCount || cell.executionState === 'running')"
DONE = f"""{CELLS}.every(cell => cell.executionCount && cell.executionState !== 'running')
    || {CELLS}.some(cell => cell.sharedModel.outputs.some(output => output.output_type === 'error'))"""


def run_all(page, lab, notebook):
    """Run > Run All Cells and save; the notebook as it then lies on disk."""
    page.evaluate(FORGET)  # so that the counts of this run can be waited for
    late = pytest.importorskip("playwright.sync_api").TimeoutError
    for _ in range(3):  # on a busy machine a click can come before JupyterLab listens; a person clicks again
        page.locator(".lm-MenuBar-item", has_text="Run").click()
        page.locator(".lm-Menu-item", has_text=re.compile("^Run All Cells")).click()
        with contextlib.suppress(late):
            page.wait_for_function(f"() => {STARTED}", timeout=60_000)
            break
    wait(page, "all cells to have run", DONE)
    page.locator(".lm-MenuBar-item", has_text="File").click()
    page.locator(".lm-Menu-item", has_text=re.compile("^Save Notebook(?! As)")).first.click()
    wait(page, "the notebook to be saved", "!jupyterapp.shell.currentWidget.content.model.dirty")
    return nbformat.read(lab[1] / "notebooks" / notebook.name, as_version=4)


def outputs(notebook):
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def kept(folder):
    return {path: path.stat().st_mtime_ns for path in (folder / "data").rglob("*") if path.is_file()}


@pytest.mark.parametrize("notebook", SLIDERS, ids=lambda path: path.stem)
def test_a_slider_moves_the_picture(notebook, lab, page):
    # First in this file: a notebook that was saved with its widgets opens with those of another session.
    opened(page, lab, notebook)
    run_all(page, lab, notebook)
    expect = pytest.importorskip("playwright.sync_api").expect
    expect.set_options(timeout=1000 * PATIENCE_S)
    moved = page.locator(".jp-OutputArea-child", has=page.locator(".widget-slider"))
    expect(moved, "every slider is shown").to_have_count(notebook.read_text(encoding="utf-8").count('"slide('))
    for output in moved.all():
        slider = output.locator(".widget-slider [role=slider], .widget-slider .noUi-handle").first
        slider.scroll_into_view_if_needed()
        picture = output.locator("img").first
        before = picture.get_attribute("src")
        slider.focus()
        for _ in range(5):
            page.keyboard.press("ArrowRight")
        expect(picture, "the slider moves its picture").not_to_have_attribute("src", before)


@pytest.mark.parametrize("notebook", CHOSEN, ids=lambda path: path.stem)
def test_run_all_shows_the_last_figure_and_the_second_time_computes_nothing_again(notebook, lab, page):
    opened(page, lab, notebook)
    done = run_all(page, lab, notebook)
    assert [o for o in outputs(done) if o.output_type == "error"] == []
    assert all(cell.execution_count for cell in done.cells if cell.cell_type == "code" and cell.source)
    if any("image/png" in output.get("data", {}) for output in outputs(done)):
        last = page.locator(".jp-OutputArea-output img").last
        last.scroll_into_view_if_needed()
        assert last.is_visible() and last.evaluate("image => image.naturalWidth") > 100

    runs = kept(lab[1])
    again = run_all(page, lab, notebook)
    assert [o for o in outputs(again) if o.output_type == "error"] == []
    assert kept(lab[1]) == runs
    assert [url for url in page.asked if not url.startswith((lab[0], "data:", "blob:"))] == []
    assert page.locator(".Toastify__toast").all_inner_texts() == []  # JupyterLab asks nothing
