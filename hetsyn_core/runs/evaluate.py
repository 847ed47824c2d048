"""How good a network is: means over tested trials."""

from collections import Counter
from collections.abc import Callable, Iterable

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

from ..model.layer import Network, Traces
from ..tasks.task import TEST, TEST_SEED, VALIDATION, Task

Measure = Callable[[Traces, Tensor], dict[str, Tensor | np.ndarray | list[float]]]


def split_rng(split: str = "test") -> Generator:
    """The random numbers of a split's trials, the same for every network of a task."""
    return np.random.default_rng([TEST_SEED, {"test": TEST, "validation": VALIDATION}[split]])


@torch.no_grad()
def evaluate(
    network: Network, batches: Iterable[tuple[Tensor, Tensor]], measure: Measure, trials: int = 0
) -> dict[str, float]:
    """Means over trials of what ``measure`` names; the network may be on any device.

    Args:
        batches: (x, wanted), see `Task.batches`.
        measure: named values of each trial, see `Task.measure`.
        trials: stop once so many are tested; 0 means all there are.

    Raises:
        ValueError: there is no batch.
    """
    device, was_training = next(network.parameters()).device, network.training
    network.eval()
    sums, count = Counter(), 0
    for x, wanted in batches:
        for name, values in measure(network(x.to(device)), wanted.to(device)).items():
            # A list is summed sequentially: committed records depend on it to the last bit.
            sums[name] += sum(values) if isinstance(values, list) else float(values.sum())
        count += len(x)
        if trials and count >= trials:
            break
    network.train(was_training)
    if not count:
        raise ValueError("there is nothing to test: the task gives no batch")
    return {name: total / count for name, total in sums.items()}


def performance(network: Network, task: Task, split: str = "test") -> dict[str, float]:
    """`evaluate` on a split of a task, with "rate_hz", the mean firing rate of the hidden neurons."""

    def measure(traces: Traces, wanted: Tensor) -> dict[str, Tensor | np.ndarray | list[float]]:
        return {"rate_hz": [mean_rate_hz(traces, task.step_ms()) * len(traces.readout)]} | task.measure(traces, wanted)

    return evaluate(network, task.batches(split, split_rng(split)), measure, task.test_trials)


def mean_rate_hz(traces: Traces, step_ms: float) -> float:
    """Mean firing rate over the hidden neurons of all layers, over time and trials."""
    return float(torch.cat(traces.spikes, 2).mean()) * 1000 / step_ms
