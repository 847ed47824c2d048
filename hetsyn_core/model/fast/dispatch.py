"""The functions of `reference` without a current per synapse and step, by the implementation for the tensor's device.

Float32. On the CPU the loops in `kernels`, compiled by Numba (see `cpu`); on a GPU the kernels in `gpu`, compiled by
Triton. Each is imported when a tensor first asks for it, so that a GPU needs no Numba and a CPU no Triton.
"""

import warnings
from functools import cache
from importlib.util import find_spec
from types import ModuleType

import torch
from torch import Tensor


def runs(x: Tensor) -> bool:
    """Whether there is a fused implementation for this tensor's device and precision."""
    return x.dtype == torch.float32 and (x.device.type == "cpu" or x.device.type == "cuda" and _has_triton())


@cache
def _has_triton() -> bool:
    found = find_spec("triton") is not None
    if not found:
        warnings.warn("without Triton (extra gpu) a GPU runs the slow reference", stacklevel=4)
    return found


def _implementation(x: Tensor) -> ModuleType:
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
    return _implementation(x).synaptic_current(x, weight, decay)


def spiking(current: Tensor, *args, **kwargs) -> tuple[Tensor, Tensor]:
    """See `reference.spiking`; float32.

    Raises:
        ValueError: as there, and for another precision or device.
    """
    return _implementation(current).spiking(current, *args, **kwargs)
