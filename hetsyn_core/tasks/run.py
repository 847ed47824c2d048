"""What every run has: a network of one variant, how it learns, and a task, which is a subclass."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from itertools import repeat
from typing import ClassVar

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler, StepLR

from ..model.layer import VARIANTS, Network, Traces, Variant, draw_tau
from ..model.surrogate import Surrogate, Triangular

RATE_WEIGHT = 0.01  # of the rate penalty
TEMPLATE, TRAINING, TEST, VALIDATION, DROPOUT = range(5)  # independent streams of random numbers
TEST_SEED = 20_251_164  # every network is tested on trials of this seed, whatever its own
TEST_BATCH = 64
WINDOW = 10  # iterations in a moving mean of the learning curve


@dataclass(frozen=True, kw_only=True)
class Run(ABC):
    """All that decides a run. A task of your own is a subclass with four methods; `train` does the rest.

        class Louder(Run):
            def sizes(self): return 10, *self.hidden, 2
            def batches(self, split, rng): ...   # yields (x, wanted) for ever, or once through a data set
            def loss(self, traces, wanted): ...  # a scalar
            def measure(self, traces, wanted): ...  # {"accuracy": one value a trial}

    Settings of its own are fields of a dataclass (frozen, kw_only), see `MatchToSample`.

    Raises:
        ValueError: a value is out of range; the message names the field.
    """

    variant: str = "HetSynLIF"
    recurrent: bool = False  # R-, else F-
    hidden: tuple[int, ...] = (100,)  # neurons of each hidden layer; one number for one layer
    seed: int = 0
    iterations: int = 1000  # batches in an epoch; 0: once through the training data
    epochs: int = 1  # after each, a test and a checkpoint
    batch: int = 32
    lr: float = 1e-3
    decay_lr_scale: float = 1.0  # learning rate of the decays / that of the weights
    dt_ms: float = 1.0
    tau_s_ms: float = 20.0  # time constant of all synapses where it is fixed (HomNeuLIF, HomNeuALIF)
    tau_s_draw: tuple[str, float, float] = ("normal", 20.0, 5.0)  # where trained ones start, see `layer.draw_tau`
    tau_reset_ms: float | None = 20.0  # tau_J; None ties it to the neuron's decay
    tau_a_ms: float = 500.0  # adaptation, HomNeuALIF alone
    a: float = 0.01
    frozen: float = 0.0  # share of decays that keep their initial value
    parameterization: str = "decay"  # what the optimiser sees: "decay", "tau" (in seconds) or "log_tau"
    groups: int | None = None  # HetSynLIF alone: synapses of each layer share this many decays
    grouped_by: str = "random"  # or those from ("pre"), or onto ("post"), a neuron stay together
    dropout: float = 0.0  # share of a hidden layer's spikes that the next layer misses in training
    test_trials: int = 512  # tested after each epoch; 0: all there are
    detail: bool = False  # keep decays, the trained network and one example trial in the record

    version: ClassVar[int] = 1  # raise it when results change; records of the old code are then no longer found
    surrogate: ClassVar[Surrogate] = Triangular()
    spiking_readout: ClassVar[bool] = False

    @abstractmethod
    def sizes(self) -> tuple[int, ...]:
        """Neurons of each layer, input and readout included."""

    @abstractmethod
    def batches(self, split: str, rng: Generator) -> Iterable[tuple[Tensor, Tensor]]:
        """Batches (x, wanted) of a split, "train", "validation" or "test".

        x is (trials, time, input). Where trials are drawn, there is no end to them; a data set is passed once, in the
        order that ``rng`` gives. Draw from ``rng`` alone, for the same seed to give the same run.
        """

    @abstractmethod
    def loss(self, traces: Traces, wanted: Tensor) -> Tensor:
        """What training makes small, a scalar."""

    @abstractmethod
    def measure(self, traces: Traces, wanted: Tensor) -> dict[str, np.ndarray | list[float]]:
        """How well each trial went: named values, one a trial; the first is the learning curve."""

    def measured(self, traces: Traces, wanted: Tensor) -> dict[str, np.ndarray | list[float]]:
        """What `measure` says of traces on any device.

        A task may measure them where they are, which spares a GPU sending all of them to the CPU.
        """
        return self.measure(traces.cpu(), wanted.cpu())

    def score(self, traces: Traces, wanted: Tensor) -> tuple[str, Tensor | float]:
        """Name and value of the learning curve at a training batch: the mean of what `measure` says first.

        A task may say the same as a tensor where the network is, so that a step on a GPU need not wait for it.
        """
        name, values = next(iter(self.measured(traces, wanted).items()))
        return name, float(np.mean(values))

    def optimiser(self, network: Network) -> tuple[torch.optim.Optimizer, LRScheduler]:
        """Adam, all rates times 0.8 every 100 batches (paper, section 4)."""
        optimiser = torch.optim.Adam(self.parameter_groups(network))
        return optimiser, StepLR(optimiser, step_size=100, gamma=0.8)

    def after(self, network: Network, trained: dict) -> dict[str, float | None]:
        """Further metrics, of the trained network or of ``trained``, the curves of its training."""
        return {}

    def drawn(self, split: str) -> Iterable[int]:
        """How many trials to draw for each batch: ``batch`` for ever in training, else ``test_trials`` in all."""
        if split == "train":
            return repeat(self.batch)
        full, rest = divmod(self.test_trials, TEST_BATCH)
        return [TEST_BATCH] * full + [rest] * (rest > 0)

    def splits(self) -> tuple[str, ...]:
        """What is tested after each epoch: "test", and "validation" where the task has it."""
        return ("test",)

    def step_ms(self) -> float:
        """Duration of a step of the input, for rates."""
        return self.dt_ms

    def epoch(self) -> int:
        """Batches in an epoch."""
        return self.iterations

    def replace(self, **changes) -> "Run":
        """This run but for some settings."""
        return replace(self, **changes)

    def network(self, sizes: tuple[int, ...] | None = None) -> Network:
        """The network of this run before training, drawn from its seed; ``sizes`` where its data are not here."""
        variant = VARIANTS[self.variant]
        return Network(
            sizes or self.sizes(),
            variant=Variant(self.groups, trainable=True) if self.groups else variant,
            recurrent=self.recurrent,
            grouped_by=self.grouped_by,
            tau_s_ms=self.tau_s_ms,
            tau_s_draw=self.tau_s_draw,
            adaptation=(self.tau_a_ms, self.a),
            dt_ms=self.dt_ms,
            tau_reset_ms=self.tau_reset_ms,
            frozen=self.frozen,
            parameterization=self.parameterization,
            surrogate=self.surrogate,
            spiking_readout=self.spiking_readout,
            dropout=self.dropout,
            generator=torch.Generator().manual_seed(self.seed),
        )

    def parameter_groups(self, network: Network) -> list[dict]:
        """Weights, and decays where they learn, each with its rate, for an optimiser."""
        groups = [{"params": network.weights(), "lr": self.lr}]
        if decays := network.decay_parameters():
            groups.append({"params": decays, "lr": self.lr * self.decay_lr_scale})
        return groups

    def __post_init__(self):
        for field in fields(self):  # JSON knows no tuples, and one hidden layer needs none
            value = getattr(self, field.name)
            if isinstance(value, list) or field.name == "hidden" and whole(value):
                object.__setattr__(self, field.name, tuple(value) if isinstance(value, list) else (value,))
        check = self.check
        check("variant", self.variant in VARIANTS, f"one of {', '.join(VARIANTS)}")
        known = ("decay", "tau", "log_tau")
        check("parameterization", self.parameterization in known, "'decay', 'tau' or 'log_tau'")
        for name in "recurrent", "detail":
            check(name, isinstance(getattr(self, name), bool), "True or False")
        layers = isinstance(self.hidden, tuple) and all(whole(n) and n > 0 for n in self.hidden)
        check("hidden", layers and self.hidden, "a positive whole number, or one for each layer")
        for name in "epochs", "batch":
            check(name, whole(getattr(self, name)) and getattr(self, name) > 0, "a positive whole number")
        ends = type(self).epoch is not Run.epoch  # as a data set does; of trials that are drawn, 0 are none
        for name in "iterations", "test_trials":
            value = getattr(self, name)
            check(name, whole(value) and value >= 0 and (value or ends), "a positive whole number")
        check("seed", whole(self.seed) and self.seed >= 0, "a whole number, 0 or more")
        for name in "lr", "dt_ms", "tau_s_ms", "tau_a_ms":
            check(name, number(getattr(self, name)) and getattr(self, name) > 0, "a positive number")
        for name in "decay_lr_scale", "a":
            check(name, number(getattr(self, name)) and getattr(self, name) >= 0, "a number, 0 or more")
        for name in "frozen", "dropout":
            check(name, number(getattr(self, name)) and 0 <= getattr(self, name) <= 1, "a share between 0 and 1")
        rule = '("normal" | "lognormal", positive centre, spread) or ("uniform", positive low, high)'
        check("tau_s_draw", is_draw(self.tau_s_draw), rule)
        reset = self.tau_reset_ms
        check("tau_reset_ms", reset is None or number(reset) and reset > 0, "a positive number or None")
        one_decay = VARIANTS[self.variant].shared != "synapse"  # a neuron has, for the reset to be tied to
        check("tau_reset_ms", reset is not None or one_decay, "given for HetSynLIF")
        check("groups", self.groups is None or whole(self.groups) and self.groups > 0, "a positive number or None")
        check("groups", self.groups is None or self.variant == "HetSynLIF", f"None for {self.variant}")
        check("grouped_by", self.grouped_by in ("random", "pre", "post"), "'random', 'pre' or 'post'")
        check("grouped_by", self.groups is not None or self.grouped_by == "random", "'random' without groups")

    def check(self, field: str, ok: bool, rule: str) -> None:
        """Raise ValueError in one line unless ``ok``."""
        if not ok:
            raise ValueError(f"{field} must be {rule}, not {getattr(self, field)!r}")


@torch.no_grad()
def evaluate(network: Network, run: Run, split: str = "test") -> dict[str, float]:
    """Means over ``run.test_trials`` trials of a split: what `Run.measure` names, and "rate_hz" of the hidden neurons.

    Trials that are drawn are the same for every network of the task.
    """
    stream = {"test": TEST, "validation": VALIDATION}[split]
    rng = np.random.default_rng([TEST_SEED, stream])
    device = next(network.parameters()).device
    was_training = network.training
    network.eval()
    sums: dict[str, float] = {}
    tested = 0
    for x, wanted in run.batches(split, rng):
        traces = network(x.to(device))
        parts = {"rate_hz": mean_rate_hz(traces, run.step_ms()) * len(x)}
        # A list is added up in its order, an array as numpy does; records on file were.
        for name, values in run.measured(traces, wanted.to(device)).items():
            parts[name] = sum(values) if isinstance(values, list) else float(values.sum())
        for name, part in parts.items():
            sums[name] = sums.get(name, 0) + part
        tested += len(x)
        if run.test_trials and tested >= run.test_trials:
            break
    network.train(was_training)
    return {name: total / tested for name, total in sums.items()}


def mean_rate_hz(traces: Traces, step_ms: float) -> float:
    """Mean firing rate over hidden neurons of all layers and over trials."""
    return float(torch.cat(traces.spikes, 2).mean()) * 1000 / step_ms


def rate_penalty(spikes: Tensor, dt_ms: float, target_hz: float = 10.0) -> Tensor:
    """Mean over neurons of ((rate_j - target) / target)^2, the rate over batch and time, of (batch, time, neuron)."""
    rate_hz = spikes.mean((0, 1)) * (1000 / dt_ms)
    return ((rate_hz - target_hz) / target_hz).square().mean()


def poisson(shape: Sequence[int], rate_hz: float | np.ndarray, dt_ms: float, rng: Generator) -> np.ndarray:
    """Boolean raster of ``shape``: Bernoulli draws, one per step, True with probability rate dt.

    These are Poisson spikes up to one spike a step. The rate broadcasts to the shape.

    Raises:
        ValueError: a rate is negative, or so high that rate dt exceeds 1.
    """
    p = np.asarray(rate_hz, dtype=np.float32) * np.float32(dt_ms / 1000)
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"a spike rate must lie between 0 and {1000 / dt_ms:g} Hz (one spike a step)")
    return rng.random(tuple(shape), dtype=np.float32) < p


def whole_steps(ms: float, dt_ms: float) -> int:
    """Number of steps in a duration.

    Raises:
        ValueError: it is negative or not a whole number of steps.
    """
    if not dt_ms > 0:
        raise ValueError(f"dt must be positive, but is {dt_ms} ms")
    steps = round(ms / dt_ms)
    if ms < 0 or not math.isclose(steps * dt_ms, ms, abs_tol=1e-9):
        raise ValueError(f"{ms} ms is not a whole number of steps of {dt_ms} ms")
    return steps


def whole(value) -> bool:
    """Whether a setting is a whole number; True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def number(value) -> bool:
    """Whether a setting is a finite number; True and False are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_draw(value) -> bool:
    """Whether a setting names a distribution of time constants that `draw_tau` draws from."""
    if not (isinstance(value, tuple) and len(value) == 3 and all(map(number, value[1:]))):
        return False
    try:
        draw_tau(value, (0,))  # draws nothing
    except ValueError:
        return False
    return True
