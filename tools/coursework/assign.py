"""Student versions of the exercises and a zip to hand out: `make coursework`."""

import argparse
import io
import sys
import zipfile
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbgrader.preprocessors import (
    CheckCellMetadata,
    ClearHiddenTests,
    ClearOutput,
    ClearSolutions,
    ComputeChecksums,
    LockCells,
)
from nbgrader.utils import is_grade

from hetsyn_core.paths import ROOT, write_whole

SOURCES = ROOT / "notebooks" / "exercises"
HANDED_OUT = ROOT / "build" / "coursework"
IN_ZIP = "my_exercises"  # unpacked into notebooks/, a folder "exercises" would replace the sources
# As in `nbgrader generate_assignment`, less what needs its database.
STEPS = LockCells, ClearSolutions, ClearOutput, CheckCellMetadata, ClearHiddenTests, ComputeChecksums


def read(folder: Path = SOURCES) -> dict[str, NotebookNode]:
    """All exercises of a folder as sources, by name.

    Raises:
        ValueError: there is none.
    """
    sources = {path.stem: nbformat.read(path, as_version=4) for path in sorted(folder.glob("*.ipynb"))}
    if not sources:
        raise ValueError(f"no exercises (*.ipynb) in {folder}")
    return sources


def student_version(source: NotebookNode) -> NotebookNode:
    """The exercise without solutions, hidden tests and outputs, its tests locked.

    Raises:
        RuntimeError, nbgrader's ValidationError: a mark without its partner, or broken nbgrader metadata.
    """
    notebook = nbformat.from_dict(source)  # a copy
    for step in STEPS:
        notebook, _ = step().preprocess(notebook, {})
    for test in filter(is_grade, notebook.cells):  # for "Run All" to go on, to the picture
        test.metadata["tags"] = ["raises-exception"]
    return notebook


def assign(sources: dict[str, NotebookNode], folder: Path) -> Path:
    """Write the student versions into ``folder``, and all of them into exercises.zip there, which is returned."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, source in sources.items():
            content = nbformat.writes(student_version(source))
            write_whole(folder / f"{name}.ipynb", content.encode())
            zipped.writestr(zipfile.ZipInfo(f"{IN_ZIP}/{name}.ipynb"), content)  # no clock: the same bytes each time
    write_whole(folder / "exercises.zip", archive.getvalue())
    return folder / "exercises.zip"


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="tools.coursework.assign", description=__doc__.split(":")[0])
    parser.add_argument("--sources", type=Path, default=SOURCES, help="folder of exercises with solutions")
    parser.add_argument("--to", type=Path, default=HANDED_OUT, help="where the student versions go")
    options = parser.parse_args(arguments)
    try:
        sources = read(options.sources)
        print(f"{len(sources)} exercises in {assign(sources, options.to)}")
    except (ValueError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
