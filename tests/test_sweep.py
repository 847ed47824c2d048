import numpy as np

from hetsyn_core.sweep import run
from hetsyn_core.train import match_config, train


def test_side_by_side_gives_the_same_records_in_order():
    configs = [match_config(hidden=4, iterations=3, batch=2, eval_trials=2, seed=seed) for seed in (0, 1)]
    records = run(configs, workers=2)
    assert [r["seed"] for r in records] == [0, 1]
    alone = train(configs[1])
    assert np.array_equal(records[1]["curves"]["loss"], alone["curves"]["loss"])
    assert records[1]["metrics"] == alone["metrics"]
