"""Execute every notebook and say what it made: `make figures`, or `python -m tools.figures`."""

import argparse
import io
import os
import re
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import papermill
from papermill.engines import NBClientEngine, papermill_engines

from hetsyn_core import progress
from hetsyn_core.paths import ROOT, figures_folder, writable

# No time left: cells take from a moment to an hour. Behind stands the notebook's own bar, which knows it.
BAR = "{desc} |{bar:20}| {n}/{total} cells, {elapsed}{postfix}"
LINE = "{desc}: {n} of {total} cells, {elapsed}{postfix}"


class Live(NBClientEngine):
    """papermill's own engine whose bar shows that a long cell is alive: the clock runs, and what the
    notebook last wrote to stderr (its own progress bar, a message) stands behind it."""

    @classmethod
    def execute_managed_notebook(cls, notebook, kernel_name, **options):
        bar, stop = notebook.pbar, threading.Event()

        class Behind(io.TextIOBase):
            def write(self, text):
                lines = [line for line in text.replace("\r", "\n").splitlines() if line.strip()]
                if lines:  # of a bar only the numbers, to leave room for the time left
                    bar.set_postfix_str(re.sub(r"\|.*\|", "", lines[-1]).strip(), refresh=False)

        def tick():
            while not stop.wait(progress.EVERY_S if progress.lines() else 0.5):
                bar.refresh()

        threading.Thread(target=tick, daemon=True).start()
        try:
            return super().execute_managed_notebook(notebook, kernel_name, **{**options, "stderr_file": Behind()})
        finally:
            stop.set()


papermill_engines.register("live", Live)


def execute(notebook: Path, output: Path, **parameters) -> None:
    """Run one notebook, in its own folder as JupyterLab does, and write it with its outputs to `output`.

    Of the parameters only those pass that the notebook's `parameters` cell names.
    A notebook that fails is left as `output` with `.failed` in its name, to be opened at the error.
    Then papermill's own error is raised.
    """
    notebook, output = Path(notebook).resolve(), Path(output).resolve()
    output.parent.mkdir(parents=True, exist_ok=True)
    partial, failed = (output.with_suffix(f".{state}.ipynb") for state in ("partial", "failed"))
    # "python3" must be the Python that runs this, not a kernel the user once registered under that name.
    os.environ["JUPYTER_PATH"] = os.path.join(sys.prefix, "share", "jupyter")
    known, lines = papermill.inspect_notebook(notebook), progress.lines()
    try:
        papermill.execute_notebook(
            notebook,
            partial,
            {name: value for name, value in parameters.items() if name in known},
            engine_name="live",
            kernel_name="python3",
            cwd=notebook.parent,
            progress_bar={"desc": notebook.stem, **lines, "bar_format": LINE if lines else BAR},
            extra_arguments=["--IPKernelApp.log_level=CRITICAL"],  # its warnings are about its own ports
        )
    except papermill.PapermillExecutionError:
        partial.replace(failed)
        raise
    partial.replace(output)  # only now does the finished notebook take its name
    failed.unlink(missing_ok=True)


def snapshot(folder: Path) -> dict[Path, int]:
    """Files of figures in a folder and when each was last written."""
    return {path: path.stat().st_mtime_ns for path in folder.glob("*") if path.suffix in (".png", ".svg")}


def reason(error: Exception) -> str:
    """One line for a person: which cell failed and why."""
    if isinstance(error, papermill.PapermillExecutionError):
        return f"In [{error.exec_count}]: {error.ename}: {(error.evalue.splitlines() or [''])[0]}"
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"


def make(notebooks: Sequence[Path], build: Path, figures: Path, **parameters) -> list[tuple]:
    """Execute the notebooks one after the other; one row each: (name, seconds, figures, error or None)."""
    rows = []
    for notebook in notebooks:
        before, start, error = snapshot(figures), time.monotonic(), None
        try:
            execute(notebook, build / notebook.name, **parameters)
        except Exception as caught:  # the other notebooks still run
            error = reason(caught)
        made = sorted(path.name for path, written in snapshot(figures).items() if before.get(path) != written)
        rows.append((notebook.name, time.monotonic() - start, made, error))
    return rows


def table(rows: Sequence[tuple]) -> str:
    """What `make` returned, one line per notebook, and a line for each error."""
    width = max(len(name) for name, *_ in rows)
    lines = [f"{'notebook':{width}}  {'time':>8}  status  figures"]
    for name, seconds, made, error in rows:
        clock = f"{seconds // 60:.0f}:{seconds % 60:04.1f}"
        lines.append(f"{name:{width}}  {clock:>8}  {'failed' if error else 'ok':6}  {', '.join(made) or '-'}")
    lines += [f"{name}: {error}" for name, _, _, error in rows if error]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 1 where a notebook failed."""
    parser = argparse.ArgumentParser(prog="tools.figures", description=__doc__.split(":")[0])
    parser.add_argument("--profile", choices=("smoke", "quick", "paper"), default="paper")
    parser.add_argument("--fresh", action="store_true", help="compute again what is on record")
    parser.add_argument("--notebooks", type=Path, default=ROOT / "notebooks")
    parser.add_argument("--build", type=Path, default=ROOT / "build", help="where executed notebooks go")
    options = parser.parse_args(arguments)

    notebooks = sorted(options.notebooks.glob("[0-9][0-9]_*.ipynb"))
    if not notebooks:
        print(f"no notebooks in {options.notebooks}", file=sys.stderr)
        return 1
    figures = figures_folder()
    try:
        writable(figures), writable(options.build)
    except OSError as error:
        print(error, file=sys.stderr)
        return 1
    try:
        rows = make(notebooks, options.build, figures, profile=options.profile, fresh=options.fresh)
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    print(f"\n{table(rows)}\n\nfigures in {figures}, executed notebooks in {options.build}")
    return 1 if any(error for *_, error in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
