"""Training: it learns, it repeats itself bit for bit, it holds what it promises, and it fails with a reason."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import torch

from hetsyn_core.model.layer import VARIANTS
from hetsyn_core.runs import records
from hetsyn_core.runs.train import TrainingFailed, named_decays, train
from hetsyn_core.tasks import MatchToSample, PatternGeneration, SequentialDigits, run
from hetsyn_core.tasks.digits import SMALL
from hetsyn_core.tasks.match import iterations_to
from hetsyn_core.tasks.run import TEST, TEST_SEED, Run, evaluate

PATTERN, MATCH = PatternGeneration, MatchToSample


def tiny(task=MATCH, **changes):
    small = dict(hidden=5, iterations=3, test_trials=4)
    return task(**(small | (dict(batch=4, delay_ms=100) if task is MATCH else {}) | changes))


def assert_same(first, second):
    """Equal bit for bit, whatever is nested."""
    assert type(first) is type(second)
    if isinstance(first, dict):
        assert first.keys() == second.keys()
        for key in first:
            assert_same(first[key], second[key])
    elif isinstance(first, np.ndarray):
        assert first.dtype == second.dtype and first.shape == second.shape and first.tobytes() == second.tobytes()
    else:
        assert first == second


@pytest.mark.parametrize("task", [PATTERN, MATCH])
@pytest.mark.parametrize("recurrent", [False, True])
def test_same_run_same_record(task, recurrent):
    first, second = (train(tiny(task, recurrent=recurrent, seed=4, detail=True)) for _ in range(2))
    assert first.pop("seconds") > 0 and second.pop("seconds") > 0
    assert_same(first, second)
    other = train(tiny(task, recurrent=recurrent, seed=5))
    assert (other["curves"]["loss"] != first["curves"]["loss"]).all()


def test_record_does_not_depend_on_global_random_state():
    torch.manual_seed(1), np.random.seed(1)
    first = train(tiny())["curves"]["loss"]
    torch.manual_seed(2), np.random.seed(2)
    assert_same(first, train(tiny())["curves"]["loss"])


def test_detail_changes_nothing_else():
    plain, detailed = train(tiny()), train(tiny(detail=True))
    assert set(detailed) - set(plain) == {"decays", "state", "example"}
    assert_same(plain["metrics"], detailed["metrics"])


def test_pattern_training_reduces_the_loss():
    record = train(PATTERN(hidden=20, iterations=60, lr=5e-3, test_trials=2))
    loss = record["curves"]["loss"]
    assert loss.shape == (60,) and loss.dtype == np.float32
    assert loss[-10:].mean() < 0.6 * loss[:3].mean()
    assert record["metrics"]["training_mse"] == pytest.approx(record["curves"]["mse"][-10:].mean(), rel=1e-5)
    assert 0 < record["metrics"]["silent_rms"] and 0 < record["metrics"]["d21"] and 0 < record["metrics"]["d32"]


def test_match_training_solves_a_short_delay():
    record = train(MATCH(hidden=30, recurrent=True, iterations=150, delay_ms=50, test_trials=128))
    assert record["metrics"]["accuracy"] >= 0.9
    reached = record["metrics"]["iterations_to_95"]
    assert 10 <= reached <= 150 and record["curves"]["accuracy"][reached - 10 : reached].mean() >= 0.95 - 1e-6


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("recurrent", [False, True])
def test_decays_learn_where_they_should_and_stay_in_range(variant, recurrent):
    decays = train(tiny(variant=variant, recurrent=recurrent, lr=0.05, detail=True))["decays"]
    for name in "hidden", "readout":
        before, after = decays[f"{name}_initial"], decays[f"{name}_final"]
        assert (before != after).any() == VARIANTS[variant].trainable
        assert after.min() >= 0 and after.max() <= 1
    columns = {"all": (), "neuron": (5, 1), "synapse": (5, 30 + 5 * recurrent)}
    assert decays["hidden_initial"].shape == columns[VARIANTS[variant].shared]


def test_learning_rate_of_the_decays():
    still = train(tiny(decay_lr_scale=0, detail=True))
    assert_same(still["decays"]["hidden_initial"], still["decays"]["hidden_final"])
    # The first step of Adam is lr in size, whatever the gradient.
    for scale in 0.5, 2.0:
        decays = train(tiny(decay_lr_scale=scale, iterations=1, lr=1e-3, detail=True))["decays"]
        step = np.abs(decays["hidden_final"] - decays["hidden_initial"]).max()
        assert step == pytest.approx(scale * 1e-3, rel=1e-2)


def test_frozen_decays_keep_their_value():
    decays = train(tiny(frozen=0.8, iterations=10, detail=True))["decays"]
    moved = decays["hidden_initial"] != decays["hidden_final"]
    assert 0 < moved.mean() <= 0.2


def test_groups_share_their_decay():
    decays = train(tiny(groups=3, detail=True))["decays"]
    assert decays["hidden_final"].shape == (5, 30) and len(np.unique(decays["hidden_final"])) == 3


def test_state_rebuilds_the_network():
    one = tiny(recurrent=True, frozen=0.5, detail=True)
    record = train(one)
    network = one.network()
    network.load_state_dict({name: torch.from_numpy(value) for name, value in record["state"].items()})
    metrics = evaluate(network, one)
    assert metrics == {name: record["metrics"][name] for name in metrics}


def test_config_of_a_record_makes_the_run():
    one = tiny(PATTERN, n_targets=3)
    record = train(one)
    assert records.restore(record["config"]) == one and record["path"] == "fused"
    assert record["versions"]["torch"] == torch.__version__ and record["machine"]


@pytest.mark.parametrize("task, outputs, steps", [(PATTERN, 3, 2000), (MATCH, 2, 70)])
def test_example(task, outputs, steps):
    changes = dict(n_targets=3) if task is PATTERN else {}
    example = train(tiny(task, detail=True, **changes))["example"]
    assert example["input"].dtype == bool and len(example["input"]) == steps
    assert example["readout"].shape == (steps, outputs)
    neuron = example["neuron"]
    assert ((example["potential"] >= 1) == example["spikes"][:, neuron]).all()
    assert example["spikes"].sum(0).max() == example["spikes"][:, neuron].sum()


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
    network = one.network()
    whole = evaluate(network, one)
    ((x, label),) = one.batches("test", np.random.default_rng([TEST_SEED, TEST]))
    with torch.no_grad():
        right = network(x).readout[:, -1].argmax(-1) == label
    assert len(x) == 10 and whole["accuracy"] == pytest.approx(float(right.double().mean()))
    pattern = tiny(PATTERN, test_trials=5)
    monkeypatch.setattr(run, "TEST_BATCH", 2)
    parts = evaluate(pattern.network(), pattern)
    monkeypatch.setattr(run, "TEST_BATCH", 5)
    assert parts == pytest.approx(evaluate(pattern.network(), pattern), rel=1e-4)


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
    assert "3/3" in capsys.readouterr().err
    train(tiny())
    assert capsys.readouterr().err == ""


def test_paper_values():
    pattern, match = PATTERN(), MATCH()
    assert (pattern.lr, pattern.batch, pattern.noise_hz, pattern.tau_s_draw) == (1e-3, 1, 2, ("normal", 20, 5))
    assert (match.lr, match.batch, match.dt_ms, match.delay_ms, match.a) == (5e-3, 32, 5, 800, 0.15)
    with pytest.raises(FrozenInstanceError):
        match.lr = 1


@pytest.mark.parametrize(
    "changes, words",
    [
        (dict(tau_s_draw=("even", 5, 20)), "tau_s_draw must be"),
        (dict(iterations=0), "iterations must be"),
        (dict(hidden=(5, 0)), "hidden must be"),
        (dict(variant="LIF"), "variant must be one of HomNeuLIF"),
        (dict(hidden=0), "hidden must be a positive whole number"),
        (dict(hidden=2.5), "hidden must be"),
        (dict(batch=True), "batch must be"),
        (dict(seed=-1), "seed must be"),
        (dict(lr=0), "lr must be a positive number"),
        (dict(lr=float("nan")), "lr must be"),
        (dict(lr="fast"), "lr must be"),
        (dict(frozen=1.5), "frozen must be a share"),
        (dict(recurrent="yes"), "recurrent must be True or False"),
        (dict(parameterization="rho"), "parameterization must be"),
        (dict(tau_reset_ms=None), "tau_reset_ms must be given"),
        (dict(noise_on="left"), "noise_on must be 'all' or 'cues'"),
        (dict(tau_reset_ms=0), "tau_reset_ms must be a positive"),
        (dict(variant="HetNeuLIF", groups=4), "groups must be None for HetNeuLIF"),
        (dict(delay_ms=801), "801 ms is not a whole number of steps"),
        (dict(dt_ms=3), "50 ms is not a whole number of steps"),
    ],
)
def test_errors(changes, words):
    with pytest.raises(ValueError, match=words) as caught:
        MATCH(**changes)
    assert "\n" not in str(caught.value)


def test_pattern_has_steps_of_1_ms():
    with pytest.raises(ValueError, match="dt_ms must be 1"):
        PATTERN(dt_ms=5)


class Parity(Run):
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
        return {"accuracy": (traces.readout[:, -1].argmax(-1) == wanted).numpy()}


def test_a_task_of_ones_own_trains():
    record = train(Parity(iterations=4, hidden=(6, 5), dropout=0.5, test_trials=64, detail=True))
    assert record["curves"]["accuracy"].shape == (4,) and 0 <= record["metrics"]["accuracy"] <= 1
    assert set(record["decays"]) == {f"{n}_{w}" for n in ("hidden", "hidden2", "readout") for w in ("initial", "final")}


def test_no_layer_vanishes_without_a_word():
    decays = named_decays(Parity(hidden=(6, 5, 4)).network(), "now")
    assert list(decays) == ["hidden_now", "hidden2_now", "hidden3_now", "readout_now"]
    assert decays["hidden3_now"].shape == (4, 5)


class Stopped(Exception):
    pass


@pytest.mark.parametrize("after", [1, 2])
@pytest.mark.parametrize("variant", ["HomNeuALIF", "HetSynLIF"])
def test_interrupted_training_goes_on_bit_for_bit(after, variant, tmp_path, monkeypatch):
    one = Parity(iterations=3, epochs=3, hidden=6, variant=variant, recurrent=True, dropout=0.5, test_trials=32)
    whole = train(one)
    checkpoint, batches = tmp_path / "one.checkpoint", Parity.batches

    def stops(self, split, rng):
        stops.epochs += split == "train"
        if stops.epochs > after:
            raise Stopped
        return batches(self, split, rng)

    stops.epochs = 0
    monkeypatch.setattr(Parity, "batches", stops)
    with pytest.raises(Stopped):
        train(one, checkpoint=checkpoint)
    monkeypatch.setattr(Parity, "batches", batches)
    again = train(one, checkpoint=checkpoint)
    assert whole.pop("seconds") and again.pop("seconds") and not checkpoint.exists()
    assert_same(again, whole)
    assert whole["curves"]["test_accuracy"].shape == (3,)


@pytest.mark.parametrize("content", [b"", b"half", {"lr": 1.0}, {}])
def test_a_damaged_or_foreign_checkpoint_is_no_start(content, tmp_path, capsys):
    one, checkpoint = Parity(iterations=2, epochs=2, hidden=4, test_trials=32), tmp_path / "one.checkpoint"
    if isinstance(content, dict):  # of another run, or begun on another machine
        content = records.pack({"config": records.settings(one.replace(**content)), "made_by": {"machine": "a GPU"}})
    checkpoint.write_bytes(content)
    assert_same(train(one, checkpoint=checkpoint)["curves"], train(one)["curves"])
    assert "training starts anew" in "".join(capsys.readouterr())


def test_networks_with_dropout_in_threads_learn_as_they_do_alone():
    runs = [Parity(iterations=6, hidden=6, dropout=0.3, test_trials=32, seed=seed) for seed in range(3)]
    with ThreadPoolExecutor(3) as threads:
        together = list(threads.map(train, runs))
    for one, record in zip(runs, together):
        assert_same(record["curves"], train(one)["curves"])


def test_an_example_keeps_an_input_that_is_not_spikes():
    record = train(SequentialDigits(data=SMALL, hidden=(4, 4), iterations=1, epochs=1, detail=True))
    assert record["example"]["input"].dtype == np.float32 and 0 < record["example"]["input"].max() <= 1


@pytest.mark.parametrize(
    "changes",
    [{"test_trials": 0}, {"tau_s_draw": ("uniform", 20, 5)}, {"tau_s_draw": ("normal", -1, 5)}]
    + [{"reset_above_ms": 700.0} | more for more in ({"groups": 4}, {"variant": "HetNeuLIF"})],
)
def test_settings_that_would_fail_after_the_training_are_refused_before(changes):
    with pytest.raises(ValueError, match=f"^{list(changes)[0]} must be"):
        MatchToSample(**changes)
