"""What follows from the settings of a run: its network and its optimiser."""

import math
from collections.abc import Sequence

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, StepLR

from ..model.layer import Network
from ..model.surrogate import SURROGATES
from ..tasks.task import Task

WARM_UP, PLATEAU = 0.05, 0.05  # shares of the cosine's batches: up to the full rate, and cut off at its end


def make_network(task: Task, sizes: Sequence[int] | None = None) -> Network:
    """The network of a run before training, drawn from its seed.

    Args:
        sizes: neurons of each layer, where the data that say so are not here.
    """
    network = Network(
        tuple(sizes or task.sizes()),
        variant=task.variant,
        sharing=task.sharing(),
        recurrent=task.recurrent,
        tau_s=task.initial_tau_s(),
        adaptation=(task.tau_a_ms, task.a),
        dt_ms=task.dt_ms,
        tau_reset_ms=task.tau_reset_ms,
        frozen=task.frozen,
        parameterization=task.parameterization,
        surrogate=SURROGATES[task.surrogate],
        readout=task.readout,
        dropout=task.dropout,
        generator=torch.Generator().manual_seed(task.seed),
    )
    if task.fixed_weights:
        for weight in network.weights():
            weight.requires_grad_(False)
    return network


def make_optimiser(task: Task, network: Network) -> tuple[Optimizer, LRScheduler]:
    """The optimiser of a run and the schedule of its learning rates, to be stepped after every batch (section 4).

    Weights and decays are two groups, each with its rate; there is none for what does not learn.
    """
    learn = (network.weights(), task.lr), (network.decay_parameters(), task.lr * task.decay_lr_scale)
    groups = [{"params": own, "lr": lr} for own, lr in learn if own]
    if task.optimiser == "Adam":  # all rates times 0.8 every 100 batches (pattern generation, match-to-sample)
        optimiser = torch.optim.Adam(groups)
        return optimiser, StepLR(optimiser, step_size=100, gamma=0.8)
    # Recognition: weight decay on decays too, and the rates of `warm_cosine`.
    optimiser = torch.optim.AdamW(groups, weight_decay=task.weight_decay)
    total = task.cosine_epochs * task.epoch()
    return optimiser, LambdaLR(optimiser, lambda step: warm_cosine(step, total))


def warm_cosine(step: int, total: int) -> float:
    """Share of the highest learning rate at a batch: 5 % warm-up, half a cosine, its last 5 % held at one value.

    So do the authors: the rate of epoch 38 of 40, 0.7 % of the highest, stays to the end (their script).
    """
    up = int(WARM_UP * total)
    if step < up:
        return step / max(1, up)
    progress = (min(step, int(total * (1 - PLATEAU))) - up) / max(1, total - up)
    return 0.5 * (1 + math.cos(math.pi * progress))
