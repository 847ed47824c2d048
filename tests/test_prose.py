"""Numbers in the prose of the notebooks are those of the records.

A row is a notebook, a phrase, and the numbers that fill it. The filled phrase must stand in the text of the notebook:
when a record or a sentence changes, the other must follow.
"""

import json
import re
from functools import lru_cache

import nbformat
import numpy as np
import pandas as pd
import pytest

from hetsyn_core.datasets import allen
from hetsyn_core.drawing import biology
from hetsyn_core.model.layer import VARIANTS
from hetsyn_core.paths import ROOT
from hetsyn_core.results import cost, sharing, speech, table4
from hetsyn_core.results.claims import WEIGHT_DECAY_ALONE
from hetsyn_core.results.tables import epoch_curves, frame
from hetsyn_core.results.verdicts import mean_interval, sign_test
from hetsyn_core.runs import store
from hetsyn_core.runs.experiments import CHOSEN, jobs
from hetsyn_core.runs.make import make_network, warm_cosine
from hetsyn_core.tasks import SequentialDigits, Speech
from hetsyn_core.tasks.networks import SHAPES
from hetsyn_core.tasks.speech import GENERATED
from tools.benchmark import needed

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


def alike(iterations):
    """Correlation between the neurons' spike counts at the first and at the second occurrence, as in Fig. A2."""
    (record,) = [r for r in records("figA2") if r.detail and r.run.iterations == iterations]
    spikes = record.detail.example.spikes
    return np.corrcoef(spikes[:500].sum(0), spikes[750:1250].sum(0))[0, 1]


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


def small_digits(**changes):
    """Validation accuracies of R-HetSynLIF on the small digits, the text's reading but for changes, percent, sorted."""
    return sorted(100 * of_reading(**changes)["validation_accuracy"])


def of_reading(**changes):
    """Runs of R-HetSynLIF on the small digits, the text's reading but for changes."""
    own = runs("vision_small", variant="HetSynLIF")
    reading = SequentialDigits(**changes)
    open_in_the_paper = "surrogate", "readout", "normalised", "clip", "count_scale", "lr", "truncate"
    return own[[all(getattr(run, k) == getattr(reading, k) for k in open_in_the_paper) for run in own["run"]]]


def batches_of_vision():
    """Batches of a run on S-MNIST with the chosen reading, in all and in an epoch."""
    record = records("vision")[0]
    n = len(record.train_curve["loss"])
    return n, n // record.run.epochs


def last_epochs_of_vision():
    """The batch with which the last three epochs begin, and how many there are."""
    n, epoch = batches_of_vision()
    return n - 3 * epoch, n


def share_of_training():
    """Of the batches that the text's reading has."""
    return batches_of_vision()[0] / len(records("table2_smnist")[0].train_curve["loss"])


def validated(**changes):
    return np.mean(small_digits(**changes))


def images():
    """Accuracy of R-HetSynLIF on S-MNIST in percent: means on test and validation images, worst and best on test."""
    own = 100 * runs("vision", variant="HetSynLIF")[["accuracy", "validation_accuracy"]]
    return [*own.mean(), own["accuracy"].min(), own["accuracy"].max()]


def images_of(variant):
    """Accuracy of another model on S-MNIST in percent: mean, worst and best."""
    return 100 * runs("vision", variant=variant)["accuracy"].agg(["mean", "min", "max"])


def above_the_others():
    """Whether every run of R-HetSynLIF on S-MNIST is above all of the other models, in words."""
    above = images()[2] > max(images_of(variant)["max"] for variant in SPEECH_MODELS[:3])
    return "every run" if above else "not every run"


def last_three(name):
    """Points that the test accuracy of R-HetSynLIF rises by in the last three epochs, mean over runs."""
    own = epochs(name, ("HetSynLIF",))
    return (own[:, -1] - own[:, -4]).mean()


def epochs(name, variants=tuple(VARIANTS)):
    """Test accuracy after every epoch, a row per run, in percent."""
    return 100 * np.array([r.test_curve["accuracy"] for r in records(name) if r.run.variant in variants])


def free_digits(**settings):
    """Lowest and highest accuracy in percent."""
    return 100 * runs("table2_fsdd", **settings)["accuracy"].agg(["min", "max"])


def free_digits_lead():
    """Points by which R-HetSynLIF's mean is below R-HetNeuLIF's, and above R-HomNeuLIF's."""
    mean = 100 * runs("table2_fsdd").groupby("variant")["accuracy"].mean()
    return [mean["HetNeuLIF"] - mean["HetSynLIF"], mean["HetSynLIF"] - mean["HomNeuLIF"]]


def new_voices():
    """Accuracy in percent on the speaker that was left out, a row per speaker, a column per variant."""
    left_out = runs("fsdd_speakers").assign(speaker=lambda table: table["held_out"].map(str))
    return 100 * left_out.pivot(index="speaker", columns="variant", values="validation_accuracy")


def first_on_new_voices():
    """On how many of the speakers R-HetSynLIF is the most accurate."""
    return (new_voices().idxmax(axis=1) == "HetSynLIF").sum()


def lead_on_new_voices(other):
    """How many points R-HetSynLIF leads by, and the ends of the interval."""
    difference = new_voices()["HetSynLIF"] - new_voices()[other]
    return difference.mean(), *mean_interval(difference)


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


@lru_cache
def shared(name):
    """Runs of an experiment on shared time constants."""
    return sharing.counted(runs(name))


def learn(level, who="random groups", **settings):
    """How many runs learn match-to-sample with so many time constants."""
    own = shared("groups_match")
    own = own[(own["level"] == level) & (own["sharing"] == who)]
    for column, value in settings.items():
        own = own[own[column] == value]
    return int(own["success"].sum())


def every(count, n=10):
    return "all" if count == n else "not all"


SMALL = dict(hidden=20, recurrent=False)
ALL_SYNAPSES = dict(level="one per synapse", who="HetSynLIF")


def speed(start):
    """Median iterations to 95 % with one time constant per synapse, the fastest and the slowest of four networks."""
    own = shared("groups_match").query(f"level == 'one per synapse' and start == '{start}'")
    return own.groupby(["recurrent", "hidden"])["to_95"].median().agg(["min", "max"])


def speeds_fall():
    """Whether the median with more random groups is never higher than with fewer, and mostly lower."""
    own = shared("groups_match").query("sharing in ('random groups', 'HetSynLIF')")
    medians = own.groupby(["recurrent", "hidden", "start", "P"])["to_95"].median()
    steps = medians.groupby(level=[0, 1, 2]).diff().dropna()
    return (steps <= 0).all() and (steps < 0).mean() > 0.5


def error(level, recurrent, start="paper"):
    """Mean error of pattern generation."""
    own = shared("groups_pattern").query(f"level == '{level}' and recurrent == {recurrent} and start == '{start}'")
    return own[own["sharing"] != "HetNeuLIF"].set_index("seed")["mse"]


@lru_cache
def priced(model, hidden):
    """Operations per step, and how many of 50 runs succeed (Fig. 3)."""
    own = sharing.with_costs(runs("fig3")).query(f"model == '{model}' and hidden == {hidden}")
    assert len(own) == 50
    return own["operations"].iloc[0], int(own["success"].sum())


@lru_cache
def controlled(name, metric, kind, recurrent):
    """A metric of a control's runs, by seed."""
    own = sharing.controls(runs(f"controls_{name}")).query("kind == @kind and recurrent == @recurrent")
    return own.set_index("seed")[metric]


def percent_fixed(start, recurrent):
    return 100 * controlled("match", "accuracy", f"HetSynLIF, {start} start, fixed", recurrent).mean()


def runs_away():
    """Errors of R-HetSynLIF from the wide start, fixed: in how many seeds they are larger than learned; the largest."""
    fixed, own = (controlled("pattern", "mse", f"HetSynLIF, wide start{end}", True) for end in (", fixed", ""))
    return NUMBER[(fixed > own).sum()], fixed.max()


SPEECH_MODELS = "HomNeuLIF", "HomNeuALIF", "HetNeuLIF", "HetSynLIF"


def points(metric, name="fig4"):
    """Percent of each run on speech, one row per seed, one column per variant."""
    return 100 * runs(name).pivot(index="seed", columns="variant", values=metric)


def lead(metric, name="fig4"):
    """Of R-HetSynLIF over R-HetNeuLIF, in points."""
    own = points(metric, name)
    return (own["HetSynLIF"] - own["HetNeuLIF"]).mean()


def held_out_voices():
    """Percent of R-HetNeuLIF and of R-HetSynLIF on the two held-out speakers, and in how many seeds the first leads."""
    own = points("validation_accuracy", "fig4_held_out")
    return [*own.mean()[["HetNeuLIF", "HetSynLIF"]], NUMBER[(own["HetNeuLIF"] > own["HetSynLIF"]).sum()]]


def ends_higher():
    """Whether those that learn time constants reach 80 % early, and all their runs end above all others."""
    progress = speech.progress(epoch_curves(records("fig4"))).rename(index=lambda name: name.removeprefix("R-"))
    fixed, learned = progress.loc[list(SPEECH_MODELS[:2])], progress.loc[list(SPEECH_MODELS[2:])]
    assert progress.iloc[:, 1].min() > 10 and 1.5 < progress.iloc[:, 2].max() < 2.5
    early = learned.iloc[:, 0].max() < fixed.iloc[:, 0].min() / 2
    return early and learned["lowest run"].min() > fixed["highest run"].max()


def first_run(variant):
    """Test accuracy after each epoch of the run that is shown, in percent."""
    (record,) = [r for r in records("fig4") if r.detail and r.run.variant == variant]
    return 100 * record.test_curve["accuracy"].astype(float)


def choosing_adds():
    """To whom the best test epoch adds least."""
    return (points("best_test_accuracy") - points("accuracy")).mean().idxmin()


def voices():
    """R-HetSynLIF against R-HetNeuLIF: its lead on new voices in points, misses more of known ones, of how many."""
    of = runs("fig4_speakers").set_index("variant")
    new = of["new speakers"]["HetSynLIF"] - of["new speakers"]["HetNeuLIF"]
    n = of["recordings of known speakers"].iloc[0]
    known = n * (of["known speakers"]["HetNeuLIF"] - of["known speakers"]["HetSynLIF"])
    return 100 * new, NUMBER[round(known)], n


def chosen_epochs():
    epochs = [record.chosen_epoch + 1 for record in records("fig4_held_out")]
    return min(epochs), max(epochs)


def eight_speakers_cost():
    """Points at the last epoch that a network loses which learned from eight speakers instead of ten."""
    cost = points("accuracy")[list(SPEECH_MODELS[2:])].mean() - points("accuracy", "fig4_held_out").mean()
    return int(cost.min()), int(np.ceil(cost.max()))


def answers_seen():
    """Points between the choice of an epoch by the test set and by two held-out speakers, of the same runs."""
    gain = points("best_test_accuracy", "fig4_held_out") - points("chosen_test_accuracy", "fig4_held_out")
    return gain.mean()[["HetSynLIF", "HetNeuLIF"]]


def chosen_lead():
    """Seeds in which R-HetSynLIF is ahead where two held-out speakers choose the epoch, and the mean lead in points."""
    of = points("chosen_test_accuracy", "fig4_held_out")
    ahead = of["HetSynLIF"] - of["HetNeuLIF"]
    return NUMBER[(ahead > 0).sum()], NUMBER[len(ahead)], ahead.mean()


def lost(metric):
    """Points less than on clean speech, means of the variants."""
    return (points("accuracy") - points(metric)).mean()


def spared(metric):
    """What R-HetSynLIF loses, as a share of the least that another loses."""
    own = lost(metric)
    return own["HetSynLIF"] / own.drop("HetSynLIF").min()


def as_fixed(metric):
    """Whether R-HetSynLIF loses as many points as the two models with fixed time constants, to a point."""
    fixed = lost(metric)[list(SPEECH_MODELS[:2])]
    return fixed.min() - 1 < lost(metric)["HetSynLIF"] < fixed.max() + 1


def shown_taus(when):
    (record,) = [r for r in records("fig4") if r.detail and r.run.variant == "HetSynLIF"]
    return biology.pooled([record], when)


def tails():
    """Pathways of which a few synapses are longer than 125 bins, but fewer than one in a hundred."""
    assert all(taus.max() <= 20 for taus in shown_taus("before").values())
    return [name for name, taus in shown_taus("after").items() if 0 < (taus > 125).mean() < 0.005]


@lru_cache
def step_ms(device):
    """Times of a training step: one row per network, one column for each that was measured, and the floor."""
    table = cost.timings(ROOT / "data" / "benchmark").query(f"device == '{device}'")
    wide = table.pivot(index="network", columns="who", values="ms")
    return wide.assign(floor=table.groupby("network")["floor"].first())


def over(others, unit="ms"):
    """HetSynLIF over others on a CPU, all networks."""
    prices = cost.prices(cost.timings(ROOT / "data" / "benchmark"), unit).drop(columns="GPU")
    return prices[[who for who in prices if others(who)]]


LIBRARY = lambda who: who.startswith("LIF")


def dearer():
    """Whether a step of HetSynLIF takes less time and memory than every library's."""
    return "less" if max(over(LIBRARY, unit).max().max() for unit in ("ms", "MB")) < 1 else "not always less"


def longest_gain():
    """Where the fused path gains most over the loop."""
    gain = step_ms("cpu")["HetSynLIF, reference"] / step_ms("cpu")["HetSynLIF, fused"]
    assert gain.min() > 1
    return {"pattern F (Fig. 2)": "pattern generation", "pattern R (Fig. 2)": "pattern generation"}.get(gain.idxmax())


def nearest():
    """The library and the network with the smallest advantage of HetSynLIF, and whether the other two are far."""
    prices = over(LIBRARY).droplevel("machine")
    network, who = prices.stack().idxmax()
    assert (prices.loc["S-MNIST (Table 2)"].drop(who) < 0.1).all()
    return {"LIF, snntorch 1.0.0": "snnTorch"}[who], network.removesuffix(" (Table 2)")


@lru_cache
def growth(device):
    """Rows of the benchmark's growth on a device, with "x"."""
    report = json.loads((ROOT / "data" / "benchmark" / f"growth_{device}.json").read_text())
    table = pd.DataFrame(report["growth"]).dropna(subset="median_s")
    return table.assign(x=[row["synapses" if row["axis"] == "neurons" else row["axis"]] for _, row in table.iterrows()])


def grown(axis, who="HetSynLIF, fused", device="cpu"):
    """Seconds of a step by size."""
    own = growth(device).query("axis == @axis and who == @who")
    return own.set_index("x")["median_s"]


def exponent(axis):
    own = grown(axis).iloc[-3:]
    return np.polyfit(np.log(own.index), np.log(own), 1)[0]


def over_floor():
    """The largest and the smallest network, its synapses and its time over the floor."""
    own = growth("cpu").query("axis == 'neurons' and who == 'HetSynLIF, fused'")
    ratio = (own["median_s"] / own["floor_s"]).to_numpy()
    return own["x"].iloc[-1], ratio[-1], own["x"].iloc[0], ratio[0]


def over_other(who):
    """Of the smallest and the largest network."""
    ratio = grown("neurons") / grown("neurons", who)
    return ratio.iloc[[0, -1]]


def flat():
    own = pd.concat([grown(axis, who, "gpu") for axis in ("steps", "batch") for who in (
        "HetSynLIF, fused", "HomNeuLIF, fused")])  # fmt: skip
    return (1e3 * own).agg(["min", "max"])


@lru_cache
def operations_counted():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HETSYN_RECORDS", str(ROOT / "data"))
        clocked = cost.inferences()["all"].unstack("machine")[cost.CLOCKED].unstack("variant")
    return (clocked["HetSynLIF"] / clocked["HomNeuLIF"]).agg(["min", "max"])


def better(level, other, recurrent):
    """In how many seeds the error is lower."""
    return NUMBER[(error(level, recurrent) < error(other, recurrent)).sum()]


def time_constants(task):
    """All that are trained in a network."""
    return sum(layer.decay_parameter.numel() for layer in make_network(task).layers)


def learned(start, recurrent=True, path="input"):
    """Learned time constants of the stored HetSynLIF network that started at so many ms, under the paper's text."""
    name = {20: "fig2", 40: "fig3"}.get(start, "table4")
    (record,) = [
        r for r in records(name)
        if r.detail and r.run.variant == "HetSynLIF" and r.run.recurrent == recurrent and not r.failure
        and r.run.initial_tau_s()[1] == start and table4.reading(r.run)[3:] == "decay"
    ]  # fmt: skip
    return biology.pathway_taus(record)[path]


def learned_medians(*starts):
    """Of input synapses, feedforward and recurrent."""
    return [np.median(learned(start, recurrent)) for start in starts for recurrent in (False, True)]


def lower_half(start):
    """Median / 5th percentile of the input synapses of R-HetSynLIF."""
    low, middle = np.quantile(learned(start), (0.05, 0.5), method="lower")
    return middle / low


def middle_90():
    """5th and 95th percentile of the input synapses of R-HetSynLIF from 40 ms, and their ratio."""
    low, high = np.quantile(learned(40), (0.05, 0.95), method="lower")
    return low, high, high / low


def published():
    """Shortest and longest published mean, and their ratio."""
    low, high = allen.PUBLISHED["tau_ms"].agg(["min", "max"])
    return low, high, high / low


# fmt: off
PROSE = [
    ("02", "is larger in {} of ten runs of F-HetNeuLIF, and its mean is {:.3f} instead of {:.3f}", lambda: [
        NUMBER[np.subtract(*tied_and_fixed_d21()[:2]).gt(0).sum()],
        *(own.mean() for own in tied_and_fixed_d21()[:2])]),
    ("02", "two of these runs lie far above 1 ({:.2f} and {:.2f})", lambda: sorted(tied_and_fixed_d21()[0])[-2:]),
    ("02", "a tied reset ({:.2f} on average) is still behind F-HetSynLIF ({:.2f})",
     lambda: [abs(own - 1).mean() for own in tied_and_fixed_d21()[::2]]),
    ("02", "interval of the difference begins at {:.4f}",
     lambda: mean_interval(np.subtract(*(abs(own - 1) for own in tied_and_fixed_d21()[::2])))[:1]),
    ("02", "{:.3f} against {:.3f} (feedforward) and {:.3f} against {:.3f} (recurrent)", lambda: [
        own["mse"].mean() for kind in "FR" for own in (
            runs("tied_reset", model=f"{kind}-HetNeuLIF"), runs("fig2", model=f"{kind}-HetSynLIF", noise_hz=2))]),
    ("03", "reaches 95 % after {:.0f} to {:.0f} iterations",
     lambda: runs("fig3", model="F-HetSynLIF", hidden=100)["to_95"].agg(["min", "max"])),
    ("03", "With 95 % frozen, {} run of ten fails", lambda: [fails("fig3c", frozen=0.95)]),
    ("03", "every run is right in at least {:.1f} % of the trials",
     lambda: [100 * runs("fig3c").query("frozen <= 0.9")["accuracy"].min()]),
    ("03", "with five neurons in {:.0f} % of its runs", lambda: [success("F-HetSynLIF", 5)]),
    ("03", "in {:.0f} % of its runs with five neurons, HomNeuALIF in {:.0f} %",
     lambda: [success("R-HetSynLIF", 5), success("R-HomNeuALIF", 5)]),
    ("03", "pulls the mean down to {:.0f} %", lambda: [100 * runs("fig3c", frozen=0.95)["accuracy"].mean()]),
    ("03", "creeps up to {:.0f} %",
     lambda: [100 * runs("fig3", model="F-HomNeuALIF", hidden=100)["accuracy"].mean()]),
    ("03", "in between, up to {:.0f} %", lambda: [100 * runs("fig3", model="F-HomNeuALIF")["accuracy"].max()]),
    ("03", "a few runs of HetNeuLIF and HetSynLIF lie between {:.0f} and {:.0f} %", lambda: 100 * runs("fig3").query(
        "variant in ('HetNeuLIF', 'HetSynLIF') and 0.6 < accuracy < 0.9")["accuracy"].agg(["min", "max"])),
    ("03", "{} instead of {} of ten (feedforward)", lambda: tied_and_fixed("F-HetNeuLIF")),
    ("03", "{} instead of {} (recurrent)", lambda: tied_and_fixed("R-HetNeuLIF")),
    ("03", "(exact test: p = {:.2f} and {:.2f}",
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
    ("05", "After 1,000 the first looks {}", lambda: ["different" if alike(1000) < 0.2 < 0.8 < alike(10) else "alike"]),
    ("05", "{} of the error that is left", lambda: ["Half" if 45 < gaps_share(1000) < 55 else gaps_share(1000)]),
    ("05", "about {:.0f} % of what it was", lambda: [round(100 * learned_share(), -1)]),
    ("06", "but {:.1f} times the training", lambda: [rise().mean()]),
    ("06", "by a factor of {:.1f} (mean over the seeds)", lambda: [rise().mean()]),
    ("06", "below {:.1f} %", lambda: [100 * runs("figA3_noise").query("added_noise_hz <= 15")["accuracy"].min()]),
    ("06", "{} of the ten runs are at chance", lambda: [fails("figA3_noise", added_noise_hz=20, noise_on="all")]),
    ("06", "from {:.0f} iterations without it to {:.0f} with 20 Hz",
     lambda: [median("to_95", "figA3_noise", added_noise_hz=hz, noise_on="all") for hz in (0, 20)]),
    ("07", "{} to {} % lie above 700 ms", lambda: [round(f(table4.PAPER["long_share"])) for f in (min, max)]),
    ("07", "`F, decay`, is {} of the twelve", lambda: [place("F, decay")]),
    ("07", "it is {:.0f} to {:.0f} %", lambda: after_reset("F, decay", "F, log_tau x10")),
    ("07", "it stays above {:.0f} %", lambda: [np.floor(after_reset("F, log_tau", "R, tau")[0])]),
    ("09", "80 % in {} the epochs, and they end higher", lambda: ["less than half" if ends_higher() else "half"]),
    ("09", "ends {:.1f} points below its best epoch, which was epoch {}",
     lambda: [first_run("HomNeuLIF").max() - first_run("HomNeuLIF")[-1], first_run("HomNeuLIF").argmax() + 1]),
    ("09", "and choosing adds {:.1f} points", lambda: [first_run("HetSynLIF").max() - first_run("HetSynLIF")[-1]]),
    ("09", "it adds least to R-{}, and **", lambda: [choosing_adds()]),
    ("09", "**{} of the lead of R-HetSynLIF over R-HetNeuLIF is gone**",
     lambda: ["most" if lead("best_test_accuracy") < lead("accuracy") / 2 else "not most"]),
    ("09", "by {:.1f} points. On known voices R-HetNeuLIF is better, by {} recordings of {:.0f}", voices),
    ("09", "costs {} to {} points at the last epoch", lambda: [NUMBER[n] for n in eight_speakers_cost()]),
    ("09", "where R-HetSynLIF leads by {:.1f} points", lambda: [lead("accuracy", "fig4_held_out")]),
    ("09", "between {} and {}, before the learning rate has come down", chosen_epochs),
    ("09", "is {:.1f} % (R-HetSynLIF) and {:.1f} % (R-HetNeuLIF)",
     lambda: points("chosen_test_accuracy", "fig4_held_out").mean()[["HetSynLIF", "HetNeuLIF"]]),
    ("09", "there R-HetNeuLIF is ahead, {:.1f} against {:.1f} %, and in {} seeds of five", held_out_voices),
    ("09", "These are the runs with seed {}, which of the five have the largest lead", lambda: [
        (points("accuracy")["HetSynLIF"] - points("accuracy")["HetNeuLIF"]).idxmax()]),
    ("09", "gives {:.1f} points more to R-HetSynLIF and {:.1f} more to R-HetNeuLIF", answers_seen),
    ("09", "R-HetSynLIF is ahead in {} seeds of {} only, and by {:.1f} points on average", chosen_lead),
    ("09", "costs every variant {} than a point", lambda: ["less" if lost("deleted 0.08").max() < 1 else "more"]),
    ("09", "costs it {} less", lambda: ["much" if spared("deleted 0.32") < 0.7 else "a little"]),
    ("09", "recognise {} of the words or more",
     lambda: ["about half" if points("deleted 0.64").mean().min() > 47 else "less than half"]),
    ("09", "R-HetSynLIF leads by {} more", lambda: ["far" if lead("deleted 0.64") > 5 * lead("accuracy") else "no"]),
    ("09", "starts at {:.1f} bins and falls to {:.1f} in this run, which is {:.0f} ms of sound", lambda: [
        *(np.median(shown_taus(when)["readout"]) for when in ("before", "after")),
        4 * np.median(shown_taus("after")["readout"])]),
    ("09", "Some {} in a hundred end above 20", lambda: [
        "two or three" if 2 < 100 * runs("fig4", variant="HetSynLIF")["readout_above_20"].mean() < 3 else "other"]),
    ("09", "R-HetNeuLIF and R-HetSynLIF lose {} to the fastest speech than to the slowest", lambda: [
        "more" if (lost("warped -0.5") > lost("warped 0.5"))[list(SPEECH_MODELS[2:])].all() else "not more"]),
    ("09", "its lead grows from {:.1f} to {:.1f} and {:.1f} points",
     lambda: [lead("accuracy"), lead("warped -0.5"), lead("warped 0.5")]),
    ("09", "with fixed time constants it loses about {} as they do",
     lambda: ["as much" if as_fixed("warped -0.5") and as_fixed("warped 0.5") else "not as much"]),
    ("09", "Alone it would bring the median to {:.1f} bins", lambda: [WEIGHT_DECAY_ALONE * 12.5]),
    ("09", "In all but the {} a few synapses",
     lambda: ["".join(name for name in shown_taus("after") if name not in tails())]),
    ("15", "a time constant per synapse costs {:.0f} to {:.0f} times as many", operations_counted),
    ("15", "the {:.0f} to {:.0f} times that `14_counting` counts", operations_counted),
    ("15", "For speech the loop keeps {:.1f} GB, for S-MNIST {:.1f} GB",
     lambda: [needed(shape) / 1e9 for shape in SHAPES[-2:]]),
    ("15", "faster than the loop, most of all in {}", lambda: [longest_gain()]),
    ("15", "Among the libraries {} comes nearest in {}:", nearest),
    ("15", "On the GPU a fused step takes {:.0f} to {:.0f} ms",
     lambda: step_ms("cuda").filter(like="fused").stack().agg(["min", "max"])),
    ("15", "takes {} time and less memory than each", lambda: [dearer()]),
    ("15", "are {:.2f} in steps, {:.2f} in trials and {:.2f} in synapses",
     lambda: [exponent(axis) for axis in ("steps", "batch", "neurons")]),
    ("15", "With {:,} synapses HetSynLIF takes {:.1f} times its floor; with {:,} it takes {:.0f} times", over_floor),
    ("15", "goes from {:.1f} with 1,300 synapses to {:.1f} with 320,800", lambda: over_other("HomNeuLIF, fused")),
    ("15", "the plain loop takes {:.0f} times", lambda: [1 / over_other("HetSynLIF, reference").iloc[-1]]),
    ("15", "flat in steps and in trials, {:.0f} to {:.0f} ms", flat),
    ("15", "in the card's memory ({:.0f} ms). 400 recurrent neurons were too many for the kernels of that "
     "version, so a plain loop computed this layer ({:.0f} ms;",
     lambda: 1e3 * grown("neurons", device="gpu").iloc[-2:]),
    ("16", "groups {} of ten do, with 256 {}",
     lambda: [NUMBER[learn("16", **SMALL, start="paper")], every(learn("256", **SMALL, start="paper"))]),
    ("16", "With one time constant and with four {} run learns",
     lambda: [NUMBER[learn("1", **SMALL) + learn("4", **SMALL, start="paper")]]),
    ("16", "30 input channels {} run learns",
     lambda: [NUMBER[learn("one per neuron", "groups by presynaptic neuron", **SMALL, start="paper")]]),
    ("16", "From the wide start {} of ten runs learn with 16 random groups, and {} with 64",
     lambda: [NUMBER[learn("16", **SMALL, start="wide")], every(learn("64", **SMALL, start="wide"))]),
    ("16", "{} run learns. Each neuron now", lambda: ["every" if all(
        learn("one per neuron", "groups by presynaptic neuron", hidden=20, recurrent=r, start="wide") == 10
        for r in (False, True)) else "not every"]),
    ("16", "(HetNeuLIF) {} of ten runs learn",
     lambda: [NUMBER[learn("one per neuron", "HetNeuLIF", **SMALL, start="wide")]]),
    ("16", "start {} of 40 runs learn with 256 random groups", lambda: [learn("256", start="paper")]),
    ("16", "with 256 random groups per layer {} of 40 learn", lambda: [learn("256", start="paper")]),
    ("16", "networks need few: with 16, {} of ten", lambda: {
        NUMBER[learn("16", hidden=n, recurrent=False, start="wide")] for n in (20, 100)}),
    ("16", "with 16, {} of ten runs learn with 20 neurons, and {} of ten with 100",
     lambda: [NUMBER[learn("16", hidden=n, recurrent=True, start="wide")] for n in (20, 100)]),
    ("16", "With one per synapse {} run learns", lambda: ["every" if learn(**ALL_SYNAPSES) == 80 else "not every"]),
    ("16", "is {:,}, {:,}, {:,} and {:,} time constants", lambda: [
        shared("groups_match").query(f"level == 'one per synapse' and recurrent == {r} and hidden == {n}")["P"].iloc[0]
        for r in (False, True) for n in (20, 100)]),
    ("16", "more time constants {} learn more slowly", lambda: ["never" if speeds_fall() else "sometimes"]),
    ("16", "needs {:.0f} to {:.0f} iterations in the four", lambda: speed("wide")),
    ("16", "from the paper's start it needs {:.0f} to {:.0f}", lambda: speed("paper")),
    ("16", "(mean errors {:.3f} and {:.3f}). 256 do better: {:.3f}, lower than one per synapse in {} seeds of ten",
     lambda: [*(error(n, False).mean() for n in ("16", "one per synapse", "256")),
              better("256", "one per synapse", False)]),
    ("16", "a lower error than one per synapse, in {} seeds of ten", lambda: [better("256", "one per synapse", False)]),
    ("16", "16 hardly help ({:.3f}, where one gives {:.3f})", lambda: [error(n, True).mean() for n in ("16", "1")]),
    ("16", "falls to {:.3f}, but that is still more than twice the {:.3f}",
     lambda: [error(n, True).mean() for n in ("256", "one per synapse")]),
    ("16", "its mean error is {:.3f} instead of {:.3f} with 256, and lower in {} of ten seeds",
     lambda: [*(error(n, True).mean() for n in ("one per synapse", "256")), better("one per synapse", "256", True)]),
    ("16", "one per synapse a little ({:.3f}) and makes 16 groups worse ({:.3f})",
     lambda: [error(n, False, "wide").mean() for n in ("one per synapse", "16")]),
    ("16", "their mean errors, {:.3f} and {:.3f}",
     lambda: [error(n, True, "wide").mean() for n in ("one per synapse", "16")]),
    ("16", "has {:,} trainable time constants", lambda: [time_constants(Speech(data=GENERATED))]),
    ("17", "need {:.0f} operations per step, and {} of 50 runs succeed", lambda: priced("F-HetSynLIF", 5)),
    ("17", "a hundred neurons of HetNeuLIF need {:.0f}, and {} succeed", lambda: priced("F-HetNeuLIF", 100)),
    ("17", "need {:,.0f} operations and succeed in {} runs", lambda: priced("F-HetSynLIF", 20)),
    ("17", "succeeds with twenty neurons in {} of 50 runs. It needs {:.0f} operations",
     lambda: priced("R-HomNeuALIF", 20)[::-1]),
    ("17", "less than half of the {:.0f} of the smallest R-HetSynLIF, which succeeds in {}.",
     lambda: priced("R-HetSynLIF", 5)),
    ("17", "succeeds in all {}, but has twice", lambda: priced("R-HetSynLIF", 20)[1:]),
    ("17", "the weights alone reach {:.1f} % feedforward", lambda: [percent_fixed("wide", False)]),
    ("17", "a clear difference) and {:.0f} % recurrent", lambda: [percent_fixed("wide", True)]),
    ("17", "they are worse in {} seeds of ten; in one of these the output runs away (an error of {:.0f})", runs_away),
    ("17", "reach {:.1f} % (feedforward) and {:.1f} % (recurrent)",
     lambda: [percent_fixed("log-uniform", recurrent) for recurrent in (False, True)]),
    ("12", "about {:.0f} times as long", lambda: [round(published()[2], -1)]),
    ("12", "{:.1f} % of the input and {:.1f} % of the recurrent synapses end above 500 ms",
     lambda: [100 * np.mean(learned(40, path=path) > 500) for path in ("input", "recurrent")]),
    ("12", "by a factor of {:.1f} to {:.1f}",
     lambda: [f([lower_half(start) for start in (20, 40, 100)]) for f in (min, max)]),
    ("12", "end between {:.0f} and {:.0f} ms, a factor of {:.0f}", middle_90),
    ("12", "from {:.0f} to {:.0f} ms, differ by a factor of {:.0f}", published),
    ("12", "to {:.0f} and {:.0f} ms, and to {:.0f} and {:.0f}", lambda: learned_medians(200, 400)),
    ("12", "at 19 ms from 20, at 36 from 40, at {:.0f} and {:.0f} from 100", lambda: learned_medians(100)),
    ("10", "four runs end between {:.0f} and {:.0f} %",
     lambda: 100 * runs("table2_smnist")["accuracy"].agg(["min", "max"])),
    ("10", "no run changes by more than {:.0f} points",
     lambda: [np.ceil(abs(epochs("table2_smnist")[:, 38:] - epochs("table2_smnist")[:, -1:]).max())]),
    ("10", "two of its five runs come to {:.1f} and {:.1f} %", lambda: small_digits()[-2:]),
    ("10", "three stay at {:.0f} % or below", lambda: [np.ceil(small_digits()[2])]),
    ("10", "by {:.1f} points in their last three epochs", lambda: [last_three("vision")]),
    ("10", "R-HetSynLIF reaches {:.1f} % on the test images after 12 epochs ({:.1f} % on the validation images), "
     "the mean of five runs from {:.1f} to {:.1f} %", images),
    ("10", "R-HetNeuLIF reaches {:.1f} %, from {:.1f} to {:.1f} %", lambda: images_of("HetNeuLIF")),
    ("10", "R-HomNeuLIF has {:.1f} % (from {:.1f} to {:.1f} %)", lambda: images_of("HomNeuLIF")),
    ("10", "R-HomNeuALIF {:.1f} % (from {:.1f} to {:.1f} %); {} of R-HetSynLIF is above them",
     lambda: [*images_of("HomNeuALIF"), above_the_others()]),
    ("10", "Also, {:.1f} % is {} points below", lambda: [images()[0], NUMBER[round(98.93 - images()[0])]]),
    ("10", "{:.0f} % without the wide Gaussians and {:.0f} % with the leaky readout, where the text's reading has "
     "{:.0f} %",
     lambda: [validated(surrogate="gaussian"), validated(readout="leaky"), validated()]),
    ("10", "normalised pixels help as well ({:.0f} %)", lambda: [validated(normalised=True)]),
    ("10", "are still in the shaded region in {:.0f} % of all steps", lambda: [
        100 * of_reading(normalised=True)["pushed_away"].mean()]),
    ("10", "falls from {:.0f} % of its maximum nearly to zero", lambda: [100 * warm_cosine(*last_epochs_of_vision())]),
    ("10", "after {:.0f} % of the paper's training steps", lambda: [100 * share_of_training()]),
    ("18", "one of them after {:.0f} % of the paper's training", lambda: [100 * share_of_training()]),
    ("10", "worst of all ({:.0f} %)", lambda: [validated(lr=5e-3)]),
    ("10", "give {:.1f} % on the validation images", lambda: [validated(**CHOSEN)]),
    ("10", "limited gradient gives {:.1f} %", lambda: [validated(readout="leaky", normalised=True, clip=1.0)]),
    ("11", "for each of the {} R-HetSynLIF (black) is highest", lambda: [NUMBER[first_on_new_voices()]]),
    ("11", "by {:.1f} points on average (interval as in the ledger, {:.1f} to {:.1f}), R-HetNeuLIF by {:.1f}", lambda: [
        *lead_on_new_voices("HomNeuALIF"), lead_on_new_voices("HetNeuLIF")[0]]),
    ("11", "The other three have nearly the same mean, {:.1f} to {:.1f} %",
     lambda: new_voices().drop(columns="HetSynLIF").mean().agg(["min", "max"])),
    ("11", "the models end between {:.1f} and {:.1f} %", free_digits),
    ("11", "furthest apart, from {:.1f} to {:.1f} %", lambda: free_digits(variant="HetSynLIF")),
    ("11", "{:.1f} points below that of R-HetNeuLIF and {:.1f} above that of R-HomNeuLIF", free_digits_lead),
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
    ("18", "the accuracy is {:.0f} % on average: eight of ten runs are right nearly always and {} guess",
     lambda: [100 * runs("figA3_noise", added_noise_hz=20, noise_on="all")["accuracy"].mean(),
              fails("figA3_noise", added_noise_hz=20, noise_on="all")]),
    ("18", "learning takes {:.1f} times the iterations", lambda: [rise().mean()]),
    ("18", "(T2) R-HetSynLIF reaches {:.0f} % with a reading", lambda: [images()[0]]),
    ("18", "R-HetSynLIF succeeds in {} of 50 runs and R-HomNeuALIF in {};",
     lambda: [successes("R-HetSynLIF", 5), successes("R-HomNeuALIF", 50)]),
    ("18", "now {1} of {0} claims", lambda: counted(r"(\d+) claims: (\d+) reproduced")),
    ("18", "**Not reproduced** are {} claims", lambda: [NUMBER[counted(r"(\d+) not reproduced")[0]]]),
    ("18", "**Beyond the paper**, {} claims hold", lambda: [NUMBER[counted(r"paper, \d+: (\d+) hold")[0]]]),
    ("18", "The other {} are inconclusive.",
     lambda: [NUMBER[k] for k in counted(r"hold, (\d+) inconclusive")]),
]
# fmt: on


@pytest.mark.parametrize("notebook, phrase, numbers", PROSE, ids=lambda value: value if isinstance(value, str) else "")
def test_a_number_in_the_prose_is_that_of_the_records(notebook, phrase, numbers):
    (path,) = ROOT.glob(f"notebooks/{notebook}_*.ipynb")
    cells = nbformat.read(path, as_version=4).cells
    text = " ".join(" ".join(cell.source for cell in cells if cell.cell_type == "markdown").split())
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", text)  # of a link its words
    assert phrase.format(*numbers()) in text
