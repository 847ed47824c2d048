"""The GPU kernels without a GPU: their results in Triton's interpreter, their code as Triton compiles it for two cards.

The interpreter must be chosen before Triton is imported, so those tests run in a process of their own, started by
`test_the_kernels_do_what_the_reference_does`. With a GPU at hand they run on it instead. What the host does is tried on
torch's device "meta", which has no values: code that reads one, or has left a tensor elsewhere, fails there.
"""

import os
import re
import subprocess
import sys
import warnings
from functools import cache
from types import SimpleNamespace

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

triton = pytest.importorskip("triton", reason="Triton, which compiles for GPUs, is made for Linux alone")

import test_fast
import test_state
from triton.backends.compiler import GPUTarget

from hetsyn_core.model import reference
from hetsyn_core.model.checks import check_values
from hetsyn_core.model.fast import dispatch, gpu
from hetsyn_core.model.layer import Network
from hetsyn_core.model.surrogate import MultiGaussian, Triangular

ON_CARD = torch.cuda.is_available() and not gpu.INTERPRETED
DEVICE = "cuda" if ON_CARD else "cpu"
kernels_run = pytest.mark.skipif(not (gpu.INTERPRETED or ON_CARD), reason="runs inside the first test")
compiled = pytest.mark.skipif(gpu.INTERPRETED, reason="the interpreter is on")


def on_device(function):
    """The function for tensors of the CPU, computed on the device: there and back again."""

    def there(x):
        return x.to(DEVICE) if hasattr(x, "to") else x

    def run(*args, **kwargs):
        out = function(*map(there, args), **{name: there(x) for name, x in kwargs.items()})
        return tuple(x.to("cpu") for x in out) if isinstance(out, tuple) else out.cpu()

    return run


moved = SimpleNamespace(synaptic_current=on_device(dispatch.synaptic_current), spiking=on_device(dispatch.spiking))


# In the interpreter, or on a card


@compiled
@pytest.mark.skipif(ON_CARD, reason="they do it on the card")
def test_the_kernels_do_what_the_reference_does():
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    environment = os.environ | {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-5000:]


@pytest.fixture(autouse=True)
def by_gpu(monkeypatch):
    monkeypatch.setattr(dispatch, "_module", lambda x: gpu)  # of a tensor on the CPU too: in the interpreter
    monkeypatch.setattr(test_fast, "fast", moved)  # what `compare` holds to the reference in float64


def compare(batch, time, pre, post, kind="synapse", recurrent=True, surrogate=Triangular(), seed=0, **rest):
    rest = dict(tied=False, adapts=False, density=0.3) | rest
    return test_fast.compare(batch, time, pre, post, kind, recurrent, surrogate=surrogate, seed=seed, **rest)


@kernels_run
@pytest.mark.parametrize("kind", ["all", "neuron", "synapse"])
@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("adapts", [False, True])
def test_every_setting(kind, recurrent, tied, adapts):
    for surrogate in Triangular(), MultiGaussian(gamma=0.7):
        assert compare(2, 12, 5, 7, kind, recurrent, surrogate, tied=tied, adapts=adapts)


@kernels_run
@settings(max_examples=15, deadline=None)
@given(
    batch=st.integers(1, 2),
    time=st.integers(1, 9),
    pre=st.integers(1, 40),
    post=st.integers(1, 40),
    kind=st.sampled_from(["all", "neuron", "synapse"]),
    recurrent=st.booleans(),
    density=st.sampled_from([0.0, 0.1, 1.0]),
    ends=st.booleans(),
    seed=st.integers(0, 99),
)
def test_any_size(batch, time, pre, post, kind, recurrent, density, ends, seed):
    assume(compare(batch, time, pre, post, kind, recurrent, seed=seed, adapts=True, density=density, ends=ends))


@kernels_run
@pytest.mark.parametrize("neurons", [131, 300, 520])
def test_a_layer_too_wide_for_registers(neurons):
    assert gpu.RESIDENT < neurons <= gpu.LARGEST
    assert compare(2 if neurons < 256 else 1, 4, 3, neurons, density=1.0, tied=True)


@kernels_run
@pytest.mark.parametrize("programs", [1, 1_000_000])
def test_inputs_summed_by_few_and_by_many_programs(monkeypatch, programs):
    monkeypatch.setattr(gpu, "PROGRAMS", programs)
    assert compare(2, 6, 70, 35, recurrent=False)


class Arctan:
    def derivative(self, u, threshold):
        return 1 / (1 + (3.0 * u) ** 2)


@kernels_run
def test_any_other_surrogate():
    assert compare(2, 12, 5, 7, surrogate=Arctan())


@kernels_run
def test_the_same_input_gives_the_same_bits_whatever_was_in_memory_before(monkeypatch):
    torch.manual_seed(0)
    x = (torch.rand(2, 12, 5) < 0.4).float()
    parts = dict(w=torch.randn(35, 5), r=torch.rand(35, 5), v=torch.randn(35, 35) / 6, s=torch.rand(35, 35))
    args = torch.float32, x, parts | dict(kappa=torch.rand(35)), True, True, None, MultiGaussian()
    V, z, grads, _ = test_fast.run(moved, *args)
    monkeypatch.setattr(torch, "empty", lambda *size, **where: torch.full(size, torch.nan, **where))
    monkeypatch.setattr(torch, "empty_like", lambda x: torch.full_like(x, torch.nan))
    V2, z2, grads2, _ = test_fast.run(moved, *args)
    assert z.any() and torch.equal(V, V2) and torch.equal(z, z2)
    assert [k for k in grads if not torch.equal(grads[k], grads2[k])] == []


@kernels_run
def test_a_network_and_what_is_not_finite_in_its_input():
    network = Network((3, 6, 2), recurrent=True, generator=torch.Generator().manual_seed(0))
    x = (torch.rand(2, 8, 3, generator=torch.Generator().manual_seed(0)) < 0.6).float()
    assert torch.allclose(network(x, using=moved).readout, network(x, using=reference).readout, atol=1e-5)
    check_values(network)
    x[1, 3, 2] = torch.inf  # on a GPU nothing looks at it
    optimiser = torch.optim.Adam(network.parameters())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy's, of inf - inf
        unchecked(network, x).square().sum().backward()
    optimiser.step()
    with pytest.raises(ValueError, match="not finite"):
        check_values(network)


def unchecked(network, x):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hetsyn_core.model.checks._at_hand", lambda x: False)
        return network(x, using=moved).readout


@kernels_run
def test_empty_input_gives_empty_output():
    w, r = torch.randn(3, 4), torch.rand(3, 4)
    assert moved.synaptic_current(torch.zeros(0, 5, 4), w, r).shape == (0, 5, 3)
    assert moved.synaptic_current(torch.zeros(2, 0, 4), w, r).shape == (2, 0, 3)
    V, z = moved.spiking(torch.zeros(2, 0, 3), reset_decay=0.5)
    assert V.shape == z.shape == (2, 0, 3)


@kernels_run
def test_beyond_the_largest_layer_the_reference_runs_and_says_so():
    n = gpu.LARGEST + 1
    args = torch.rand(1, 2, n), torch.randn(n, n) / 16, torch.tensor(0.5)
    with pytest.warns(UserWarning, match=f"beyond {gpu.LARGEST}"):
        V, z = moved.spiking(*args, reset_decay=0.9)
    assert torch.allclose(V, reference.spiking(*args, reset_decay=0.9)[0])


# On the host, and compiled


@compiled
def test_a_tensor_elsewhere_gets_one_clear_error():
    with pytest.raises(ValueError, match="float32"):
        gpu.spiking(torch.zeros(1, 2, 3), reset_decay=0.5)


@compiled
def test_triton_torch_and_numpy_are_enough():
    absent = "numba", "llvmlite", "scipy", "pandas", "pyarrow", "matplotlib", "tqdm"
    code = f"""import sys; sys.modules |= dict.fromkeys({absent})
from hetsyn_core.model import layer
from hetsyn_core.model.fast import gpu"""
    subprocess.run([sys.executable, "-c", code], check=True)


@compiled
def test_values_that_went_astray_are_found():
    network = Network((3, 4, 2), generator=torch.Generator().manual_seed(0))
    check_values(network)
    with torch.no_grad():
        network.layers[1].decay_parameter[0, 0] = 1.01
    with pytest.raises(ValueError, match="decay of layers.1"):
        check_values(network)


SHAPES = {  # batch, steps, sizes, what differs from the defaults of `Network`
    "SHD": (32, 250, (700, 128, 64, 20), dict(recurrent=True, surrogate=MultiGaussian())),
    "match": (32, 210, (30, 100, 2), dict(recurrent=True)),
    "match, tied": (32, 210, (30, 20, 2), dict(recurrent=True, variant="HetNeuLIF", tau_reset_ms=None)),
    "pattern R": (1, 2000, (100, 100, 1), dict(recurrent=True)),
    "pattern F": (1, 2000, (100, 100, 1), dict(variant="HomNeuALIF")),
    "S-MNIST": (256, 784, (1, 64, 64, 10), dict(recurrent=True, surrogate=MultiGaussian(), readout="spiking")),
    "smallest": (1, 1, (1, 1, 1), dict(recurrent=True)),
    "wide": (32, 250, (700, 256, 20), dict(recurrent=True, surrogate=MultiGaussian())),
    "wider": (32, 250, (700, 300, 20), dict(recurrent=True, surrogate=MultiGaussian())),
    "widest": (32, 250, (700, 1024, 20), dict(recurrent=True, variant="HetNeuLIF", tau_reset_ms=None)),
}
SHARED_MEMORY = {80: 163 * 1024, 90: 227 * 1024}  # bytes a program can have: A100, H100
SPILLED = 64  # bytes a thread may keep in memory for want of registers; none did when this was written


@pytest.fixture
def launches(monkeypatch):
    """Every launch of a kernel, recorded instead of done."""
    found = []
    monkeypatch.setattr(gpu, "_check_device", lambda *tensors: None)
    monkeypatch.setattr(gpu, "_launch", lambda *args, **options: found.append((args, options)))
    return found


@compiled
@pytest.mark.parametrize("shape", SHAPES)
def test_kernels_compile_and_nothing_waits_for_the_device(shape, launches, monkeypatch):
    batch, time, sizes, settings = SHAPES[shape]
    network = Network(sizes, **settings).to("meta")
    traces = network(torch.empty(batch, time, sizes[0], device="meta"), using=dispatch)
    out = traces.readout if traces.readout_spikes is None else traces.readout_spikes
    (out.sum() + sum(z.mean() for z in traces.spikes)).backward()
    assert all(p.grad.shape == p.shape for p in network.parameters() if p.requires_grad)
    kernels = {kernel.__name__ for (kernel, *_), _ in launches}
    assert kernels == {"integrate", "gradients", "spike_forward", "spike_backward"}
    for card, most in SHARED_MEMORY.items():
        monkeypatch.setattr(triton.runtime.driver, "_active", imagined(card))
        for (kernel, grid, *args), options in launches:
            code = kernel.warmup(*args, grid=grid, **options)  # all of a launch but the launch
            registers, spilled = resources(code.asm["ptx"])
            assert len(code.asm["cubin"]) > 0 and code.metadata.shared <= most
            assert registers * 32 * options["num_warps"] <= 65536 and spilled <= SPILLED, (kernel, options)


class Started(TorchDispatchMode):
    """Counts what torch starts on a device. Views and empty memory start nothing, the gradient of a slice is two."""

    def __init__(self):
        super().__init__()
        self.n = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        name = function._schema.name
        nothing = function.is_view or "empty" in name or name in ("aten::_unsafe_view", "aten::lift_fresh")
        self.n += 0 if nothing else 2 if name == "aten::slice_backward" else 1
        return out


@compiled
@pytest.mark.parametrize("shape, most", [("SHD", 56), ("S-MNIST", 54)])
def test_a_pass_there_and_back_starts_few_kernels(shape, most, launches):
    """Starting them is most of a step's time on a large card. 69 and 67 before copies and slices were saved."""
    batch, time, sizes, settings = SHAPES[shape]
    network = Network(sizes, **settings).to("meta")
    x = torch.empty(batch, time, sizes[0], device="meta")
    with Started() as started:
        traces = network(x, using=dispatch)
        (traces.readout if traces.readout_spikes is None else traces.readout_spikes).sum().backward()
    assert len(launches) + started.n <= most


def imagined(card: int):
    """What Triton asks of a driver before a launch."""
    target = GPUTarget("cuda", card, 32)
    return SimpleNamespace(
        get_current_target=lambda: target, get_current_device=lambda: card, get_current_stream=lambda device: 0
    )


@cache
def resources(ptx: str) -> tuple[int, int]:
    """Registers of a thread and bytes it spills, as the assembler in Triton says."""
    target = re.search(r"\.target (\w+)", ptx)[1]
    command = [triton.knobs.nvidia.ptxas.path, "-v", f"--gpu-name={target}", "-", "-o", os.devnull]
    said = subprocess.run(command, input=ptx, capture_output=True, text=True, check=True).stderr
    stores, loads = re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", said).groups()
    return int(re.search(r"Used (\d+) registers", said)[1]), max(int(stores), int(loads))


@kernels_run
@pytest.mark.parametrize("variant", ["HetNeuLIF", "HetSynLIF"])
@pytest.mark.parametrize("recurrent", [False, True])
def test_pieces_are_one_go(variant, recurrent):
    kind = dict(variant=variant, surrogate=MultiGaussian())
    example = test_state.drawn(kind, recurrent, "spiking", (5, 9, 3), 20, 1)
    assert test_state.agree(*example, [0.2, 0.2, 0.7], moved)
