"""The synthetic tasks: rates within binomial bounds, what repeats repeats, and labels mean what they say."""

import math

import numpy as np
import pytest
import torch

from hetsyn_core.tasks import synthetic as tasks

STARTS, LENGTH = tasks.SEGMENT_STARTS, tasks.SEGMENT_STEPS


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
    segment, targets = tasks.pattern_template(1, n_targets=3)
    assert segment.shape == (500, 100) and targets.shape == (2000, 3) and targets.dtype == np.float32
    assert_rate(segment, 10, 1)
    again = tasks.pattern_template(1, n_targets=1)
    assert (segment == again[0]).all() and (targets[:, :1] == again[1]).all()
    assert (segment != tasks.pattern_template(2)[0]).any()


def test_targets_fill_one_side_of_the_range_and_hold_five_cosines():
    targets = tasks.pattern_template(3, n_targets=20)[1]
    np.testing.assert_allclose(np.abs(targets).max(0), 1, rtol=1e-6)
    power = np.abs(np.fft.rfft(targets, axis=0))  # 2000 ms: bins of 0.5 Hz
    assert (power[1:6] > 1e-2).all() and power[0].max() < 1e-2 and power[6:].max() < 1e-2


def test_segment_is_repeated_exactly_and_gaps_are_silent_without_noise():
    segment = tasks.pattern_template(0)[0]
    x = tasks.pattern_input(segment, 0, rng())
    assert x.shape == (1, 2000, 100) and x.dtype == torch.float32
    for start in STARTS:
        assert (x[0, start : start + LENGTH].numpy() == segment).all()
    assert x.sum() == 3 * segment.sum()


def test_noise_is_joined_by_or_and_redrawn():
    segment = tasks.pattern_template(0)[0]
    stream = rng(0)  # the template's own seed, which must not make its noise follow the segment
    first, second = (tasks.pattern_input(segment, 4, stream)[0].numpy() for _ in range(2))
    assert (first != second).any()
    for x in first, second:
        kept = np.ones(x.shape, bool)  # where the segment is silent, noise alone
        for start in STARTS:
            assert (x[start : start + LENGTH][segment] == 1).all()
            kept[start : start + LENGTH] = ~segment
        assert_rate(x[kept], 4, 1)


def test_normalised_distance():
    target = tasks.pattern_template(5, n_targets=2)[1]
    assert tasks.normalised_distance(target, target, 2, 1) == pytest.approx(1)
    assert tasks.normalised_distance(0.5 * target + 3, target, 3, 2) == pytest.approx(0.25, rel=1e-4)
    periodic = np.sin(2 * np.pi * np.arange(2000) / 750)[:, None].repeat(2, 1)
    assert tasks.normalised_distance(periodic, target, 2, 1) == pytest.approx(0, abs=1e-12)
    # Only the two windows count.
    changed = target.copy()
    changed[500:750], changed[1250:] = 9, 9
    assert tasks.normalised_distance(changed, target, 2, 1) == pytest.approx(1)


# Match-to-sample


@pytest.mark.parametrize("delay_ms", [0, 800, 2500])
def test_cues_are_where_and_what_they_should_be(delay_ms):
    x, label, cues = tasks.match_trials(200, rng(), delay_ms=delay_ms)
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
    cues = tasks.match_trials(2000, rng(), delay_ms=0)[2]
    counts = np.bincount(2 * cues[:, 0] + cues[:, 1], minlength=4)
    assert counts.sum() == 2000 and abs(counts - 500).max() < 5 * math.sqrt(2000 * 0.25 * 0.75)


def test_added_noise_is_on_all_channels_and_takes_no_spike_away():
    plain = tasks.match_trials(100, rng(7))[0]
    x = tasks.match_trials(100, rng(7), added_noise_hz=20)[0]
    assert (x >= plain).all()
    added = x.numpy()[plain.numpy() == 0]
    assert_rate(added, 20, 5)
    assert (x.sum((0, 1)) > plain.sum((0, 1))).all()


def test_added_noise_on_the_cue_channels_leaves_the_others_alone():
    plain, x = (tasks.match_trials(100, rng(7), added_noise_hz=hz, noise_on="cues")[0] for hz in (0, 20))
    assert (x[:, :, 20:] == plain[:, :, 20:]).all() and (x[:, :, :20] >= plain[:, :, :20]).all()
    assert (x != plain).any()


def test_trials_come_from_the_generator_alone():
    assert (tasks.match_trials(8, rng(3))[0] == tasks.match_trials(8, rng(3))[0]).all()
    assert (tasks.match_trials(8, rng(3))[0] != tasks.match_trials(8, rng(4))[0]).any()


def test_other_steps_keep_the_rates():
    x = tasks.match_trials(200, rng(), dt_ms=2)[0]
    assert x.shape[1] == 1050 // 2
    assert_rate(x[:, :, 20:], 10, 2)


# Losses


@pytest.mark.parametrize("every, expected", [(100, 0), (50, 1), (1000, 0.81)])
def test_rate_penalty_of_known_rates(every, expected):
    spikes = torch.zeros(2, 1000, 4)
    spikes[:, ::every] = 1  # 10, 20 and 1 Hz at 1 ms
    assert tasks.rate_penalty(spikes, 1).item() == pytest.approx(expected, abs=1e-5)


def test_rate_penalty_averages_over_trials_before_squaring_and_over_neurons_after():
    spikes = torch.zeros(2, 100, 2)
    spikes[0, ::50, 0] = 1  # 20 Hz and 0 Hz at 10 ms: 10 Hz x 0.2
    assert tasks.rate_penalty(spikes, 10, target_hz=1).item() == pytest.approx(0.5)


def test_losses():
    silent = torch.zeros(3, 2000, 4)  # penalty 1
    target = torch.linspace(-1, 1, 2000)[:, None]
    loss, mse = tasks.pattern_loss(target.repeat(3, 1, 1) + 0.5, target, silent)
    assert mse.item() == pytest.approx(0.25) and loss.item() == pytest.approx(0.26)
    readout = torch.zeros(3, 7, 2)
    readout[:, :-1] = 99  # only the last step decides
    readout[:, -1, 1] = torch.tensor([2.0, -2.0, 2.0])
    label = torch.tensor([1, 0, 0])
    assert tasks.match_accuracy(readout, label) == pytest.approx(2 / 3)
    expected = (2 * math.log(1 + math.exp(-2)) + math.log(1 + math.exp(2))) / 3 + 0.01
    assert tasks.match_loss(readout, label, silent[:, :7]).item() == pytest.approx(expected)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: tasks.match_trials(4, rng(), delay_ms=802), "802 ms is not a whole number"),
        (lambda: tasks.match_trials(4, rng(), delay_ms=-5), "-5 ms"),
        (lambda: tasks.match_trials(4, rng(), dt_ms=0), "dt must be positive"),
        (lambda: tasks.match_trials(4, rng(), added_noise_hz=300), "between 0 and 200 Hz"),
        (lambda: tasks.match_trials(0, rng()), "at least one trial"),
        (lambda: tasks.pattern_template(0, n_targets=0), "at least one target"),
        (lambda: tasks.pattern_input(np.zeros((400, 100)), 2, rng()), "a segment has shape"),
        (lambda: tasks.pattern_input(np.zeros((500, 100)), -1, rng()), "between 0 and 1000 Hz"),
        (lambda: tasks.pattern_input(np.zeros((500, 100)), math.nan, rng()), "between 0 and 1000 Hz"),
        (lambda: tasks.normalised_distance(np.zeros(2000), np.zeros(2000), 2, 2), "two different occurrences"),
        (lambda: tasks.normalised_distance(np.zeros(2000), np.zeros((2000, 1)), 2, 1), "must both have 2000 steps"),
    ],
)
def test_errors(call, words):
    with pytest.raises(ValueError, match=words):
        call()
