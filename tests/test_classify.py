"""Recognition tasks: the paper's settings, who is trained on, how classes are scored, and that they learn."""

import math
from dataclasses import replace
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import soundfile
import torch
from made_up import seeded
from test_store import same

from hetsyn_core.datasets import shd
from hetsyn_core.datasets.download import digest
from hetsyn_core.datasets.events import bin_events
from hetsyn_core.datasets.manifolds import manifolds
from hetsyn_core.datasets.mnist import digits
from hetsyn_core.datasets.thresholds import CHANNELS, STEPS
from hetsyn_core.model.layer import Traces
from hetsyn_core.model.surrogate import MultiGaussian
from hetsyn_core.runs import analyses, experiments
from hetsyn_core.runs import train as train_module
from hetsyn_core.runs.evaluate import performance, split_rng
from hetsyn_core.runs.make import make_network, make_optimiser
from hetsyn_core.runs.record import Record
from hetsyn_core.runs.train import train
from hetsyn_core.tasks import SequentialDigits, Speech, Ti46Alpha, TiDigits, speech
from hetsyn_core.tasks.digits import SMALL
from hetsyn_core.tasks.speech import FSDD, GENERATED, Fsdd


def generated(**changes):
    """Speech small enough for a test."""
    small = dict(data=GENERATED, hidden=(12, 8), iterations=2, epochs=2, test_trials=64, steps=100, bin_ms=10.0)
    return Speech(**(small | changes))


def small_digits(**changes):
    return SequentialDigits(**(dict(data=SMALL, hidden=(12, 8), iterations=2, epochs=2, test_trials=64) | changes))


PAPER = {  # Table of hyperparameters; lr, dropout, epochs, batch, weight decay, hidden, steps x channels, classes
    Speech(): (2e-3, 0.2, 100, 32, 4e-3, (128, 64), 250, 700, 20),
    SequentialDigits(): (1e-3, 0, 150, 256, 0, (64, 64), 784, 1, 10),
    TiDigits(): (2e-3, 0.5, 50, 32, 1e-2, (64, 32), 200, 500, 11),
    Fsdd(): (2e-3, 0.5, 50, 32, 1e-2, (64, 32), 200, 500, 10),
    Ti46Alpha(): (4e-3, 0.2, 50, 32, 4e-3, (128, 128), 200, 500, 26),
}


@pytest.mark.parametrize("task", PAPER, ids=lambda task: type(task).__name__)
def test_values_are_the_papers(task, monkeypatch):
    lr, dropout, epochs, batch, weight_decay, hidden, steps, channels, classes = PAPER[task]
    assert (task.lr, task.dropout, task.epochs, task.batch) == (lr, dropout, epochs, batch)
    assert (task.weight_decay, task.hidden, task.recurrent, task.variant) == (weight_decay, hidden, True, "HetSynLIF")
    assert (task.dt_ms, task.tau_reset_ms, task.initial_tau_s()) == (1, 20, ("uniform", 5, 20))
    assert task.replace(variant="HomNeuLIF").initial_tau_s() == 20 and task.surrogate == "multi_gaussian"
    assert (task.tau_a_ms, task.a, task.decay_lr_scale) == (100, 0.05, 2)
    if isinstance(task, Speech):
        assert task.steps == steps and (task.data in speech.EVENTS or (STEPS, CHANNELS) == (steps, channels))
        empty = speech.Raster(
            *(np.zeros(n, np.int64) for n in (1, 0, 0, 0, 0)), steps, channels, classes, "as large as the paper's"
        )
        monkeypatch.setattr(speech, "_raster", lambda *_: empty)
    assert task.sizes() == (channels, *hidden, classes)


def test_rates_rise_for_two_epochs_fall_on_a_cosine_to_the_38th_and_stay():
    run = generated(iterations=10, cosine_epochs=40, epochs=100)
    optimiser, schedule = make_optimiser(run, make_network(run.replace(hidden=1)))
    rates = []
    for _ in range(1000):
        rates.append([group["lr"] for group in optimiser.param_groups])
        optimiser.step(), schedule.step()
    weights, decays = np.array(rates).T
    np.testing.assert_allclose(decays, 2 * weights)
    np.testing.assert_allclose(weights[:21], 2e-3 * np.arange(21) / 20)
    falling = [2e-3 * (1 + math.cos(math.pi * (k - 20) / 380)) / 2 for k in range(20, 380)]
    np.testing.assert_allclose(weights[20:380], falling)
    np.testing.assert_allclose(weights[380:], weights[380])
    assert weights[380] == pytest.approx(0.0068 * 2e-3, rel=0.01)
    assert [group["weight_decay"] for group in optimiser.param_groups] == [4e-3, 4e-3]


def test_a_class_scores_its_share_of_the_readout_from_step_11_on():
    potential = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 30, 4)).astype(np.float32))
    traces = Traces([], [], potential, None)
    by_hand = np.zeros((3, 4))
    for trial in range(3):
        for step in range(11, 30):
            e = np.exp(potential[trial, step].double().numpy())
            by_hand[trial] += e / e.sum()
    run = generated()
    np.testing.assert_allclose(run.scores(traces), by_hand, rtol=1e-5)
    assert run.measure(traces, torch.from_numpy(by_hand.argmax(1)))["accuracy"].tolist() == [1, 1, 1]
    early = potential.clone()
    early[:, :11] += 100 * torch.tensor([1.0, 0, 0, 0])
    torch.testing.assert_close(run.scores(traces), run.scores(Traces([], [], early, None)))


def test_digits_are_scored_by_the_spikes_of_the_readout():
    spikes = (torch.rand(3, 30, 10, generator=torch.Generator().manual_seed(0)) < 0.2).float()
    assert torch.equal(small_digits().scores(Traces([], [], spikes, spikes)), spikes.sum(1))
    assert make_network(small_digits()).layers[-1].spiking


def test_held_out_speakers_are_never_trained_on():
    run = generated(held_out=(3, 7), batch=50, test_trials=0)
    who, labels = run.raster("train").speakers, run.labels("train")
    aside = np.isin(who, (3, 7))
    assert 0 < aside.sum() < len(who)
    seen = {split: list(run.batches(split, np.random.default_rng(0))) for split in ("train", "validation", "test")}
    every = bin_events(manifolds("train", n=400), 10.0, 100)
    for split, own in (("train", ~aside), ("validation", aside)):
        x, wanted = (torch.cat(parts).numpy() for parts in zip(*seen[split], strict=True))
        expected = every.dense(np.flatnonzero(own))
        assert sorted(map(bytes, x)) == sorted(map(bytes, expected))
        assert sorted(wanted) == sorted(labels[own])
    assert run.replace(iterations=0).epoch() == math.ceil((~aside).sum() / 50)
    assert sum(len(x) for x, _ in seen["test"]) == len(run.labels("test"))


def test_the_validation_epoch_is_chosen_without_the_test_set():
    curve = lambda *values: {"accuracy": np.float32(values)}
    record = Record(
        generated(), score="accuracy", test_curve=curve(0.5, 0.7, 0.9), validation_curve=curve(0.1, 0.4, 0.4)
    )
    assert (record.best_test_score, record.chosen_epoch, record.chosen_test_score) == (0.9, 1, 0.7)


def louder(network):
    """Six times the weights, so that a small network on speech spikes, and hears more than one class."""
    with torch.no_grad():
        for layer in network.layers:
            layer.weight *= 6
    return network


@pytest.fixture
def loud(monkeypatch):
    """Networks that are trained begin `louder`."""
    monkeypatch.setattr(train_module, "make_network", lambda *args: louder(make_network(*args)))


def test_robustness_tests_the_trained_network_and_changes_nothing_else(loud):
    plain, more = (train(generated(), detail=True, analyses=wanted) for wanted in ((), ("robustness",)))
    found = more.analyses["robustness"]
    assert set(found) == {f"deleted {p:g}" for p in analyses.DELETED} | {f"warped {w:g}" for w in analyses.WARPS}
    assert more.test == plain.test and same(more.train_curve, plain.train_curve) and same(more.detail, plain.detail)
    assert found["deleted 0"] == more.test["accuracy"] and len(set(found.values())) > 1 and more.test["rate_hz"] > 1


def test_known_and_new_speakers_are_tested_apart(monkeypatch):
    run = generated(test_trials=0)
    network, raster = louder(make_network(run)).eval(), run.raster("test")
    with torch.no_grad():
        traces = network(torch.from_numpy(raster.dense(np.arange(len(raster.labels)))))
    answers = run.scores(traces).argmax(1).numpy()
    right = (answers == raster.labels).astype(float)
    assert len(set(answers)) > 1
    new = analyses.speakers(network, run)  # in these data all who are tested are new
    assert new == {"new speakers": pytest.approx(right.mean()), "recordings of new speakers": len(right)}
    four = raster.speakers == 4
    assert 0 < four.sum() < len(four)
    heard = {"train": SimpleNamespace(speakers=np.array([4, 7])), "test": raster}
    monkeypatch.setattr(Speech, "raster", lambda self, split: heard[split])
    assert analyses.speakers(network, run) == {
        "known speakers": pytest.approx(right[four].mean()), "recordings of known speakers": four.sum(),
        "new speakers": pytest.approx(right[~four].mean()), "recordings of new speakers": (~four).sum(),
    }  # fmt: skip


def test_deletion_and_warp_change_the_spikes_as_they_say(monkeypatch):
    seen = {}
    monkeypatch.setattr(analyses, "heard", lambda network, run, raster: seen.setdefault(len(seen), raster) and 0.5)
    run = generated()
    found = analyses.robustness(make_network(run), run)
    rasters = dict(zip(found, seen.values(), strict=True))
    whole = len(rasters["deleted 0"].step)
    for share in analyses.DELETED:
        assert len(rasters[f"deleted {share:g}"].step) == pytest.approx((1 - share) * whole, rel=0.01)
    for warp in analyses.WARPS:
        warped = rasters[f"warped {warp:g}"]
        assert warped.steps == round(100 * 2**warp) and len(warped.step) == pytest.approx(whole, rel=0.02)


@pytest.mark.parametrize(
    "run, chance",
    [
        (generated(hidden=(40, 30), iterations=0, epochs=5, test_trials=0, lr=1e-2, dropout=0.0, seed=1), 0.05),
        (small_digits(hidden=(64, 64), iterations=0, epochs=6, batch=32, test_trials=0), 0.1),
    ],
    ids=["speech", "digits"],
)
def test_a_small_network_learns(run, chance):
    record = train(run.replace(cosine_epochs=12))
    assert record.test["accuracy"] >= 2 * chance
    assert record.train_curve["loss"][-5:].mean() < record.train_curve["loss"][:5].mean()
    assert record.test_curve["accuracy"].shape == (run.epochs,)


def test_interrupted_speech_goes_on_bit_for_bit(tmp_path, monkeypatch, loud):
    run = generated(epochs=3, held_out=(3, 7), variant="HetSynLIF")
    whole, checkpoint = train(run, detail=True), tmp_path / "one.checkpoint"
    tests = []
    with monkeypatch.context() as broken:
        broken.setattr(Speech, "measure", lambda self, *a: tests.append(a) or (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):  # in the test of the first epoch: nothing is kept
            train(run, checkpoint=checkpoint)
    assert not checkpoint.exists()
    epochs = []
    with monkeypatch.context() as broken:
        batches = Speech.batches

        def stops(self, split, rng):
            epochs.append(split)
            if epochs.count("train") > 2:
                raise KeyboardInterrupt
            return batches(self, split, rng)

        broken.setattr(Speech, "batches", stops)
        with pytest.raises(KeyboardInterrupt):
            train(run, checkpoint=checkpoint)
    again = train(run, checkpoint=checkpoint, detail=True)
    assert (again.test, again.validation) == (whole.test, whole.validation) and not checkpoint.exists()
    assert whole.test["rate_hz"] > 1 and whole.validation
    for part in "train_curve", "test_curve", "validation_curve", "detail":
        assert same(getattr(again, part), getattr(whole, part))


def test_pixels_come_row_by_row():
    run = small_digits(test_trials=0)
    images, labels, _ = digits("test")
    x, wanted = next(iter(run.batches("test", np.random.default_rng(0))))
    assert x.shape == (64, 64, 1) and x.dtype == torch.float32 and 0 <= x.min() and x.max() == 1
    assert x[5, 8 * 3 + 2, 0] == pytest.approx(images[5, 3, 2] / 255) and wanted.tolist() == labels[:64].tolist()
    fainter, _ = next(iter(run.replace(white=0.2).batches("test", np.random.default_rng(0))))
    assert torch.allclose(fainter, 0.2 * x)


def write(folder, source):
    for split in ("train", "test"):
        with h5py.File(folder / f"shd_{split}.h5", "w") as file:
            for name, dtype in ((shd.UNITS, np.uint16), (shd.TIMES, np.float16)):
                file.create_dataset(name, (3,), h5py.vlen_dtype(dtype))[:] = [np.ones(2, dtype)] * 3
            file[shd.LABELS] = file[shd.SPEAKERS] = np.arange(3)
            if source:
                file.attrs["source"] = source


def test_other_data_than_the_run_names_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("HETSYN_DATA", str(tmp_path))
    write(tmp_path, "SHD regenerated from the Heidelberg Digits, somehow")
    assert not shd.official()
    expected = "^the files in the data folder are SHD regenerated from HD, but this run is of SHD: say which"
    with pytest.raises(ValueError, match=expected):
        Speech(data="SHD").sizes()
    assert Speech().sizes() == (700, 128, 64, 20)


def test_official_files_are_preferred_and_known_by_their_checksum(tmp_path, monkeypatch):
    monkeypatch.setenv("HETSYN_DATA", str(tmp_path))
    assert not shd.official()
    write(tmp_path, None)
    assert not shd.official()
    assert {job.run.data for job in experiments.jobs("fig4")} == {speech.REGENERATED}
    monkeypatch.setattr(shd, "OFFICIAL", {path.name: digest(path) for path in tmp_path.glob("shd_*.h5")})
    assert shd.official()
    assert {job.run.data for job in experiments.jobs("fig4")} == {speech.SHD}


@pytest.mark.parametrize(
    "settings, message",
    [
        (dict(data="Shd"), "^data must be one of SHD, .*, not 'Shd'$"),
        (dict(score_from=250), "^score_from must be below the 250 steps, not 250$"),
        (dict(reading="mine"), "^reading must be 'authors' or 'plain', not 'mine'$"),
        (dict(weight_decay=-1), "^weight_decay must be a number, 0 or more, not -1$"),
        (dict(iterations=-1), "^iterations must be a whole number, 0 or more, not -1$"),
    ],
)
def test_settings_out_of_range_are_one_clear_line(settings, message):
    with pytest.raises(ValueError, match=message):
        Speech(**settings)


def test_threshold_crossings_have_their_own_bins(monkeypatch):
    raster = bin_events(manifolds("test", n=2, channels=500), 5.0, 200)
    monkeypatch.setitem(speech.RASTERS, FSDD, lambda split: raster)
    monkeypatch.setattr(speech, "COMPLETE", {})
    speech._raster.cache_clear()
    assert Fsdd().sizes() == (500, 64, 32, 20)
    with pytest.raises(ValueError, match="^Free Spoken Digit Dataset has 200 steps of 5 ms, not 250 of 4 ms$"):
        Speech(data=FSDD).sizes()
    speech._raster.cache_clear()


def test_digits_know_their_data():
    with pytest.raises(ValueError, match="^data must be one of MNIST, UCI digits.*, not 'mnist'$"):
        SequentialDigits(data="mnist")
    with pytest.raises(TypeError, match="held_out"):  # nobody speaks here
        small_digits(held_out=(1,))


def test_validation_leaves_something_to_train_on():
    with pytest.raises(ValueError, match="^validation must be less than the .* training images, not 60,000$"):
        small_digits(validation=60_000).epoch()


def test_the_last_training_images_are_kept_for_validation():
    run = small_digits(validation=100, batch=32, test_trials=0)
    labels = run.labels("train")
    seen = {split: torch.cat([wanted for _, wanted in run.batches(split, np.random.default_rng(0))]) for split in
            ("train", "validation", "test")}  # fmt: skip
    assert torch.equal(seen["validation"], torch.from_numpy(labels[-100:]))
    assert sorted(seen["train"].tolist()) == sorted(labels[:-100].tolist()) and len(seen["test"]) == 360
    assert run.replace(iterations=0).epoch() == math.ceil((len(labels) - 100) / 32)
    record = train(small_digits(validation=100))
    assert set(record.validation) == set(record.test) and record.validation_curve["accuracy"].shape == (2,)
    assert record.chosen_test_score in record.test_curve["accuracy"].round(7)


def test_pixels_are_normalised_and_counts_scaled():
    images = digits("train")[0]
    plain = small_digits(test_trials=0)
    x, _ = next(iter(plain.replace(normalised=True).batches("test", np.random.default_rng(0))))
    raw, _ = next(iter(plain.batches("test", np.random.default_rng(0))))
    np.testing.assert_allclose(x, (255 * raw - images.mean()) / images.std(), rtol=1e-4, atol=1e-5)
    spikes = (torch.rand(3, 30, 10, generator=torch.Generator().manual_seed(0)) < 0.2).float()
    scores = small_digits(count_scale=0.5).scores(Traces([], [], spikes, spikes))
    assert torch.equal(scores, 0.5 * spikes.sum(1))
    leaky = small_digits(readout="leaky").scores(Traces([], [], spikes, None))
    torch.testing.assert_close(leaky, spikes.softmax(-1).sum(1))


def test_a_sample_of_the_test_set_is_drawn_and_an_epoch_is_at_most_one_pass():
    one = small_digits(iterations=10**6, batch=256, test_trials=8)
    rng = lambda: np.random.default_rng(1)
    labels = torch.cat([wanted for _, wanted in one.batches("test", rng())])
    assert len(labels) == 8 and not torch.equal(labels, torch.from_numpy(one.labels("test")[:8]))
    assert one.epoch() == 6  # 1,437 digits
    everything = torch.cat([wanted for _, wanted in one.replace(test_trials=0).batches("test", rng())])
    assert torch.equal(everything, torch.from_numpy(one.labels("test")))


def test_speakers_to_hold_out_must_be_there():
    with pytest.raises(ValueError, match=r"held_out must be some of the speakers \[0, 1, 2, 3, 6, .*: \(99,\)"):
        train(generated(held_out=(99,)))


def test_half_a_data_set_is_not_taken_for_it(tmp_path, monkeypatch):
    monkeypatch.setenv("HETSYN_DATA", str(tmp_path))
    (tmp_path / "fsdd").mkdir()
    for index in (0, 5):  # a recording to test and one to train, as an interrupted unpacking may leave
        sound = np.sin(np.arange(4000) / 5)
        soundfile.write(tmp_path / "fsdd" / f"3_ada_{index}.wav", sound, 8000)
    with pytest.raises(ValueError, match="holds 2 recordings unlike .*, where all files of Free .* are expected$"):
        Fsdd().sizes()


@torch.no_grad()
def test_where_the_potentials_of_a_readout_lie():
    run = small_digits(test_trials=40)
    network = make_network(run)
    found = analyses.readout_drive(network, run)
    x = torch.cat([x for x, _ in run.batches("test", split_rng())])
    traces = network(x)
    u = traces.readout - 1
    shares = [found[f"from {low:g}"] for low in analyses.DRIVE]
    assert sum(shares) == pytest.approx(1)
    assert sum(shares[1 : analyses.DRIVE.index(0.0)]) == pytest.approx(float(((u >= -7.5) & (u < 0)).double().mean()))
    slope = MultiGaussian().derivative(u, 1.0)
    assert found["pushed_away"] == pytest.approx(float(((slope < 0) & (u < 0)).double().mean()))
    assert found["spikes"] == pytest.approx(float(traces.readout_spikes.sum() / 40))
    assert found["silent"] == (traces.readout_spikes.sum((0, 1)) == 0).sum()


def test_without_the_wide_gaussians_nothing_is_pushed_away():
    run = small_digits(test_trials=40, surrogate="gaussian")
    assert analyses.readout_drive(make_network(run), run)["pushed_away"] == 0


def test_a_leaky_readout_has_no_threshold_to_lie_below():
    run = small_digits(test_trials=40, readout="leaky")
    assert analyses.readout_drive(make_network(run), run) == {}


def test_weight_decay_is_decoupled():
    run = generated(weight_decay=0.1, cosine_epochs=1)
    network = make_network(run)
    optimiser, schedule = make_optimiser(run, network)
    for group in optimiser.param_groups:
        group["lr"] = 0.01
    before = network.layers[0].weight.detach().clone()
    for p in network.parameters():
        p.grad = torch.zeros_like(p)
    optimiser.step()
    torch.testing.assert_close(network.layers[0].weight.detach(), before * (1 - 0.01 * 0.1))


@torch.no_grad()
def test_the_rate_is_of_all_hidden_neurons_in_hz():
    run = generated(test_trials=8)  # two hidden layers of 12 and 8 neurons, 100 steps of 10 ms
    network = louder(make_network(run)).eval()
    ((x, _),) = run.batches("test", split_rng())
    spikes = network(x).spikes
    count = sum(float(z.sum()) for z in spikes)
    assert spikes[0].any() and spikes[1].any() and performance(network, run)["rate_hz"] == pytest.approx(count / 8 / 20)


def test_validation_trials_are_not_test_trials():
    assert split_rng("validation").random() != split_rng("test").random()
    run = small_digits(validation=300, test_trials=8)
    seen = []
    run_batches = type(run).batches
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            type(run), "batches", lambda self, split, rng: seen.append(rng.random()) or run_batches(self, split, rng)
        )
        for split in "test", "validation":
            performance(make_network(run), run, split)
    assert seen[0] == split_rng("test").random() and seen[1] == split_rng("validation").random()


def test_an_epoch_is_shuffled_anew_and_has_as_many_batches_as_there_are():
    for run in generated(held_out=(3, 7), iterations=0, batch=50), small_digits(validation=100, iterations=0, batch=32):
        rng = np.random.default_rng(0)
        first, second = (torch.cat([y for _, y in run.batches("train", rng)]) for _ in range(2))
        own = torch.from_numpy(run.labels("train")[run.rows("train")[1]])
        assert not torch.equal(first, own) and not torch.equal(first, second)
        assert torch.equal(first.sort()[0], own.sort()[0])
        assert len(list(run.batches("train", rng))) == run.epoch() < math.ceil(len(run.labels("train")) / run.batch)


def test_held_out_speakers_are_tested_as_validation():
    assert generated(held_out=(3, 7)).splits() == ("validation", "test") and generated().splits() == ("test",)
    assert train(generated(held_out=(3, 7))).validation.keys() == {"accuracy", "rate_hz"}


def test_the_loss_of_recognition_is_the_cross_entropy_of_the_scores():
    potential = torch.randn(3, 30, 4, generator=seeded())
    run, wanted = generated(), torch.tensor([0, 3, 2])
    traces = Traces([], [], potential, None)
    scores = run.scores(traces)
    by_hand = (scores.exp().sum(1).log() - scores[torch.arange(3), wanted]).mean()
    torch.testing.assert_close(run.loss(traces, wanted), by_hand)


def test_the_readout_of_fig_4d():
    run = generated()
    network = make_network(run)
    with torch.no_grad():
        tau = torch.full_like(network.layers[-1].decay_parameter, 3.0)
        tau[0] = 21.0  # one class of 20
        network.layers[-1].decay_parameter.copy_(torch.exp(-1 / tau))
    found = analyses.readout_taus(network, run)
    assert found == pytest.approx({"readout_tau": 3, "readout_above_20": 1 / 20}, rel=1e-4)


def test_a_corpus_with_other_recordings_is_not_taken_for_it_in_either_split(monkeypatch):
    training = replace(
        bin_events(manifolds("train", n=2, channels=500), 5.0, 200), source="TIDIGITS (2,486 recordings)"
    )
    monkeypatch.setitem(speech.RASTERS, speech.TIDIGITS, lambda split: training)  # as many as the test set has
    with pytest.raises(ValueError, match="where all files of TIDIGITS .2,464 recordings. are expected$"):
        TiDigits().raster("train")


def test_threshold_crossings_have_no_events_to_change():
    with pytest.raises(ValueError, match="^Free Spoken Digit Dataset has no events to change"):
        analyses.robustness(None, Fsdd())
