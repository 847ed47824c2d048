"""A network in a file: its settings as JSON and its arrays, in an .npz without pickle."""

import io
import json
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch

from ..paths import expanded, write_whole
from .layer import Network, Variant
from .surrogate import MultiGaussian, Triangular
from .time_constants import Sharing

KNOWN = {kind.__name__: kind for kind in (MultiGaussian, Sharing, Triangular, Variant)}


def save(network: Network, path: str | Path) -> None:
    """Write a network to a file, whole or not at all.

    Raises:
        ValueError: its surrogate is a class of your own, which a file cannot hold.
    """
    settings = np.frombuffer(json.dumps(network.settings, default=_as_json).encode(), np.uint8)
    arrays = {name: value.cpu().numpy() for name, value in network.state_dict().items()}
    buffer = io.BytesIO()
    np.savez(buffer, settings=settings, **arrays)
    write_whole(expanded(path), buffer.getvalue())


def load(path: str | Path) -> Network:
    """The network in a file of `save`, on the CPU and ready to be used: `network.train()` before it learns on.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file was not written by `save` of this version, or it is damaged.
    """
    content = expanded(path).read_bytes()
    try:
        with np.load(io.BytesIO(content)) as file:
            arrays = {name: torch.from_numpy(file[name]) for name in file.files}
        settings = json.loads(bytes(arrays.pop("settings").tolist()), object_hook=_from_json)
        network = Network(**settings, generator=torch.Generator().manual_seed(0))  # draws that are written over
        network.to(arrays["layers.0.weight"].dtype).load_state_dict(arrays)
    except (AttributeError, BadZipFile, EOFError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a network that `save` of this version wrote, or is damaged") from error
    return network.eval()


def _as_json(value):
    if type(value).__name__ in KNOWN and type(value) is KNOWN[type(value).__name__]:
        return {"type": type(value).__name__, **vars(value)}
    if getattr(value, "ndim", None) == 0:  # a number of NumPy or torch
        return value.item()
    raise ValueError(f"{value!r} cannot be saved; keep `network.state_dict()`, and load it into the same network")


def _from_json(found: dict):
    return KNOWN[found.pop("type")](**found) if "type" in found else found
