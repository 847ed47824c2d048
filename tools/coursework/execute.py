"""Execute a notebook under limits: reads a job from standard input, writes the notebook with its outputs.

Started by `grade` as a program; the kernel that runs the cells is one more process.
"""

import json
import resource
import subprocess
import sys
import time

import nbformat
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
        try:
            resource.setrlimit(kind, (most, most))
        except (ValueError, OSError):  # macOS has no limit of the address space
            pass


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


def said(cell: NotebookNode, cell_index: int, execute_reply: dict | None) -> None:
    """Note what the kernel replied to a cell: the only proof that it ran. Outputs get lost where one floods them."""
    content = execute_reply["content"] if execute_reply else {"status": "no reply"}
    cell.metadata["status"] = content["status"]
    if content["status"] != "ok" and not any(output.output_type == "error" for output in cell.outputs):
        what = {name: content.get(name, "") for name in ("ename", "evalue")}
        cell.outputs.append(nbformat.v4.new_output("error", **what, traceback=[]))


class OutOfTimeError(Exception):
    """The notebook as a whole has run too long."""


def execute(notebook: NotebookNode, cell_s: int, notebook_s: int, output_mb: float) -> str:
    """Run every cell, in place; an error or the end of its time ends a cell, not the notebook.

    Returns:
        what a person should know of the run, or an empty string.
    """
    end = time.monotonic() + notebook_s

    def time_for(cell: NotebookNode) -> float:
        left = end - time.monotonic()
        if left < 1:
            raise OutOfTimeError
        return min(cell_s, int(left))

    client = Client(
        notebook,
        # Files, not ports: these work where there is no network.
        AsyncKernelManager(kernel_name="python3", transport="ipc", ip="kernel"),
        allow_errors=True,
        timeout_func=time_for,
        interrupt_on_timeout=True,
        error_on_timeout={"ename": "TimeoutError", "evalue": "this cell ran too long", "traceback": []},
        iopub_timeout=5,
        shutdown_kernel="immediate",
    )
    client.on_cell_executed = said
    client.owns_km = True  # so that the kernel ends with it
    client.most = int(output_mb * 1e6)
    try:
        client.execute(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    except DeadKernelError:
        return "a cell ended Python itself"
    except OutOfTimeError:
        return f"stopped after {notebook_s} s"
    return ""


def main() -> None:
    """Read {"notebook": ..., limits ...} from standard input, write {"notebook": ..., "note": ...}."""
    job = json.load(sys.stdin)
    notebook = nbformat.from_dict(job.pop("notebook"))
    limit(**job)
    note = execute(notebook, job["cell_s"], job["notebook_s"], job["output_mb"])
    json.dump({"notebook": notebook, "note": note}, sys.stdout)


if __name__ == "__main__":
    main()
