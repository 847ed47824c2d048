"""What a state_dict and a file say of their network, and what they refuse."""

import copy
import json

import numpy as np
import pytest
import torch

from hetsyn_core import Network, load, save
from hetsyn_core.model.layer import VARIANTS, Variant
from hetsyn_core.model.surrogate import MultiGaussian, Triangular
from hetsyn_core.model.time_constants import Sharing


def small(**settings):
    return Network((4, 6, 2), generator=torch.Generator().manual_seed(0), **settings)


@pytest.mark.parametrize(
    "settings",
    [
        dict(variant="HetNeuLIF", tau_reset_ms=None, tau_s=("uniform", 5, 20)),
        dict(variant="HomNeuALIF", adaptation=(100.0, 0.2), recurrent=True),
        dict(sharing=Sharing("pre", 3), frozen=0.5, surrogate=MultiGaussian(height=0.0)),
        dict(variant=Variant(Sharing("post", 2), trainable=False), readout="spiking", threshold=np.float64(0.7)),
        dict(surrogate=Triangular(0.3, 2.0), parameterization="log_tau", dt_ms=np.float32(4), dropout=0.2),
        dict(
            threshold=torch.tensor(0.7), tau_s=("normal", np.float32(20), torch.tensor(2.0)), dropout=torch.tensor(0.2)
        ),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_network_comes_back_as_it_was_saved(settings, dtype, tmp_path):
    network = small(**settings).to(dtype).eval()
    with torch.no_grad():
        network.layers[0].weight.add_(1)
    save(network, tmp_path / "network.npz")
    before = torch.get_rng_state()
    again = load(tmp_path / "network.npz")
    assert torch.equal(torch.get_rng_state(), before) and not again.training
    x = (torch.rand(3, 20, 4) < 0.5).float()
    for a, b in zip(network(x), again(x), strict=True):
        assert a == b if a is None else all(torch.equal(u, v) for u, v in zip(a, b, strict=True))
    assert [p.requires_grad for p in again.parameters()] == [p.requires_grad for p in network.parameters()]
    assert again.layers[0].surrogate == network.layers[0].surrogate
    assert network.train()(x).readout.shape == (3, 20, 2)  # with dropout


def test_a_file_that_is_damaged_or_of_something_else_is_refused_in_one_line(tmp_path):
    path = tmp_path / "network.npz"
    save(small(), path)
    whole = path.read_bytes()
    np.savez(tmp_path / "other.npz", a=np.ones(3))
    np.save(tmp_path / "array.npy", np.ones(3))
    with np.load(path) as file:
        arrays = dict(file)
    settings = json.loads(arrays["settings"].tobytes())
    as_bytes = lambda changed: np.frombuffer(json.dumps(changed).encode(), np.uint8)
    np.savez(tmp_path / "later.npz", **arrays | {"settings": as_bytes(settings | {"unheard_of": 1})})
    np.savez(tmp_path / "sizes.npz", **arrays | {"settings": as_bytes(settings | {"sizes": [4, 7, 2]})})
    others = [(tmp_path / name).read_bytes() for name in ("other.npz", "array.npy", "later.npz", "sizes.npz")]
    for content in whole[:200], b"", whole[:-200], *others:
        path.write_bytes(content)
        with pytest.raises(ValueError, match="not a network that `save` of this version wrote, or is damaged"):
            load(path)
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none.npz")


def test_a_file_may_lie_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    save(small(), "~/network.npz")
    assert load("~/network.npz").settings == load(tmp_path / "network.npz").settings


def test_what_a_file_cannot_hold_is_said_before_there_is_one(tmp_path):
    class Own:
        def derivative(self, u, threshold):
            return u

    with pytest.raises(ValueError, match="cannot be saved"):
        save(small(surrogate=Own()), tmp_path / "network.npz")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "other",
    [
        dict(dt_ms=5.0),
        dict(parameterization="tau"),
        dict(sharing=Sharing("random", 24)),
        dict(tau_reset_ms=5.0),
        dict(threshold=2.0),
    ],
)
def test_a_state_of_another_kind_of_network_is_refused_and_nothing_is_loaded(other):
    mine, theirs = small(), small(**other)
    before = copy.deepcopy(mine.state_dict())
    with pytest.raises(ValueError, match=f"a layer with {'reset_decay' if 'tau_reset_ms' in other else [*other][0]}"):
        mine.load_state_dict(theirs.state_dict())
    assert all(torch.equal(value, before[name]) for name, value in mine.state_dict().items())


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_state_of_before_there_was_an_extra_one_still_loads(variant, tmp_path):
    theirs, mine = small(variant=variant), Network((4, 6, 2), variant=variant)
    old = {name: value for name, value in theirs.state_dict().items() if not name.endswith("_extra_state")}
    assert len(old) < len(theirs.state_dict())
    mine.load_state_dict(old)
    assert torch.equal(mine.layers[0].weight, theirs.layers[0].weight)
    torch.save(theirs.state_dict(), tmp_path / "state.pt")
    mine.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))


@pytest.mark.parametrize(
    "one, other",
    [
        (dict(variant="HomNeuALIF", adaptation=(50.0, 0.1)), dict(variant="HomNeuALIF", adaptation=(50.0, 0.2))),
        (dict(readout="spiking"), dict(readout="leaky")),
    ],
)
def test_a_state_with_another_adaptation_or_readout_is_refused(one, other):
    with pytest.raises(ValueError, match="this state is of a layer with (adaptation|spiking)"):
        Network((4, 6, 2), **one).load_state_dict(Network((4, 6, 2), **other).state_dict())
