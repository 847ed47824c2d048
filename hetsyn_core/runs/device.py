"""The device that networks train on: the CPU or a card."""

import os
import re

import torch


def chosen() -> str:
    """What $HETSYN_DEVICE names; without it a GPU, if there is one; errors as `checked`."""
    return checked(os.environ.get("HETSYN_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu"), "HETSYN_DEVICE")


def checked(name: str, what: str = "device") -> str:
    """The name of a device that is here.

    Raises:
        ValueError: there is none; the message says which there are, and calls the setting ``what``.
    """
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise ValueError(f"{what} must be cpu, cuda, or one card such as cuda:0, not {name!r}")
    cards = torch.cuda.device_count()
    if on_card(name) and int(name.partition(":")[2] or 0) >= cards:
        here = ", ".join(["cpu", *(f"cuda:{k}" for k in range(cards))])
        raise ValueError(f"{what} is {name}, which torch does not find here; it finds {here}")
    return name


def on_card(name: str) -> bool:
    """Whether a device is a GPU."""
    return name.startswith("cuda")
