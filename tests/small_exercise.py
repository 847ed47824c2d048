"""An exercise of two questions that imports nothing, so that a submission takes a second or two."""

import io
import zipfile
from dataclasses import dataclass

import nbformat
from nbgrader.utils import is_solution

from tools.coursework import assign


def cell_of(kind, name, source, **more):
    cell = nbformat.v4.new_code_cell(source)
    cell.metadata.nbgrader = dict(
        grade_id=name, schema_version=3, solution=kind == "solution", grade=kind == "test", locked=kind != "solution",
        task=False, **more,
    )  # fmt: skip
    return cell


def question(name, wanted):
    """A solution cell, a visible and a hidden test."""
    test = f"assert [{name}(x) for x in range(9)] == {wanted}, 'not for every x'"
    hidden = f"### BEGIN HIDDEN TESTS\n{test}\n### END HIDDEN TESTS"
    return [
        cell_of(
            "solution", name, f"def {name}(x):\n    ### BEGIN SOLUTION\n    return {wanted}[x]\n    ### END SOLUTION"
        ),
        cell_of("test", f"{name}-check", f"assert {name}(2) == {wanted[2]}", points=1),
        cell_of("test", f"{name}-hidden", hidden, points=3),
    ]


SMALL = nbformat.v4.new_notebook(
    metadata={"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}},
    cells=question("twice", [2 * x for x in range(9)]) + question("square", [x * x for x in range(9)]),
)


def own(source=SMALL):
    """A submission in which every question is answered rightly: the solutions without their marks."""
    notebook = assign.student_version(source)
    for cell, ours in zip(notebook.cells, source.cells, strict=True):
        if is_solution(cell):
            cell.source = "\n".join(line for line in ours.source.splitlines() if "### " not in line)
    return notebook


def solved(before="", source=SMALL):
    """The bytes of a right submission, with code before the first answer."""
    notebook = own(source)
    cell = next(filter(is_solution, notebook.cells))
    cell.source = before + cell.source
    return nbformat.writes(notebook).encode()


def stripped(notebook):
    """A copy as an editor leaves it that throws away what it does not know."""
    copy = nbformat.from_dict(notebook)
    for cell in copy.cells:
        cell.metadata = {}
        cell.id = nbformat.v4.new_code_cell().id
    return copy


@dataclass(frozen=True)
class Odd:
    """What a student hands in, {path: content}, which share of the points it is worth, and what a person looks at."""

    files: dict[str, bytes]
    share: float = 1
    look: str = ""


def zipped(files):
    """The bytes of a zip with these files."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def odd(name, source):
    """Submissions as they come back from real classes, for one exercise; answers that count are right ones."""
    file, write = f"{name}.ipynb", lambda notebook: nbformat.writes(notebook).encode()
    right, untouched = solved(source=source), write(assign.student_version(source))
    copied = own(source)
    scratch = nbformat.from_dict(next(filter(is_solution, copied.cells)))
    scratch.source, scratch.id = "1 + 1", "scratch"
    copied.cells.insert(copied.cells.index(next(filter(is_solution, copied.cells))) + 1, scratch)
    helped = lambda text: solved(f"from my_helper import one\n{text}", source)
    accented = write(own(source)).replace(b'"nbformat_minor"', '"remark": "fünf €",\n "nbformat_minor"'.encode())
    wordless = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("a = 1"), nbformat.v4.new_markdown_cell("?")])
    return {
        "checkout": Odd({f"notebooks/exercises/{file}": write(source), f"notebooks/my_exercises/{file}": right}),
        "checkout unsolved": Odd({f"exercises/{file}": write(source), f"my_exercises/{file}": untouched}, 0),
        "built copy": Odd({f"build/coursework/{file}": untouched, f"zz/{file}": right}),
        "our solution": Odd({f"exercises/{file}": write(source)}, 0, "no work of the student's own"),
        "copied cell": Odd({file: write(copied)}),
        "lost marks": Odd({file: write(stripped(own(source)))}),
        "no marks": Odd({file: write(wordless)}, 0, "no marked cells found"),
        "named": Odd({f"ada_{file.upper()}": right}),
        "platform": Odd({f"lovelaceada_12345_67890_{name}-1.ipynb": right}),
        "zip": Odd({"homework.zip": zipped({f"homework/{file}": right, "homework/notes.txt": b""})}),
        "twice": Odd({file: write(wordless), f"{name} (1).ipynb": right}),
        "mark": Odd({file: b"\xef\xbb\xbf" + accented}),
        "utf-16": Odd({file: accented.decode().encode("utf-16")}),
        "ansi": Odd({file: accented.decode().encode("cp1252")}),
        "helper": Odd({f"work/{file}": helped(""), "work/my_helper.py": b"one = 1\n"}),
        "helper left out": Odd({file: helped("")}, 0.5, "No module named 'my_helper': was a file left out?"),
        "other files": Odd({"report.pdf": b"%PDF", f"{name}.py": b"x = 1"}, 0, "2 other files were handed in: "),
        "waits": Odd({file: solved("import time\ntime.sleep(7)\n", source)}),
    }
