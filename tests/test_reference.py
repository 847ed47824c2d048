"""The reference against an independent numpy simulation of eqs. 4-9, and Propositions 1-3, in float64."""

import math

import numpy as np
import pytest
import torch
from made_up import seeded

from hetsyn_core.model import reference
from hetsyn_core.model.fast import dispatch
from hetsyn_core.model.layer import VARIANTS, Layer, Network, parameter_count
from hetsyn_core.model.surrogate import MultiGaussian, Triangular, spike
from hetsyn_core.model.time_constants import Sharing, decay_from_tau, tau_from_decay

RNG = np.random.default_rng()
T, M, N = 80, 7, 5


@pytest.fixture(autouse=True)
def same_draws():
    """Every test draws the same, whichever came before."""
    RNG.bit_generator.state = np.random.default_rng(0).bit_generator.state


def random_synapses(pre, post, scale=1.0):
    return RNG.normal(0, scale, (post, pre)), RNG.uniform(0.3, 0.99, (post, pre))


def simulate(x, w, r, w_rec, r_rec, kappa, theta, rho_a, a):
    """Eqs. 4-9 for one trial with scalar loops, as far from the tensor code as possible."""
    steps, pre = x.shape
    post = w.shape[0]
    I, K = np.zeros((post, pre)), np.zeros((post, post))
    J, A, z = np.zeros(post), np.zeros(post), np.zeros(post)
    V, Z = np.zeros((steps, post)), np.zeros((steps, post))
    for t in range(steps):
        new = np.zeros(post)
        for j in range(post):
            for i in range(pre):
                I[j, i] = r[j, i] * I[j, i] + w[j, i] * x[t, i]
            for k in range(post):
                K[j, k] = r_rec[j, k] * K[j, k] + w_rec[j, k] * z[k]
            J[j] = kappa * J[j] + theta * z[j]
            A[j] = rho_a * A[j] + a * z[j]
            V[t, j] = sum(I[j]) + sum(K[j]) - J[j] - A[j]
            new[j] = float(V[t, j] >= theta)
        z = new
        Z[t] = z
    return V, Z


def tensors(*arrays):
    return [torch.from_numpy(np.asarray(a)) for a in arrays]


@pytest.mark.parametrize("adapts", [False, True])
def test_reference_solves_the_equations(adapts):
    x = (RNG.random((T, M)) < 0.3).astype(float)
    w, r = random_synapses(M, N)
    w_rec, r_rec = random_synapses(N, N, 0.5)
    rho_a, a = (0.98, 0.1) if adapts else (0.0, 0.0)
    V, Z = simulate(x, w, r, w_rec, r_rec, 0.9, 1.0, rho_a, a)
    assert 0 < Z.sum() < Z.size
    X, W, R, WR, RR = tensors(x[None], w, r, w_rec, r_rec)
    potential, spikes = reference.spiking(
        reference.synaptic_current(X, W, R), WR, RR, reset_decay=0.9, adaptation=(rho_a, a) if adapts else None
    )
    assert np.array_equal(spikes[0].numpy(), Z)
    assert np.abs(potential[0].numpy() - V).max() < 1e-12


def drive():
    x = (RNG.random((T, M)) < 0.3).astype(float)
    return x, RNG.normal(0.3, 0.6, (N, M))


def hetsyn(x, w, r, kappa, adaptation=None):
    X, W, R = tensors(x[None], w, r)
    V, z = reference.spiking(
        reference.synaptic_current(X, W, R),
        reset_decay=torch.as_tensor(kappa, dtype=torch.float64),
        adaptation=adaptation,
    )
    return V[0].numpy(), z[0].numpy()


def lif(x, w, rho):
    """Vanilla LIF, eq. 3; rho scalar or per neuron."""
    V, z, out = np.zeros(N), np.zeros(N), []
    for t in range(T):
        V = rho * V + w @ x[t] - z
        z = (V >= 1).astype(float)
        out.append((V.copy(), z))
    return np.array([o[0] for o in out]), np.array([o[1] for o in out])


def test_proposition_1_one_decay_is_the_vanilla_lif():
    x, w = drive()
    V, z = hetsyn(x, w, np.full((N, M), 0.95), 0.95)
    V0, z0 = lif(x, w, 0.95)
    assert z0.sum() > 0 and np.array_equal(z, z0) and np.abs(V - V0).max() < 1e-12


def test_proposition_2_with_adaptation_it_is_alif():
    x, w = drive()
    rho, rho_a, a = 0.95, 0.99, 0.2
    V, z = hetsyn(x, w, np.full((N, M), rho), rho, (rho_a, a))
    U, A, s, ok = np.zeros(N), np.zeros(N), np.zeros(N), []
    for t in range(T):  # V = rho V + w x - theta z + (rho - rho_a) A - a z
        U = rho * U + w @ x[t] - s + (rho - rho_a) * A - a * s
        A = rho_a * A + a * s
        s = (U >= 1).astype(float)
        ok.append(np.abs(U - V[t]).max() < 1e-12 and np.array_equal(s, z[t]))
    assert z.sum() > 0 and all(ok)


def test_proposition_3_one_decay_per_neuron_is_neuron_heterogeneity():
    x, w = drive()
    rho = RNG.uniform(0.7, 0.98, N)
    V, z = hetsyn(x, w, np.repeat(rho[:, None], M, 1), rho)
    V0, z0 = lif(x, w, rho)
    assert z0.sum() > 0 and np.array_equal(z, z0) and np.abs(V - V0).max() < 1e-12


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("recurrent", [False, True])
def test_networks_have_the_parameters_of_table_3(variant, recurrent):
    layer = Network((M, N, 2), variant=variant, recurrent=recurrent).layers[0]
    trainable = sum(p.numel() for p in layer.parameters() if p.requires_grad)
    assert trainable == parameter_count(variant, M, N, recurrent)


def test_frozen_decays_stay():
    layer = Layer(M, N, frozen=0.6, recurrent=True)
    before = layer.decay().detach().clone()
    with torch.no_grad():
        layer.decay_parameter.mul_(0.5)
    assert int((layer.decay() == before).sum()) == round(0.6 * N * (M + N))


@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize("p", [1, 3, 5, 10_000])
@pytest.mark.parametrize("grouped_by", ["random", "pre", "post"])
def test_groups_of_synapses_share_a_decay_and_are_as_equal_as_can_be(grouped_by, p, recurrent):
    layer = Layer(M, N, sharing=Sharing(grouped_by, p), recurrent=recurrent)
    r = layer.decay().detach().expand(N, -1)
    r = r.expand(N, M + N * recurrent) if r.shape[1] == 1 else r
    one_each = {"random": r.flatten(), "pre": r[0], "post": r[:, 0]}[grouped_by]
    sizes = one_each.unique(return_counts=True)[1]
    assert len(sizes) == min(p, len(one_each)) == layer.decay_parameter.numel() and sizes.max() - sizes.min() <= 1
    if grouped_by != "random":
        assert all(len(own.unique()) == 1 for own in (r.T if grouped_by == "pre" else r))


def test_synapses_are_grouped_in_three_ways():
    for wrong, message in (
        (("random", 0), "a group at least"),
        (("axon", 2), "random, pre, post"),
        (("pre",), "without groups"),
    ):
        with pytest.raises(ValueError, match=message):
            Sharing(*wrong)
    with pytest.raises(ValueError, match="for HetSynLIF"):
        Network((M, N, 2), variant="HetNeuLIF", sharing=Sharing("pre", 2))


def test_time_constants_and_decays_are_inverse_at_the_ends_too():
    tau = torch.tensor([0.0, 5.0, 700.0, torch.inf])
    decay = decay_from_tau(tau, 5.0)
    assert decay[0] == 0 and decay[3] == 1
    assert torch.allclose(tau_from_decay(decay, 5.0), tau, rtol=1e-4)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: decay_from_tau(-1.0, 1.0), "negative"),
        (
            lambda: reference.synaptic_current(torch.ones(1, 2, 3), torch.ones(4, 5), torch.tensor(0.5)),
            "weights expect",
        ),
        (
            lambda: reference.synaptic_current(torch.full((1, 2, 5), torch.nan), torch.ones(4, 5), torch.tensor(0.5)),
            "NaN",
        ),
        (lambda: reference.synaptic_current(torch.ones(1, 2, 5), torch.ones(4, 5), torch.tensor(1.5)), r"\[0, 1\]"),
        (lambda: Network((3, 2, 1), variant="LIF"), "unknown variant"),
        (lambda: Layer(3, 2, tau_s=-5.0), "positive"),
        (lambda: Layer(3, 2, frozen=2.0), "between 0 and 1"),
        (lambda: Layer(3, 2, threshold=0.0), "threshold must be positive, not 0"),
        (lambda: Layer(3, 2, tau_reset_ms=-5.0), "least is -5"),
        (lambda: Network((3, 2, 1), dropout=2.0), "dropout is a share between 0 and 1, not 2"),
    ],
)
def test_bad_input_gets_one_clear_error(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_no_synapse_starts_faster_than_a_step():
    tau = Layer(20, 10, tau_s=("lognormal", 19.0, 3.0), dt_ms=5.0, generator=seeded()).tau_s_ms()
    assert float(tau.min()) == pytest.approx(5, rel=1e-4) and (tau > 5.01).any()


@pytest.mark.parametrize("parameterization", ["decay", "tau", "log_tau"])
def test_a_step_too_far_ends_at_the_ends(parameterization):
    layer = Layer(3, 2, parameterization=parameterization)
    with torch.no_grad():
        layer.decay_parameter.copy_(torch.tensor([[-3.0, 0.5, 30.0]] * 2))
    layer.clamp_()
    decay = layer.decay()
    assert decay.min() >= 0 and decay.max() <= 1 and (parameterization != "decay" or decay[0].tolist() == [0, 0.5, 1])


def test_weights_start_with_a_variance_of_one_over_their_number():
    layer = Layer(400, 300, recurrent=True, generator=seeded())
    assert float(layer.weight.detach().std()) * 20 == pytest.approx(1, rel=0.02)
    assert float(layer.recurrent_weight.detach().std()) * math.sqrt(300) == pytest.approx(1, rel=0.02)


def test_without_a_choice_time_constants_are_the_papers():
    assert Network((3, 2, 1), variant="HomNeuLIF").layers[0].tau_s_ms().item() == pytest.approx(20, rel=1e-5)
    tau = Network((300, 200, 1), generator=seeded()).layers[0].tau_s_ms()
    assert (float(tau.mean()), float(tau.std())) == pytest.approx((20, 5), rel=0.02)


def test_reset_and_adaptation_fade_in_ms():
    layer = Network((3, 4, 2), variant="HomNeuALIF", dt_ms=5.0, tau_reset_ms=40.0, adaptation=(800.0, 0.15)).layers[0]
    assert layer.reset_decay == pytest.approx(math.exp(-5 / 40))
    assert layer.adaptation == pytest.approx((math.exp(-5 / 800), 0.15))


def test_a_tied_reset_fades_as_the_neurons_synapses_do():
    network = Network((3, 4, 2), variant="HetNeuLIF", tau_reset_ms=None, generator=seeded()).double()
    x = (torch.rand(2, 60, 3, generator=seeded(1)) < 0.5).double()
    layer = network.layers[0]
    r = layer.decay()
    V, z = reference.spiking(reference.synaptic_current(x, layer.weight, r), reset_decay=r[:, 0])
    assert z.any() and torch.equal(network(x, using=reference).potential[0], V)


def test_surrogates_are_the_papers():
    u = torch.linspace(-4, 4, 81, dtype=torch.float64)
    n = lambda m, s: torch.exp(-0.5 * ((u - m) / s) ** 2) / (s * math.sqrt(2 * math.pi))
    expected = 0.5 * (1.15 * n(0, 0.5) - 0.15 * n(0.5, 3.0) - 0.15 * n(-0.5, 3.0))
    torch.testing.assert_close(MultiGaussian().derivative(u, 1.0), expected)
    torch.testing.assert_close(Triangular().derivative(u, 0.5), (1 - (u / 0.5).abs()).clamp(min=0))


def test_a_potential_that_reaches_the_threshold_is_a_spike():
    V = torch.tensor([0.75, np.nextafter(np.float32(0.75), 0)])
    assert spike(V.requires_grad_(), 0.75, Triangular()).tolist() == [1, 0]
    with torch.no_grad():
        assert spike(V, 0.75, Triangular()).tolist() == [1, 0]
        assert dispatch.spiking(V[None, None], reset_decay=0.5, threshold=0.75)[1].flatten().tolist() == [1, 0]
