"""Dropout from torch's own generator, with the draws torch makes (on Intel it makes others), but drawn in bulk.

One by one, as torch draws them, they took a sixth of a training step of SHD. NumPy's generator, given torch's state,
draws the same words, but no faster than torch does (24 ms for a million values, where these loops take 14): so the
Mersenne twister is written out in `fast.cpu_kernels`.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .fast import dispatch

WORDS = 624  # of the generator


@dispatch.not_compiled
def dropout(x: Tensor, share: float) -> Tensor:
    """x / (1 - share), with each value lost with probability ``share``; as `torch.nn.functional.dropout` in training.

    Two words of 32 bits from torch's generator for each value; a seed gives the same values on every CPU.
    """
    if dispatch.implementation(x) != "cpu" or not 0 < share < 1:
        return F.dropout(x, share)
    from .fast.cpu_kernels import draw_kept  # not before, since a GPU needs no Numba

    saved = torch.get_rng_state()  # after the seed: what is left | a flag, the next word's place, the words
    head, words = saved.numpy().view(np.uint64)[1:3], saved.numpy().view(np.uint64)[3 : 3 + WORDS]
    left, flag = int(head[0]) & 0xFFFFFFFF, int(head[0]) >> 32
    state, kept = words.astype(np.uint32), torch.empty(x.shape, dtype=x.dtype)
    place = draw_kept(state, WORDS if left == 1 else int(head[1]), 1 - share, kept.view(-1).numpy())
    words[:], head[:] = state, (flag << 32 | WORDS + 1 - place, place)
    torch.set_rng_state(saved)
    return x * kept
