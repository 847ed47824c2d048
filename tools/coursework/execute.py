"""Execute a notebook under limits: reads a job from standard input, writes the notebook with its outputs.

Started by `grade` as a program; the kernel that runs the cells is one more process.
"""

import asyncio
import json
import os
import resource
import subprocess
import sys
import time
from contextlib import suppress

import nbformat
import psutil
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import DeadKernelError
from nbformat import NotebookNode


def limit(memory_gb: float, file_mb: int, notebook_s: int, **_) -> None:
    """Limit this process and all that it starts; see `fence.Limits`."""
    for kind, most in (
        (resource.RLIMIT_AS, int(memory_gb * 1e9)),
        (resource.RLIMIT_FSIZE, int(file_mb * 1e6)),
        (resource.RLIMIT_CPU, 2 * notebook_s),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        if hard != resource.RLIM_INFINITY:
            most = min(most, hard)
        with suppress(ValueError, OSError):  # macOS has no limit of the address space
            resource.setrlimit(kind, (most, most))


class Client(NotebookClient):
    """nbclient, but of what a cell prints only the first ``most`` characters are kept."""

    most = 10**6

    def output(self, outs, msg, display_id, cell_index):
        self.seen = self.seen if getattr(self, "cell", None) == cell_index else 0
        self.cell = cell_index
        self.seen += len(str(msg["content"]))
        if self.seen > self.most and msg["msg_type"] != "error":
            return None
        return super().output(outs, msg, display_id, cell_index)


WAITED = "this cell took too long by the clock on the wall"


def said(cell: NotebookNode, cell_index: int, execute_reply: dict | None) -> None:
    """Note what the kernel replied to a cell: the only proof that it ran. Outputs get lost where one floods them."""
    content = execute_reply["content"] if execute_reply else {"status": "no reply"}
    cell.metadata["status"] = content["status"]
    if content.get("evalue") == WAITED:
        cell.outputs = [output for output in cell.outputs if output.output_type != "error"]
    if content["status"] != "ok" and not any(output.output_type == "error" for output in cell.outputs):
        cell.outputs.append(error(content.get("ename", ""), content.get("evalue", "")))


def error(name: str, text: str) -> NotebookNode:
    """An error among the outputs of a cell."""
    return nbformat.v4.new_output("error", ename=name, evalue=text, traceback=[f"{name}: {text}".strip(": ")])


def processor_seconds() -> float:
    """Of all that was started from here, also of what has ended since; this program's own do not count."""
    total, mark = 0.0, os.environ.get("HETSYN_GRADED")
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get("HETSYN_GRADED") == mark:
                times = process.cpu_times()
                total += getattr(times, "children_user", 0) + getattr(times, "children_system", 0)
                if process.pid != os.getpid():
                    total += times.user + times.system
    return total


class Watch:
    """Interrupts a cell that has used up its processor time; ends the kernel if it goes on, or the notebook's is up.

    A cell is always interrupted first: one that floods its output keeps this program busy, so that its time may be
    long up when it is looked at.
    """

    EVERY_S = 0.5

    def __init__(self, manager: AsyncKernelManager, cell_s: int, notebook_s: int) -> None:
        self.manager, self.cell_s, self.notebook_s = manager, cell_s, notebook_s
        self.spent_s = self.before_s = 0.0
        self.interrupted_s: float | None = None  # what the cell had used when it was first interrupted
        self.cell, self.stopped = -1, set()  # index of the cell that runs, those of the cells that were interrupted
        self.ended = ""  # why the kernel was ended

    def begin(self, cell: NotebookNode, cell_index: int) -> None:
        """A cell starts."""
        self.cell, self.before_s, self.interrupted_s = cell_index, self.look(), None

    def look(self) -> float:
        """Seconds spent until now."""
        self.spent_s = max(self.spent_s, processor_seconds())
        return self.spent_s

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await asyncio.sleep(self.EVERY_S)
            used = self.look() - self.before_s
            if self.spent_s > self.notebook_s:
                self.ended = f"stopped after {self.notebook_s} s of processor time"
            elif self.interrupted_s is not None and used - self.interrupted_s > 0.5 * self.cell_s + 2:
                self.ended = "a cell could not be interrupted"
            if self.ended:
                await self.manager.signal_kernel(9)
            elif used > self.cell_s and self.cell >= 0:
                self.stopped.add(self.cell)
                self.interrupted_s = used if self.interrupted_s is None else self.interrupted_s
                await self.manager.interrupt_kernel()


class OutOfTimeError(Exception):
    """The notebook as a whole has run too long by the clock on the wall."""


async def execute(
    notebook: NotebookNode, cell_s: int, notebook_s: int, patience: int, output_mb: float
) -> tuple[str, bool]:
    """Run every cell, in place; an error or the end of its time ends a cell, not the notebook.

    Returns:
        what a person should know of the run, or ""; and whether the machine may be the reason for it: it was
        stopped by the clock on the wall, or Python ended though nobody ended it, as without memory.
    """
    end = time.monotonic() + patience * notebook_s

    def time_for(cell: NotebookNode) -> float:
        left = end - time.monotonic()
        if left < 1:
            raise OutOfTimeError
        return min(patience * cell_s, int(left))

    # Files, not ports: these work where there is no network.
    manager = AsyncKernelManager(kernel_name="python3", transport="ipc", ip="kernel")
    client = Client(
        notebook,
        manager,
        allow_errors=True,
        timeout_func=time_for,
        interrupt_on_timeout=True,
        error_on_timeout={"ename": "TimeoutError", "evalue": WAITED, "traceback": []},
        iopub_timeout=5,
        shutdown_kernel="immediate",
    )
    watch = Watch(manager, cell_s, notebook_s)
    client.on_cell_execute = watch.begin
    client.on_cell_executed = said
    client.owns_km = True  # so that the kernel ends with it
    client.most = int(output_mb * 1e6)
    watching = asyncio.ensure_future(watch.run())
    note, doubt = "", False
    try:
        await client.async_execute(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    except DeadKernelError:
        note, doubt = watch.ended or "a cell ended the Python process", not watch.ended
    except OutOfTimeError:
        note, doubt = f"stopped after {patience * notebook_s} s on the clock on the wall", True
    finally:
        watching.cancel()
    for index in watch.stopped:
        cell = notebook.cells[index]
        if cell.metadata.get("status") != "ok":
            others = [output for output in cell.outputs if output.output_type != "error"]
            cell.outputs = [*others, error("TimeoutError", f"this cell used more than {cell_s} s of processor time")]
    if watch.stopped:
        note = note or f"a cell was stopped after {cell_s} s of processor time"
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    if any(output.output_type == "error" and output.evalue == WAITED for output in outputs):
        long = f"a cell took more than {patience * cell_s} s by the clock on the wall"
        note, doubt = f"{long}; {note}" if note else long, True
    return note, doubt


def main() -> None:
    """Read {"notebook": ..., limits ...} from standard input, write {"notebook": ..., "note": ..., "doubt": ...}."""
    job = json.load(sys.stdin)
    notebook = nbformat.from_dict(job.pop("notebook"))
    limit(**job)
    limits = {name: job[name] for name in ("cell_s", "notebook_s", "patience", "output_mb")}
    note, doubt = asyncio.run(execute(notebook, **limits))
    json.dump({"notebook": notebook, "note": note, "doubt": doubt}, sys.stdout)


if __name__ == "__main__":
    main()
