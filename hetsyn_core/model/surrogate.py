"""Spikes, and the surrogate gradients that let a network learn through them (paper section 4).

Each surrogate says itself what a fast kernel needs of it: which formula, and its constants.
"""

import math
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar

import torch
from torch import Tensor


class Kind(IntEnum):
    """Which formula a fast kernel computes a surrogate by; GIVEN: none, its values come from ``derivative``."""

    GIVEN = 0
    TRIANGULAR = 1
    MULTI_GAUSSIAN = 2


@dataclass(frozen=True)
class Triangular:
    """`dz/dV = gamma max(0, 1 - |u / (zeta threshold)|)`, u = V - threshold (pattern, match-to-sample)."""

    gamma: float = 1.0
    zeta: float = 1.0
    kind: ClassVar[Kind] = Kind.TRIANGULAR

    def derivative(self, u: Tensor, threshold: float) -> Tensor:
        """dz/dV at u = V - threshold; same shape as u."""
        return self.gamma * (1 - (u / (self.zeta * threshold)).abs()).clamp(min=0)

    def constants(self, threshold: float) -> tuple[float, float]:
        """Height and half the width of the triangle."""
        return self.gamma, self.zeta * threshold


@dataclass(frozen=True)
class MultiGaussian:
    """`dz/dV = gamma [(1 + h) N(u; 0, s) - h N(u; m, k s) - h N(u; -m, k s)]` (Yin 2021; speech and vision)."""

    gamma: float = 0.5
    height: float = 0.15
    sigma: float = 0.5
    scale: float = 6.0
    shift: float = 0.5
    kind: ClassVar[Kind] = Kind.MULTI_GAUSSIAN

    def derivative(self, u: Tensor, threshold: float) -> Tensor:
        """dz/dV at u = V - threshold; same shape as u. Independent of the threshold."""

        def normal(mean: float, sd: float) -> Tensor:
            return torch.exp(-0.5 * ((u - mean) / sd) ** 2) / (sd * math.sqrt(2 * math.pi))

        wide = self.scale * self.sigma
        return self.gamma * (
            (1 + self.height) * normal(0.0, self.sigma)
            - self.height * normal(self.shift, wide)
            - self.height * normal(-self.shift, wide)
        )

    def constants(self, threshold: float) -> tuple[float, float, float, float, float]:
        """Height and 1 / (2 sd^2) of the narrow Gaussian, the same of the two wide ones, and their shift."""
        sd, wide = self.sigma, self.scale * self.sigma
        peak = self.gamma / math.sqrt(2 * math.pi)
        return peak * (1 + self.height) / sd, 0.5 / sd**2, peak * self.height / wide, 0.5 / wide**2, self.shift


Surrogate = Triangular | MultiGaussian
SURROGATES = {
    "triangular": Triangular(),
    "multi_gaussian": MultiGaussian(),
    "gaussian": MultiGaussian(height=0.0),  # without the side lobes, which push a silent neuron further down
}


def formula(surrogate: Surrogate, threshold: float) -> tuple[Kind, tuple[float, ...]]:
    """Kind and constants by which a fast kernel computes a surrogate; those of GIVEN are none.

    A class must name its kind itself: with another ``derivative`` it does not inherit the formula.
    """
    if "kind" not in vars(type(surrogate)):
        return Kind.GIVEN, ()
    return surrogate.kind, surrogate.constants(threshold)


def values(surrogate: Surrogate, potential: Tensor, threshold: float) -> Tensor:
    """``surrogate.derivative`` at every potential; one number, or a row of them, stands for all."""
    slope = surrogate.derivative(potential - threshold, threshold)
    return torch.as_tensor(slope, dtype=potential.dtype, device=potential.device).expand_as(potential)


class _Spike(torch.autograd.Function):
    generate_vmap_rule = True  # for torch.func

    @staticmethod
    def forward(potential, threshold, surrogate):
        return (potential >= threshold).to(potential.dtype)

    @staticmethod
    def setup_context(ctx, inputs, output):
        potential, ctx.threshold, ctx.surrogate = inputs
        ctx.save_for_backward(potential)

    @staticmethod
    def backward(ctx, grad):
        (potential,) = ctx.saved_tensors
        return grad * values(ctx.surrogate, potential, ctx.threshold), None, None


def spike(potential: Tensor, threshold: float, surrogate: Surrogate) -> Tensor:
    """z = H(V - threshold), eq. 4: 1 where the potential reaches the threshold, else 0.

    Backward uses ``surrogate.derivative``. Any object with such a method will do. Same shape as ``potential``.
    """
    if not torch.is_grad_enabled() and not torch.jit.is_tracing():  # a trace has it both ways
        return (potential >= threshold).to(potential.dtype)
    return _Spike.apply(potential, threshold, surrogate)
