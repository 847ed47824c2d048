"""Train one network on one task: a run's settings in, a record of numbers and curves out."""

import os
import platform
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import numba
import numpy as np
import torch
from llvmlite.binding import get_host_cpu_name
from torch import Tensor
from tqdm import tqdm

from ..model.checks import check_values
from ..model.fast.limits import tiny_is_zero
from ..model.layer import Network, Traces
from ..paths import expanded, writable, write_whole
from ..progress import bar, say
from ..tasks.task import DROPOUT, TRAINING, Task
from . import store
from .analyses import ANALYSES
from .device import checked, on_card
from .evaluate import performance, split_rng
from .make import make_network, make_optimiser
from .record import DamagedRecord, Detail, Example, MadeBy, Record, seal, unseal

CHECKPOINT_EVERY = 250  # iterations
PROGRESS = "epoch", "done", "score", "losses", "scores", "tests"  # of a training, as a checkpoint holds it
_ALONE = threading.RLock()  # all threads of a process share torch's own generators, from which dropout draws


def _after_fork() -> None:
    """A forked process has no thread that would free the lock."""
    global _ALONE
    _ALONE = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class TrainingFailed(RuntimeError):
    """Training cannot go on; the message says in which iteration and why."""


@contextmanager
def failing(when: str) -> Iterator[None]:
    """Training fails where the network refuses its values."""
    try:
        yield
    except ValueError as error:
        raise TrainingFailed(f"{when}: {error}") from error


def train(
    run: Task,
    progress: bool = False,
    checkpoint: str | Path | None = None,
    device: str = "cpu",
    detail: bool = False,
    analyses: Sequence[str] = (),
) -> Record:
    """Train with the optimiser of the task, decays clamped after every step; test after every epoch.

    The same run gives the same record bit for bit, but for the seconds, on one machine and number of threads, also
    where it was interrupted and goes on from its checkpoint. In threads of one process, networks train one after the
    other; side by side they train in processes, see `sweep.run`.

        >>> from hetsyn_core import MatchToSample, train
        >>> record = train(MatchToSample(hidden=5, delay_ms=100, iterations=3, test_trials=8))
        >>> sorted(record.test), record.train_curve["loss"].shape
        (['accuracy', 'rate_hz'], (3,))

    Args:
        progress: show a bar with the time left.
        device: where the network is, "cpu", "cuda", or one card such as "cuda:0".
        checkpoint: file to go on from, if there, and to write after every 250 iterations and every epoch; removed at
            the end.
        detail: keep decays, the trained network and one example trial in the record.
        analyses: names in `ANALYSES`, found out once the network is trained.

    Raises:
        TrainingFailed: the loss, or a result of the test, is no longer a finite number.
        ValueError: an unknown analysis or device, or a task that gives no batches or too few.
        OSError: the checkpoint cannot be written; this is tried before the first batch.
    """
    if unknown := set(analyses) - set(ANALYSES):
        raise ValueError(f"no analysis {', '.join(sorted(unknown))}; there are {', '.join(ANALYSES)}")
    if run.epoch() < 1:
        raise ValueError(f"there is nothing to train on: an epoch of {type(run).__name__} has {run.epoch()} batches")
    cards = [device] if on_card(checked(device)) else []
    if checkpoint is not None:
        checkpoint = expanded(checkpoint)
        writable(checkpoint.parent)
    with _ALONE, torch.random.fork_rng(cards), tiny_is_zero(run.tiny_is_zero):
        torch.manual_seed(int(np.random.SeedSequence([run.seed, DROPOUT]).generate_state(1)[0]))
        state = _Training(run, device, checkpoint)
        before = decays(state.network)
        state.restore()
        total = run.epochs * run.epoch()
        with bar(total=total, initial=state.done, desc=run.variant, unit="batches", disable=not progress) as shown:
            while state.epoch < run.epochs:
                state.train_epoch(shown)
    record = state.record(before if detail else None, analyses)
    if checkpoint is not None:
        checkpoint.unlink(missing_ok=True)
    return record


class _Training:
    """All that changes while a network learns."""

    def __init__(self, run: Task, device: str, checkpoint: Path | None):
        self.start = time.perf_counter()
        self.device, self.checkpoint = torch.device(device), checkpoint
        self.run, self.network = run, make_network(run).to(self.device)
        self.optimiser, self.schedule = make_optimiser(run, self.network)
        self.rng = np.random.default_rng([run.seed, TRAINING])
        self.at_start = self.rng.bit_generator.state  # of the epoch
        self.epoch = self.done = 0
        self.score = ""
        self.losses: list[float] = []
        self.scores: list[float] = []
        self.tests: dict[str, dict[str, list[float]]] = {split: {} for split in run.splits()}

    def train_epoch(self, shown: tqdm) -> None:
        """One epoch, or what is left of it, and its test."""
        waiting = []  # loss and score of batches whose numbers a GPU need not give yet
        for x, wanted in self.batches():
            waiting.append(self.step(self.move(x), self.move(wanted)))
            self.done += 1
            shown.update()
            if self.checkpoint is not None and self.done % CHECKPOINT_EVERY == 0:
                self.keep(waiting)
                self.save()
        self.keep(waiting)
        if self.done < (self.epoch + 1) * self.run.epoch():
            name, found = type(self.run).__name__, self.done - self.epoch * self.run.epoch()
            raise ValueError(f"{name} gives {found} training batches, but iterations asks for {self.run.epoch()}")
        self.epoch += 1
        self.at_start = self.rng.bit_generator.state
        for split, own in self.tests.items():
            for name, value in self.test(split).items():
                own.setdefault(name, []).append(value)
        if self.checkpoint is not None and self.epoch < self.run.epochs:
            self.save()

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of this epoch that are still to come: those already trained on are drawn again and passed by."""
        self.rng.bit_generator.state = self.at_start
        return islice(self.run.batches("train", self.rng), self.done - self.epoch * self.run.epoch(), self.run.epoch())

    def step(self, x: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
        """Loss and score of a batch, and one step down its gradient."""
        run, iteration = self.run, self.done + 1
        with failing(f"iteration {iteration}"):  # diverged weights reach the network's own checks before the loss
            traces = through(self.network, x, run.truncate)
        loss = run.loss(traces, wanted)
        if self.device.type == "cpu":  # a GPU is not made to wait for the answer, see `keep`
            self.check_loss(loss, iteration)
        self.optimiser.zero_grad()
        loss.backward()
        if run.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), run.clip)
        self.optimiser.step()
        self.schedule.step()
        self.network.clamp_()
        return loss.detach(), self.score_of(traces, wanted)

    @torch.no_grad()
    def score_of(self, traces: Traces, wanted: Tensor) -> Tensor:
        """The batch's mean of what the task measures first."""
        self.score, values = next(iter(self.run.measure(traces, wanted).items()))
        if self.score == "loss":
            raise ValueError(f"{type(self.run).__name__} must not call what it measures first 'loss', as the curve is")
        return torch.as_tensor(values).mean() if isinstance(values, Tensor) else torch.tensor(np.mean(values))

    def keep(self, waiting: list[tuple[Tensor, Tensor]]) -> None:
        """Take the numbers of batches into the curves, and see that all is finite."""
        if not waiting:
            return
        if self.device.type != "cpu":
            with failing(f"iteration {self.done}"):
                check_values(self.network)
        losses, scores = (torch.stack(own).cpu() for own in zip(*waiting, strict=True))
        for k in (~torch.isfinite(losses)).nonzero()[:1, 0].tolist():
            self.check_loss(losses[k], self.done - len(losses) + k + 1)
        self.losses += losses.tolist()
        self.scores += scores.tolist()
        waiting.clear()

    def move(self, x: Tensor) -> Tensor:
        """To where the network is; from pinned memory the host need not wait until it is there."""
        return x if self.device.type == "cpu" else x.pin_memory().to(self.device, non_blocking=True)

    def check_loss(self, loss: Tensor, iteration: int) -> None:
        if not torch.isfinite(loss):
            message = f"the loss is {loss.item()}; try a smaller lr than {self.run.lr}"
            raise TrainingFailed(f"iteration {iteration}: {message}")

    def test(self, split: str) -> dict[str, float]:
        with failing(f"after iteration {self.done}"):
            found = performance(self.network, self.run, split)
        if not np.isfinite(list(found.values())).all():
            raise TrainingFailed(f"after iteration {self.done}: not all test results are finite: {found}")
        return found

    def record(self, decays_before: tuple[np.ndarray, ...] | None, analyses: Sequence[str]) -> Record:
        run, detail = self.run, None
        found = {name: ANALYSES[name](self.network, run) for name in analyses}
        if decays_before is not None:
            weights = {
                name: value.cpu().numpy().copy()
                for name, value in self.network.state_dict().items()
                if not name.endswith("_extra_state")  # which the settings of the run say
            }
            detail = Detail(decays_before, decays(self.network), weights, example(self.network, run))
        last, curves = {}, {}
        for split, own in self.tests.items():
            last[split] = {name: values[-1] for name, values in own.items()}
            curves[split] = {name: np.float32(values) for name, values in own.items() if run.epochs > 1}
        return Record(
            run,
            self.made_by(),
            score=self.score,
            test=last["test"],
            validation=last.get("validation", {}),
            train_curve={"loss": np.float32(self.losses), self.score: np.float32(self.scores)},
            test_curve=curves.get("test", {}),
            validation_curve=curves.get("validation", {}),
            analyses=found,
            detail=detail,
        )

    def made_by(self) -> MadeBy:
        versions = {"python": platform.python_version()}
        versions |= {package.__name__: str(package.__version__) for package in (np, numba, torch)}
        seconds = time.perf_counter() - self.start
        return MadeBy(versions, machine(self.device), self.network.implementation(), seconds)

    def dropout_state(self) -> Tensor:
        return torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else torch.get_rng_state()

    def save(self) -> None:
        """Write all of this, checksummed and without pickle."""
        optimiser, made_by = self.optimiser.state_dict(), self.made_by()
        moments = {f"{k}/{name}": v.cpu().numpy() for k, own in optimiser["state"].items() for name, v in own.items()}
        plain = {
            "settings": store.settings(self.run),
            "made_by": [made_by.versions, made_by.machine, made_by.implementation],
            "seconds": made_by.seconds,
            "groups": optimiser["param_groups"],
            "schedule": {k: v for k, v in self.schedule.state_dict().items() if not k.startswith("lr_lambda")},
            "rng": self.at_start,
            **{name: getattr(self, name) for name in PROGRESS},
        }
        arrays = {
            "network": {name: value.cpu().numpy() for name, value in self.network.state_dict().items()},
            "moments": moments,
            "dropout": {"rng": self.dropout_state().numpy()},
        }
        write_whole(self.checkpoint, seal(plain, arrays))

    def restore(self) -> None:
        """Go on from what `save` wrote, if there is one; a damaged or foreign file is left alone, training starts anew.

        Foreign is also what other versions or another machine began: a record names one of each.
        """
        if self.checkpoint is None or not self.checkpoint.exists():
            return
        try:
            plain, arrays = unseal(self.checkpoint.read_bytes(), self.checkpoint)
        except DamagedRecord as error:
            say(f"{error}; training starts anew")
            return
        mine = self.made_by()
        if plain.get("settings") != store.settings(self.run):
            say(f"{self.checkpoint} belongs to another run; training starts anew")
            return
        if plain["made_by"] != [mine.versions, mine.machine, mine.implementation]:
            say(f"{self.checkpoint} was begun on another machine, or with other versions; training starts anew")
            return
        self.network.load_state_dict({name: torch.from_numpy(value) for name, value in arrays["network"].items()})
        moments: dict[int, dict] = {}
        for name, value in arrays["moments"].items():
            k, entry = name.split("/")
            moments.setdefault(int(k), {})[entry] = torch.from_numpy(value)
        self.optimiser.load_state_dict({"state": moments, "param_groups": plain["groups"]})
        self.schedule.load_state_dict(self.schedule.state_dict() | plain["schedule"])
        state = torch.from_numpy(arrays["dropout"]["rng"])
        torch.cuda.set_rng_state(state, self.device) if self.device.type == "cuda" else torch.set_rng_state(state)
        self.at_start = plain["rng"]
        vars(self).update({name: plain[name] for name in PROGRESS})
        self.start -= plain["seconds"]


def through(network: Network, x: Tensor, truncate: int | None) -> Traces:
    """The network's traces of x; backpropagation through time is cut every ``truncate`` steps (None: never)."""
    if truncate is None:
        return network(x)
    state, pieces = network.rest(len(x)), []
    for piece in x.split(truncate, dim=1):
        pieces.append(network(piece, state))
        state = pieces[-1].state.detach()
    together = lambda parts: None if parts[0] is None else torch.cat(parts, 1)
    *layers, readout, readout_spikes, _ = zip(*pieces, strict=True)
    potential, spikes = (list(map(together, zip(*own, strict=True))) for own in layers)
    return Traces(potential, spikes, together(readout), together(readout_spikes), state)


def machine(device: torch.device) -> str:
    """Class of the machine: runs with the same versions repeat bit for bit within it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.system()} {platform.machine()} {get_host_cpu_name()}"


@torch.no_grad()
def example(network: Network, run: Task) -> Example:
    """The first test trial, and what the network does in it."""
    one = run.replace(test_trials=1) if run.test_trials else run
    x, wanted = next(iter(one.batches("test", split_rng())))
    traces = network.eval()(x[:1].to(next(network.parameters()).device)).cpu()
    neuron, analog = traces.spikes[0][0].sum(0).argmax(), bool(((x[0] != 0) & (x[0] != 1)).any())
    return Example(
        input=x[0].numpy() if analog else x[0].numpy().astype(bool),
        spikes=traces.spikes[0][0].numpy().astype(bool),
        neuron=neuron.numpy(),
        potential=traces.potential[0][0, :, neuron].numpy(),
        readout=traces.readout[0].numpy(),
        wanted=(wanted[0] if len(wanted) == len(x) else wanted).numpy(),
    )


@torch.no_grad()
def decays(network: Network) -> tuple[np.ndarray, ...]:
    """Decays of every layer, the readout last."""
    return tuple(layer.decay().cpu().numpy().copy() for layer in network.layers)
