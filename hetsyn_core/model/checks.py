"""One clear line for input that cannot be right, shared by all implementations.

Shapes are checked at every call, and so are values on the CPU. On a GPU the host would have to wait for them each
time, so there `check_values` looks at a network's parameters when asked, once in a while: what is not finite in the
input is not finite in the weights one optimiser step later.
"""

import math

import torch
from torch import Tensor, nn

from .state import NeuronState


def check_input(name: str, x: Tensor, last: int | None = None) -> None:
    """Raise ValueError unless x is (batch, time, neuron), finite, with ``last`` neurons."""
    if x.ndim != 3:
        raise ValueError(f"{name} must be (batch, time, neuron), but has shape {tuple(x.shape)}")
    if last is not None and x.shape[2] != last:
        raise ValueError(f"{name} has {x.shape[2]} neurons, but the weights expect {last}")
    # A sum is one cheap pass; only a suspicious one pays for the exact answer.
    if _at_hand(x) and not math.isfinite(x.detach().sum()) and not torch.isfinite(x).all():
        raise ValueError(f"{name} contains NaN or infinite values")


def check_synapses(weight: Tensor, decay: Tensor) -> None:
    """Raise ValueError unless weight is (post, pre) and decay in [0, 1] is (), (post, 1) or (post, pre)."""
    if weight.ndim != 2:
        raise ValueError(f"weight must be (post, pre), but has shape {tuple(weight.shape)}")
    post, pre = weight.shape
    if tuple(decay.shape) not in ((), (post, 1), (post, pre)):
        raise ValueError(f"decay must be a scalar, ({post}, 1) or ({post}, {pre}), but has shape {tuple(decay.shape)}")
    check_decay("decay", decay)
    if _at_hand(weight) and not math.isfinite(weight.detach().sum()) and not torch.isfinite(weight).all():
        raise ValueError("weight contains NaN or infinite values")


def check_decay(name: str, decay: Tensor | float) -> None:
    """Raise ValueError unless every decay factor lies in [0, 1]. NaN does not."""
    if isinstance(decay, Tensor):
        right = not _at_hand(decay) or bool(_are_decays(decay.detach()))
    else:
        right = 0 <= decay <= 1
    if not right:
        raise ValueError(f"{name} factors must lie in [0, 1]; clamp them after every optimiser step")


def check_threshold(threshold: float) -> None:
    """Raise ValueError unless the threshold is positive."""
    if not threshold > 0:
        raise ValueError(f"threshold must be positive, not {threshold}")


def check_share(name: str, share: float) -> None:
    """Raise ValueError unless a share lies between 0 and 1."""
    if not 0 <= share <= 1:
        raise ValueError(f"{name} is a share between 0 and 1, not {share}")


def check_neurons(current: Tensor, weight: Tensor | None, decay: Tensor | None, reset_decay, threshold, adaptation):
    """Raise ValueError for anything `spiking` cannot work with; see there for the shapes."""
    check_input("current", current)
    post = current.shape[2]
    if (weight is None) != (decay is None):
        raise ValueError("recurrent_weight and recurrent_decay come together")
    if weight is not None:
        check_synapses(weight, decay)
        if tuple(weight.shape) != (post, post):
            raise ValueError(f"recurrent_weight must be ({post}, {post}), but has shape {tuple(weight.shape)}")
    check_decay("reset_decay", reset_decay)
    if tuple(torch.as_tensor(reset_decay).shape) not in ((), (post,)):
        raise ValueError(f"reset_decay must be a scalar or ({post},)")
    check_threshold(threshold)
    if adaptation is not None:
        check_decay("adaptation decay", adaptation[0])


def check_current_state(state: Tensor, batch: int, weight: Tensor, decay: Tensor) -> None:
    """Raise ValueError unless a state of synapses is (batch, post, pre), or (batch, post) where they share a decay."""
    post, pre = weight.shape
    shared = decay.ndim == 0 or decay.shape[1] == 1
    fitting = [(batch, post, pre), (batch, post)] if shared else [(batch, post, pre)]
    if tuple(state.shape) not in fitting:
        raise ValueError(f"the state's current must be {' or '.join(map(str, fitting))}, not {tuple(state.shape)}")


def check_neuron_state(state: NeuronState, current: Tensor, weight: Tensor | None, decay: Tensor | None) -> None:
    """Raise ValueError unless a state fits the neurons driven by ``current``, and their recurrent synapses."""
    expected = current.shape[0], current.shape[2]
    for name in "reset", "adaptation", "spikes":
        if tuple(getattr(state, name).shape) != expected:
            raise ValueError(f"the state's {name} must be {expected}, not {tuple(getattr(state, name).shape)}")
    if (state.current is None) != (weight is None):
        raise ValueError("a state with recurrent currents belongs to recurrent neurons, one without to others")
    if weight is not None:
        check_current_state(state.current, expected[0], weight, decay)


@torch.no_grad()
def check_values(network: nn.Module) -> None:
    """Raise ValueError unless all parameters of a `Network` are finite and its decays in [0, 1].

    The host waits for the device once. Training calls this once per period (an epoch, or some hundred iterations).
    """
    right = {name: torch.isfinite(p).all() for name, p in network.named_parameters()}
    right |= {f"decay of layers.{k}": _are_decays(layer.decay()) for k, layer in enumerate(network.layers)}
    if not torch.stack(list(right.values())).all():
        wrong = next(name for name, fine in right.items() if not fine)
        raise ValueError(f"{wrong} is not finite, or not in [0, 1] where it is a decay: training has gone astray")


def _at_hand(x: Tensor) -> bool:
    """Whether looking at a value costs nothing: not on a GPU, and not where torch traces or transforms a function."""
    if torch.compiler.is_compiling() or torch.jit.is_tracing() or torch._C._are_functorch_transforms_active():
        return False
    return x.device.type == "cpu"


def _are_decays(values: Tensor) -> Tensor:
    if values.numel() == 0:
        return values.new_ones((), dtype=torch.bool)
    least, most = torch.aminmax(values)  # one pass; NaN is neither
    return (least >= 0) & (most <= 1)
