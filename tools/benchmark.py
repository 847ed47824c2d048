"""Time a training step of the paper's networks on the CPU and on the GPU, if there is one.

python -m tools.benchmark [--growth] [--quick] [--device cpu|cuda] [--threads N] [--seconds S] [--json FILE]

A row is a network on a device: fused, the reference, and the fused homogeneous model for comparison. The floor is the
time the device would need for the multiply-adds of HetSynLIF (see `work`) at the rate of its float32 matrix product, or
for the bytes at the rate of a copy, whichever is longer. With HETSYN_PEERS=/path/to/python of an environment that has
them, snnTorch, Norse and SpikingJelly run a homogeneous LIF network of the same shape, each as its own documentation
shows. Every measurement has a process of its own. Input is random, with the tasks' numbers of spikes. Where the task
takes float32 below 1.2e-38 for zero (S-MNIST), so do all: without it a library may need ten times as long there.

With --growth instead: how the time grows with steps, batch and synapses of one network, all in this process.
"""

import argparse
import json
import multiprocessing
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median, quantiles

import numpy as np
import torch

from hetsyn_core.model import reference
from hetsyn_core.model.fast import dispatch as fused
from hetsyn_core.model.fast.limits import tiny_is_zero
from hetsyn_core.model.layer import Network
from hetsyn_core.model.surrogate import MultiGaussian, Triangular
from hetsyn_core.paths import write_whole
from hetsyn_core.tasks.networks import SHAPES, Shape

from . import benchmark_peers
from .benchmark_peers import PEERS, clock_of, measure, training_step

OURS = (("fused", "HetSynLIF"), ("fused", "HomNeuLIF"), ("reference", "HetSynLIF"))
GROWING = Shape("growth", 8, 200, (100, 100, 2), True, 0.04)
AXES = {"steps": (50, 100, 200, 400, 800), "batch": (1, 4, 16, 64), "neurons": (25, 50, 100, 200, 400)}
FEATURES = ("avx2", "fma", "avx512f", "neon", "sve")  # what decides how many numbers a processor handles at once


def synapses(shape: Shape) -> list[tuple[int, int]]:
    """Feedforward and recurrent synapses of each layer."""
    last = len(shape.sizes) - 2
    pairs = enumerate(pairwise(shape.sizes))
    return [(m * n, n * n if shape.recurrent and k < last else 0) for k, (m, n) in pairs]


def work(shape: Shape) -> tuple[int, int]:
    """Multiply-adds and bytes of a training step of HetSynLIF.

    A synapse takes two multiply-adds a step forward (its current; the sum) and two for the gradients of weight and
    decay (a, b), all from the first spike it gets in a trial: `lively` says for what share of the steps on average. An
    input spike takes two more at each of its synapses (the sums of the gradients), and each step two where a synapse
    sends gradients on. Hidden neurons count as if they spiked early in every trial, but rarely: where many stay silent,
    a step can take less.
    Bytes: the input read twice; current, potential, spikes, their gradients and dL/dV once each way; weights, decays,
    their gradients and Adam's moments.
    """
    layers = synapses(shape)
    of_input = 4 * lively(shape) + 2 * shape.density
    adds = sum((4 + 2 if k else of_input) * m + (4 + 2) * n for k, (m, n) in enumerate(layers))
    floats = 2 * shape.sizes[0] + 10 * sum(shape.sizes[1:])
    trial_steps = shape.batch * shape.steps
    return round(trial_steps * adds), 4 * (trial_steps * floats + 2 * 8 * sum(m + n for m, n in layers))


def lively(shape: Shape) -> float:
    """Mean share of a trial's steps from an input's first spike on, where it spikes with the shape's density."""
    silent = (1 - shape.density) ** np.arange(1, shape.steps + 1)  # chance of no spike up to each step
    return 1 - silent.mean()


def rates(device: str) -> tuple[float, float]:
    """Multiply-adds per second of a float32 matrix product (no TF32), and bytes per second of a copy, both ways."""
    n, size = (8192, 2**28) if device == "cuda" else (1024, 2**24)
    a, x = torch.randn(n, n, device=device), torch.randn(size, device=device)
    y = torch.empty_like(x)
    return n**3 / _fastest(lambda: a @ a, device), 8 * size / _fastest(lambda: y.copy_(x), device)


def _fastest(call: Callable, device: str) -> float:
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    clock, found = clock_of(device), []
    for _ in range(10):
        wait()
        start = clock()
        call()
        wait()
        found.append(clock() - start)
    return min(found)


def time_ours(shape: Shape, implementation: str, variant: str, device: str, threads: int, seconds: float) -> dict:
    """`measure` for one of our networks."""
    torch.set_num_threads(threads)
    using = {"fused": fused, "reference": reference}[implementation]

    def make_step(batch: int, steps: int) -> Callable[[], None]:
        network = Network(
            shape.sizes,
            variant=variant,
            recurrent=shape.recurrent,
            surrogate=MultiGaussian() if shape.gaussian else Triangular(),
            readout="spiking" if shape.spiking_readout else "leaky",
            generator=torch.Generator().manual_seed(0),
        ).to(device)

        def run(x):
            traces = network(x, using=using)
            return traces.readout if traces.readout_spikes is None else traces.readout_spikes, traces.spikes

        return training_step(network, run, asdict(shape), batch, steps, device)

    try:
        with tiny_is_zero(shape.tiny_is_zero):
            return measure(make_step, asdict(shape), device, seconds)
    except torch.OutOfMemoryError:
        return {"error": "more memory than the device has"}


def needed(shape: Shape) -> int:
    """Bytes the reference keeps for the backward pass, at least: a current per synapse, trial and step."""
    return 4 * shape.batch * shape.steps * sum(m + n for m, n in synapses(shape))


def alone(function: Callable[..., dict], *args) -> dict:
    """Call in a process of its own: its memory is its own, and so is its end."""
    try:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            return pool.submit(function, *args).result()
    except BrokenProcessPool:
        return {"error": "ended by the system, which most likely had no more memory"}


def time_peer(python: str, peer: str, shape: Shape, device: str, threads: int, seconds: float) -> dict:
    """`measure` for a peer in the environment of ``python``."""
    task = {"peer": peer, "shape": asdict(shape), "device": device, "threads": threads, "seconds": seconds}
    script = Path(benchmark_peers.__file__).read_text()
    done = subprocess.run([python, "-", json.dumps(task)], input=script, capture_output=True, text=True)
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or ["ended without a word"])[-1]}
    return json.loads(done.stdout.strip().splitlines()[-1])


def benchmark(
    shapes: tuple[Shape, ...],
    devices: list[str],
    threads: int,
    seconds: float,
    say: Callable[[str], None],
    keep: Callable[[dict], None],
) -> None:
    """Measure all: ``say`` gets the table, line by line, ``keep`` what is measured so far, after each row.

    That is "devices" (name, rates, versions) and "rows"; where this ends early, nothing is lost.
    """
    peers = os.environ.get("HETSYN_PEERS")
    report = {"threads": threads, "python": platform.python_version(), "devices": {}, "rows": []}
    for device in devices:
        report["devices"][device] = found = _device(device, threads, say)
        say(f"{'':20}{'':28}{'ms a step':>10} {'(middle half)':>17}{'MB':>8}{'/ floor':>9}{'/ fused':>9}")
        for shape in shapes:
            floor = floor_s(shape, found)
            fused_s = None
            for who, times in _measurements(shape, device, threads, seconds, peers):
                row = {"shape": asdict(shape), "device": device, "who": who, "floor_s": floor, **_summary(times)}
                if who == "HetSynLIF, fused":
                    fused_s = row.get("median_s")
                report["rows"].append(row)
                say(_line(row, fused_s))
                keep(report)


def growth(
    devices: list[str],
    threads: int,
    seconds: float,
    say: Callable[[str], None],
    keep: Callable[[dict], None],
    axes: dict[str, tuple[int, ...]] = AXES,
) -> None:
    """How a training step of `GROWING` takes longer when one of ``axes`` grows; as `benchmark`.

    In place of "rows" there is "growth", one row per point.
    """
    report = {"threads": threads, "python": platform.python_version(), "devices": {}, "growth": []}
    for device in devices:
        report["devices"][device] = found = _device(device, threads, say)
        for axis, value in ((axis, value) for axis, values in axes.items() for value in values):
            shape = grown(axis, value)
            for implementation, variant in OURS:
                times = _ours(shape, implementation, variant, device, threads, seconds, call=time_ours)
                row = {"device": device, "axis": axis, "steps": shape.steps, "batch": shape.batch}
                row |= {"synapses": sum(m + n for m, n in synapses(shape)), "who": f"{variant}, {implementation}"}
                row |= {"floor_s": floor_s(shape, found), **_summary(times)}
                row["repetitions"] = len(row.pop("seconds", ()))
                row.pop("peak_bytes", None)  # of one process for all, which says nothing
                report["growth"].append(row)
                ms = f"{1e3 * row['median_s']:10,.2f} ms" if "median_s" in row else row["error"]
                say(f"{axis:8}{value:6}  {row['who']:24}{ms}")
                keep(report)


def grown(axis: str, value: int) -> Shape:
    """`GROWING` with another number of "steps", of trials in the "batch", or of inputs and hidden "neurons" each."""
    return replace(GROWING, **({"sizes": (value, value, 2)} if axis == "neurons" else {axis: value}))


def floor_s(shape: Shape, device: dict) -> float:
    """Seconds that the `work` of a training step would take at a device's rates."""
    multiply_adds, moved = work(shape)
    return max(multiply_adds / device["multiply_adds_per_s"], moved / device["bytes_per_s"])


def _device(device: str, threads: int, say: Callable[[str], None]) -> dict:
    torch.set_num_threads(threads)
    adds, copied = rates(device)
    name = torch.cuda.get_device_name() if device == "cuda" else f"{_processor()}, {threads} thread(s)"
    say(f"{name}: {adds / 1e9:,.0f} G multiply-adds/s, {copied / 1e9:,.0f} GB/s copied")
    found = {"name": name, "multiply_adds_per_s": adds, "bytes_per_s": copied, "versions": _versions(device)}
    return found if device == "cuda" else found | {"features": _features()}


def _measurements(shape: Shape, device: str, threads: int, seconds: float, peers: str | None):
    for implementation, variant in OURS:
        found = _ours(shape, implementation, variant, device, threads, seconds, call=partial(alone, time_ours))
        yield f"{variant}, {implementation}", found
    for peer in PEERS if peers else ():
        found = time_peer(peers, peer, shape, device, threads, seconds)
        yield f"LIF, {peer} {found.get('versions', {}).get(peer, '')}".strip(), found


def _ours(shape: Shape, implementation: str, variant: str, device: str, *args, call: Callable[..., dict]) -> dict:
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if implementation == "reference" and device == "cpu" and 3 * needed(shape) > memory:
        return {"error": f"would keep {needed(shape) / 1e9:.0f} GB of currents, more than a third of the memory"}
    return call(shape, implementation, variant, device, *args)


def _summary(found: dict) -> dict:
    if "error" in found:
        return found
    low, _, high = quantiles(found["seconds"], n=4)
    return {"median_s": median(found["seconds"]), "quartiles_s": [low, high]} | found


def _line(row: dict, fused_s: float | None) -> str:
    start = f"{row['shape']['name']:20}{row['who']:28}"
    if "error" in row:
        return start + row["error"]
    ms, (low, high) = row["median_s"] * 1e3, (1e3 * s for s in row["quartiles_s"])
    memory = "" if row["peak_bytes"] is None else f"{row['peak_bytes'] / 1e6:,.0f}"
    to_fused = f"{row['median_s'] / fused_s:9,.1f}" if fused_s else ""
    to_floor = f"{row['median_s'] / row['floor_s']:9,.1f}"
    return f"{start}{ms:10,.2f} {f'({low:,.2f}-{high:,.2f})':>17}{memory:>8}{to_floor}{to_fused}"


def _versions(device: str) -> dict:
    found = {"torch": torch.__version__, "numpy": np.__version__}
    if device == "cuda":
        import triton

        return found | {"triton": triton.__version__, "cuda": torch.version.cuda}
    import numba

    return found | {"numba": numba.__version__}


def _features() -> list[str]:
    from llvmlite.binding import get_host_cpu_features  # here, since on a GPU no Numba is needed

    return [name for name in FEATURES if get_host_cpu_features().get(name)]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.benchmark", description="Time training steps.")
    parser.add_argument("--growth", action="store_true", help="time against steps, batch and synapses of one network")
    parser.add_argument("--quick", action="store_true", help="a tenth of the steps, at most 4 trials, little patience")
    found = ["cpu"] + ["cuda"] * torch.cuda.is_available()
    parser.add_argument("--device", choices=found, action="append", help="measure this one alone (default: all found)")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU (default: 1)")
    patience = "for how long to repeat a step (default: 10; growth: 0.5; quick: 0.3)"
    parser.add_argument("--seconds", type=float, help=patience)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured")
    options = parser.parse_args(arguments)
    seconds = options.seconds or (0.3 if options.quick else 0.5 if options.growth else 10.0)

    def keep(report: dict) -> None:
        if options.json:
            write_whole(options.json, json.dumps(report, indent=1).encode())

    settings = options.device or found, options.threads, seconds, lambda line: print(line, flush=True), keep
    if options.growth:
        axes = {axis: values[:3] for axis, values in AXES.items()} if options.quick else AXES
        growth(*settings, axes)
    else:
        quick = (replace(s, batch=min(s.batch, 4), steps=s.steps // 10) for s in SHAPES)
        benchmark(tuple(quick) if options.quick else SHAPES, *settings)
    if options.json:
        print(f"written: {options.json}", file=sys.stderr)


if __name__ == "__main__":
    main()
