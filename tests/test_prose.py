"""Numbers in the prose of the notebooks are those of the records.

A row is a notebook, a phrase, and the numbers that fill it. The filled phrase must stand in the text of the notebook:
when a record or a sentence changes, the other must follow.
"""

import re
from functools import lru_cache

import nbformat
import numpy as np
import pytest

from hetsyn_core.paths import ROOT
from hetsyn_core.results import table4
from hetsyn_core.results.tables import frame
from hetsyn_core.results.verdicts import mean_interval, sign_test
from hetsyn_core.runs import store
from hetsyn_core.runs.experiments import jobs
from hetsyn_core.tasks import SequentialDigits

NUMBER = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
ORDINAL = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"]


@lru_cache
def records(name):
    """The committed records of an experiment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HETSYN_RECORDS", str(ROOT / "data"))
        return [record for record in store.load(jobs(name)) if record]


@lru_cache
def runs(name, **settings):
    """Their table, or its rows with these values."""
    table = frame(records(name))
    for column, value in settings.items():
        table = table[table[column] == value]
    return table


def median(metric, name, **settings):
    return runs(name, **settings)[metric].median()


def success(model, hidden):
    """Percent of successful runs of Fig. 3."""
    return 100 * runs("fig3", model=model, hidden=hidden)["success"].mean()


def fails(name, **settings):
    """The number of runs below 90 %, in words."""
    return NUMBER[(runs(name, **settings)["accuracy"] < 0.9).sum()]


def tied_and_fixed_d21():
    """Mean distance of the first pair of F-HetNeuLIF with a tied and with a fixed reset, and that of F-HetSynLIF."""
    tied, fixed, ours = (own.set_index("seed")["d21"] for own in (
        runs("tied_reset", model="F-HetNeuLIF"), runs("fig2", model="F-HetNeuLIF", noise_hz=2),
        runs("fig2", model="F-HetSynLIF", noise_hz=2)))  # fmt: skip
    return tied, fixed, ours


def match_tied(model):
    """Accuracy of HetNeuLIF with 100 neurons, with a tied and with a fixed reset, over the seeds that both have."""
    tied, fixed = runs("tied_reset_match", model=model), runs("fig3", model=model, hidden=100)
    tied, fixed = (own.set_index("seed")["accuracy"] for own in (tied, fixed))
    return tied, fixed[tied.index]


def tied_and_fixed(model):
    """How many runs succeed."""
    return tuple((own >= 0.9).sum() for own in match_tied(model))


def p_match_tied(model):
    """Do runs succeed as often with a tied reset?"""
    tied, fixed = (own >= 0.9 for own in match_tied(model))
    return sign_test((tied & ~fixed).sum(), (fixed & ~tied).sum())


def rates_differ(one, other):
    """Whether the 95 % interval of the difference of HetSynLIF at two learning rates leaves out 0."""
    own = runs("figA1", variant="HetSynLIF").pivot(index="seed", columns="lr", values="mse")
    low, high = mean_interval(own[one] - own[other])
    return low > 0 or high < 0


def firing(iterations):
    """Which neurons of the network in Fig. A2 fire in its trial: at all, in the first gap, in the second."""
    (record,) = [r for r in records("figA2") if r.detail and r.run.iterations == iterations]
    spikes = record.detail.example.spikes
    return [spikes[part].any(0) for part in (slice(None), slice(500, 750), slice(1250, 1500))]


def gaps_share(iterations):
    """Percent of its squared error that lies in the gaps."""
    (record,) = [r for r in records("figA2") if r.detail and r.run.iterations == iterations]
    error = np.square(record.detail.example.readout - record.detail.example.wanted).sum(1)
    return 100 * (error[500:750].sum() + error[1250:1500].sum()) / error.sum()


def learned_share():
    """The mean error after 1,000 iterations / after 10."""
    means = runs("figA2").groupby("iterations")["mse"].mean()
    return means[1000] / means[10]


def rise():
    """Iterations to 95 % at the longest delay / at the shortest, seed by seed."""
    by_seed = runs("figA3_delay").pivot(index="seed", columns="delay_ms", values="to_95")
    return by_seed[2500] / by_seed[500]


def place(reading):
    """Of a reading of Table 4 among all, by its distance."""
    own = table4.readings(runs("table4")).groupby("reading")
    distances = own.apply(table4.distance).sort_values()
    return ORDINAL[list(distances.index).index(reading)]


def after_reset(*readings):
    """Lowest and highest mean accuracy after the reset, in percent."""
    own = table4.readings(runs("table4"))
    means = own[own["reading"].isin(readings)].groupby(["reading", "mu"])["reset_accuracy"].mean()
    return means.min(), means.max()


def hom_mse(lr):
    """Mean error of the two models with fixed time constants, which must agree."""
    means = {round(runs("figA1", variant=v, lr=lr)["mse"].mean(), 3) for v in ("HomNeuLIF", "HomNeuALIF")}
    assert len(means) == 1
    return means.pop()


def small_digits():
    """Validation accuracies of R-HetSynLIF on the small digits with the text's reading, in percent, sorted."""
    own = runs("vision_small", variant="HetSynLIF")
    text = SequentialDigits()
    open_in_the_paper = "surrogate", "readout", "normalised", "clip", "count_scale", "lr", "truncate"
    same = [all(getattr(run, k) == getattr(text, k) for k in open_in_the_paper) for run in own["run"]]
    return sorted(100 * own[same]["validation_accuracy"])


def epochs(name):
    """Test accuracy after every epoch, a row per run, in percent."""
    return 100 * np.array([record.test_curve["accuracy"] for record in records(name)])


def free_digits(**settings):
    """Lowest and highest accuracy in percent."""
    return 100 * runs("table2_fsdd", **settings)["accuracy"].agg(["min", "max"])


def counted(pattern):
    """Numbers in the summary of the committed ledger."""
    return [int(x) for x in re.search(pattern, (ROOT / "data" / "ledger.md").read_text(encoding="utf-8")).groups()]


def successes(model, hidden):
    return int(runs("fig3", model=model, hidden=hidden)["success"].sum())


MODELS = "F-HetSynLIF", "R-HetSynLIF"


def after(intervention, name="mechanism_match"):
    """Mean percent after an intervention, feedforward and recurrent."""
    return [100 * runs(name, model=model)[intervention].mean() for model in MODELS]


def heard(intervention):
    """Percent of recordings that the speech network gets right after an intervention."""
    return 100 * runs("mechanism_speech")[intervention].item()


# fmt: off
PROSE = [
    ("02", "its mean distance is {:.3f} instead of {:.3f}, and that of F-HetSynLIF is {:.3f}",
     lambda: [own.mean() for own in tied_and_fixed_d21()]),
    ("02", "just reaches 0 ({:.3f} to {:.3f})", lambda: mean_interval(np.subtract(*tied_and_fixed_d21()[:2]))),
    ("02", "F-HetSynLIF, which is {:.3f}", lambda: [runs("fig2", model="F-HetSynLIF", noise_hz=2)["mse"].mean()]),
    ("03", "reaches 95 % after {:.0f} to {:.0f} iterations",
     lambda: runs("fig3", model="F-HetSynLIF", hidden=100)["to_95"].agg(["min", "max"])),
    ("03", "With 95 % frozen, {} run of ten fails", lambda: [fails("fig3c", frozen=0.95)]),
    ("03", "every run reaches 100 % (one of them {:.1f})", lambda: [100 * runs("fig3c", frozen=0.8)["accuracy"].min()]),
    ("03", "with five neurons in {:.0f} % of its runs", lambda: [success("F-HetSynLIF", 5)]),
    ("03", "in {:.0f} % of its runs with five neurons, HomNeuALIF in {:.0f} %",
     lambda: [success("R-HetSynLIF", 5), success("R-HomNeuALIF", 5)]),
    ("03", "pulls the mean down to {:.0f} %", lambda: [100 * runs("fig3c", frozen=0.95)["accuracy"].mean()]),
    ("03", "creeps up to {:.0f} %",
     lambda: [100 * runs("fig3", model="F-HomNeuALIF", hidden=100)["accuracy"].mean()]),
    ("03", "in between, up to {:.0f} %", lambda: [100 * runs("fig3", model="F-HomNeuALIF")["accuracy"].max()]),
    ("03", "{} instead of {} of ten (feedforward)", lambda: tied_and_fixed("F-HetNeuLIF")),
    ("03", "{} instead of {} (recurrent)", lambda: tied_and_fixed("R-HetNeuLIF")),
    ("03", "glossary.md#exact-test): p = {:.2f} and {:.2f}",
     lambda: [p_match_tied(model) for model in ("F-HetNeuLIF", "R-HetNeuLIF")]),
    ("03", "their mean accuracy is {:.0f} %, that of all fifty is {:.0f} %",
     lambda: [100 * match_tied("F-HetNeuLIF")[1].mean(),
              100 * runs("fig3", model="F-HetNeuLIF", hidden=100)["accuracy"].mean()]),
    ("04", "between 1e-3 and 5e-3 there is {} difference",
     lambda: ["a clear" if rates_differ(1e-3, 5e-3) else "no clear"]),
    ("04", "At 5e-4 and below it is {}", lambda: ["worse" if rates_differ(5e-4, 5e-3) else "as good"]),
    ("04", "their mean MSE falls from {:.3f} to {:.3f}", lambda: [hom_mse(lr) for lr in (5e-3, 1e-2)]),
    ("05", "{} of the 100 neurons fire", lambda: [firing(10)[0].sum()]),
    ("05", "{} of them do so in both gaps", lambda: [(firing(1000)[1] & firing(1000)[2]).sum()]),
    ("05", "{} of the error that is left", lambda: ["Half" if 45 < gaps_share(1000) < 55 else gaps_share(1000)]),
    ("05", "about {:.0f} % of what it was", lambda: [round(100 * learned_share(), -1)]),
    ("06", "but {:.1f} times the training", lambda: [rise().mean()]),
    ("06", "by a factor of {:.1f} (mean over the seeds)", lambda: [rise().mean()]),
    ("06", "below {:.1f} %", lambda: [100 * runs("figA3_noise").query("added_noise_hz <= 15")["accuracy"].min()]),
    ("06", "{} of the ten runs are at chance", lambda: [fails("figA3_noise", added_noise_hz=20, noise_on="all")]),
    ("06", "from {:.0f} iterations without it to {:.0f} with 20 Hz",
     lambda: [median("to_95", "figA3_noise", added_noise_hz=hz, noise_on="all") for hz in (0, 20)]),
    ("07", "`F, decay`, is {} of the twelve", lambda: [place("F, decay")]),
    ("07", "it is {:.0f} to {:.0f} %", lambda: after_reset("F, decay", "F, log_tau x10")),
    ("07", "it stays above {:.0f} %", lambda: [np.floor(after_reset("F, log_tau", "R, tau")[0])]),
    ("10", "four runs end between {:.0f} and {:.0f} %",
     lambda: 100 * runs("table2_smnist")["accuracy"].agg(["min", "max"])),
    ("10", "no run changes by more than {:.0f} points",
     lambda: [np.ceil(abs(epochs("table2_smnist")[:, 38:] - epochs("table2_smnist")[:, -1:]).max())]),
    ("10", "two of its five runs come to {:.1f} and {:.1f} %", lambda: small_digits()[-2:]),
    ("10", "three stay at {:.0f} % or below", lambda: [np.ceil(small_digits()[2])]),
    ("10", "by {:.1f} points in the last three epochs", lambda: [epochs("vision")[0, -1] - epochs("vision")[0, -4]]),
    ("11", "the models end between {:.1f} and {:.1f} %", free_digits),
    ("11", "furthest apart, from {:.1f} to {:.1f} %", lambda: free_digits(variant="HetSynLIF")),
    ("13", "every one of the twenty networks guesses (F {:.1f} %, R {:.1f} %)",
     lambda: after("longest back | all | 5")),
    ("13", "still right in {:.0f} % and recurrent ones in {:.1f} %", lambda: after("others back | all | 10")),
    ("13", "with at most 640 ms {:.1f} % are right", lambda: after("at most | input | 640")[:1]),
    ("13", "with at most 1,280 ms {:.1f} %", lambda: after("at most | input | 1280")[:1]),
    ("13", "with at most 20 ms {:.1f} %", lambda: after("at most | readout | 20")[:1]),
    ("13", "a cut at 640 ms leaves {:.1f} %", lambda: after("at most | all | 640")[1:]),
    ("13", "little more than guessing ({:.1f} %); in recurrent ones it costs less ({:.1f} %)",
     lambda: after("shuffled | input | nothing")),
    ("13", "among the recurrent synapses more ({:.1f} %)", lambda: after("shuffled | recurrent | nothing")[1:]),
    ("13", "The readout matters least ({:.1f} and {:.1f} %)", lambda: after("shuffled | readout | nothing")),
    ("13", "all fast currents among it, {:.0f} %", lambda: after("exchanged | all but slow synapses | 950")[1:]),
    ("13", "five neurons for {:.0f} %", lambda: [int(after("exchanged | neurons | 5")[1])]),
    ("13", "right in {:.1f} and {:.1f} %", lambda: after("others back | all | 2", "mechanism_large")),
    ("13", "F {:.1f} %, R {:.0f} %, every run above 96 %",
     lambda: [100 * runs("mechanism_training", fixed_weights=True, model=m)["accuracy"].mean() for m in MODELS]),
    ("13", "the longest 2 % back: {:.1f} % instead of {:.1f} %",
     lambda: [heard("longest back | all | 2"), heard("longest back | all | 0")]),
    ("13", "the longest 10 % back at the start {:.1f} %", lambda: [heard("others back | all | 10")]),
    ("13", "are worth nothing ({:.1f} %)", lambda: [heard("shuffled | all | nothing")]),
    ("13", "200 ms ({:.1f} %)", lambda: [heard("at most | all | 50")]),
    ("13", "6.25 bins for all synapses leaves {:.1f} %", lambda: [heard("at least | all | 6.25")]),
    ("18", "the error falls to {:.0f} %, where we ask", lambda: [100 * learned_share()]),
    ("18", "feedforward, {} of 50 runs succeed", lambda: [successes("F-HetSynLIF", 5)]),
    ("18", "the accuracy is {:.0f} % on average, but {} of ten runs fail",
     lambda: [100 * runs("figA3_noise", added_noise_hz=20, noise_on="all")["accuracy"].mean(),
              fails("figA3_noise", added_noise_hz=20, noise_on="all")]),
    ("18", "learning takes {:.1f} times the iterations", lambda: [rise().mean()]),
    ("18", "R-HetSynLIF succeeds in {} of 50 runs and R-HomNeuALIF in {};",
     lambda: [successes("R-HetSynLIF", 5), successes("R-HomNeuALIF", 50)]),
    ("18", "now {1} of {0} claims", lambda: counted(r"(\d+) claims: (\d+) reproduced")),
    ("18", "**Not reproduced** are {} claims", lambda: [NUMBER[counted(r"(\d+) not reproduced")[0]]]),
    ("18", "**Beyond the paper**, {} claims hold", lambda: [NUMBER[counted(r"paper, \d+: (\d+) hold")[0]]]),
    ("18", "The other {} are inconclusive, and {} has too few runs",
     lambda: [NUMBER[k] for k in counted(r"hold, (\d+) inconclusive.*; without a verdict: (\d+) too few runs\.")]),
]
# fmt: on


@pytest.mark.parametrize("notebook, phrase, numbers", PROSE, ids=lambda value: value if isinstance(value, str) else "")
def test_a_number_in_the_prose_is_that_of_the_records(notebook, phrase, numbers):
    (path,) = ROOT.glob(f"notebooks/{notebook}_*.ipynb")
    cells = nbformat.read(path, as_version=4).cells
    text = " ".join(" ".join(cell.source for cell in cells if cell.cell_type == "markdown").split())
    assert phrase.format(*numbers()) in text
