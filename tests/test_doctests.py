"""The examples in docstrings are run."""

import doctest
from importlib import import_module

import pytest


@pytest.mark.parametrize("module", ["hetsyn_core.model.layer"])
def test_examples_give_what_they_say(module):
    found = doctest.testmod(import_module(module))
    assert found.attempted > 0 and found.failed == 0
