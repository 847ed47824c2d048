"""Training: it learns, it repeats itself bit for bit, it holds what it promises, and it fails with a reason."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from test_store import same

from hetsyn_core.model import reference
from hetsyn_core.model.fast.limits import TINY_IS_ZERO
from hetsyn_core.model.layer import VARIANTS, Traces
from hetsyn_core.model.surrogate import SURROGATES
from hetsyn_core.runs import store
from hetsyn_core.runs import train as train_module
from hetsyn_core.runs.evaluate import performance, split_rng
from hetsyn_core.runs.make import make_network, make_optimiser
from hetsyn_core.runs.record import iterations_to, seal, trained, unseal
from hetsyn_core.runs.train import TrainingFailed, decays, train
from hetsyn_core.tasks import MatchToSample, PatternGeneration, SequentialDigits, Speech, task
from hetsyn_core.tasks.digits import SMALL
from hetsyn_core.tasks.settings import CHOICES
from hetsyn_core.tasks.task import TRAINING, Task

PATTERN, MATCH = PatternGeneration, MatchToSample


def tiny(task=MATCH, **changes):
    small = dict(hidden=5, iterations=3, test_trials=4)
    return task(**(small | (dict(batch=4, delay_ms=100) if task is MATCH else {}) | changes))


def assert_same(first, second):
    """Equal bit for bit but for the seconds."""
    alike = lambda record: replace(record, made_by=record.made_by and replace(record.made_by, seconds=0.0))
    assert same(alike(first), alike(second))


@pytest.mark.parametrize("task", [PATTERN, MATCH])
@pytest.mark.parametrize("recurrent", [False, True])
def test_same_run_same_record(task, recurrent):
    first, second = (train(tiny(task, recurrent=recurrent, seed=4), detail=True) for _ in range(2))
    assert first.made_by.seconds > 0 and second.made_by.seconds > 0
    assert_same(first, second)
    other = train(tiny(task, recurrent=recurrent, seed=5))
    assert (other.train_curve["loss"] != first.train_curve["loss"]).all()


def test_record_does_not_depend_on_global_random_state():
    torch.manual_seed(1), np.random.seed(1)
    first = train(tiny())
    torch.manual_seed(2), np.random.seed(2)
    assert_same(first, train(tiny()))


def test_details_and_analyses_change_nothing_else():
    plain, more = train(tiny(PATTERN)), train(tiny(PATTERN), detail=True, analyses=("distances",))
    assert more.detail is not None and list(more.analyses) == ["distances"]
    assert_same(plain, replace(more, detail=None, analyses={}))
    with pytest.raises(ValueError, match="^no analysis taus; there are distances, "):
        train(tiny(), analyses=("taus",))


def test_pattern_training_reduces_the_loss():
    record = train(PATTERN(hidden=20, iterations=60, lr=5e-3, test_trials=2), analyses=("distances",))
    loss = record.train_curve["loss"]
    assert loss.shape == (60,) and loss.dtype == np.float32
    assert loss[-10:].mean() < 0.6 * loss[:3].mean()
    assert record.score == "mse" and record.training_score == pytest.approx(record.train_curve["mse"][-10:].mean())
    assert all(record.found()[name] > 0 for name in ("silent_rms", "d21", "d32"))


def test_match_training_solves_a_short_delay():
    record = train(MATCH(hidden=30, recurrent=True, iterations=150, delay_ms=50, test_trials=128))
    assert record.test["accuracy"] >= 0.9
    reached = record.iterations_to(0.95)
    assert 10 <= reached <= 150 and record.train_curve["accuracy"][reached - 10 : reached].mean() >= 0.95 - 1e-6


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("recurrent", [False, True])
def test_decays_learn_where_they_should_and_stay_in_range(variant, recurrent):
    detail = train(tiny(variant=variant, recurrent=recurrent, lr=0.05), detail=True).detail
    for before, after in zip(detail.decays_before, detail.decays_after, strict=True):
        assert (before != after).any() == VARIANTS[variant].trainable
        assert after.min() >= 0 and after.max() <= 1
    shapes = {"HetNeuLIF": (5, 1), "HetSynLIF": (5, 30 + 5 * recurrent)}
    assert detail.decays_before[0].shape == shapes.get(variant, ())


def test_learning_rate_of_the_decays():
    still = train(tiny(decay_lr_scale=0), detail=True).detail
    assert same(still.decays_before, still.decays_after)
    # The first step of Adam is lr in size, whatever the gradient.
    for scale in 0.5, 2.0:
        detail = train(tiny(decay_lr_scale=scale, iterations=1, lr=1e-3), detail=True).detail
        step = np.abs(detail.decays_after[0] - detail.decays_before[0]).max()
        assert step == pytest.approx(scale * 1e-3, rel=1e-2)


def test_frozen_decays_keep_their_value():
    detail = train(tiny(frozen=0.8, iterations=10), detail=True).detail
    moved = detail.decays_before[0] != detail.decays_after[0]
    assert 0 < moved.mean() <= 0.2


def test_groups_share_their_decay():
    decay = train(tiny(groups=3), detail=True).detail.decays_after[0]
    assert decay.shape == (5, 30) and len(np.unique(decay)) == 3


def test_the_gradient_is_clipped_and_the_surrogate_and_the_readout_are_those_of_the_settings():
    one = tiny(PATTERN, clip=0.05, surrogate="gaussian", lr=0.01)
    record = train(one, detail=True)
    network = make_network(one)
    assert network.layers[0].surrogate == SURROGATES["gaussian"]
    optimiser, schedule = make_optimiser(one, network)
    for _, (x, wanted) in zip(
        range(3), one.batches("train", np.random.default_rng([one.seed, TRAINING])), strict=False
    ):
        optimiser.zero_grad()
        one.loss(network(x), wanted).backward()
        norm = torch.stack([p.grad.norm() for p in network.parameters() if p.grad is not None]).norm()
        assert norm > 0.05
        for p in network.parameters():
            if p.grad is not None:
                p.grad.mul_(0.05 / (norm + 1e-6))
        optimiser.step(), schedule.step(), network.clamp_()
    for name, value in network.named_parameters():
        value = value.detach()
        np.testing.assert_allclose(value.numpy(), record.detail.network[name], rtol=1e-4, atol=1e-6)
    assert make_network(tiny(readout="spiking")).layers[-1].spiking and not make_network(tiny()).layers[-1].spiking


@pytest.mark.parametrize("recurrent", [False, True])
def test_backpropagation_through_time_is_cut_where_the_settings_say(recurrent):
    one = tiny(recurrent=recurrent, iterations=1)  # 70 steps
    whole, uncut, cut = (train(one.replace(truncate=steps), detail=True) for steps in (None, 70, 25))
    assert_same(replace(uncut, run=one), whole)
    assert cut.train_curve["loss"] == pytest.approx(whole.train_curve["loss"], rel=1e-5)
    network, (x, label) = make_network(one), next(iter(one.batches("train", np.random.default_rng([0, TRAINING]))))
    state, readouts, spikes = network.rest(len(x)), [], []
    for first, last in (0, 25), (25, 50), (50, 70):
        traces = network(x[:, first:last], state, using=reference)
        readouts.append(traces.readout), spikes.append(traces.spikes[0])
        state = traces.state.detach()
    one.loss(Traces([], [torch.cat(spikes, 1)], torch.cat(readouts, 1), None), label).backward()
    optimiser, _ = make_optimiser(one, network)
    optimiser.step(), network.clamp_()
    by_hand = network.layers[0].weight.detach().numpy()
    np.testing.assert_allclose(cut.detail.network["layers.0.weight"], by_hand, atol=2e-4)
    assert np.abs(whole.detail.network["layers.0.weight"] - by_hand).max() > 1e-3


@pytest.mark.parametrize("setting, value", [(name, value) for name, values in CHOICES.items() for value in values])
def test_every_choice_trains(setting, value):
    if setting == "readout":
        run = SequentialDigits(data=SMALL, hidden=(4, 4), iterations=1, epochs=1, batch=8, test_trials=8, readout=value)
    else:
        run = tiny(**{setting: value} | ({"groups": 3} if setting == "grouped_by" else {}))
    assert np.isfinite(train(run).train_curve["loss"]).all()


@pytest.mark.parametrize("run", [tiny(recurrent=True, frozen=0.5), tiny(groups=3), tiny(PATTERN, n_targets=2)])
def test_the_trained_network_comes_back(run):
    record = train(run, detail=True)
    network = trained(record)
    assert performance(network, run) == record.test
    assert not network.training and same(decays(network), record.detail.decays_after)
    with pytest.raises(ValueError, match="^this record holds no network: train"):
        trained(train(tiny()))


def test_a_record_says_what_made_it():
    one = tiny(PATTERN, n_targets=3)
    record = train(one)
    assert store.restore(store.settings(record.run)) == one and record.made_by.implementation == "cpu"
    assert record.made_by.versions["torch"] == torch.__version__ and record.made_by.machine


@pytest.mark.parametrize("task, outputs, steps", [(PATTERN, 3, 2000), (MATCH, 2, 70)])
def test_example(task, outputs, steps):
    changes = dict(n_targets=3) if task is PATTERN else {}
    example = train(tiny(task, **changes), detail=True).detail.example
    assert example.input.dtype == bool and len(example.input) == steps
    assert example.readout.shape == (steps, outputs)
    assert ((example.potential >= 1) == example.spikes[:, example.neuron]).all()
    assert example.spikes.sum(0).max() == example.spikes[:, example.neuron].sum()


def test_test_trials_are_not_training_trials_and_the_same_for_all_networks(monkeypatch):
    seen = []
    batches = MATCH.batches

    def record(self, split, rng):
        for x, label in batches(self, split, rng):
            seen.append(x)
            yield x, label

    monkeypatch.setattr(MATCH, "batches", record)
    for seed in 0, 1:
        train(tiny(seed=seed, iterations=1))
    first, test_of_first, second, test_of_second = seen
    assert (test_of_first == test_of_second).all()
    assert (first != second).any() and (first != test_of_first).any()


def test_evaluation_in_parts_averages_over_all_trials(monkeypatch):
    one = tiny(test_trials=10)
    network = make_network(one)
    whole = performance(network, one)
    ((x, label),) = one.batches("test", split_rng())
    with torch.no_grad():
        right = network(x).readout[:, -1].argmax(-1) == label
    assert len(x) == 10 and whole["accuracy"] == pytest.approx(float(right.double().mean()))
    pattern = tiny(PATTERN, test_trials=5)
    monkeypatch.setattr(task, "TEST_BATCH", 2)
    parts = performance(make_network(pattern), pattern)
    monkeypatch.setattr(task, "TEST_BATCH", 5)
    assert parts == pytest.approx(performance(make_network(pattern), pattern), rel=1e-4)


def test_iterations_to():
    assert iterations_to(0.95, [1.0] * 9) is None
    assert iterations_to(0.95, [1.0] * 10) == 10
    assert iterations_to(0.95, [0.4] * 7 + [1.0] * 20) == 17
    assert iterations_to(0.95, [0.0] * 5 + [0.95] * 10 + [0.0] * 5) == 15
    assert iterations_to(0.95, [0.9] * 50) is None


@pytest.mark.parametrize("task", [PATTERN, MATCH])
def test_divergence_is_reported(task, monkeypatch):
    for iterations in 1, 20:  # found in training, or only by the test after the last step
        with pytest.raises(TrainingFailed, match=r"iteration \d"):
            train(tiny(task, lr=1e37, iterations=iterations))
    monkeypatch.setattr(task, "loss", lambda *args: torch.tensor(float("nan")))
    with pytest.raises(TrainingFailed, match="iteration 1: the loss is nan"):
        train(tiny(task))


def test_progress_shows_the_time_left(capsys):
    train(tiny(), progress=True)
    assert ": 3 of 3 batches, " in capsys.readouterr().err
    train(tiny())
    assert capsys.readouterr().err == ""


def test_paper_values():
    pattern, match = PATTERN(), MATCH()
    assert (pattern.lr, pattern.batch, pattern.noise_hz, pattern.initial_tau_s()) == (1e-3, 1, 2, ("normal", 20, 5))
    assert match.initial_tau_s() == ("normal", 40, 4) and MATCH(variant="HomNeuLIF").initial_tau_s() == 40
    assert MATCH(variant="HomNeuLIF", tau_s=("uniform", 5, 20)).initial_tau_s() == 40
    assert (match.lr, match.batch, match.dt_ms, match.delay_ms, match.a) == (5e-3, 32, 5, 800, 0.15)
    with pytest.raises(FrozenInstanceError):
        match.lr = 1


@pytest.mark.parametrize(
    "changes, words",
    [
        (dict(tau_s=("even", 5, 20)), "tau_s must be"),
        (dict(tau_s=("uniform", 20, 5)), "tau_s must be"),
        (dict(tau_s=("loguniform", 20, 5)), "tau_s must be"),
        (dict(tau_s=("loguniform", 0, 5)), "tau_s must be"),
        (dict(tau_s=("normal", -1, 5)), "tau_s must be"),
        (dict(tau_s=0), "tau_s must be"),
        (dict(test_trials=0), "test_trials must be"),
        (dict(clip=0), "clip must be a positive number or None"),
        (dict(truncate=0.5), "truncate must be a positive whole number or None"),
        (dict(surrogate="box"), "surrogate must be one of triangular"),
        (dict(readout="linear"), "readout must be one of leaky, spiking"),
        (dict(seed=Path("a")), "seed must be a number, text"),
        (dict(hidden=np.ones(2)), "hidden must be a number, text"),
        (dict(iterations=0), "iterations must be"),
        (dict(hidden=(5, 0)), "hidden must be"),
        (dict(variant="LIF"), "variant must be one of HomNeuLIF"),
        (dict(hidden=0), "hidden must be a positive whole number"),
        (dict(hidden=2.5), "hidden must be"),
        (dict(batch=True), "batch must be"),
        (dict(seed=-1), "seed must be"),
        (dict(lr=0), "lr must be a positive number"),
        (dict(lr=float("nan")), "lr must be a number"),
        (dict(lr="fast"), "lr must be"),
        (dict(frozen=1.5), "frozen must be a share"),
        (dict(recurrent="yes"), "recurrent must be True or False"),
        (dict(parameterization="rho"), "parameterization must be"),
        (dict(tau_reset_ms=None), "tau_reset_ms must be given for HetSynLIF, unless all synapses"),
        (dict(delay_ms=-5), "delay_ms must be a number, 0 or more"),
        (dict(dt_ms=50, delay_ms=50), "dt_ms must be a whole fraction of 50 ms, and at most 25 ms"),
        (dict(noise_on="left"), "noise_on must be 'all' or 'cues'"),
        (dict(tau_reset_ms=0), "tau_reset_ms must be a positive"),
        (dict(variant="HetNeuLIF", groups=4), "groups must be None for HetNeuLIF"),
        (dict(delay_ms=801), "^delay_ms must be a whole number of steps of 5 ms, not 801"),
        (dict(dt_ms=3), "^dt_ms must be a whole fraction of 50 ms, and at most 25 ms, not 3"),
    ],
)
def test_errors(changes, words):
    with pytest.raises(ValueError, match=words) as caught:
        MATCH(**changes)
    assert "\n" not in str(caught.value)


def test_pattern_has_steps_of_1_ms():
    with pytest.raises(ValueError, match="dt_ms must be 1"):
        PATTERN(dt_ms=5)


class Parity(Task):
    """A task of one's own, as a student would write it: is the number of pulses odd?"""

    def sizes(self):
        return 1, *self.hidden, 2

    def batches(self, split, rng):
        while True:
            pulses = rng.random((self.batch, 20)) < 0.1
            yield torch.from_numpy(pulses[:, :, None]).float(), torch.from_numpy(pulses.sum(1) % 2)

    def loss(self, traces, wanted):
        return torch.nn.functional.cross_entropy(traces.readout[:, -1], wanted)

    def measure(self, traces, wanted):
        return {"accuracy": (traces.readout[:, -1].argmax(-1) == wanted).double()}


class Flushed(Parity):
    """Writes down how the kernels take tiny numbers while it trains."""

    tiny_is_zero = True
    seen: ClassVar[list[bool]] = []

    def loss(self, traces, wanted):
        self.seen.append(TINY_IS_ZERO.get())
        return super().loss(traces, wanted)


def test_a_task_says_whether_tiny_numbers_are_zero_in_training():
    assert SequentialDigits.tiny_is_zero and not Speech.tiny_is_zero
    train(Flushed(iterations=1, hidden=3, test_trials=4))
    assert Flushed.seen == [True] and not TINY_IS_ZERO.get()


def test_a_task_of_ones_own_trains_and_its_network_comes_back():
    run = Parity(iterations=4, hidden=(6, 5), dropout=0.5, test_trials=64)
    record = train(run, detail=True)
    assert record.train_curve["accuracy"].shape == (4,) and 0 <= record.test["accuracy"] <= 1
    assert len(record.detail.decays_after) == 3 and record.detail.decays_after[1].shape == (5, 6)
    assert performance(trained(record), run) == record.test


@dataclass(frozen=True, kw_only=True)
class Few(Parity):
    """A data set of some batches, fewer than may be asked for."""

    there: int | Path = 2

    def batches(self, split, rng):
        yield from islice(super().batches(split, rng), self.there)


class Empty(Few):
    def epoch(self):
        return 0


def test_data_that_end_too_early_are_said_to_and_what_no_record_can_hold_is_refused():
    assert len(train(Few(iterations=2, hidden=3, test_trials=4)).train_curve["loss"]) == 2
    with pytest.raises(ValueError, match="^Few gives 2 training batches, but iterations asks for 3$"):
        train(Few(iterations=3, hidden=3, test_trials=4))
    with pytest.raises(ValueError, match="^Few gives 0 training batches, but iterations asks for 1$"):
        train(Few(iterations=1, hidden=3, there=0, test_trials=4))
    with pytest.raises(ValueError, match="^there is nothing to train on: an epoch of Empty has 0 batches$"):
        train(Empty(hidden=3, test_trials=4))
    with pytest.raises(ValueError, match="^there must be a number, text, True, False, None or a tuple"):
        Few(there=Path("data"))


def test_numbers_are_numbers_wherever_they_come_from():
    odd = dict(seed=np.int64(3), added_noise_hz=np.float32(2), hidden=np.int32(5), delay_ms=torch.tensor(100.0))
    plain = dict(seed=3, added_noise_hz=2.0, hidden=5, delay_ms=100.0)
    assert MATCH(**odd) == MATCH(**plain) and store.key(MATCH(**odd)) == store.key(MATCH(**plain))
    assert MATCH(hidden=[np.int64(4), 3]).hidden == (4, 3)


class Stopped(Exception):
    pass


def stop_training(monkeypatch, cls, batches):
    """From now on a task's training stops after so many batches in all."""
    own, given = cls.batches, []

    def stops(self, split, rng):
        for batch in own(self, split, rng):
            if split == "train":
                given.append(split)
                if len(given) > batches:
                    raise Stopped
            yield batch

    monkeypatch.setattr(cls, "batches", stops)


@pytest.mark.parametrize("after", [3, 4, 6, 8])
@pytest.mark.parametrize("variant", ["HomNeuALIF", "HetSynLIF"])
def test_interrupted_training_goes_on_bit_for_bit(after, variant, tmp_path, monkeypatch):
    """Stopped at the end of an epoch, or within one, with a checkpoint every two iterations."""
    monkeypatch.setattr(train_module, "CHECKPOINT_EVERY", 2)
    one = Parity(iterations=3, epochs=3, hidden=6, variant=variant, recurrent=True, dropout=0.5, test_trials=32)
    whole, checkpoint = train(one, detail=True), tmp_path / "one.checkpoint"
    with monkeypatch.context() as patch:
        stop_training(patch, Parity, after)
        with pytest.raises(Stopped):
            train(one, checkpoint=str(checkpoint))
    assert checkpoint.exists()
    again = train(one, checkpoint=str(checkpoint), detail=True)
    assert not checkpoint.exists()
    assert_same(again, whole)
    assert whole.test_curve["accuracy"].shape == (3,)


@pytest.mark.parametrize("one", [tiny(iterations=7), tiny(PATTERN, iterations=7)], ids=["match", "pattern"])
def test_a_single_epoch_goes_on_from_its_last_checkpoint(one, tmp_path, monkeypatch):
    monkeypatch.setattr(train_module, "CHECKPOINT_EVERY", 2)
    whole, checkpoint, drawn = train(one), tmp_path / "one.checkpoint", []
    with monkeypatch.context() as patch:
        stop_training(patch, type(one), 5)
        with pytest.raises(Stopped):
            train(one, checkpoint=checkpoint)
    forward = train_module._Training.step
    monkeypatch.setattr(train_module._Training, "step", lambda *args: drawn.append(1) or forward(*args))
    assert_same(train(one, checkpoint=checkpoint), whole)
    assert len(drawn) == 3, "only what came after the checkpoint is trained again"


@pytest.mark.parametrize("one", [tiny(iterations=7), tiny(PATTERN, iterations=7)], ids=["match", "pattern"])
def test_an_interrupt_in_the_middle_of_a_step_undoes_nothing(one, tmp_path, monkeypatch):
    """The weights have changed, the batch does not count yet: training goes on from the last whole checkpoint."""
    monkeypatch.setattr(train_module, "CHECKPOINT_EVERY", 2)
    whole, checkpoint, calls = train(one, detail=True), tmp_path / "one.checkpoint", []
    score_of = train_module._Training.score_of

    def interrupted(*args):
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return score_of(*args)

    with monkeypatch.context() as patch:
        patch.setattr(train_module._Training, "score_of", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(one, checkpoint=checkpoint)
    assert checkpoint.exists()
    assert_same(train(one, checkpoint=checkpoint, detail=True), whole)


def test_a_checkpoint_that_cannot_be_written_is_found_before_the_first_batch(tmp_path, monkeypatch):
    monkeypatch.setattr(train_module._Training, "step", lambda *args: pytest.fail("it trains"))
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match=f"^nothing can be written to {tmp_path / 'file'} "):
        train(tiny(), checkpoint=str(tmp_path / "file" / "one.checkpoint"))


def test_a_checkpoint_is_named_by_a_text_in_the_home_folder_too(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(train_module, "CHECKPOINT_EVERY", 2)
    with monkeypatch.context() as patch:
        stop_training(patch, MATCH, 2)
        with pytest.raises(Stopped):
            train(tiny(), checkpoint="~/one.checkpoint")
    assert (tmp_path / "one.checkpoint").exists()


@pytest.mark.parametrize("content", [b"", b"half", {"lr": 1.0}, {}])
def test_a_damaged_or_foreign_checkpoint_is_no_start(content, tmp_path, capsys):
    one, checkpoint = Parity(iterations=2, epochs=2, hidden=4, test_trials=32), tmp_path / "one.checkpoint"
    if isinstance(content, dict):  # of another run, or begun on another machine
        content = seal({"settings": store.settings(one.replace(**content)), "made_by": [{}, "a GPU", "gpu"]}, {})
    checkpoint.write_bytes(content)
    assert_same(train(one, checkpoint=checkpoint), train(one))
    assert "training starts anew" in "".join(capsys.readouterr())


def test_networks_with_dropout_in_threads_learn_as_they_do_alone():
    shares = 0.3, 0.0, 0.0, 0.3, 0.0  # others, too, seed the generator that all threads share
    runs = [Parity(iterations=40, hidden=6, dropout=p, test_trials=32, seed=k) for k, p in enumerate(shares)]
    with ThreadPoolExecutor(5) as threads:
        together = list(threads.map(train, runs))
    for one, record in zip(runs, together, strict=True):
        assert_same(record, train(one))


def test_an_example_keeps_an_input_that_is_not_spikes():
    record = train(SequentialDigits(data=SMALL, hidden=(4, 4), iterations=1, epochs=1), detail=True)
    assert record.detail.example.input.dtype == np.float32 and 0 < record.detail.example.input.max() <= 1


@pytest.mark.parametrize("wrong", [0, "3", (3.5,), None])
def test_speakers_are_named_by_numbers(wrong):
    with pytest.raises(ValueError, match="^held_out must be numbers of speakers, such as .3, 7., not"):
        Speech(held_out=wrong)


def test_rates_of_the_synthetic_tasks_fall_by_a_fifth_every_hundred_batches():
    run = tiny(decay_lr_scale=0.5)
    optimiser, schedule = make_optimiser(run, make_network(run))
    rates = []
    for _ in range(301):
        rates.append([group["lr"] for group in optimiser.param_groups])
        optimiser.step(), schedule.step()
    weights, decays = np.array(rates).T
    np.testing.assert_allclose(weights, run.lr * 0.8 ** (np.arange(301) // 100))
    np.testing.assert_allclose(decays, 0.5 * weights)


def test_seconds_before_an_interrupt_count(tmp_path, monkeypatch):
    monkeypatch.setattr(train_module, "CHECKPOINT_EVERY", 2)
    one, checkpoint = Parity(iterations=4, hidden=3, test_trials=4), tmp_path / "one.checkpoint"
    with monkeypatch.context() as patch:
        stop_training(patch, Parity, 3)
        with pytest.raises(Stopped):
            train(one, checkpoint=checkpoint)
    plain, arrays = unseal(checkpoint.read_bytes(), checkpoint)
    checkpoint.write_bytes(seal(plain | {"seconds": 1000.0}, arrays))
    assert train(one, checkpoint=checkpoint).made_by.seconds > 1000


def test_a_first_measure_called_loss_is_refused():
    class Lossy(Parity):
        def measure(self, traces, wanted):
            return {"loss": super().measure(traces, wanted)["accuracy"]}

    with pytest.raises(ValueError, match="^Lossy must not call what it measures first 'loss'"):
        train(Lossy(iterations=1, hidden=3, test_trials=4))
