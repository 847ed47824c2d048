"""Grade a folder of submissions, one folder per student: `make grade SUBMISSIONS=folder`.

Writes grades.csv and a feedback page per student. Nothing of a submission is trusted but its answers:
the notebook that runs is the source, with the student's solution cells put into it.
"""

import argparse
import csv
import io
import json
import os
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbgrader.utils import determine_grade, is_grade, is_solution

from hetsyn_core.paths import ROOT, write_whole

from . import execute, fence
from .assign import SOURCES, read, student_version
from .feedback import page
from .fence import Limits

GRADES = ROOT / "build" / "grades"
LARGEST_MB = 50
MISSING = "not handed in"


@dataclass(frozen=True)
class Result:
    """One exercise of one student. ``tests``: (name, points, of, what went wrong) of every test cell."""

    exercise: str
    tests: list[tuple[str, float, float, str]]
    note: str
    notebook: NotebookNode | None  # as executed

    @property
    def points(self) -> float:
        """Points reached."""
        return sum(points for _, points, _, _ in self.tests)

    @property
    def out_of(self) -> float:
        """Points to be had."""
        return sum(most for _, _, most, _ in self.tests)


def merge(source: NotebookNode, submission: NotebookNode) -> NotebookNode:
    """The source with the student's solution cells in place of ours; cells the student added run where they stand.

    A solution cell that is missing is the empty one of the student version.
    """
    known = {cell.metadata.nbgrader.grade_id for cell in source.cells if "nbgrader" in cell.metadata}
    answers, added, waiting = {}, {}, []
    for cell in submission.cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id")
        if name in known:
            answers[name] = cell.source  # of copies the last one counts, as in nbgrader
            added.setdefault(name, []).extend(waiting)
            waiting = []
        elif cell.cell_type == "code":
            waiting.append(nbformat.v4.new_code_cell(cell.source))
    merged = student_version(source)
    cells = []
    for cell, ours in zip(merged.cells, source.cells):
        name = cell.metadata.get("nbgrader", {}).get("grade_id")
        cells += added.get(name, [])
        if is_solution(cell):
            cell.source = answers.get(name, cell.source)
        else:
            cell.source = ours.source  # hidden tests back in
        cells.append(cell)
    merged.cells = cells + waiting
    return merged


def score(notebook: NotebookNode) -> list[tuple[str, float, float, str]]:
    """(name, points, of, what went wrong) of every test cell of an executed notebook, by nbgrader's rule.

    Unlike there, a cell has failed unless the kernel replied that it ran (see `execute.said`), and a warning on
    standard error is no failure.
    """
    tests = []
    for cell in notebook.cells:
        if not is_grade(cell):
            continue
        cell.outputs = [o for o in cell.outputs if not (o.output_type == "stream" and o.name == "stderr")]
        errors = [f"{o.ename}: {o.evalue}".strip(": ")[:300] for o in cell.outputs if o.output_type == "error"]
        most = float(cell.metadata.nbgrader.points)
        try:
            points, _ = determine_grade(cell)
        except (
            ValueError,
            KeyError,
            TypeError,
        ):  # the value of a cell gives partial credit, and a submission forged one
            points, errors = 0.0, ["no points in its output"]
        if cell.metadata.get("status") != "ok":
            points, errors = 0.0, errors or ["did not run"]
        tests.append((cell.metadata.nbgrader.grade_id, points, most, errors[0] if errors else ""))
    return tests


def run_fenced(notebook: NotebookNode, limits: Limits, work: Path, hidden: tuple[Path, ...], own: bool = False) -> dict:
    """Run a notebook in a new folder in ``work``, with copies of the kernels that Numba compiled before.

    Args:
        own: a notebook of ours: what it compiled is kept for the others. (A file of a submission is never read.)

    Returns:
        "notebook" with its outputs, and a "note" on what went wrong beside errors in cells.

    Raises:
        TimeoutError, ChildProcessError, ValueError: there is no result.
    """
    scratch = Path(tempfile.mkdtemp(dir=work))
    try:
        if (work / "numba").exists():
            shutil.copytree(work / "numba", scratch / "numba")
        command = [sys.executable, "-P", execute.__file__]  # as a file: it needs nothing of the package
        job = json.dumps({"notebook": notebook, **asdict(limits)}).encode()
        done = json.loads(fence.run(command, job, limits, scratch, (*hidden, work)))
        if own and (scratch / "numba").exists():
            shutil.copytree(scratch / "numba", work / "numba", dirs_exist_ok=True)
        return {"notebook": nbformat.from_dict(done["notebook"]), "note": done["note"]}
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def grade_one(
    name: str, source: NotebookNode, raw: bytes | str, limits: Limits, work: Path, hidden: tuple[Path, ...] = ()
) -> Result:
    """Grade one exercise; ``raw`` is the file as handed in, or a str that says why there is none."""
    why, done = raw, None
    if isinstance(raw, bytes):
        try:
            merged = merge(source, nbformat.reads(raw.decode(), as_version=4))
        except Exception:  # whatever a file that is no notebook may do to a parser
            why = "not a notebook"
        else:
            try:
                done = run_fenced(merged, limits, work, hidden)
            except (TimeoutError, ChildProcessError, ValueError) as error:
                why = str(error)
    if done is not None:
        return Result(name, score(done["notebook"]), done["note"], done["notebook"])
    tests = [cell.metadata.nbgrader for cell in source.cells if is_grade(cell)]
    return Result(name, [(test.grade_id, 0.0, float(test.points), why) for test in tests], why, None)


def check(sources: dict[str, NotebookNode], limits: Limits, work: Path, hidden: tuple[Path, ...] = ()) -> None:
    """Run the solutions as submissions run, one after the other: they must pass, here and under these limits.

    Raises:
        ValueError: one does not; the message says why.
    """
    for name, source in sources.items():
        try:
            done = run_fenced(merge(source, source), limits, work, hidden, own=True)
        except (TimeoutError, ChildProcessError) as error:
            raise ValueError(f"the solution of {name} does not run here: {error}") from error
        for test, points, most, why in score(done["notebook"]):
            if points < most:
                raise ValueError(f"the solution of {name} fails {test} here: {why or done['note']}")


def collect(folder: Path, exercises: list[str]) -> dict[str, dict[str, bytes | str]]:
    """What each student handed in, read before anything runs: {student: {exercise: file or why there is none}}.

    A student is a folder; the notebooks may lie deeper in it, as in nbgrader's ``submitted/student/assignment/``.

    Raises:
        ValueError: there is no such folder, or it holds no folders.
    """
    students = sorted(path for path in folder.glob("*") if path.is_dir() and not path.name.startswith("."))
    if not students:
        raise ValueError(f"{folder} must hold one folder per student, with their notebooks inside")
    printable = lambda name: name.encode(errors="replace").decode()
    return {printable(student.name): {name: _read(student, name) for name in exercises} for student in students}


def _read(student: Path, name: str) -> bytes | str:
    # A browser or Jupyter may have added to the name: 01_... (1).ipynb, 01_...-Copy1.ipynb.
    found = (path for path in student.rglob(f"{name}*.ipynb") if ".ipynb_checkpoints" not in path.parts)
    path = min(found, key=lambda path: (path.stem != name, len(path.parts), path), default=None)
    if path is None:
        return MISSING
    if path.is_symlink() or not path.is_file():
        return "not a file"
    if path.stat().st_size > LARGEST_MB * 1e6:
        return f"larger than {LARGEST_MB} MB"
    try:
        return path.read_bytes()
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def table(results: dict[str, list[Result]]) -> str:
    """The grades as CSV: a row per student; points per exercise, their sum, and what a person should look at."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = [result.exercise for result in next(iter(results.values()))]
    writer.writerow(["student", *names, "points", "out_of", "notes"])
    for student, row in results.items():
        notes = "; ".join(f"{r.exercise}: {r.note}" for r in row if r.note)
        total, most = sum(r.points for r in row), sum(r.out_of for r in row)
        writer.writerow([student, *(f"{r.points:g}" for r in row), f"{total:g}", f"{most:g}", notes])
    return out.getvalue()


def grade(
    submissions: Path,
    folder: Path,
    sources: dict[str, NotebookNode],
    limits: Limits = Limits(),
    jobs: int = 1,
    hidden: tuple[Path, ...] = (),
) -> dict[str, list[Result]]:
    """Grade every student and write ``folder``/grades.csv and ``folder``/STUDENT.html; both grow as students are done.

    What nobody handed in is left out. The solutions of the rest run first, see `check`.

    Args:
        submissions: see `collect`.
        folder: where the results go.
        sources: the exercises with solutions and hidden tests, by name.
        limits: of every notebook.
        jobs: notebooks that run at a time.
        hidden: further folders that submissions shall not see.

    Raises:
        ValueError: nobody handed in anything, or as `collect` and `check`.
    """
    handed_in = collect(submissions, list(sources))
    given = {name for files in handed_in.values() for name, file in files.items() if file != MISSING}
    if not given:
        raise ValueError(f"no notebook in {submissions} is named like one of {', '.join(sources)}")
    sources = {name: source for name, source in sources.items() if name in given}
    folder.mkdir(parents=True, exist_ok=True)
    results, pages = {}, {}

    def write() -> None:
        for name, content in (pages | {"grades.csv": table(results)}).items():
            write_whole(folder / name, content.encode(errors="replace"))

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as work, ThreadPoolExecutor(jobs) as pool:
        hidden = tuple(path.resolve() for path in (*hidden, submissions, folder))
        check(sources, limits, Path(work), hidden)
        waiting = {
            student: [
                pool.submit(grade_one, name, sources[name], raw, limits, Path(work), hidden)
                for name, raw in files.items()
                if name in given
            ]
            for student, files in handed_in.items()
        }
        for student, futures in waiting.items():
            results[student] = [future.result() for future in futures]
            pages[f"{student}.html"] = page(student, results[student])
            with suppress(OSError):  # without a fence a submission may delete them just now; the last writing counts
                write()
            points, out_of = (sum(getattr(r, what) for r in results[student]) for what in ("points", "out_of"))
            print(f"{student:24} {points:5g} of {out_of:g}", flush=True)
    write()
    return results


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="tools.coursework.grade", description=__doc__.split(":")[0])
    parser.add_argument("submissions", type=Path, help="a folder with one folder per student")
    parser.add_argument("--sources", type=Path, default=SOURCES, help="folder of exercises with solutions")
    parser.add_argument("--to", type=Path, default=GRADES, help="where grades.csv and the pages go")
    parser.add_argument("--jobs", type=int, default=max(1, (os.cpu_count() or 1) // 2), help="notebooks at a time")
    parser.add_argument("--cell-s", type=int, default=Limits.cell_s, help="seconds a cell may run")
    parser.add_argument("--notebook-s", type=int, default=Limits.notebook_s, help="seconds a notebook may run")
    parser.add_argument("--memory-gb", type=float, default=Limits.memory_gb, help="memory of a process")
    options = parser.parse_args(arguments)
    limits = Limits(options.cell_s, options.notebook_s, options.memory_gb)
    print(f"Submissions run with {fence.MEANS[fence.fence()]}.")
    try:
        sources = read(options.sources)
        grade(options.submissions, options.to, sources, limits, options.jobs, (options.sources,))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{options.to / 'grades.csv'}, and a page per student beside it")
    return 0


if __name__ == "__main__":
    sys.exit(main())
