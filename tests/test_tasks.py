"""The synthetic tasks: rates within binomial bounds, what repeats repeats, and labels mean what they say."""

import math

import numpy as np
import pytest
import torch
from made_up import made_up

from hetsyn_core.model.layer import Traces
from hetsyn_core.results import table4
from hetsyn_core.results.tables import frame
from hetsyn_core.runs import analyses
from hetsyn_core.runs.make import make_network
from hetsyn_core.tasks import MatchToSample, PatternGeneration, match, pattern
from hetsyn_core.tasks.spikes import poisson, rate_penalty
from hetsyn_core.tasks.task import TEMPLATE

STARTS, LENGTH = pattern.SEGMENT_STARTS, pattern.SEGMENT_STEPS


def rng(seed=0):
    return np.random.default_rng(seed)


def assert_rate(raster, rate_hz, dt_ms):
    """Five standard deviations of the binomial distribution around its mean."""
    raster = np.asarray(raster)
    assert set(np.unique(raster)) <= {0, 1}
    p, n = rate_hz * dt_ms / 1000, raster.size
    assert abs(raster.sum() - n * p) <= 5 * math.sqrt(n * p * (1 - p)), f"{raster.mean() * 1000 / dt_ms} Hz"


# Pattern generation


def test_template_is_10_hz_and_belongs_to_the_seed():
    segment, targets = pattern.pattern_template(1, n_targets=3)
    assert segment.shape == (500, 100) and targets.shape == (2000, 3) and targets.dtype == np.float32
    assert_rate(segment, 10, 1)
    again = pattern.pattern_template(1, n_targets=1)
    assert (segment == again[0]).all() and (targets[:, :1] == again[1]).all()
    assert (segment != pattern.pattern_template(2)[0]).any()


def test_targets_fill_one_side_of_the_range_and_hold_five_cosines():
    targets = pattern.pattern_template(3, n_targets=20)[1]
    np.testing.assert_allclose(np.abs(targets).max(0), 1, rtol=1e-6)
    power = np.abs(np.fft.rfft(targets, axis=0))  # 2000 ms: bins of 0.5 Hz
    assert (power[1:6] > 1e-2).all() and power[0].max() < 1e-2 and power[6:].max() < 1e-2


def test_segment_is_repeated_exactly_and_gaps_are_silent_without_noise():
    segment = pattern.pattern_template(0)[0]
    x = pattern.pattern_input(segment, 0, rng())
    assert x.shape == (1, 2000, 100) and x.dtype == torch.float32
    for start in STARTS:
        assert (x[0, start : start + LENGTH].numpy() == segment).all()
    assert x.sum() == 3 * segment.sum()


def test_noise_is_joined_by_or_and_redrawn():
    segment = pattern.pattern_template(0)[0]
    stream = rng(0)  # the template's own seed, which must not make its noise follow the segment
    first, second = (pattern.pattern_input(segment, 4, stream)[0].numpy() for _ in range(2))
    assert (first != second).any()
    for x in first, second:
        kept = np.ones(x.shape, bool)  # where the segment is silent, noise alone
        for start in STARTS:
            assert (x[start : start + LENGTH][segment] == 1).all()
            kept[start : start + LENGTH] = ~segment
        assert_rate(x[kept], 4, 1)


def test_normalised_distance():
    target = pattern.pattern_template(5, n_targets=2)[1]
    assert pattern.normalised_distance(target, target, 2, 1) == pytest.approx(1)
    assert pattern.normalised_distance(0.5 * target + 3, target, 3, 2) == pytest.approx(0.25, rel=1e-4)
    periodic = np.sin(2 * np.pi * np.arange(2000) / 750)[:, None].repeat(2, 1)
    assert pattern.normalised_distance(periodic, target, 2, 1) == pytest.approx(0, abs=1e-12)
    # Only the two windows count.
    changed = target.copy()
    changed[500:750], changed[1250:] = 9, 9
    assert pattern.normalised_distance(changed, target, 2, 1) == pytest.approx(1)


# Match-to-sample


@pytest.mark.parametrize("delay_ms", [0, 800, 2500])
def test_cues_are_where_and_what_they_should_be(delay_ms):
    x, label, cues = match.match_trials(200, rng(), delay_ms=delay_ms)
    assert x.shape == (200, (250 + delay_ms) // 5, 30) and x.dtype == torch.float32 and label.dtype == torch.int64
    assert (label.numpy() == (cues[:, 0] == cues[:, 1])).all()
    assert_rate(x[:, :, 20:], 10, 5)
    x, second = x.numpy(), 30 + delay_ms // 5
    for k, start in enumerate((10, second)):
        for side in 0, 1:
            group = x[:, start : start + 20, 10 * side : 10 * side + 10]
            assert_rate(group[cues[:, k] == side], 40, 5)
            assert group[cues[:, k] != side].sum() == 0
    assert x[:, :10, :20].sum() == 0 and x[:, 30:second, :20].sum() == 0
    assert x.shape[1] == second + 20


def test_pairs_of_cues_are_equally_likely():
    cues = match.match_trials(2000, rng(), delay_ms=0)[2]
    counts = np.bincount(2 * cues[:, 0] + cues[:, 1], minlength=4)
    assert counts.sum() == 2000 and abs(counts - 500).max() < 5 * math.sqrt(2000 * 0.25 * 0.75)


def test_added_noise_is_on_all_channels_and_takes_no_spike_away():
    plain = match.match_trials(100, rng(7))[0]
    x = match.match_trials(100, rng(7), added_noise_hz=20)[0]
    assert (x >= plain).all()
    added = x.numpy()[plain.numpy() == 0]
    assert_rate(added, 20, 5)
    assert (x.sum((0, 1)) > plain.sum((0, 1))).all()


def test_added_noise_on_the_cue_channels_leaves_the_others_alone():
    plain, x = (match.match_trials(100, rng(7), added_noise_hz=hz, noise_on="cues")[0] for hz in (0, 20))
    assert (x[:, :, 20:] == plain[:, :, 20:]).all() and (x[:, :, :20] >= plain[:, :, :20]).all()
    assert (x != plain).any()


def test_trials_come_from_the_generator_alone():
    assert (match.match_trials(8, rng(3))[0] == match.match_trials(8, rng(3))[0]).all()
    assert (match.match_trials(8, rng(3))[0] != match.match_trials(8, rng(4))[0]).any()


def test_other_steps_keep_the_rates():
    x = match.match_trials(200, rng(), dt_ms=2)[0]
    assert x.shape[1] == 1050 // 2
    assert_rate(x[:, :, 20:], 10, 2)


# Losses


@pytest.mark.parametrize("every, expected", [(100, 0), (50, 1), (1000, 0.81)])
def test_rate_penalty_of_known_rates(every, expected):
    spikes = torch.zeros(2, 1000, 4)
    spikes[:, ::every] = 1  # 10, 20 and 1 Hz at 1 ms
    assert rate_penalty(spikes, 1).item() == pytest.approx(expected, abs=1e-5)


def test_rate_penalty_averages_over_trials_before_squaring_and_over_neurons_after():
    spikes = torch.zeros(2, 100, 2)
    spikes[0, ::50, 0] = 1  # 20 Hz and 0 Hz at 10 ms: 10 Hz x 0.2
    assert rate_penalty(spikes, 10, target_hz=1).item() == pytest.approx(0.5)


def traces(readout, spikes):
    return Traces([], [spikes], readout, None)


def test_losses():
    silent = torch.zeros(3, 2000, 4)  # penalty 1
    target = torch.linspace(-1, 1, 2000)[:, None]
    off = traces(target.repeat(3, 1, 1) + 0.5, silent)
    assert PatternGeneration().measure(off, target)["mse"].numpy() == pytest.approx(np.full(3, 0.25))
    assert PatternGeneration().loss(off, target).item() == pytest.approx(0.26)
    readout = torch.zeros(3, 7, 2)
    readout[:, :-1] = 99  # only the last step decides
    readout[:, -1, 1] = torch.tensor([2.0, -2.0, 2.0])
    label = torch.tensor([1, 0, 0])
    decided = traces(readout, silent[:, :7])
    assert MatchToSample().measure(decided, label)["accuracy"].tolist() == [1, 1, 0]
    expected = (2 * math.log(1 + math.exp(-2)) + math.log(1 + math.exp(2))) / 3 + 0.01
    assert MatchToSample().loss(decided, label).item() == pytest.approx(expected)


def test_poisson_takes_its_rate_from_the_step():
    assert_rate(poisson((100_000,), 40, 5, rng()), 40, 5)


def test_table4_takes_infinite_time_constants_as_a_trial_and_resets_the_long_ones():
    run = MatchToSample(hidden=4, test_trials=2, tau_s=("normal", 100.0, 10.0))
    network = make_network(run)
    with torch.no_grad():
        network.layers[0].decay_parameter[:, 0], network.layers[0].decay_parameter[0, 29] = 1, 0
    found = analyses.table4(network, run)
    assert run.trial_ms() == 1050 and found["long_share"] == pytest.approx(4 / 120)
    tau = network.layers[0].tau_s_ms()[:, :20].numpy()
    assert found["cue_tau"] == pytest.approx(np.minimum(tau, 1050).mean(), rel=1e-5)
    back = analyses.without_long_taus(network, run).layers[0].tau_s_ms()
    assert back[:, 0].numpy() == pytest.approx(100) and back[0, 29] == 0 and network.layers[0].tau_s_ms()[0, 0] > 1e9


@pytest.mark.parametrize("changes", [{"groups": 4}, {"variant": "HetNeuLIF"}])
def test_table4_needs_time_constants_of_single_synapses(changes):
    run = MatchToSample(hidden=4, **changes)
    with pytest.raises(ValueError, match="^Table 4 is about HetSynLIF without groups"):
        analyses.table4(make_network(run), run)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: match.match_trials(4, rng(), delay_ms=802), "802 ms is not a whole number"),
        (lambda: match.match_trials(4, rng(), delay_ms=-5), "-5 ms"),
        (lambda: match.match_trials(4, rng(), dt_ms=0), "dt must be positive"),
        (lambda: match.match_trials(4, rng(), added_noise_hz=300), "between 0 and 200 Hz"),
        (lambda: match.match_trials(0, rng()), "at least one trial"),
        (lambda: pattern.pattern_template(0, n_targets=0), "at least one target"),
        (lambda: pattern.pattern_input(np.zeros((400, 100)), 2, rng()), "a segment has shape"),
        (lambda: pattern.pattern_input(np.zeros((500, 100)), -1, rng()), "between 0 and 1000 Hz"),
        (lambda: pattern.pattern_input(np.zeros((500, 100)), math.nan, rng()), "between 0 and 1000 Hz"),
        (lambda: pattern.normalised_distance(np.zeros(2000), np.zeros(2000), 2, 2), "two different occurrences"),
        (lambda: pattern.normalised_distance(np.zeros(2000), np.zeros((2000, 1)), 2, 1), "must both have 2000 steps"),
    ],
)
def test_errors(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_trials_of_a_task_are_those_of_its_settings():
    for seed in 0, 1:
        run = PatternGeneration(seed=seed, noise_hz=7.0, test_trials=2)
        ((x, targets),) = run.batches("test", np.random.default_rng(5))
        segment, wanted = pattern.pattern_template([seed, TEMPLATE])
        rng = np.random.default_rng(5)
        assert torch.equal(x, torch.cat([pattern.pattern_input(segment, 7.0, rng) for _ in range(2)]))
        assert np.array_equal(targets, wanted)
    run = MatchToSample(delay_ms=100, added_noise_hz=20, noise_on="cues", test_trials=5)
    ((x, label),) = run.batches("test", np.random.default_rng(5))
    expected = match.match_trials(5, np.random.default_rng(5), 100, 5, 20, "cues")
    assert torch.equal(x, expected[0]) and torch.equal(label, expected[1])


def test_the_rate_penalty_is_of_every_hidden_layer():
    silent, at_target = torch.zeros(1, 20, 3), torch.zeros(1, 20, 3)
    at_target[:, 0] = 1  # 10 Hz at 5 ms
    readout, label = torch.zeros(1, 20, 2), torch.tensor([0])
    loss = lambda *spikes: MatchToSample().loss(Traces([], list(spikes), readout, None), label).item()
    assert loss(at_target, silent) == pytest.approx(math.log(2) + 0.01)


def test_table4_takes_cue_and_noise_channels_apart():
    run = MatchToSample(hidden=4, test_trials=2)
    network = make_network(run)
    with torch.no_grad():
        network.layers[0].decay_parameter[:, :20] = math.exp(-5 / 200)
        network.layers[0].decay_parameter[:, 20:] = math.exp(-5 / 50)
    found = analyses.table4(network, run)
    assert [found[f"{who}_{what}"] for who in ("cue", "noise") for what in ("tau", "median")] == pytest.approx(
        [200, 200, 50, 50], rel=1e-3
    )


def test_distances_of_trials():
    target = pattern.pattern_template(5)[1]
    readout = torch.from_numpy(target)[None].clone()
    readout[:, 750:1250] = readout[:, :500]  # the second occurrence as the first
    readout[:, 500:750] = readout[:, 1250:1500] = 3
    found = pattern.distances(Traces([], [], readout, None), torch.from_numpy(target))
    assert (
        found["d21"] == [0]
        and found["d32"][0] == pytest.approx(pattern.normalised_distance(readout[0].numpy(), target, 3, 2))
        and found["d32"][0] > 0
    )
    assert found["silent_rms"] == pytest.approx([3])


def test_a_reset_can_be_tied_where_a_neuron_has_one_decay():
    run = MatchToSample(hidden=4, groups=2, grouped_by="post", tau_reset_ms=None)
    assert make_network(run).layers[0].tied


def test_table4_puts_long_time_constants_back_to_the_centre_of_any_start():
    run = MatchToSample(hidden=4, test_trials=2, tau_s=("uniform", 10, 50))
    network = make_network(run)
    with torch.no_grad():
        network.layers[0].decay_parameter[:, 0] = 1
    assert analyses.without_long_taus(network, run).layers[0].tau_s_ms()[:, 0].numpy() == pytest.approx(30)
    assert set(table4.readings(frame([made_up(run, found={"long_share": 0.1, "reset_accuracy": 0.5})]))["mu"]) == {30}
