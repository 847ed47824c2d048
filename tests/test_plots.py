"""Files of figures: the same picture has the same bytes, whatever was drawn before it."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from hetsyn_core.drawing import plots


def draw():
    fig = plt.figure(figsize=(7.2, 7.6))
    for part in fig.subfigures(1, 2, width_ratios=[1, 1.25]):
        for row, ax in enumerate(part.subplots(3, 2).flat):
            ax.plot([0, 1.37], [2, 0.333 * row], "o-")
            ax.set(ylabel="value\n" * (row % 3), title="a panel")
    return fig


def test_a_figure_comes_out_the_same_again(tmp_path, monkeypatch):
    plots.style()
    files = []
    for place in "first", "again":
        monkeypatch.setenv("HETSYN_FIGURES", str(tmp_path / place))
        plots.save_figure(draw(), "panels")
        files.append([(path.name, path.read_bytes()) for path in sorted((tmp_path / place).iterdir())])
        for _ in range(5):
            plt.subplots(3, 2)[0].canvas.draw()
    plt.close("all")
    assert [name for name, _ in files[0]] == ["panels.png", "panels.svg"]
    assert files[0] == files[1]


def test_the_last_digit_of_a_place_names_nothing(tmp_path, monkeypatch):
    # The layout gives that much, one way or the other.
    place = np.array([0.1, 0.1, 0.8, 0.8])
    files = []
    for name, bounds in (("first", place), ("again", np.nextafter(place, 1))):
        monkeypatch.setenv("HETSYN_FIGURES", str(tmp_path / name))
        fig = plt.figure()
        fig.set_layout_engine("none")
        fig.add_axes(bounds).plot([0, 1.37], [2, 0.333])
        plots.save_figure(fig, "panel")
        files.append((tmp_path / name / "panel.svg").read_bytes())
    plt.close("all")
    assert files[0] == files[1]


def test_every_run_is_a_dot_and_the_large_one_is_their_mean():
    runs = pd.DataFrame({"variant": ["HetNeuLIF"] * 3 + ["HetSynLIF"] * 4, "hidden": [5] * 6 + [20], "x": range(7)})
    ax = plt.figure().subplots()
    plots.dots(ax, runs, "hidden", "x")
    small = [tuple(line.get_ydata()) for line in ax.lines if line.get_marker() == "."]
    large = [tuple(line.get_ydata()) for line in ax.lines if line.get_marker() != "."]
    assert small == [(0, 1, 2), (3, 4, 5), (6,)] and large == [(1,), (4, 6)]
    places = np.concatenate([line.get_xdata() for line in ax.lines if line.get_marker() == "."])
    assert len(set(places)) == 7 and [t.get_text() for t in ax.get_xticklabels()] == ["5", "20"]
    plt.close("all")


def test_the_number_of_runs_as_text():
    runs = pd.DataFrame({"model": ["a", "a", "b"]})
    assert plots.how_many(runs, "model") == "1 to 2 runs each"
    assert plots.how_many(runs[1:], "model") == "1 run each"
