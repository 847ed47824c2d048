"""Grade a folder of submissions, one folder per student: `make grade SUBMISSIONS=folder`.

Writes grades.csv and a feedback page per student. Nothing of a submission is trusted but its answers:
the notebook that runs is the source, with the student's solution cells put into it.
"""

import argparse
import csv
import io
import sys
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from nbformat import NotebookNode
from nbgrader.utils import determine_grade, is_grade

from hetsyn_core.paths import ROOT, writable, write_whole
from hetsyn_core.workers import cores

from . import fence, running
from .assign import SOURCES, read
from .choosing import Chosen, Found, Kind, choose
from .feedback import page
from .fence import Limits
from .matching import Exercise, match, merge
from .submissions import Look, Remark, Submission, collect, is_notebook, listed

GRADES = ROOT / "build" / "grades"
NOT_HANDED_IN = "not handed in"
ABSENT = {"ModuleNotFoundError", "FileNotFoundError"}
PACKED = {".zip", ".7z", ".rar", ".tar", ".gz", ".tgz", ".py", ".html", ".json"}  # an exercise may be in these


@dataclass(frozen=True)
class Mark:
    """What a test cell gave, and why not more."""

    test: str
    points: float
    out_of: float
    why: str


class Summed:
    """What has points because its ``parts`` have them."""

    points = property(lambda self: sum(part.points for part in self.parts), doc="Points reached.")
    out_of = property(lambda self: sum(part.out_of for part in self.parts), doc="Points to be had.")


@dataclass(frozen=True)
class Result(Summed):
    """One exercise of one student."""

    exercise: str
    marks: list[Mark]
    remarks: list[Remark] = field(default_factory=list)
    notebook: NotebookNode | None = None  # as executed
    absent: str = ""  # why there is nothing that ran
    beside: dict[str, str] = field(default_factory=dict)  # text of the Python files that lay beside it, by name

    parts = property(lambda self: self.marks)

    def says(self, by_hand: bool) -> list[str]:
        """The remarks for which a person should look at this grade, or the others."""
        looks = {Look.YES, Look.IF_POINTS_ARE_MISSING} if self.points < self.out_of else {Look.YES}
        return [remark.text for remark in self.remarks if (remark.look in looks) == by_hand]


@dataclass(frozen=True)
class Report(Summed):
    """All exercises of one student, and ``remarks`` on what was handed in as a whole."""

    student: str
    results: list[Result]
    remarks: list[Remark] = field(default_factory=list)

    parts = property(lambda self: self.results)

    def says(self, by_hand: bool) -> list[str]:
        """The remarks for which a person should look at this student's grade, or the others."""
        whole = [remark.text for remark in self.remarks if (remark.look is Look.YES) == by_hand]
        missing = [result.exercise for result in self.results if result.absent == NOT_HANDED_IN]
        if missing and not by_hand:
            whole.append(f"{NOT_HANDED_IN}: {', '.join(missing)}")
        return whole + [f"{result.exercise}: {text}" for result in self.results for text in result.says(by_hand)]


def score(notebook: NotebookNode) -> list[Mark]:
    """Marks of all test cells of an executed notebook, by nbgrader's rule.

    Unlike there, a cell has failed unless the kernel replied that it ran (see `execute.said`), and a warning on
    standard error is no failure.
    """
    marks = []
    for cell in filter(is_grade, notebook.cells):
        cell.outputs = [o for o in cell.outputs if not (o.output_type == "stream" and o.name == "stderr")]
        errors = [f"{o.ename}: {o.evalue}".strip(": ")[:300] for o in cell.outputs if o.output_type == "error"]
        try:
            points, _ = determine_grade(cell)
        except (ValueError, KeyError, TypeError):  # a value gives partial credit, and a submission forged one
            points, errors = 0.0, ["no points in its output"]
        if cell.metadata.get("status") != "ok":
            points, errors = 0.0, errors or ["did not run"]
        setup = cell.metadata.nbgrader
        marks.append(Mark(setup.grade_id, points, float(setup.points), errors[0] if errors else ""))
    return marks


def nothing(exercise: Exercise, remarks: list[Remark], absent: str = "did not run") -> Result:
    """No points: there is nothing that could run."""
    tests = [cell.metadata.nbgrader for cell in exercise.source.cells if is_grade(cell)]
    marks = [Mark(test.grade_id, 0.0, float(test.points), absent) for test in tests]
    return Result(exercise.name, marks, remarks, absent=absent)


def grade_one(exercise: Exercise, found: Found, limits: Limits, work: Path, hidden: tuple[Path, ...] = ()) -> Result:
    """Grade one exercise of one student."""
    if found.kind is None:
        return nothing(exercise, found.remarks, NOT_HANDED_IN)
    if found.matched is None:
        return nothing(exercise, found.remarks)
    try:
        ran = running.run(merge(found.matched), limits, work, hidden, found.beside)
    except TimeoutError as error:
        return nothing(exercise, [*found.remarks, Remark(str(error), Look.YES)])
    except (ChildProcessError, ValueError) as error:
        return nothing(exercise, [*found.remarks, Remark(f"the run gave no result: {error}", Look.YES)])
    remarks = list(found.remarks)
    if ran.note:
        remarks.append(Remark(ran.note, Look.YES if ran.doubt else Look.NO))
    remarks += [Remark(text, Look.IF_POINTS_ARE_MISSING) for text in left_out(ran.notebook)]
    code = {str(path): text.decode(errors="replace") for path, text in found.beside.items() if path.suffix == ".py"}
    return Result(exercise.name, score(ran.notebook), remarks, ran.notebook, beside=code)


def left_out(notebook: NotebookNode) -> list[str]:
    """What the cells of an executed notebook looked for and did not find: files or modules that were left out."""
    errors = [output for cell in notebook.cells for output in cell.get("outputs", []) if output.output_type == "error"]
    texts = [f"{str(error.evalue)[:100]}: was a file left out?" for error in errors if error.ename in ABSENT]
    return list(dict.fromkeys(texts))


def check(exercises: list[Exercise], limits: Limits, work: Path, hidden: tuple[Path, ...] = ()) -> None:
    """Run the solutions as submissions run, one after the other: they must pass, here and under these limits.

    Raises:
        ValueError: one does not; the message says why.
    """
    for exercise in exercises:
        try:
            ran = running.run(merge(match(exercise, exercise.source)), limits, work, hidden, own=True)
        except (TimeoutError, ChildProcessError) as error:
            raise ValueError(f"the solution of {exercise.name} does not run here: {error}") from error
        for mark in score(ran.notebook):
            if mark.points < mark.out_of:
                why = mark.why or ran.note
                raise ValueError(f"the solution of {exercise.name} fails {mark.test} here: {why}")


def table(reports: list[Report]) -> str:
    """The grades as CSV: a row per student; points per exercise, their sum, what a person should look at, and notes.

    A | stands between two remarks.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = [result.exercise for result in reports[0].results]
    writer.writerow(["student", *names, "points", "out_of", "look by hand", "notes"])
    for report in reports:
        points = [f"{result.points:g}" for result in report.results]
        said = [" | ".join(report.says(by_hand)) for by_hand in (True, False)]
        student, *said = map(as_text, (report.student, *said))
        writer.writerow([student, *points, f"{report.points:g}", f"{report.out_of:g}", *said])
    return out.getvalue()


def as_text(cell: str) -> str:
    """A cell of the CSV that no spreadsheet takes for a formula, whatever a student has called a file."""
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell


def overall(submission: Submission, chosen: Chosen, given: list[str]) -> list[Remark]:
    """Remarks on what a student handed in as a whole: what could not be opened, and files that belong to nothing."""
    missing, left = [name for name in given if chosen.found[name].kind is None], chosen.left
    if not (missing and left):
        return submission.remarks
    text = f"{len(left)} other file{'s were' if len(left) > 1 else ' was'} handed in: {listed(left)}"
    likely = any(is_notebook(name) or PurePosixPath(name).suffix.lower() in PACKED for name in left)
    return [*submission.remarks, Remark(text, Look.YES if likely or len(missing) == len(given) else Look.NO)]


def grade(
    submissions: Path,
    folder: Path,
    sources: dict[str, NotebookNode],
    limits: Limits = Limits(),
    jobs: int = 1,
    hidden: tuple[Path, ...] = (),
) -> list[Report]:
    """Grade every student and write ``folder``/grades.csv and ``folder``/STUDENT.html; both grow as students are done.

    What nobody handed in is left out. The solutions of the rest run first, see `check`.

    Args:
        submissions: see `submissions.collect`.
        sources: the exercises with solutions and hidden tests, by name.
        jobs: notebooks that run at a time.
        hidden: further folders that submissions shall not see.

    Raises:
        ValueError: nobody handed in anything, or as `collect` and `check`.
        OSError: the results cannot be written; this is tried first.
    """
    students, nobodys = collect(submissions, list(sources))
    exercises = [Exercise(name, source) for name, source in sources.items()]
    chosen = {submission.student: choose(submission, exercises) for submission in students}
    kinds = {name: {one.found[name].kind for one in chosen.values()} - {None} for name in sources}
    # A checkout holds all exercises; one that is nobody's own work was not set.
    given = [name for name in sources if kinds[name] - {Kind.SOURCE}] or [name for name in sources if kinds[name]]
    if not given:
        raise ValueError(f"no notebook in {submissions} is named like one of {', '.join(sources)}")
    exercises = [exercise for exercise in exercises if exercise.name in given]
    writable(folder)
    reports: list[Report] = []
    pages: dict[str, str] = {}

    def write(names: Iterable[str]) -> None:
        write_whole(folder / "grades.csv", table(reports).encode(errors="replace"))
        for name in names:
            write_whole(folder / name, pages[name].encode(errors="replace"))

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as work, running.side_by_side(jobs) as pool:
        hidden = tuple(path.resolve() for path in (*hidden, submissions, folder))
        check(exercises, limits, Path(work), hidden)
        start = lambda found, one: pool.submit(grade_one, one, found[one.name], limits, Path(work), hidden)
        waiting = {student: [start(own.found, one) for one in exercises] for student, own in chosen.items()}
        for submission in students:
            student = submission.student
            results = [future.result() for future in waiting[student]]
            report = Report(student, results, overall(submission, chosen[student], given))
            reports.append(report)
            pages[f"{student}.html"] = page(report)
            with suppress(OSError):  # without a fence a submission may delete them just now; the last writing counts
                write([f"{student}.html"])
            print(f"{student:24} {report.points:5g} of {report.out_of:g}", flush=True)
    write(pages)
    look_by_hand(reports, nobodys)
    return reports


def look_by_hand(reports: list[Report], nobodys: list[str]) -> None:
    """Print whose grades a person should look at, and which files belong to no student."""
    doubtful = [report for report in reports if report.says(by_hand=True)]
    if doubtful:
        print(f"\nLook by hand at {len(doubtful)} of {len(reports)}:")
    for report in doubtful:
        for text in report.says(by_hand=True):
            print(f"  {report.student:22} {text}")
    if nobodys:
        print(f"\nIn no student's folder, and not graded: {', '.join(nobodys)}")


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="tools.coursework.grade", description=__doc__.split(":")[0])
    parser.add_argument("submissions", type=Path, help="a folder with one folder per student")
    parser.add_argument("--sources", type=Path, default=SOURCES, help="folder of exercises with solutions")
    parser.add_argument("--to", type=Path, default=GRADES, help="where grades.csv and the pages go")
    parser.add_argument("--jobs", type=int, default=max(1, cores() // 2), help="notebooks at a time")
    seconds = "seconds of processor time that a %s may use"
    parser.add_argument("--cell-s", type=int, default=Limits.cell_s, help=seconds % "cell")
    parser.add_argument("--notebook-s", type=int, default=Limits.notebook_s, help=seconds % "notebook")
    parser.add_argument("--memory-gb", type=float, default=Limits.memory_gb, help="memory of a process")
    patience = "how many times as long both may take by the clock on the wall"
    parser.add_argument("--patience", type=int, default=Limits.patience, help=patience)
    options = parser.parse_args(arguments)
    limits = Limits(options.cell_s, options.notebook_s, options.patience, options.memory_gb)
    print(f"Submissions run with {fence.MEANS[fence.fence()]}.")
    try:
        sources = read(options.sources)
        grade(options.submissions, options.to, sources, limits, options.jobs, (options.sources,))
    except KeyboardInterrupt:
        print(f"\nstopped; {options.to / 'grades.csv'} has the students above, if any", file=sys.stderr)
        return 130
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"\n{options.to / 'grades.csv'}, and a page per student beside it")
    return 0


if __name__ == "__main__":
    sys.exit(main())
