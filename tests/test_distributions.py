"""Time constants of biology and of networks: fits, shares, plots and pathways."""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

from hetsyn_core.datasets import allen
from hetsyn_core.drawing import biology, distributions
from hetsyn_core.model.time_constants import centre, draw_tau
from hetsyn_core.runs.record import Detail, Example, Record
from hetsyn_core.tasks import MatchToSample


@pytest.fixture
def rng():
    return np.random.default_rng(1)


def test_the_fit_finds_a_log_normal_and_tells_a_normal_from_it(rng):
    fit = distributions.log_normal(rng.lognormal(np.log(30), 0.8, 4000))
    assert fit["scale_ms"] == pytest.approx(30, rel=0.05) and fit["sigma"] == pytest.approx(0.8, rel=0.05)
    assert fit["ks"] < fit["ks_limit"]
    other = distributions.log_normal(rng.normal(200, 60, 4000).clip(1))
    assert other["ks"] > 2 * other["ks_limit"]


def test_one_log_normal_sample_in_twenty_exceeds_the_limit(rng):
    fits = [distributions.log_normal(rng.lognormal(3, 1, 200)) for _ in range(600)]
    assert 0.03 < np.mean([fit["ks"] > fit["ks_limit"] for fit in fits]) < 0.08


def test_endless_and_zero_time_constants_are_counted_and_not_fitted():
    tau = np.array([0, 10, 10, 20, 40, 40, 600, np.inf, np.inf, np.inf])
    row = distributions.summary({"all": tau}).loc["all"]
    assert row[["n", "median", "q95"]].tolist() == [10, 40, np.inf]
    assert row[["long_share", "endless_share", "zero_share"]].tolist() == [40, 30, 10]
    finite = np.log(tau[(tau > 0) & (tau < np.inf)])
    assert row["scale_ms"] == pytest.approx(np.exp(finite.mean())) and row["sigma"] == pytest.approx(finite.std())
    with pytest.raises(ValueError, match="two different"):
        distributions.log_normal(np.array([5.0, 5.0, np.inf, 0.0]))


def test_log_normal_quantiles_lie_on_a_line(rng):
    fig, ax = plt.subplots()
    distributions.quantiles(ax, rng.lognormal(np.log(50), 0.5, 20_000), "black")
    x, y = ax.lines[0].get_data()
    slope, middle = np.polyfit(x, np.log(y), 1)
    assert slope == pytest.approx(0.5, abs=0.02) and np.exp(middle) == pytest.approx(50, rel=0.02)
    line_slope, line_middle = np.polyfit(ax.lines[1].get_xdata(), np.log(ax.lines[1].get_ydata()), 1)
    assert line_slope == pytest.approx(slope, abs=0.02) and line_middle == pytest.approx(middle, abs=0.02)
    distributions.quantiles(ax, np.append(np.full(70, 7.0), np.full(30, np.inf)), "black", points=10)
    assert np.isnan(ax.lines[2].get_ydata()).tolist() == [False] * 7 + [True] * 3
    assert len(ax.lines) == 3  # no line through an infinite quartile
    plt.close(fig)


def test_curves_and_bars_have_the_same_units(rng):
    tau, bins = rng.lognormal(3, 0.6, 20_000), np.geomspace(1, 1000, 50)
    fig, ax = plt.subplots()
    distributions.histogram(ax, tau, bins, "black")
    distributions.density(ax, tau, bins, "black")
    distributions.fitted(ax, tau, bins, "black")
    assert sum(bar.get_height() for bar in ax.patches) == pytest.approx(100)
    middle = np.sqrt(bins[1:] * bins[:-1])
    heights = [bar.get_height() for bar in ax.patches]
    for line in ax.lines:
        assert np.interp(middle, *line.get_data()) == pytest.approx(heights, abs=0.8)
    plt.close(fig)


def record(recurrent: bool, **changes) -> Record:
    """Two hidden layers of 3 and 2 neurons, 4 inputs, 2 outputs; the decay of a synapse tells where it is."""
    decays = []
    for k, (post, pre) in enumerate([(3, 4), (2, 3), (2, 2)]):
        forward, own = np.full((post, pre), np.exp(-2 / (10 + k))), np.full((post, post), np.exp(-2 / (100 + k)))
        decays.append((np.hstack([forward, own]) if recurrent and k < 2 else forward).astype(np.float32))
    nothing = Example(*[np.zeros(0)] * 6)
    detail = Detail(tuple(np.ones_like(r) for r in decays), tuple(decays), {}, nothing)
    return Record(MatchToSample(recurrent=recurrent, dt_ms=2.0, hidden=(3, 2), **changes), detail=detail)


def test_time_constants_by_pathway():
    taus = biology.pathway_taus(record(recurrent=True))
    assert {name: tau.shape for name, tau in taus.items()} == {
        "input": (3, 4), "recurrent": (3, 3), "1 to 2": (2, 3), "recurrent 2": (2, 2), "readout": (2, 2),
    }  # fmt: skip
    assert [np.unique(tau.round(2)).tolist() for tau in taus.values()] == [[10], [100], [11], [101], [12]]
    assert list(biology.pathway_taus(record(recurrent=False))) == ["input", "1 to 2", "readout"]
    assert np.isinf(biology.pathway_taus(record(True), "before")["readout"]).all()
    assert biology.pooled([record(True)] * 3)["1 to 2"].shape == (18,)
    for broken in (replace(record(True), detail=None), record(True, variant="HetNeuLIF"), record(True, groups=4)):
        with pytest.raises(ValueError, match="detail=True"):
            biology.pathway_taus(broken)


def text(fig) -> str:
    return " ".join(t.get_text() for t in fig.findobj(plt.Text))


def test_without_the_file_the_figure_says_that_it_is_a_stand_in():
    fig = biology.fig1a(None)
    assert "STAND-IN" in text(fig) and all(current in text(fig) for current in allen.PUBLISHED["current"])


def test_with_the_file_all_synapses_are_drawn_and_fits_at_bounds_apart(monkeypatch, rng):
    tau = np.concatenate([rng.lognormal(np.log(40), 0.6, 300).clip(6, 400), np.full(100, 500.0)])
    species = np.where(np.arange(400) % 4, "mouse", "human")
    taus = pd.DataFrame({"species": species, "tau_ms": tau, "at_bound": tau == 500})
    monkeypatch.setattr(allen, "decay_tau", lambda database: taus)
    fig = biology.fig1a("a file")
    assert "STAND-IN" not in text(fig) and "human, 100 pairs" in text(fig) and "mouse, 300 pairs" in text(fig)
    for ax in fig.axes:
        free, bound = (sum(bar.get_height() for bar in bars) for bars in ax.containers)
        assert (free, bound) == pytest.approx((75, 25))
        x, y = ax.lines[1].get_data()  # the fit describes the free ones
        bin_width = np.log(biology.BINS[1] / biology.BINS[0])
        assert np.trapezoid(y, np.log(x)) / bin_width == pytest.approx(75, rel=0.01)


def test_log_uniform_time_constants_fill_every_decade_alike():
    tau = draw_tau(("loguniform", 1.0, 1000.0), (30_000,), torch.Generator().manual_seed(0)).numpy()
    assert 1 <= tau.min() and tau.max() <= 1000
    assert np.histogram(tau, (1, 10, 100, 1000))[0] == pytest.approx(10_000, abs=400)  # five standard deviations
    assert (draw_tau(("loguniform", 20.0, 20.0), (3,)) == 20).all()
    for wrong in (("loguniform", 20, 5), ("loguniform", 0, 5)):
        with pytest.raises(ValueError, match="must be positive"):
            draw_tau(wrong, (1,))


@pytest.mark.parametrize(
    "tau_s",
    [20.0, ("normal", 40.0, 4.0), ("uniform", 5.0, 20.0), ("lognormal", 19.0, 1.7), ("loguniform", 1.0, 1000.0)],
)
def test_the_centre_is_the_median_of_what_is_drawn(tau_s):
    drawn = draw_tau(tau_s, (100_000,), torch.Generator().manual_seed(0))
    assert centre(tau_s) == pytest.approx(float(drawn.median()), rel=0.03)
