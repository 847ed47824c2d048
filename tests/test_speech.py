"""Tables and pictures of spoken digits."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from hetsyn_core.drawing import speech as draw
from hetsyn_core.results import speech

RUNS = pd.DataFrame(
    {
        "model": ["R-HetNeuLIF"] * 2 + ["R-HetSynLIF"] * 2,
        "variant": ["HetNeuLIF"] * 2 + ["HetSynLIF"] * 2,
        "seed": [0, 1, 0, 1],
        "accuracy": [0.80, 0.82, 0.85, 0.81],
        "deleted 0.32": [0.70, 0.72, 0.80, 0.78],
    }
)


def test_a_lead_is_taken_seed_by_seed():
    assert speech.lead(RUNS, "accuracy") == "2.0 points, higher in 1 of 2 seeds"
    assert speech.lead(RUNS[:2], "accuracy") == "not both variants have runs"
    assert speech.lead(RUNS[:3], "accuracy") == "5.0 points, higher in 1 of 1 seeds"


def test_losses_are_points_below_clean_speech():
    table = speech.losses(RUNS, ["deleted 0.32"])
    assert list(table.index) == ["R-HetNeuLIF", "R-HetSynLIF"]
    assert list(table["clean (%)"]) == pytest.approx([81, 83])
    assert list(table["lost, deleted 0.32"]) == pytest.approx([10, 4])


def test_progress_is_of_the_mean_and_steps_are_of_single_runs():
    epochs = np.arange(1, 51)
    rises = {0: np.minimum(2.0 * epochs, 90), 1: np.minimum(2.0 * epochs, 86)}
    rises[1][44] -= 3  # epoch 45
    curves = pd.concat(
        pd.DataFrame({"model": "R-HetSynLIF", "seed": seed, "epoch": epochs, "percent": own})
        for seed, own in rises.items()
    )
    (row,) = speech.progress(curves).to_dict("records")
    assert row["mean reaches 80 %"] == 40 and row["widest step, later"] == 3 and row["widest step, epochs 5 to 38"] == 2
    assert (row["last epoch"], row["lowest run"], row["highest run"]) == (88, 86, 90)
    assert speech.progress(curves, goal=95)["mean reaches 95 %"].isna().all()


def test_a_raster_is_in_ms_and_the_right_word_is_black():
    spikes = np.zeros((250, 700), bool)
    spikes[100, 30] = True
    _, (above, below) = plt.subplots(2)
    draw.sound(above, spikes)
    assert (above.lines[0].get_xdata(), above.lines[0].get_ydata()) == ([400], [30])
    draw.votes(below, np.arange(12.0).reshape(4, 3), 1)
    assert [line.get_label() for line in below.lines if line.get_color() == "black"] == ["the word that is said"]
    assert list(below.lines[-1].get_ydata()) == [1, 4, 7, 10]
    plt.close()


def test_five_and_twenty_are_edges_of_the_bins():
    assert {5, 20} <= set(draw.BINS.round(9)) and draw.BINS[-1] > 125
