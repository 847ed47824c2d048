"""What the fast kernels cannot do is said in one line; where they stand in the way of others, they step aside."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hetsyn_core.model import reference
from hetsyn_core.model.fast import dispatch
from hetsyn_core.model.layer import Network

ROOT = Path(__file__).resolve().parents[1]


def small(**settings):
    settings = dict(recurrent=True, generator=torch.Generator().manual_seed(0)) | settings
    x = (torch.rand(3, 12, 4, generator=torch.Generator().manual_seed(1)) < 0.5).float()
    return Network((4, 6, 2), **settings), x


def alone(code, **environment):
    """What a program of its own prints, and what it says beside."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "default"} | environment
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip(), done.stderr


def test_second_derivatives_are_those_of_the_reference_or_refused():
    for variant in "HetSynLIF", "HetNeuLIF":
        network, x = small(variant=variant)
        for loss in (lambda traces: traces.readout.square().sum(), lambda traces: traces.spikes[0].sum()):
            with pytest.raises(RuntimeError, match="first derivatives only, not create_graph=True; use the reference"):
                torch.autograd.grad(loss(network(x)), network.layers[0].weight, create_graph=True)
    network, x = small()
    weight = network.layers[1].weight
    (grad,) = torch.autograd.grad(network(x, using=reference).readout.square().sum(), weight, create_graph=True)
    assert torch.autograd.grad(grad.square().sum(), weight)[0].any()


def test_compiling_breaks_the_graph_at_the_kernels_and_changes_no_number():
    network, x = small(dropout=0.3)
    wanted = step(network, network, x)
    torch.compiler.reset()
    found = step(network, torch.compile(network, backend="aot_eager"), x)
    torch.compiler.reset()
    assert all(torch.equal(a, b) for a, b in zip(wanted, found, strict=True))


def step(network, run, x):
    torch.manual_seed(0)
    network.zero_grad()
    readout = run(x).readout
    readout.square().sum().backward()
    return [readout, *(p.grad.clone() for p in network.parameters())]


def test_what_looks_into_a_kernel_is_refused_in_one_line():
    network, x = small()
    with pytest.raises(RuntimeError, match="torch.jit.trace and torch.export cannot .* use the reference"):
        torch.jit.trace(network, x)
    for strict in True, False:
        with pytest.raises(Exception, match="torch.jit.trace and torch.export cannot .* use the reference"):
            torch.export.export(network, (x,), strict=strict)
    with pytest.raises(RuntimeError, match="torch.func cannot look into the fast kernels; use the reference"):
        per_trial(network, x, dispatch)


class ByReference(torch.nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return self.network(x, using=reference).readout


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning")
def test_the_reference_can_be_exported_and_traced():
    network, x = small()
    wanted = network(x, using=reference).readout
    assert torch.equal(torch.export.export(ByReference(network), (x,)).module()(x), wanted)
    assert torch.equal(torch.jit.trace(ByReference(network), x)(x), wanted)


def per_trial(network, x, using):
    def loss(parameters, trial):
        out = torch.func.functional_call(network, parameters, (trial[None],), {"using": using})
        return out.readout.square().sum()

    parameters = {name: p.detach() for name, p in network.named_parameters()}
    return torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(parameters, x)


def test_the_reference_gives_gradients_per_trial():
    network, x = small(variant="HetNeuLIF")
    network, x = network.double(), x.double()
    found = per_trial(network, x, reference)
    network(x, using=reference).readout.square().sum().backward()
    for name, p in network.named_parameters():
        assert torch.allclose(found[name].sum(0), p.grad)


def test_another_default_precision_changes_nothing():
    for variant in "HetSynLIF", "HetNeuLIF":
        network, x = small(variant=variant, dropout=0.3, readout="spiking")
        wanted = step(network, network, x)
        torch.set_default_dtype(torch.float64)
        try:
            found = step(network, network, x)
        finally:
            torch.set_default_dtype(torch.float32)
        assert all(torch.equal(a, b) for a, b in zip(wanted, found, strict=True))


PROCESSES = """
import multiprocessing, sys, torch
from hetsyn_core.model.layer import Network

def train(seed):
    network = Network((20, 40, 2), recurrent=True, generator=torch.Generator().manual_seed(seed))
    x = (torch.rand(8, 60, 20, generator=torch.Generator().manual_seed(seed)) < 0.1).float()
    optimiser = torch.optim.SGD(network.parameters(), 0.1)
    for _ in range(3):
        optimiser.zero_grad()
        loss = network(x).readout.square().mean()
        loss.backward()
        optimiser.step()
        network.clamp_()
    return float(loss.detach())

if __name__ == "__main__":
    torch.set_num_threads(2)
    mine = train(0)
    with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
        theirs = pool.map_async(train, [0, 0, 0]).get(timeout=120)
    print(len({mine, train(0), *theirs}))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_training_on_both_sides_of_a_new_process(method, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROCESSES)
    command = [sys.executable, str(program), method]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    environment.pop("OMP_NUM_THREADS", None)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400)
    assert done.stdout == "1\n", done.stderr[-3000:]


FORKED = """
import os, threading
from hetsyn_core import MatchToSample
from hetsyn_core.runs import train as module

held = threading.Event()
threading.Thread(target=lambda: (module._ALONE.acquire(), held.set(), threading.Event().wait()), daemon=True).start()
held.wait()
if child := os.fork():
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
else:
    module.train(MatchToSample(hidden=2, iterations=1, batch=1, delay_ms=50, test_trials=1))
    os._exit(0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_process_that_is_forked_while_a_thread_trains_can_train():
    command = [sys.executable, "-c", FORKED]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=400)
    assert done.stdout == "0\n", done.stderr[-3000:]


RUN = """
import torch
from hetsyn_core.model.layer import Network
network = Network((4, 6, 2), recurrent=True, dropout=0.2, generator=torch.Generator().manual_seed(0))
readout = network(torch.ones(2, 9, 4)).readout
readout.sum().backward()
print(network.implementation(), readout.shape)
"""


def test_without_a_compiler_the_reference_runs_and_one_line_says_so():
    out, said = alone(RUN, NUMBA_DISABLE_JIT="1")
    assert out == "reference torch.Size([2, 9, 2])"
    assert said.count("UserWarning: NUMBA_DISABLE_JIT=1: the slow reference runs on the CPU") == 1


def test_without_a_place_for_compiled_kernels_they_go_to_a_temporary_one(tmp_path):
    """As in a read-only installation without a home: no folder that Numba tries can be written."""
    only = {"NUMBA_CACHE_DIR": "", "NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator"}
    out, said = alone(RUN, TMPDIR=str(tmp_path), **only)
    assert out == "cpu torch.Size([2, 9, 2])"
    assert said.count("no place for compiled kernels") == 1
    assert not list(tmp_path.iterdir())  # it is gone with the process
