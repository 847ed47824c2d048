"""The site: every notebook with its stored outputs, the figures, the ledger, the map and the API, as pages that need
no connection.

    python -m tools.site    # build/site/index.html

The sources are laid out in build/site-source: docs/ as it is, notebooks with alt text and the provenance of their
figures, and the pages that are computed. Sphinx does the rest. No notebook is executed.
"""

import argparse
import html
import os
import pkgutil
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path

import nbformat
from nbformat import NotebookNode

import hetsyn_core
from hetsyn_core.paths import ROOT, write_whole
from hetsyn_core.results.ledger import split_readme

INNER = ("hetsyn_core.model.fast.cpu_kernels", "hetsyn_core.model.fast.lanes")  # loops behind public functions
WIDGET = "application/vnd.jupyter.widget-view+json"


def notebooks(root: Path = ROOT) -> list[Path]:
    """The notebooks in the order of the paper."""
    return sorted((root / "notebooks").glob("[0-9][0-9]_*.ipynb"))


def title(notebook: NotebookNode) -> str:
    """The first heading of a notebook."""
    return next(c.source for c in notebook.cells if c.cell_type == "markdown").splitlines()[0].lstrip("# ")


def drawn_figures(notebook: NotebookNode) -> dict[str, str]:
    """Figures that a notebook saves, in their order: {name: alt text, "" where its cell has none}."""
    return {
        name: cell.metadata.get("alt", "")
        for cell in notebook.cells
        if cell.cell_type == "code"
        for name in re.findall(r"""save_figure\([^"']*["'](\w+)["']""", cell.source)
    }


def pictures_without_alt(notebook: NotebookNode) -> list[str]:
    """The last line of every code cell that shows a picture but whose metadata have no "alt"."""
    shows = lambda cell: any(kind.startswith("image/") for output in cell.outputs for kind in output.get("data", {}))
    without = [c for c in notebook.cells if c.cell_type == "code" and not c.metadata.get("alt", "").strip()]
    return [cell.source.rstrip().splitlines()[-1] for cell in without if shows(cell)]


def read_map(text: str) -> list[dict[str, str]]:
    """The rows of docs/map.md, the table that says where each thing of the paper comes from.

    Returns:
        One dictionary per row: "paper", "shows", "notebook", "figure", "functions", "records", "command"; a name in a
        cell stands between backquotes, "" is a cell that has none.

    Raises:
        ValueError: no such table.
    """
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    columns = ["paper", "shows", "notebook", "figure", "functions", "records", "command"]
    if len(rows) < 3 or rows[0] != columns:
        raise ValueError(f"docs/map.md has no table with the columns {', '.join(columns)}")
    return [dict(zip(columns, row, strict=True)) for row in rows if row != columns and set(row) != {"---"}]


def names(cell: str) -> list[str]:
    """What stands between backquotes in a cell of the map."""
    return re.findall(r"`([^`]+)`", cell)


def described(*arguments: str, root: Path = ROOT) -> str:
    """One line that git prints about the checkout; "unknown (not a git checkout)" where there is none."""
    try:
        answer = subprocess.run(["git", "-C", root, *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown (not a git checkout)"
    return answer.stdout.strip() or "not committed"


def provenance(figures: Iterable[str], rows: list[dict[str, str]], root: Path = ROOT) -> str:
    """A section, Markdown: of each figure its records, its command, and the versions of code and files.

    Raises:
        ValueError: a figure that is not in the map.
    """
    lines = []
    for figure in figures:
        own = [row for row in rows if figure in names(row["figure"])]
        if not own:
            raise ValueError(f"docs/map.md does not say where the figure {figure} comes from")
        files = ", ".join(f"{{download}}`{figure}.{kind} <../figures/{figure}.{kind}>`" for kind in ("png", "svg"))
        drawn = root / "figures" / f"{figure}.png"
        files = f"{files}; {_dated(drawn, root)}" if drawn.exists() else "not drawn yet"
        records = [f"data/records/{name}.parquet" for row in own for name in names(row["records"])]
        records = [f"`{path}`; {_dated(root / path, root)}" for path in dict.fromkeys(records)] or [own[0]["records"]]
        commands = dict.fromkeys(command for row in own for command in names(row["command"]))
        lines += [f"**{figure}**", "", f"- files: {files}", *(f"- records: {text}" for text in records)]
        lines += [*(f"- command: `{command}`" for command in commands), ""]
    version = described("describe", "--always", "--dirty", "--tags", root=root)
    return "\n".join(["## Provenance", "", *lines, f"Code version of this page: `{version}`."])


def _dated(path: Path, root: Path) -> str:
    if not path.exists():
        return "not there yet"
    change = described("log", "-1", "--format=%h of %cs", "--", str(path.relative_to(root)), root=root)
    return f"last changed in {change}"


def page(notebook: NotebookNode, rows: list[dict[str, str]], root: Path = ROOT) -> NotebookNode:
    """A notebook as the site shows it: alt text where Sphinx looks for it, no widgets, provenance at the end."""
    notebook = nbformat.from_dict(notebook)
    notebook.metadata.pop("widgets", None)
    relinked(notebook)
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        if alt := cell.metadata.get("alt"):
            cell.metadata["mystnb"] = {"image": {"alt": alt}}
        cell.outputs = [output for output in cell.outputs if WIDGET not in output.get("data", {})]
    if figures := drawn_figures(notebook):
        notebook.cells.append(nbformat.v4.new_markdown_cell(provenance(figures, rows, root)))
    return notebook


def gallery(pages: dict[str, NotebookNode], root: Path = ROOT) -> str:
    """A picture for each figure that the notebooks save and that is there, linked to its notebook; HTML."""
    cards = []
    for name, notebook in pages.items():
        for figure, alt in drawn_figures(notebook).items():
            if not (root / "figures" / f"{figure}.png").exists():
                continue  # drawn only where its records are
            link, caption = f"notebooks/{name}.html", html.escape(title(notebook))
            picture = f'<img src="_static/figures/{figure}.png" alt="{html.escape(alt or figure)}">'
            caption = f'<figcaption><a href="{link}">{caption}</a></figcaption>'
            cards.append(f'<figure><a href="{link}">{picture}</a>{caption}</figure>')
    return '<div class="gallery">\n' + "\n".join(cards) + "\n</div>"


def exercises(root: Path = ROOT) -> dict[str, NotebookNode]:
    """The exercises as students get them, without solutions; {} where there are none."""
    folder = root / "notebooks" / "exercises"
    if not folder.exists():
        return {}
    from .coursework.assign import read, student_version  # needs nbgrader

    return {name: relinked(student_version(source)) for name, source in read(folder).items()}


def contents(caption: str, documents: Iterable[str]) -> str:
    """A part of the table of contents beside every page."""
    return "\n".join(["```{toctree}", ":hidden:", f":caption: {caption}", "", *documents, "```"])


def linked(text: str, notebooks: Iterable[str]) -> str:
    """A page of docs/ for the site: names of notebooks become links, and links no longer climb out of docs/."""
    for name in notebooks:
        text = text.replace(f"`{name}`", f"[{name}](notebooks/{name}.ipynb)")
    return text.replace("](../data/ledger.md", "](ledger.md").replace("](../", "](")


def relinked(notebook: NotebookNode) -> NotebookNode:
    """The notebook itself, its links to docs/ leading to where the site has those pages: one folder higher."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = re.sub(r"\]\(((?:\.\./)+)docs/", r"](\1", cell.source)
    return notebook


def packages() -> list[str]:
    """The packages of hetsyn_core that have public modules."""
    return [m.name for m in pkgutil.iter_modules(hetsyn_core.__path__) if m.ispkg and modules(m.name)]


def modules(package: str) -> list[str]:
    """The public modules of a package of hetsyn_core, by their full names."""
    folder = import_module(f"hetsyn_core.{package}").__path__
    found = (f"hetsyn_core.{package}.{m.name}" for m in pkgutil.iter_modules(folder) if not m.name.startswith("_"))
    return sorted(set(found) - set(INNER))


def api(package: str) -> str:
    """The page of a package: signatures and docstrings of its public functions."""
    # As a title the full name would be too long a word for a phone.
    parts = [f"# {package}\n\nThe modules of `hetsyn_core.{package}`.\n"]
    for module in modules(package):
        directive = f"```{{eval-rst}}\n.. automodule:: {module}\n   :members:\n```\n"
        parts.append(f"## {module.rpartition('.')[2]}\n\n{directive}")
    return "\n".join(parts)


def emptied(folder: Path, sign: str, what: str) -> None:
    """Remove a folder of ours, told by the file ``sign`` in it.

    Raises:
        ValueError: it holds something else than ``what``.
    """
    if folder.is_dir() and any(folder.iterdir()) and not (folder / sign).exists():
        raise ValueError(f"{folder} holds something else than {what}: name an empty folder")
    shutil.rmtree(folder, ignore_errors=True)


def lay_out(source: Path, root: Path = ROOT) -> None:
    """Write the sources that Sphinx reads into the folder ``source``, which is `emptied` first."""
    emptied(source, "map.md", "sources of this site")
    read = {path.stem: nbformat.read(path, as_version=4) for path in notebooks(root)}
    shutil.copytree(root / "docs", source)
    for path in source.glob("*.md"):
        path.write_text(linked(path.read_text(encoding="utf-8"), read), encoding="utf-8")
    shutil.copytree(root / "figures", source / "figures")
    shutil.copytree(root / "figures", source / "_static" / "figures", ignore=shutil.ignore_patterns("*.svg"))
    rows = read_map((root / "docs" / "map.md").read_text(encoding="utf-8"))
    (source / "notebooks").mkdir()
    for name, notebook in read.items():
        nbformat.write(page(notebook, rows, root), source / "notebooks" / f"{name}.ipynb")
    given_out = exercises(root)
    for name, exercise in given_out.items():
        write_whole(source / "notebooks" / "exercises" / f"{name}.ipynb", nbformat.writes(exercise).encode())
    (source / "api").mkdir()
    for package in packages():
        (source / "api" / f"{package}.md").write_text(api(package), encoding="utf-8")
    shutil.copy(root / "data" / "ledger.md", source / "ledger.md")
    shutil.copy(root / "CHANGELOG.md", source / "changelog.md")

    pages = sorted(path.stem for path in (root / "docs").glob("*.md") if path.stem not in ("index", "map"))
    tree = [
        contents("Notebooks", [f"notebooks/{name}" for name in read]),
        *([contents("Exercises", [f"notebooks/exercises/{name}" for name in given_out])] if given_out else []),
        contents("Results", ["ledger", "map"]),
        contents("Using it", [*pages, "changelog"]),
        contents("Functions", [f"api/{package}" for package in packages()]),
    ]
    index = (source / "index.md").read_text(encoding="utf-8")
    parts = {
        "findings": split_readme(root / "README.md")[1],
        "gallery": gallery(read, root),
        "contents": "\n\n".join(tree),
    }
    for name, text in parts.items():
        index = index.replace(f"{{{{{name}}}}}", text)
    (source / "index.md").write_text(index, encoding="utf-8")


def build(source: Path, target: Path) -> int:
    """Let Sphinx make the pages; returns its exit status, which a warning too makes an error."""
    from sphinx.cmd.build import main as sphinx  # of the extra `site`

    emptied(target, ".buildinfo", "pages of Sphinx")
    options = ["-q", "-W", "--keep-going", "-d", str(source.with_name(f"{source.name}-doctrees"))]
    return sphinx(["-b", "html", *options, str(source), str(target)])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tools.site", description="Build the site from what is here.")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "site", help="where the pages go")
    target = parser.parse_args(arguments).output.resolve()
    source = target.with_name(f"{target.name}-source")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        lay_out(source)
        status = build(source, target)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        print(f"{error}: pip install -e '.[site]'", file=sys.stderr)
        return 1
    for path in notebooks():
        for line in pictures_without_alt(nbformat.read(path, as_version=4)):
            print(f"no alt text: {path.name}: {line}", file=sys.stderr)
    if status == 0:
        print(f"site in {target / 'index.html'}")
    return status


if __name__ == "__main__":
    sys.exit(main())
