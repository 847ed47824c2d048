"""The functions of `reference` without a current per synapse and step, by the implementation for the tensor's device.

Float32. On the CPU ("cpu") the loops in `cpu_kernels`, compiled by Numba; on a GPU ("gpu") the kernels in `gpu`,
compiled by Triton. Each is imported when a tensor first asks for it, so that a GPU needs no Numba and a CPU no Triton.
"""

import sys
import warnings
from functools import cache
from importlib.util import find_spec
from types import ModuleType

import torch
from torch import Tensor

from .. import reference
from ..surrogate import Surrogate, Triangular


def implementation(x: Tensor) -> str:
    """The fastest implementation for a tensor's device and precision: "cpu", "gpu" or "reference"."""
    if x.dtype == torch.float32 and x.device.type == "cpu":
        return "cpu"
    if x.dtype == torch.float32 and x.device.type == "cuda" and _has_triton():
        return "gpu"
    return "reference"


def choose(x: Tensor) -> ModuleType:
    """This module where there is a fast implementation for a tensor, else `reference`."""
    return reference if implementation(x) == "reference" else _THIS


@cache
def _has_triton() -> bool:
    found = find_spec("triton") is not None
    if not found:
        warnings.warn("without Triton (extra gpu) a GPU runs the slow reference", stacklevel=5)
    return found


def _module(x: Tensor) -> ModuleType:
    if x.device.type == "cuda":
        from . import gpu

        return gpu
    from . import cpu

    return cpu


def synaptic_current(x: Tensor, weight: Tensor, decay: Tensor) -> Tensor:
    """See `reference.synaptic_current`; float32.

    Raises:
        ValueError: as there, and for another precision or device.
    """
    return _module(x).synaptic_current(x, weight, decay)


def spiking(
    current: Tensor,
    recurrent_weight: Tensor | None = None,
    recurrent_decay: Tensor | None = None,
    *,
    reset_decay: Tensor | float,
    threshold: float = 1.0,
    adaptation: tuple[float, float] | None = None,
    surrogate: Surrogate = Triangular(),
) -> tuple[Tensor, Tensor]:
    """See `reference.spiking`; float32.

    Raises:
        ValueError: as there, and for another precision or device.
    """
    return _module(current).spiking(
        current,
        recurrent_weight,
        recurrent_decay,
        reset_decay=reset_decay,
        threshold=threshold,
        adaptation=adaptation,
        surrogate=surrogate,
    )


_THIS = sys.modules[__name__]
