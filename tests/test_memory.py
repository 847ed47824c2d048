"""Memory of large tensors goes to the next ones, and never to one while another still uses it."""

import torch

from hetsyn_core.model.fast.memory import LARGE, Memory


def test_a_tensor_leaves_its_memory_to_the_next_of_its_size():
    memory = Memory()
    first, second = memory.empty(2, LARGE), memory.empty(2, LARGE)
    place = first.data_ptr()
    assert second.data_ptr() != place
    del first
    assert memory.empty(LARGE, 2).data_ptr() == place
    small = memory.empty(3, 4)
    assert small.shape == (3, 4) and small.dtype == torch.float32


def test_memory_in_use_is_left_alone():
    memory = Memory()
    for keep in (lambda x: x.view(-1)[1:], lambda x: x.numpy(), lambda x: x.detach()):
        kept = keep(memory.empty(LARGE).fill_(1))
        memory.empty(LARGE).fill_(2)
        assert (kept == 1).all()


def test_no_more_is_kept_than_was_once_in_use():
    memory = Memory()
    for k in range(20):  # as many sizes
        memory.empty(LARGE + k)
        assert memory.in_use + sum(values.size for values in memory.free) <= memory.most * 9 / 8
    assert memory.most == LARGE + 19 and memory.in_use == 0
