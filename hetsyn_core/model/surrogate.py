"""Spikes, and the surrogate gradients that let a network learn through them (paper section 4)."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Triangular:
    """dz/dV = gamma max(0, 1 - |u / (zeta threshold)|), u = V - threshold (pattern, match-to-sample)."""

    gamma: float = 1.0
    zeta: float = 1.0

    def derivative(self, u: Tensor, threshold: float) -> Tensor:
        """dz/dV at u = V - threshold; same shape as u."""
        return self.gamma * (1 - (u / (self.zeta * threshold)).abs()).clamp(min=0)


@dataclass(frozen=True)
class MultiGaussian:
    """dz/dV = gamma [(1 + h) N(u; 0, s) - h N(u; m, k s) - h N(u; -m, k s)] (Yin 2021; speech and vision)."""

    gamma: float = 0.5
    height: float = 0.15
    sigma: float = 0.5
    scale: float = 6.0
    shift: float = 0.5

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


Surrogate = Triangular | MultiGaussian
SURROGATES = {
    "triangular": Triangular(),
    "multi_gaussian": MultiGaussian(),
    "gaussian": MultiGaussian(height=0.0),  # without the side lobes, which push a silent neuron further down
}


class _Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx, potential, threshold, surrogate):
        ctx.save_for_backward(potential)
        ctx.threshold, ctx.surrogate = threshold, surrogate
        return (potential >= threshold).to(potential.dtype)

    @staticmethod
    def backward(ctx, grad):
        (potential,) = ctx.saved_tensors
        return grad * ctx.surrogate.derivative(potential - ctx.threshold, ctx.threshold), None, None


def spike(potential: Tensor, threshold: float, surrogate: Surrogate) -> Tensor:
    """z = H(V - threshold), eq. 4: 1 where the potential reaches the threshold, else 0.

    Backward uses ``surrogate.derivative``. Any object with such a method will do. Same shape as ``potential``.
    """
    return _Spike.apply(potential, threshold, surrogate)
