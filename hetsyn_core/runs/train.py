"""Train one network on one task: a `Run` in, a record of numbers and curves out.

record = train(MatchToSample(variant="HetSynLIF", hidden=20, seed=3))
record["metrics"]["accuracy"]
"""

import platform
import threading
import time
from contextlib import nullcontext
from itertools import islice
from pathlib import Path

import numba
import numpy as np
import torch
from llvmlite.binding import get_host_cpu_name
from torch import Tensor
from tqdm import tqdm

from ..model.checks import check_values
from ..model.layer import Network
from ..tasks.run import DROPOUT, TEST, TEST_SEED, TRAINING, WINDOW, Run, evaluate
from . import records

_DRAWING = threading.Lock()  # dropout draws from torch's own generators, which all threads of a process share


class TrainingFailed(RuntimeError):
    """Training cannot go on; the message says in which iteration and why."""


def train(run: Run, progress: bool = False, checkpoint: Path | None = None, device: str = "cpu") -> dict:
    """Train with the optimiser of the task, decays clamped after every step; test after every epoch.

    The same run gives the same record bit for bit, but for "seconds", on one machine and number of threads, also
    where it was interrupted and goes on from its checkpoint.

    Args:
        progress: show a bar with the time left.
        device: where the network is, "cpu" or "cuda".
        checkpoint: file to go on from, if there, and to write after every epoch but the last; removed at the end.

    Returns:
        "config": the settings as a dict; "seconds"; "versions"; "machine", its class; "path", what computed
            it, see `Network.implementation`.
        "metrics": what `evaluate` and `Run.after` say, "training_..." is the learning curve's mean over the last 10
            batches. With several splits, the names of all but "test" begin with the split.
        "curves": float32: "loss", and the task's score, of each training batch; with several epochs
            "test_..." after each of them.
        With ``detail``, arrays: "decays", "hidden_initial", "hidden_final", "readout_initial", "readout_final", where
            further hidden layers are "hidden2_...", shaped (post, pre + recurrent), (post, 1) or () as in
            `Layer.decay`; "state", the trained network for ``run.network().load_state_dict``; "example", see `example`.

    Raises:
        TrainingFailed: the loss, or a result of the test, is no longer a finite number.
    """
    cards = [device] if torch.device(device).type == "cuda" else []
    with _DRAWING if run.dropout else nullcontext(), torch.random.fork_rng(cards):
        torch.manual_seed(int(np.random.SeedSequence([run.seed, DROPOUT]).generate_state(1)[0]))
        state = _Training(run, device)
        initial = named_decays(state.network, "initial")
        if checkpoint is not None:
            state.restore(checkpoint)
        total = run.epochs * run.epoch()
        with tqdm(total=total, initial=state.done, desc=run.variant, disable=not progress) as bar:
            while state.epoch < run.epochs:
                state.train_epoch(bar)
                if checkpoint is not None and state.epoch < run.epochs:
                    state.save(checkpoint)
    record = state.record(initial)
    if checkpoint is not None:
        checkpoint.unlink(missing_ok=True)
    return record


class _Training:
    """All that changes while a network learns."""

    def __init__(self, run: Run, device: str):
        self.start = time.perf_counter()
        self.device = torch.device(device)
        self.run, self.network = run, run.network().to(self.device)
        self.optimiser, self.schedule = run.optimiser(self.network)
        self.rng = np.random.default_rng([run.seed, TRAINING])
        self.epoch = self.done = 0
        self.curves: dict[str, list[float]] = {"loss": []}
        self.tested: dict[str, float] = {}

    def train_epoch(self, bar: tqdm) -> None:
        """One epoch, and its test."""
        run, losses, scores, name = self.run, [], [], ""
        for x, wanted in islice(run.batches("train", self.rng), run.epoch()):
            self.done += 1
            x, wanted = self.move(x), self.move(wanted)
            try:
                traces = self.network(x)
            except ValueError as error:  # diverged weights reach the network's own checks before the loss
                raise TrainingFailed(f"iteration {self.done}: {error}") from error
            loss = run.loss(traces, wanted)
            if self.device.type == "cpu":  # a GPU is not made to wait for the answer, see below
                self.check_loss(loss, self.done)
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()
            self.schedule.step()
            self.network.clamp_()
            with torch.no_grad():
                name, score = run.score(traces, wanted)
            losses.append(loss.detach())
            scores.append(score)
            bar.update()
        if self.device.type != "cpu":
            try:
                check_values(self.network)
            except ValueError as error:
                raise TrainingFailed(f"iteration {self.done}: {error}") from error
        losses = torch.stack(losses).cpu()
        for k in (~torch.isfinite(losses)).nonzero()[:1, 0].tolist():
            self.check_loss(losses[k], self.done - len(losses) + k + 1)
        self.curves["loss"] += losses.tolist()
        self.curves.setdefault(name, []).extend(map(float, scores))
        self.epoch += 1
        self.tested = self.test()
        if run.epochs > 1:
            for name, value in self.tested.items():
                prefix = "" if name.startswith("validation") else "test_"
                self.curves.setdefault(prefix + name, []).append(value)

    def move(self, x: Tensor) -> Tensor:
        """To where the network is; from pinned memory the host need not wait until it is there."""
        return x if self.device.type == "cpu" else x.pin_memory().to(self.device, non_blocking=True)

    def check_loss(self, loss: Tensor, iteration: int) -> None:
        if not torch.isfinite(loss):
            message = f"the loss is {loss.item()}; try a smaller lr than {self.run.lr}"
            raise TrainingFailed(f"iteration {iteration}: {message}")

    def test(self) -> dict[str, float]:
        """All splits of the task; "test" has no prefix."""
        tested = {}
        for split in self.run.splits():
            prefix = "" if split == "test" else f"{split}_"
            try:
                tested |= {prefix + name: value for name, value in evaluate(self.network, self.run, split).items()}
            except ValueError as error:
                raise TrainingFailed(f"after iteration {self.done}: {error}") from error
        if not np.isfinite(list(tested.values())).all():
            raise TrainingFailed(f"after iteration {self.done}: not all test results are finite: {tested}")
        return tested

    def record(self, initial: dict[str, np.ndarray]) -> dict:
        run, score = self.run, list(self.curves)[1]
        metrics = {f"training_{score}": float(np.mean(self.curves[score][-WINDOW:]))}
        metrics |= self.tested | run.after(self.network, self.curves)
        record = {
            "config": records.settings(run),
            "metrics": metrics,
            "curves": {name: np.array(values, np.float32) for name, values in self.curves.items()},
        }
        if run.detail:
            record["decays"] = initial | named_decays(self.network, "final")
            record["state"] = {name: value.cpu().numpy().copy() for name, value in self.network.state_dict().items()}
            record["example"] = example(self.network, run)
        record["seconds"] = time.perf_counter() - self.start
        return record | self.made_by()

    def made_by(self) -> dict:
        """What the bits of a record depend on, besides its settings."""
        versions = {package.__name__: package.__version__ for package in (np, numba, torch)}
        return {
            "versions": {"python": platform.python_version(), **versions},
            "machine": machine(self.device),
            "path": self.network.implementation(),
        }

    def dropout_state(self) -> Tensor:
        return torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else torch.get_rng_state()

    def save(self, checkpoint: Path) -> None:
        """Write all of this, checksummed and without pickle."""
        optimiser = self.optimiser.state_dict()
        moments = {f"{k}/{name}": v.cpu().numpy() for k, own in optimiser["state"].items() for name, v in own.items()}
        content = {
            "config": records.settings(self.run),
            "made_by": self.made_by(),
            "network": {name: value.cpu().numpy() for name, value in self.network.state_dict().items()},
            "moments": moments,
            "groups": optimiser["param_groups"],
            "schedule": {k: v for k, v in self.schedule.state_dict().items() if not k.startswith("lr_lambda")},
            "rng": self.rng.bit_generator.state,
            "dropout": {"rng": self.dropout_state().numpy()},
            "curves": {name: np.array(values, np.float64) for name, values in self.curves.items()},
            "epoch": self.epoch,
            "done": self.done,
            "seconds": time.perf_counter() - self.start,
        }
        records.write_whole(checkpoint, records.pack(content))

    def restore(self, checkpoint: Path) -> None:
        """Go on from what `save` wrote, if there is one; a damaged or foreign file is left alone, training starts anew.

        Foreign is also what other versions or another machine began: a record names one of each.
        """
        try:
            content = records.unpack(checkpoint.read_bytes(), str(checkpoint))
        except FileNotFoundError:
            return
        except records.DamagedRecord as error:
            tqdm.write(f"{error}; training starts anew")
            return
        if not records.same_settings(content["config"], self.run):
            tqdm.write(f"{checkpoint} belongs to another run; training starts anew")
            return
        if content.get("made_by") != self.made_by():
            tqdm.write(f"{checkpoint} was begun on another machine, or with other versions; training starts anew")
            return
        as_tensors = {name: torch.from_numpy(value) for name, value in content["network"].items()}
        self.network.load_state_dict(as_tensors)
        moments: dict[int, dict] = {}
        for name, value in content["moments"].items():
            k, entry = name.split("/")
            moments.setdefault(int(k), {})[entry] = torch.from_numpy(value)
        self.optimiser.load_state_dict({"state": moments, "param_groups": content["groups"]})
        self.schedule.load_state_dict(self.schedule.state_dict() | content["schedule"])
        self.rng.bit_generator.state = content["rng"]
        state = torch.from_numpy(content["dropout"]["rng"])
        torch.cuda.set_rng_state(state, self.device) if self.device.type == "cuda" else torch.set_rng_state(state)
        self.curves = {name: values.tolist() for name, values in content["curves"].items()}
        self.epoch, self.done = content["epoch"], content["done"]
        self.start -= content["seconds"]


def machine(device: torch.device) -> str:
    """Class of the machine: runs with the same versions repeat bit for bit within it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.system()} {platform.machine()} {get_host_cpu_name()}"


@torch.no_grad()
def example(network: Network, run: Run) -> dict[str, np.ndarray]:
    """The first test trial: "input" and "spikes" (steps, neuron) boolean, "readout" float32, "wanted", "potential".

    An input that is not all zeros and ones is float32.
    "wanted" is what the task wants of this trial (pattern: the targets (steps, n); match: the label ()). "potential"
    (steps,) is that of the most active "neuron" () of the first hidden layer; "spikes" are that layer's.
    """
    one = run.replace(test_trials=1) if run.test_trials else run
    x, wanted = next(iter(one.batches("test", np.random.default_rng([TEST_SEED, TEST]))))
    traces = network.eval()(x[:1].to(next(network.parameters()).device)).cpu()
    neuron, analog = traces.spikes[0][0].sum(0).argmax(), bool(((x[0] != 0) & (x[0] != 1)).any())
    return {
        "input": x[0].numpy() if analog else x[0].numpy().astype(bool),
        "spikes": traces.spikes[0][0].numpy().astype(bool),
        "neuron": neuron.numpy(),
        "potential": traces.potential[0][0, :, neuron].numpy(),
        "readout": traces.readout[0].numpy(),
        "wanted": (wanted[0] if len(wanted) == len(x) else wanted).numpy(),
    }


def trained(record: dict) -> Network:
    """The trained network of a record with details; its data set need not be here."""
    run, state = records.restore(record["config"]), record["state"]
    sizes = (state["layers.0.weight"].shape[1], *run.hidden, state[f"layers.{len(run.hidden)}.weight"].shape[0])
    network = run.network(sizes)
    network.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
    return network.eval()


@torch.no_grad()
def named_decays(network: Network, when: str) -> dict[str, np.ndarray]:
    """Decays of every layer: "hidden_WHEN", "hidden2_WHEN" ..., "readout_WHEN"."""
    last = len(network.layers) - 1
    names = ["readout" if k == last else "hidden" if k == 0 else f"hidden{k + 1}" for k in range(last + 1)]
    return {f"{n}_{when}": layer.decay().cpu().numpy().copy() for n, layer in zip(names, network.layers, strict=True)}
