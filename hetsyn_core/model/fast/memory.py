"""Large tensors in the memory of those that are gone.

The system takes back what a large tensor held, and must fill the pages of the next one with zeros: up to a third of
the time of a training step of S-MNIST. Here a tensor leaves its memory to the next one of its size. What is kept this
way and what is in use are together at most an eighth more than what was once in use.
"""

import math
import threading
import weakref

import numpy as np
import torch
from torch import Tensor

LARGE = 2**18  # values; smaller tensors are left to the system's own allocator


class Memory:
    """Memory of large float32 tensors, for all threads of a process."""

    def __init__(self):
        self.lock = threading.RLock()  # the same thread takes it again where a tensor ends while another is made
        self.free: list[np.ndarray] = []  # longest free first
        self.in_use = self.most = 0  # values in tensors: now, and at most so far

    def empty(self, *shape: int) -> Tensor:
        """As `torch.empty`, in float32 on the CPU."""
        size = math.prod(shape)
        if size < LARGE:
            return torch.from_numpy(np.empty(shape, np.float32))
        values = self._take(size)
        array = values.reshape(shape)  # lives as long as the tensor, which holds it
        weakref.finalize(array, self._give_back, values).atexit = False
        return torch.from_numpy(array)

    def _take(self, size: int) -> np.ndarray:
        with self.lock:
            self.in_use += size
            self.most = max(self.most, self.in_use)
            fitting = [k for k, values in enumerate(self.free) if values.size == size]
            found = self.free.pop(fitting[-1]) if fitting else None
            while self.free and self.in_use + sum(values.size for values in self.free) > self.most * 9 / 8:
                del self.free[0]
        return np.empty(size, np.float32) if found is None else found  # unlike torch, NumPy asks for large pages

    def _give_back(self, values: np.ndarray) -> None:
        with self.lock:
            self.in_use -= values.size
            self.free.append(values)
