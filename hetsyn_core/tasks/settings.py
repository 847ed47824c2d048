"""The settings of a run: all that decides its result, and nothing that does not."""

import math
from dataclasses import dataclass, fields, replace
from typing import ClassVar, Self

from ..model.layer import VARIANTS
from ..model.surrogate import SURROGATES
from ..model.time_constants import Sharing, TauS, draw_tau


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What every run has: a network of one variant, and how it learns. The defaults are the paper's values.

    A task adds its own settings as fields of a frozen dataclass, see `MatchToSample`. A record is named by them.

    Raises:
        ValueError: a value is out of range; the message names the field.
    """

    variant: str = "HetSynLIF"
    recurrent: bool = False  # R-, else F-
    hidden: tuple[int, ...] = (100,)  # neurons of each hidden layer; one number for one layer
    seed: int = 0
    iterations: int = 1000  # batches per epoch; for a data set 0 means one full pass
    epochs: int = 1  # the network is tested after each
    batch: int = 32
    lr: float = 1e-3
    decay_lr_scale: float = 1.0  # learning rate of the decays / that of the weights
    clip: float | None = None  # largest norm of the gradient; None: not clipped
    truncate: int | None = None  # steps after which backpropagation through time is cut; None: never
    dt_ms: float = 1.0
    tau_s: TauS | None = None  # ms (below dt_ms: dt_ms), or a distribution, see `draw_tau`; None: see `initial_tau_s`
    tau_reset_ms: float | None = 20.0  # tau_J; None ties it to the neuron's decay
    tau_a_ms: float = 500.0  # adaptation, HomNeuALIF alone
    a: float = 0.01
    frozen: float = 0.0  # share of decays that keep their initial value
    fixed_weights: bool = False  # whether the weights keep theirs, so that time constants learn alone
    parameterization: str = "decay"  # what the optimiser sees: "decay", "tau" (in seconds) or "log_tau"
    groups: int | None = None  # HetSynLIF alone: the synapses of a layer share this many decays
    grouped_by: str = "random"  # or all synapses from ("pre"), or onto ("post"), a neuron share one
    surrogate: str = "triangular"  # one of `SURROGATES`
    readout: str = "leaky"  # or "spiking": with threshold and reset, its spikes are counted
    dropout: float = 0.0  # share of a hidden layer's spikes that the next layer misses in training
    test_trials: int = 512  # tested after each epoch; for a data set 0 means all

    # The paper's time constants in ms: where they are fixed (HomNeuLIF, HomNeuALIF), and where trained ones start.
    FIXED_TAU_S: ClassVar[float] = 20.0
    DRAWN_TAU_S: ClassVar[tuple[str, float, float]] = ("normal", 20.0, 5.0)
    endless: ClassVar[bool] = True  # whether trials are drawn; False for a data set, which has an end

    def initial_tau_s(self) -> TauS:
        """Where the synaptic time constants start: ``tau_s``, or the paper's value for the variant.

        What lies below ``dt_ms`` starts at ``dt_ms``: no synapse is faster than one step.
        A distribution is for variants whose time constants learn; the others keep the paper's number.
        """
        learns = VARIANTS[self.variant].trainable
        if self.tau_s is not None and (learns or not isinstance(self.tau_s, tuple)):
            return self.tau_s
        return self.DRAWN_TAU_S if learns else self.FIXED_TAU_S

    def sharing(self) -> Sharing | None:
        """Which synapses share a time constant where they are in groups; None: those that the variant says."""
        return Sharing(self.grouped_by, self.groups) if self.groups else None

    def replace(self, **changes) -> Self:
        """These settings with some changes."""
        return replace(self, **changes)

    def __post_init__(self):
        for field in fields(self):
            object.__setattr__(self, field.name, plain(getattr(self, field.name)))
            rule = "a number, text, True, False, None or a tuple of these"
            self.check(field.name, is_plain(getattr(self, field.name)), rule)
        if whole(self.hidden):
            object.__setattr__(self, "hidden", (self.hidden,))
        for name, known in {"variant": VARIANTS, **CHOICES}.items():
            self.check(name, getattr(self, name) in known, f"one of {', '.join(known)}")
        self.must_be("True or False", "recurrent", "fixed_weights")
        learns = VARIANTS[self.variant].trainable or not self.fixed_weights
        self.check("fixed_weights", learns, f"False for {self.variant}, whose time constants do not learn")
        layers = isinstance(self.hidden, tuple) and all(whole(n) and n > 0 for n in self.hidden)
        self.check("hidden", layers and self.hidden, "a positive whole number, or one for each layer")
        self.must_be("a positive whole number", "epochs", "batch")
        for name in "iterations", "test_trials":
            value = getattr(self, name)
            least, rule = (1, "a positive whole number") if self.endless else (0, "a whole number, 0 or more")
            self.check(name, whole(value) and value >= least, rule)
        self.must_be("a whole number, 0 or more", "seed")
        self.must_be("a positive number", "lr", "dt_ms", "tau_a_ms")
        self.must_be("a number, 0 or more", "decay_lr_scale", "a")
        self.must_be("a share between 0 and 1", "frozen", "dropout")
        self.must_be("a positive number or None", "clip", "tau_reset_ms")
        self.must_be("a positive whole number or None", "truncate", "groups")
        rule = "a positive number of ms, "
        rule += '("normal" | "lognormal", centre, spread), ("uniform" | "loguniform", low, high) or None'
        self.check("tau_s", self.tau_s is None or is_tau_s(self.tau_s), rule)
        has_one = self.variant != "HetSynLIF" or self.grouped_by == "post"  # a neuron has one decay to tie it to
        rule = "given for HetSynLIF, unless all synapses onto a neuron share a time constant"
        self.check("tau_reset_ms", self.tau_reset_ms is not None or has_one, rule)
        self.check("groups", self.groups is None or self.variant == "HetSynLIF", f"None for {self.variant}")
        self.check("grouped_by", self.groups is not None or self.grouped_by == "random", "'random' without groups")

    def must_be(self, rule: str, *fields: str) -> None:
        """Raise ValueError unless some fields keep one of `RULES`; the message names the first that does not."""
        for field in fields:
            self.check(field, RULES[rule](getattr(self, field)), rule)

    def check(self, field: str, ok: bool, rule: str) -> None:
        """Raise ValueError in one line unless ``ok``."""
        if not ok:
            raise ValueError(f"{field} must be {rule}, not {getattr(self, field)!r}")


CHOICES = {
    "parameterization": ("decay", "tau", "log_tau"),
    "grouped_by": ("random", "pre", "post"),
    "surrogate": tuple(SURROGATES),
    "readout": ("leaky", "spiking"),
}


def plain(value):
    """A setting as plain Python: NumPy's numbers and 0-d tensors as numbers, a list (JSON has no tuples) as a tuple."""
    if isinstance(value, list | tuple):
        return tuple(map(plain, value))
    return value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else value


def is_plain(value) -> bool:
    """Whether a record can hold a setting and give it back equal."""
    if isinstance(value, tuple):
        return all(map(is_plain, value))
    return isinstance(value, bool | int | float | str | None) and value == value  # NaN is not equal to itself


def whole(value) -> bool:
    """Whether a setting is a whole number; True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def number(value) -> bool:
    """Whether a setting is a finite number; True and False are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


RULES = {
    "True or False": lambda value: isinstance(value, bool),
    "a positive whole number": lambda value: whole(value) and value > 0,
    "a positive whole number or None": lambda value: value is None or whole(value) and value > 0,
    "a whole number, 0 or more": lambda value: whole(value) and value >= 0,
    "a positive number": lambda value: number(value) and value > 0,
    "a positive number or None": lambda value: value is None or number(value) and value > 0,
    "a number, 0 or more": lambda value: number(value) and value >= 0,
    "a share between 0 and 1": lambda value: number(value) and 0 <= value <= 1,
}


def is_tau_s(value) -> bool:
    """Whether a setting is a time constant in ms, or names a distribution that `draw_tau` draws from."""
    if not (len(value) == 3 and all(map(number, value[1:])) if isinstance(value, tuple) else number(value)):
        return False
    try:
        draw_tau(value, (0,))  # draws nothing
    except ValueError:
        return False
    return True
