"""The site is built once, offline; its pages are read as files and opened in headless Chromium with the network off."""

import copy
import importlib
import inspect
import io
import re
import runpy
import subprocess
import sys
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import nbformat
import pytest

from hetsyn_core.paths import ROOT
from hetsyn_core.runs.experiments import EXPERIMENTS
from tools import site

NOTEBOOKS = site.notebooks()
MAP = site.read_map((ROOT / "docs" / "map.md").read_text(encoding="utf-8"))


def read(path):
    return nbformat.read(path, as_version=4)


def cells(column):
    return {name for row in MAP for name in site.names(row[column])}


# The map of the paper against what exists


def test_the_map_names_every_notebook_and_no_other():
    assert cells("notebook") == {path.stem for path in NOTEBOOKS}


def test_the_map_names_every_figure_and_the_notebook_that_draws_it():
    drawn = {(figure, path.stem) for path in NOTEBOOKS for figure in site.drawn_figures(read(path))}
    mapped = {(f, n) for row in MAP for f in site.names(row["figure"]) for n in site.names(row["notebook"])}
    assert mapped == drawn
    assert cells("figure") >= {path.stem for path in (ROOT / "figures").glob("*.png")}


def figure_label(panel):
    """The figure or table of a panel: "Fig. 3" of "3D" or "3D, 3F", "Table 1" of "T1"."""
    panel = panel.split(",")[0]
    if panel.startswith("T"):
        return f"Table {panel[1:]}"
    if panel == "beyond":
        return "beyond the paper"
    return "Fig. " + (panel if panel.startswith("A") else panel.rstrip("ABCDEFG"))


def test_the_map_has_every_figure_and_table_that_the_ledger_judges():
    rows = (ROOT / "data" / "ledger.md").read_text(encoding="utf-8").splitlines()
    panels = {row.split("|")[1].strip() for row in rows if row.startswith("|")} - {"figure", "---", ""}
    labels = {figure_label(panel) for panel in panels}
    assert labels and [label for label in labels if not any(row["paper"].startswith(label) for row in MAP)] == []


def test_the_map_names_every_file_of_records_and_its_command():
    assert cells("records") == {path.stem for path in (ROOT / "data" / "records").glob("*.parquet")}
    for row in MAP:
        commands = [command.split() for command in site.names(row["command"])]
        for python, option, module, *names in commands:
            assert (python, option) == ("python", "-m") and importlib.util.find_spec(module)
            if module == "hetsyn_core.runs.experiments":
                assert set(names) <= set(EXPERIMENTS) and names == site.names(row["records"])
        assert commands or not site.names(row["records"])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_map_names_the_records_that_a_notebook_loads(path):
    code = "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "code")
    loaded = {text for text in re.findall(r"[\"'](\w+)[\"']", code) if text in EXPERIMENTS}
    own = [row for row in MAP if path.stem in site.names(row["notebook"])]
    assert loaded <= {name for row in own for name in site.names(row["records"])}


@pytest.mark.parametrize("name", sorted(cells("functions")))
def test_the_map_names_functions_that_exist(name):
    assert exists(name if name.startswith("tools.") else f"hetsyn_core.{name}")


def test_running_md_has_a_line_for_every_notebook():
    lines = re.findall(
        r"^papermill .* notebooks/(\w+)\.ipynb build/(\w+)\.ipynb -p profile paper$",
        (ROOT / "docs/running.md").read_text(),
        re.M,
    )
    assert lines == [(path.stem, path.stem) for path in NOTEBOOKS]


PAGES = ["README.md", "CONTRIBUTING.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))]


@pytest.mark.parametrize("page", PAGES)
def test_pages_name_modules_and_files_that_exist(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    modules = set(re.findall(r"\b((?:hetsyn_core|tools)(?:\.[a-z_0-9]+)+)", text))
    text = text.replace("NN_what", "00_start_here")
    files = set(re.findall(r"\b((?:hetsyn_core|tools|notebooks|tests|docs|colab|binder)/[\w/]*(?:\.\w+)?)", text))
    absent = {name for name in modules if not exists(name)} | {name for name in files if not (ROOT / name).exists()}
    assert absent == set()


def exists(name):
    """Whether a dotted name is a module, or in one."""
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        module, _, attribute = name.rpartition(".")
        return hasattr(importlib.import_module(module), attribute)
    return True


def test_notebooks_link_to_words_that_the_glossary_has():
    glossary = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    slug = lambda heading: re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-")
    known = {slug(heading) for heading in re.findall(r"^### (.*)$", glossary, re.M)}
    asked = re.findall(r"\]\(#([\w-]+)\)", glossary)
    for path in [*NOTEBOOKS, *ROOT.glob("notebooks/exercises/*.ipynb")]:
        text = "".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")
        asked += re.findall(r"\.\./docs/glossary\.md#([\w-]+)\)", text)
    assert set(asked) <= known


# Docstrings are reStructuredText with Google's sections: the site shows them as they are


def documented():
    """(name, docstring) of every module, class, function and method that the site shows."""
    for name in (name for package in site.packages() for name in site.modules(package)):
        if name.endswith(".gpu") and not importlib.util.find_spec("triton"):
            continue
        module = importlib.import_module(name)
        yield name, module.__doc__
        for thing in vars(module).values():
            if getattr(thing, "__module__", None) == name and (inspect.isclass(thing) or inspect.isfunction(thing)):
                inner = vars(thing).items() if inspect.isclass(thing) else ()
                methods = [(n, m) for n, m in inner if inspect.isroutine(m) or isinstance(m, property)]
                for called, one in [(thing.__name__, thing), *((f"{thing.__name__}.{n}", m) for n, m in methods)]:
                    if "_" not in (called[0], called.rpartition(".")[2][0]):
                        yield f"{name}.{called}", one.__doc__


def defects(docstring):
    """What docutils warns of, and text that is set in as a quotation where code (after ::) was meant."""
    core, nodes = (
        pytest.importorskip(f"docutils.{name}", reason="needs the extra `site`") for name in ("core", "nodes")
    )
    napoleon = pytest.importorskip("sphinx.ext.napoleon", reason="needs the extra `site`")
    text, warnings = str(napoleon.GoogleDocstring(inspect.cleandoc(docstring or ""))), io.StringIO()
    tree = core.publish_doctree(text, settings_overrides={"warning_stream": warnings})
    quotations = [q for q in tree.findall(nodes.block_quote) if not isinstance(q.children[0], nodes.doctest_block)]
    return warnings.getvalue().splitlines() + [node.astext() for node in quotations]


def test_docstrings_are_valid():
    assert {name: found for name, docstring in documented() if (found := defects(docstring))} == {}


def test_an_invalid_docstring_is_found():
    assert (
        defects("Of draw(**values).") and defects("Hear.\n\nAll of it:\n\n    a -> b") and defects("The mean of |x|.")
    )
    assert not defects("Of `draw(**values)`::\n\n    a -> b\n\nArgs:\n    x: a|b.\n\n    >>> 1\n    1")


# Where people expect it


def test_colab_keeps_its_torch_and_gets_only_what_is_missing_or_too_old():
    install = runpy.run_path(str(ROOT / "colab" / "install.py"))
    here = {"torch": "2.5.0+cu124", "numpy": "2.1", "scipy": "1.10"}
    asked = ["torch==2.13.0", "numpy>=2.0", "scipy>=1.14", "tqdm", "jupyterlab>=4.3", "triton; sys_platform == 'none'"]
    assert install["wanted"](asked, here.get) == ["scipy>=1.14", "tqdm"]


def test_the_colab_notebook_and_binder_name_files_that_exist():
    start = read(ROOT / "colab" / "start.ipynb")
    code = "\n".join(cell.source for cell in start.cells if cell.cell_type == "code")
    assert "/colab/install.py" in code and "torch" not in code
    with pytest.raises(AssertionError, match="address"):  # it is the one place to write it, and the first thing asked
        exec("\n".join(code.splitlines()[:2]))
    (notebook,) = re.findall(r"%run (\S+)", code)
    assert (ROOT / "notebooks" / notebook).exists()
    post_build = ROOT / "binder" / "postBuild"
    assert "-c constraints.txt -e .\n" in post_build.read_text() and (ROOT / "constraints.txt").exists()
    assert post_build.stat().st_mode & 0o111


# Alt text


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_picture_has_alt_text(path):
    assert site.pictures_without_alt(read(path)) == [], 'put it into the metadata of these cells, "alt": "..."'


# What a page is made of


def code_cell(source, *outputs, **metadata):
    cell = nbformat.v4.new_code_cell(source, outputs=list(outputs))
    cell.metadata.update(metadata)
    return cell


def output(**data):
    return nbformat.v4.new_output("display_data", {kind.replace("_", "/", 1): text for kind, text in data.items()})


ROWS = [
    dict(paper="Fig. 9", notebook="`00_a`", figure="`fig9_x`", functions="", records="`nine`", command="`run nine`")
]


def example():
    head = nbformat.v4.new_markdown_cell("# Title <of> it\na [seed](../docs/glossary.md#seed)")
    drawing = code_cell('plots.save_figure(fig, "fig9_x")', output(image_png="aGk="), alt="a line rises")
    widget = nbformat.v4.new_output("display_data", {site.WIDGET: {"model_id": "0"}, "text/plain": "Slider()"})
    notebook = nbformat.v4.new_notebook(cells=[head, drawing, code_cell("slider", widget, output(image_png="aGk="))])
    notebook.metadata["widgets"] = {"state": {}}
    return notebook


def test_a_page_has_alt_text_where_sphinx_looks_no_widget_and_provenance(tmp_path):
    notebook = example()
    before = copy.deepcopy(notebook)
    page = site.page(notebook, ROWS, tmp_path)
    head, drawing, slider, end = page.cells
    assert "[seed](../glossary.md#seed)" in head.source
    assert drawing.metadata.mystnb.image.alt == "a line rises"
    assert [list(o.data) for o in slider.outputs] == [["image/png"]] and "widgets" not in page.metadata
    assert "data/records/nine.parquet" in end.source and "`run nine`" in end.source and "git" in end.source
    assert notebook == before  # the committed notebook stays


def test_pictures_without_alt_are_named():
    assert site.pictures_without_alt(example()) == ["slider"]
    assert site.drawn_figures(example()) == {"fig9_x": "a line rises"}


def test_a_figure_that_is_not_in_the_map_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="fig9_x"):
        site.page(example(), [], tmp_path)


def test_the_gallery_links_each_figure_to_its_notebook_and_escapes(tmp_path):
    assert "fig9_x" not in site.gallery({"00_a": example()}, tmp_path)  # not drawn yet
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "fig9_x.png").touch()
    card = site.gallery({"00_a": example()}, tmp_path)
    assert 'href="notebooks/00_a.html"' in card and 'alt="a line rises"' in card and "Title &lt;of&gt; it" in card


def test_provenance_names_the_commit_of_a_file(tmp_path):
    def git(*arguments):
        who = ("-c", "user.name=n", "-c", "user.email=e@example.org")
        subprocess.run(["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True)

    (tmp_path / "data" / "records").mkdir(parents=True)
    (tmp_path / "data" / "records" / "nine.parquet").write_bytes(b"9")
    git("init")
    git("add", ".")
    git("commit", "-m", "nine")
    git("tag", "v9")
    text = site.provenance(["fig9_x"], ROWS, tmp_path)
    commit = site.described("rev-parse", "--short", "HEAD", root=tmp_path)
    assert f"nine.parquet`; last changed in {commit} of 2" in text and "not drawn yet" in text and "`v9`" in text


def test_a_map_without_its_table_is_an_error():
    with pytest.raises(ValueError, match="command"):
        site.read_map("| paper | notebook |\n|---|---|\n| Fig. 1 | a |")


# The built pages


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    pytest.importorskip("myst_nb", reason="needs the extra `site`")
    pytest.importorskip("sphinx_book_theme", reason="needs the extra `site`")
    target = tmp_path_factory.mktemp("site") / "pages"
    command = [sys.executable, "-m", "tools.site", "--output", target]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return target


def test_no_page_says_where_it_was_built(built):
    assert [path.name for path in pages(built) if str(ROOT) in path.read_text(encoding="utf-8")] == []


class Links(HTMLParser):
    """What a page loads, where it leads, and the anchors that it has."""

    def __init__(self, path):
        super().__init__()
        self.loads, self.leads, self.anchors = [], [], set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.anchors |= {attributes.get("id"), attributes.get("name")}
        if tag == "a":
            self.leads += [attributes["href"]] if "href" in attributes else []
        elif address := attributes.get("src") or (attributes.get("href") if tag == "link" else None):
            self.loads.append(address)


def pages(folder):
    return [path for path in sorted(folder.rglob("*.html")) if "_static" not in path.parts]


def test_there_is_a_page_for_every_notebook_and_package(built):
    assert {path.stem for path in NOTEBOOKS} == {path.stem for path in (built / "notebooks").glob("*.html")}
    assert "synaptic_current" in (built / "api" / "model.html").read_text(encoding="utf-8")
    for notebook in NOTEBOOKS:
        for figure in site.drawn_figures(read(notebook)).keys() & {p.stem for p in (ROOT / "figures").glob("*.png")}:
            assert f"_static/figures/{figure}.png" in (built / "index.html").read_text(encoding="utf-8")
            text = (built / "notebooks" / f"{notebook.stem}.html").read_text(encoding="utf-8")
            assert 'id="provenance"' in text and f"{figure}.svg" in text


def test_no_broken_link_and_nothing_from_elsewhere(built):
    links = {path: Links(path) for path in pages(built)}
    broken = []
    for path, found in links.items():
        broken += [(path.name, address) for address in found.loads if urlsplit(address).netloc]
        for address in [*found.loads, *found.leads]:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            known = links[target].anchors if target in links else {parts.fragment}
            if not target.exists() or (parts.fragment and unquote(parts.fragment) not in known):
                broken.append((path.name, address))
    assert broken == []


@pytest.fixture
def phone(browser):
    """A page 360 px wide that has no network; what it asked for all the same is in its list `asked`."""
    context = browser.new_context(viewport={"width": 360, "height": 740}, offline=True)
    context.set_default_timeout(15 * 60_000)  # slow on a busy machine, not red
    page = context.new_page()
    page.asked = []
    page.on("request", lambda request: page.asked.append(request.url))
    yield page
    context.close()


def shown(page, path):
    page.goto(path.as_uri())
    page.evaluate("() => window.MathJax?.startup?.promise")
    page.wait_for_function("() => [...document.images].every(image => image.complete)")


LOOK = """() => ({
    width: document.documentElement.scrollWidth,
    images: [...document.images].filter(i => !i.naturalWidth || !i.alt).map(i => i.src),
    equations: document.querySelectorAll('.math').length - document.querySelectorAll('mjx-container').length,
    errors: document.querySelectorAll('mjx-merror, mtext[mathcolor=red], .problematic, .system-message').length,
})"""


def test_every_page_on_a_phone_without_network(built, phone):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs the extra `browser`").Axe()
    found = []
    for path in [page for page in pages(built) if "_modules" not in page.parts] + pages(built / "_modules")[-1:]:
        shown(phone, path)
        if (look := phone.evaluate(LOOK)) != {"width": 360, "images": [], "equations": 0, "errors": 0}:
            found.append((path.name, look))
        for finding in axe.run(phone).response["violations"]:
            if finding["impact"] in ("serious", "critical"):
                found.append((path.name, finding["id"], [node["target"] for node in finding["nodes"]][:3]))
    assert found == []
    assert [address for address in phone.asked if not address.startswith(("file:", "data:"))] == []


def test_the_search_finds_a_function(built, phone):
    phone.goto(f"{(built / 'search.html').as_uri()}?q=synaptic_current")
    phone.wait_for_selector("#search-results li a")
    assert "model" in phone.inner_text("#search-results")


def test_a_folder_of_something_else_is_not_emptied(tmp_path):
    (tmp_path / "thesis.tex").touch()
    for empty in lambda: site.lay_out(tmp_path), lambda: site.build(tmp_path, tmp_path):
        with pytest.raises(ValueError, match="^.* holds something else than .*$"):
            empty()
    assert (tmp_path / "thesis.tex").exists()
