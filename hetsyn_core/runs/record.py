"""A record: what came out of a run, as a type and as bytes that show any damage."""

import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch

from ..model.layer import Network
from ..tasks.task import Task
from .make import make_network

Arrays = dict[str, np.ndarray]
WINDOW = 10  # iterations in a moving mean of the learning curve
FORMAT = 2  # of the bytes
PLAIN = "failure", "score", "test", "validation", "analyses"  # fields of a record that JSON holds
CURVES = "train_curve", "test_curve", "validation_curve"  # fields that are groups of arrays


class DamagedRecord(ValueError):
    """A record whose content does not match its checksum; the message names the file."""


@dataclass(frozen=True)
class MadeBy:
    """What the bits of a record depend on besides its settings, and how long it took."""

    versions: dict[str, str]  # of Python, NumPy, Numba, torch
    machine: str  # its class: runs with the same versions repeat bit for bit within it
    implementation: str  # see `Network.implementation`
    seconds: float


@dataclass(frozen=True, eq=False)
class Example:
    """One test trial. The potential is that of the most active neuron of the first hidden layer."""

    input: np.ndarray  # (steps, channel), boolean; float32 where it is not all zeros and ones
    spikes: np.ndarray  # (steps, neuron) of the first hidden layer, boolean
    neuron: np.ndarray  # () its index
    potential: np.ndarray  # (steps,) float32
    readout: np.ndarray  # (steps, output) float32
    wanted: np.ndarray  # what the task wants of this trial: targets (steps, n), or a label ()


@dataclass(frozen=True, eq=False)
class Detail:
    """What is kept of some runs for a panel that shows them, or to use the trained network."""

    decays_before: tuple[np.ndarray, ...]  # of each layer, the readout last, shaped as in `Layer.decay`
    decays_after: tuple[np.ndarray, ...]
    network: Arrays  # the trained network, see `trained`
    example: Example


@dataclass(frozen=True, eq=False)
class Record:
    """The outcome of a run. A run that could not go on has a failure and nothing else.

    The curves of training hold "loss" and ``score`` for each batch; those of testing and of validation hold what the
    task measures after each epoch, where there are several. float32.
    """

    run: Task
    made_by: MadeBy | None = None
    failure: str | None = None
    score: str = ""  # the measure that is the learning curve, such as "accuracy"
    test: dict[str, float] = field(default_factory=dict)  # means over the test trials, after the last epoch
    validation: dict[str, float] = field(default_factory=dict)
    train_curve: Arrays = field(default_factory=dict)
    test_curve: Arrays = field(default_factory=dict)
    validation_curve: Arrays = field(default_factory=dict)
    analyses: dict[str, dict[str, float]] = field(default_factory=dict)  # what each of `ANALYSES` that was asked found
    detail: Detail | None = None

    @property
    def training_score(self) -> float | None:
        """Mean of the learning curve over the last ten batches."""
        return float(np.mean(self.train_curve[self.score][-WINDOW:])) if self.score else None

    @property
    def best_test_score(self) -> float | None:
        """The best test epoch, the published habit: it is chosen by the test set."""
        return as_written(max(self.test_curve[self.score])) if self.test_curve else None

    @property
    def chosen_epoch(self) -> int | None:
        """The first epoch with the best validation score, from 0; None without validation."""
        return int(np.argmax(self.validation_curve[self.score])) if self.validation_curve else None

    @property
    def chosen_test_score(self) -> float | None:
        """The test score at the epoch that validation chooses."""
        return None if self.chosen_epoch is None else as_written(self.test_curve[self.score][self.chosen_epoch])

    def found(self) -> dict[str, float]:
        """What all analyses found, by name."""
        return {name: value for own in self.analyses.values() for name, value in own.items()}

    def iterations_to(self, level: float) -> int | None:
        """Batches until the mean of the last ten scores first is ``level`` or more; None: never."""
        return iterations_to(level, self.train_curve[self.score])


def as_written(value: np.float32) -> float:
    """A share from a float32 curve as it would be written: 0.5775, not 0.57749998."""
    return round(float(value), 7)


def iterations_to(level: float, scores: np.ndarray) -> int | None:
    """Iterations after which the mean of the last ten scores first is ``level`` or more; None: never."""
    if len(scores) < WINDOW:
        return None
    mean = np.convolve(np.asarray(scores, np.float64), np.ones(WINDOW) / WINDOW, mode="valid")
    reached = np.flatnonzero(mean >= level - 1e-6)  # the scores are float32
    return int(reached[0]) + WINDOW if reached.size else None


def trained(record: Record) -> Network:
    """The trained network of a record with details; its data set need not be here.

    Raises:
        ValueError: the record holds no network.
    """
    if record.detail is None:
        raise ValueError("this record holds no network: train(..., detail=True) keeps it")
    weights = [value for name, value in record.detail.network.items() if name.endswith(".weight")]
    network = make_network(record.run, (weights[0].shape[1], *(len(weight) for weight in weights)))
    network.load_state_dict({name: torch.from_numpy(value) for name, value in record.detail.network.items()})
    return network.eval()


def pack(record: Record, settings: dict) -> bytes:
    """A record as bytes, with the settings that `store.settings` gives of its run."""
    arrays = {name: getattr(record, name) for name in CURVES}
    if record.detail is not None:
        arrays |= {
            "decays_before": {f"{k:03}": layer for k, layer in enumerate(record.detail.decays_before)},
            "decays_after": {f"{k:03}": layer for k, layer in enumerate(record.detail.decays_after)},
            "network": record.detail.network,
            "example": vars(record.detail.example),
        }
    made_by = record.made_by and asdict(record.made_by)
    plain = {"format": FORMAT, "settings": settings, "made_by": made_by}
    return seal(plain | {name: getattr(record, name) for name in PLAIN}, arrays)


def unpack(data: bytes, run_of: Callable[[dict], Task | None], source: str | Path = "record") -> Record | None:
    """The record that `pack` made bytes of.

    Args:
        run_of: gives the run that the settings in the record belong to, or None where the record is not wanted.

    Returns:
        None where ``run_of`` says so.

    Raises:
        DamagedRecord: any byte differs or is missing, or the bytes are no record of this version.
    """
    plain, arrays = unseal(data, source)
    if plain.get("format") != FORMAT:
        raise DamagedRecord(f"{source} is no record of this version")
    run = run_of(plain["settings"])
    if run is None:
        return None
    detail = None
    if "network" in arrays:
        before, after = (tuple(arrays[f"decays_{when}"].values()) for when in ("before", "after"))
        detail = Detail(before, after, arrays["network"], Example(**arrays["example"]))
    return Record(
        run,
        plain["made_by"] and MadeBy(**plain["made_by"]),
        **{name: plain[name] for name in PLAIN},
        **{name: arrays.get(name, {}) for name in CURVES},
        detail=detail,
    )


def seal(plain: dict, arrays: dict[str, Arrays]) -> bytes:
    """Checksum, then a .npz file of groups of arrays and of the rest as JSON (nothing pickled)."""
    buffer = io.BytesIO()
    as_bytes = np.frombuffer(json.dumps(plain, sort_keys=True).encode(), np.uint8)
    flat = {f"{group}/{name}": np.asarray(value) for group, own in arrays.items() for name, value in own.items()}
    np.savez_compressed(buffer, allow_pickle=False, json=as_bytes, **flat)
    content = buffer.getvalue()
    return hashlib.sha256(content).hexdigest().encode() + b"\n" + content


def unseal(data: bytes, source: str | Path) -> tuple[dict, dict[str, Arrays]]:
    """What `seal` made bytes of.

    Raises:
        DamagedRecord: any byte differs or is missing.
    """
    digest, content = data[:64], data[65:]
    if data[64:65] != b"\n" or hashlib.sha256(content).hexdigest().encode() != digest:
        raise DamagedRecord(f"{source} is damaged or incomplete")
    arrays: dict[str, Arrays] = {}
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        flat = dict(archive)
    plain = json.loads(flat.pop("json").tobytes())
    for name, value in flat.items():
        group, entry = name.split("/", 1)
        arrays.setdefault(group, {})[entry] = value
    return plain, arrays
