"""Train one network on one synthetic task: a `Config` in, a record of numbers and curves out.

record = train(match_config(variant="HetSynLIF", hidden=20, seed=3))
record["metrics"]["accuracy"]
"""

import platform
import time
from dataclasses import asdict, dataclass, fields
from functools import lru_cache

import numba
import numpy as np
import torch
from llvmlite.binding import get_host_cpu_name
from torch import Tensor
from tqdm import tqdm

from ..model.layer import VARIANTS, Network, Variant
from ..tasks import synthetic as tasks

WINDOW = 10  # iterations in a moving mean
EVAL_SEED = 20_251_164  # every network is tested on trials of this seed, whatever its own
EVAL_BATCH = 64
TEMPLATE, TRAINING, TEST = range(3)  # independent streams of random numbers


class TrainingFailed(RuntimeError):
    """Training cannot go on; the message says in which iteration and why."""


@dataclass(frozen=True)
class Config:
    """All that decides a run. Make one with `pattern_config` or `match_config`, which know the paper's values.

    Raises:
        ValueError: a value is out of range; the message names the field.
    """

    task: str  # "pattern" or "match"
    iterations: int
    batch: int
    lr: float
    dt_ms: float
    tau_s_mean_ms: float  # initial time constants; fixed ones all take the mean
    tau_s_sd_ms: float
    tau_reset_ms: float | None  # tau_J; None ties it to the neuron's decay
    tau_a_ms: float  # adaptation, HomNeuALIF alone
    a: float
    noise_hz: float  # pattern: background on all channels; match: noise added to what is there
    eval_trials: int  # fresh trials after training
    variant: str = "HetSynLIF"
    recurrent: bool = False
    hidden: int = 100
    seed: int = 0
    decay_lr_scale: float = 1.0  # learning rate of the decays / that of the weights
    n_targets: int = 1  # pattern alone
    delay_ms: float = 800.0  # match alone
    noise_on: str = "all"  # match alone: the channels with added noise, "all" or those of the "cues"
    frozen: float = 0.0  # share of decays that keep their initial value
    parameterization: str = "decay"  # what the optimiser sees: "decay", "tau" (in seconds) or "log_tau"
    groups: int | None = None  # HetSynLIF alone: synapses of each layer share this many decays
    detail: bool = False  # keep decays, the trained network and one example trial in the record

    def __post_init__(self):
        def check(ok: bool, field: str, rule: str):
            if not ok:
                raise ValueError(f"{field} must be {rule}, not {getattr(self, field)!r}")

        check(self.task in ("pattern", "match"), "task", "'pattern' or 'match'")
        check(self.variant in VARIANTS, "variant", f"one of {', '.join(VARIANTS)}")
        check(self.parameterization in ("decay", "tau", "log_tau"), "parameterization", "'decay', 'tau' or 'log_tau'")
        check(self.noise_on in ("all", "cues"), "noise_on", "'all' or 'cues'")
        for field in "recurrent", "detail":
            check(isinstance(getattr(self, field), bool), field, "True or False")
        for field in "iterations", "batch", "hidden", "n_targets", "eval_trials":
            check(whole(getattr(self, field)) and getattr(self, field) > 0, field, "a positive whole number")
        check(whole(self.seed) and self.seed >= 0, "seed", "a whole number, 0 or more")
        for field in "lr", "dt_ms", "tau_s_mean_ms", "tau_a_ms":
            check(number(getattr(self, field)) and getattr(self, field) > 0, field, "a positive number")
        for field in "tau_s_sd_ms", "decay_lr_scale", "a", "noise_hz", "delay_ms":
            check(number(getattr(self, field)) and getattr(self, field) >= 0, field, "a number, 0 or more")
        check(number(self.frozen) and 0 <= self.frozen <= 1, "frozen", "a share between 0 and 1")
        tau_reset = self.tau_reset_ms
        check(tau_reset is None or number(tau_reset) and tau_reset > 0, "tau_reset_ms", "a positive number or None")
        one_decay = VARIANTS[self.variant].shared != "synapse"  # a neuron has, for the reset to be tied to
        check(tau_reset is not None or one_decay, "tau_reset_ms", "given for HetSynLIF")
        check(self.groups is None or whole(self.groups) and self.groups > 0, "groups", "a positive number or None")
        check(self.groups is None or self.variant == "HetSynLIF", "groups", f"None for {self.variant}")
        if self.task == "pattern":
            check(self.dt_ms == 1, "dt_ms", "1 for pattern generation")
        else:
            for ms in tasks.FIRST_CUE_MS, tasks.CUE_MS, self.delay_ms:
                tasks.whole_steps(ms, self.dt_ms)


def whole(value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def number(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(value)


def pattern_config(**changes) -> Config:
    """Pattern generation as in the paper (Fig. 2), F-HetSynLIF with 2 Hz noise, but for ``changes``.

    ``eval_trials`` redraws the noise; the segment and the targets, which belong to the seed, stay.

    Raises:
        ValueError: an unknown field or a value out of range.
    """
    paper = dict(
        **dict(task="pattern", iterations=1000, batch=1, lr=1e-3, dt_ms=1.0, noise_hz=2.0, eval_trials=10),
        **dict(tau_s_mean_ms=20.0, tau_s_sd_ms=5.0, tau_reset_ms=20.0, tau_a_ms=500.0, a=0.01),
    )
    return _config(paper, changes)


def match_config(**changes) -> Config:
    """Delayed match-to-sample as in the paper (Fig. 3), F-HetSynLIF, but for ``changes``.

    Raises:
        ValueError: an unknown field or a value out of range.
    """
    paper = dict(
        **dict(task="match", iterations=1000, batch=32, lr=5e-3, dt_ms=5.0, noise_hz=0.0, eval_trials=512),
        **dict(tau_s_mean_ms=40.0, tau_s_sd_ms=4.0, tau_reset_ms=40.0, tau_a_ms=800.0, a=0.15),
    )
    return _config(paper, changes)


def _config(paper: dict, changes: dict) -> Config:
    known = {field.name for field in fields(Config)} - {"task"}
    if unknown := sorted(set(changes) - known):
        raise ValueError(f"unknown: {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    return Config(**(paper | changes))


def build_network(config: Config) -> Network:
    """The untrained network of a config; the same seed gives the same weights and decays."""
    n_in, n_out = (100, config.n_targets) if config.task == "pattern" else (tasks.MATCH_CHANNELS, 2)
    return Network(
        (n_in, config.hidden, n_out),
        variant=Variant(config.groups, trainable=True) if config.groups else config.variant,
        recurrent=config.recurrent,
        tau_s_ms=(config.tau_s_mean_ms, config.tau_s_sd_ms),
        adaptation=(config.tau_a_ms, config.a),
        dt_ms=config.dt_ms,
        tau_reset_ms=config.tau_reset_ms,
        frozen=config.frozen,
        parameterization=config.parameterization,
        generator=torch.Generator().manual_seed(config.seed),
    )


def draw_trials(config: Config, trials: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Inputs (trials, steps, channels) and what is wanted: targets (2000, n_targets), or labels (trials,)."""
    if config.task == "match":
        return tasks.match_trials(trials, rng, config.delay_ms, config.dt_ms, config.noise_hz, config.noise_on)[:2]
    segment, targets = _template(config.seed, config.n_targets)
    inputs = [tasks.pattern_input(segment, config.noise_hz, rng) for _ in range(trials)]
    return torch.cat(inputs), torch.from_numpy(targets)


@lru_cache(8)
def _template(seed: int, n_targets: int) -> tuple[np.ndarray, np.ndarray]:
    return tasks.pattern_template([seed, TEMPLATE], n_targets)


def train(config: Config, progress: bool = False) -> dict:
    """Train with Adam, learning rate x0.8 every 100 iterations, decays clamped after every step.

    The same config gives the same record bit for bit, but for "seconds", on one machine and number of threads.

    Args:
        progress: show a bar with the time left.

    Returns:
        "config": the config as a dict; "seconds"; "versions"; "machine", its class.
        "metrics": see `evaluate`, and of training: for pattern "training_mse", the mean over the last 10 iterations;
            for match "training_accuracy", likewise, and "iterations_to_95", after which the mean accuracy of the
            last 10 batches was first 0.95 or more (None: never).
        "curves": float32 (iterations,): "loss", and "mse" or "accuracy" of each training batch.
        With ``detail``, arrays: "decays", "hidden_initial", "hidden_final", "readout_initial", "readout_final" (of
            shape (post, pre + recurrent), (post, 1) or () as in `Layer.decay`); "state", the trained network for
            ``build_network(config).load_state_dict``; "example", see `example`.

    Raises:
        TrainingFailed: the loss, or a result of the test, is no longer a finite number.
    """
    start = time.perf_counter()
    network = build_network(config)
    initial = _decays(network, "initial")
    groups = [{"params": network.weights(), "lr": config.lr}]
    if decays := network.decay_parameters():
        groups.append({"params": decays, "lr": config.lr * config.decay_lr_scale})
    optimiser = torch.optim.Adam(groups)
    schedule = torch.optim.lr_scheduler.StepLR(optimiser, step_size=100, gamma=0.8)
    rng = np.random.default_rng([config.seed, TRAINING])
    score_name = "mse" if config.task == "pattern" else "accuracy"
    losses, scores = [], []

    for iteration in tqdm(range(1, config.iterations + 1), desc=config.variant, disable=not progress):
        x, wanted = draw_trials(config, config.batch, rng)
        try:
            traces = network(x)
        except ValueError as error:  # diverged weights reach the network's own checks before the loss
            raise TrainingFailed(f"iteration {iteration}: {error}") from error
        if config.task == "pattern":
            loss, mse = tasks.pattern_loss(traces.readout, wanted, traces.spikes[0])
            score = mse.item()
        else:
            loss = tasks.match_loss(traces.readout, wanted, traces.spikes[0], config.dt_ms)
            score = tasks.match_accuracy(traces.readout, wanted)
        if not torch.isfinite(loss):
            raise TrainingFailed(f"iteration {iteration}: the loss is {loss.item()}; try a smaller lr than {config.lr}")
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        network.clamp_()
        losses.append(loss.item())
        scores.append(score)

    try:
        tested = evaluate(network, config)
    except ValueError as error:
        raise TrainingFailed(f"after training: {error}") from error
    if not np.isfinite(list(tested.values())).all():
        raise TrainingFailed(f"after training: not all test results are finite: {tested}")
    metrics = {f"training_{score_name}": float(np.mean(scores[-WINDOW:]))}
    if config.task == "match":
        metrics["iterations_to_95"] = iterations_to(0.95, scores)
    record = {
        "config": asdict(config),
        "metrics": metrics | tested,
        "curves": {"loss": np.array(losses, np.float32), score_name: np.array(scores, np.float32)},
    }
    if config.detail:
        record["decays"] = initial | _decays(network, "final")
        record["state"] = {name: value.numpy().copy() for name, value in network.state_dict().items()}
        record["example"] = example(network, config)
    record["seconds"] = time.perf_counter() - start
    record["versions"] = {
        "python": platform.python_version(),
        **{package.__name__: package.__version__ for package in (np, numba, torch)},
    }
    record["machine"] = f"{platform.system()} {platform.machine()} {get_host_cpu_name()}"
    return record


@torch.no_grad()
def evaluate(network: Network, config: Config) -> dict[str, float]:
    """Test on ``config.eval_trials`` fresh trials, the same for every network of the task.

    Returns:
        "rate_hz", mean over hidden neurons and trials. For match, "accuracy". For pattern, means over trials:
        "mse", "d21" and "d32" (normalised distances of the 2nd to the 1st segment, and the 3rd to the 2nd), and
        "silent_rms", root mean square output in the gaps of 250 ms.
    """
    rng = np.random.default_rng([EVAL_SEED, TEST])
    parts = []  # one dict of sums a batch
    for first in range(0, config.eval_trials, EVAL_BATCH):
        trials = min(EVAL_BATCH, config.eval_trials - first)
        x, wanted = draw_trials(config, trials, rng)
        traces = network(x)
        sums = {"rate_hz": float(traces.spikes[0].mean()) * 1000 / config.dt_ms * trials}
        if config.task == "match":
            sums["accuracy"] = tasks.match_accuracy(traces.readout, wanted) * trials
        else:
            outputs, target = traces.readout.numpy(), wanted.numpy()
            sums["mse"] = float(np.square(outputs - target).mean((1, 2)).sum())
            sums["d21"] = sum(tasks.normalised_distance(y, target, 2, 1) for y in outputs)
            sums["d32"] = sum(tasks.normalised_distance(y, target, 3, 2) for y in outputs)
            sums["silent_rms"] = float(np.sqrt(np.square(outputs[:, tasks.silent_steps()]).mean((1, 2))).sum())
        parts.append(sums)
    return {name: sum(part[name] for part in parts) / config.eval_trials for name in parts[0]}


@torch.no_grad()
def example(network: Network, config: Config) -> dict[str, np.ndarray]:
    """The first test trial: "input" and "spikes" (steps, neuron) boolean, "readout" float32, "wanted", "potential".

    "wanted" is the target (2000, n_targets), or the label (). "potential" (steps,) is that of the most active
    "neuron" ().
    """
    x, wanted = draw_trials(config, 1, np.random.default_rng([EVAL_SEED, TEST]))
    traces = network(x)
    neuron = traces.spikes[0][0].sum(0).argmax()
    return {
        "input": x[0].numpy().astype(bool),
        "spikes": traces.spikes[0][0].numpy().astype(bool),
        "neuron": neuron.numpy(),
        "potential": traces.potential[0][0, :, neuron].numpy(),
        "readout": traces.readout[0].numpy(),
        "wanted": (wanted[0] if config.task == "match" else wanted).numpy(),
    }


def iterations_to(level: float, accuracy: list[float], window: int = WINDOW) -> int | None:
    """Iterations after which the mean of the last ``window`` accuracies first is ``level`` or more; None: never."""
    if len(accuracy) < window:
        return None
    mean = np.convolve(np.asarray(accuracy, np.float64), np.ones(window) / window, mode="valid")
    reached = np.flatnonzero(mean >= level - 1e-9)
    return int(reached[0]) + window if reached.size else None


@torch.no_grad()
def _decays(network: Network, when: str) -> dict[str, np.ndarray]:
    named = zip(("hidden", "readout"), network.layers)
    return {f"{name}_{when}": layer.decay().numpy().copy() for name, layer in named}
