"""The functions of `reference` without a current per synapse and step, by the implementation for the tensor's device.

Float32. On the CPU ("cpu") the loops in `cpu_kernels`, compiled by Numba; on a GPU ("gpu") the kernels in `gpu`,
compiled by Triton. Each is imported when a tensor first asks for it, so that a GPU needs no Numba and a CPU no Triton.
A single step from a state is left to the reference, which is fast enough there. `torch.compile` breaks its graph here.
"""

import os
import sys
import warnings
from collections.abc import Callable
from functools import cache, partial, wraps
from importlib.util import find_spec
from types import ModuleType

import torch
from torch import Tensor

from .. import reference
from ..checks import check_current_state, check_neuron_state
from ..state import NeuronState
from ..surrogate import Surrogate, Triangular
from . import carried
from .limits import refuse_transforms

COMPILES = os.environ.get("NUMBA_DISABLE_JIT", "0") in ("", "0")
if not COMPILES:
    warnings.warn("NUMBA_DISABLE_JIT=1: the slow reference runs on the CPU", stacklevel=1)


def implementation(x: Tensor) -> str:
    """The fastest implementation for a tensor's device and precision: "cpu", "gpu" or "reference"."""
    if x.dtype == torch.float32 and x.device.type == "cpu" and COMPILES:
        return "cpu"
    if x.dtype == torch.float32 and x.device.type == "cuda" and _has_triton():
        return "gpu"
    return "reference"


def choose(x: Tensor) -> ModuleType:
    """This module where there is a fast implementation for a tensor, else `reference`."""
    return reference if implementation(x) == "reference" else sys.modules[__name__]


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


def not_compiled(function: Callable) -> Callable:
    """The function, around which `torch.compile` breaks its graph.

    `torch.compiler.disable` alone would import the compiler, which takes seconds, also where nothing is compiled.
    """

    @wraps(function)
    def called(*args, **kwargs):
        if torch.compiler.is_dynamo_compiling() and not torch.compiler.is_exporting():
            return torch.compiler.disable(function)(*args, **kwargs)
        return function(*args, **kwargs)

    return called


@not_compiled
def synaptic_current(
    x: Tensor, weight: Tensor, decay: Tensor, state: Tensor | None = None
) -> Tensor | tuple[Tensor, Tensor]:
    """See `reference.synaptic_current`; float32.

    Raises:
        ValueError: as there, and for another precision or device.
        RuntimeError: `torch.export`, `torch.jit.trace` or `torch.func` asks for what only the reference can.
    """
    refuse_transforms()
    if state is not None and x.shape[1] == 1:
        return reference.synaptic_current(x, weight, decay, state)
    integrate = _module(x).synaptic_current
    if state is None:
        return integrate(x, weight, decay)
    check_current_state(state, len(x), weight, decay)
    return carried.current_from(integrate, x, weight, decay, state)


@not_compiled
def spiking(
    current: Tensor,
    recurrent_weight: Tensor | None = None,
    recurrent_decay: Tensor | None = None,
    *,
    reset_decay: Tensor | float,
    threshold: float = 1.0,
    adaptation: tuple[float, float] | None = None,
    surrogate: Surrogate = Triangular(),
    state: NeuronState | None = None,
) -> tuple[Tensor, Tensor] | tuple[Tensor, Tensor, NeuronState]:
    """See `reference.spiking`; float32.

    Raises:
        ValueError: as there, and for another precision or device.
        RuntimeError: `torch.export`, `torch.jit.trace` or `torch.func` asks for what only the reference can.
    """
    refuse_transforms()
    settings = {
        "recurrent_weight": recurrent_weight,
        "recurrent_decay": recurrent_decay,
        "reset_decay": reset_decay,
        "threshold": threshold,
        "adaptation": adaptation,
        "surrogate": surrogate,
    }
    if state is not None and current.shape[1] == 1:
        return reference.spiking(current, **settings, state=state)
    fire = partial(_module(current).spiking, **settings)
    if state is None:
        return fire(current)
    check_neuron_state(state, current, recurrent_weight, recurrent_decay)
    return carried.spikes_from(
        fire, current, recurrent_weight, recurrent_decay, reset_decay, threshold, adaptation, state
    )
