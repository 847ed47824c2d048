"""The ledger can come out either way, and what the README shows is what the records say."""

import numpy as np
import pandas as pd
import pytest

from hetsyn_core.model.layer import VARIANTS
from hetsyn_core.paths import ROOT
from hetsyn_core.report import claims, verdicts
from hetsyn_core.report.tables import curves, frame
from hetsyn_core.report.verdicts import NOT, PARTLY, REPRODUCED, TOO_FEW
from hetsyn_core.runs import records
from hetsyn_core.runs.experiments import EXPERIMENTS


def runs(hetsyn, others=1.0, n=10, spread=0.1):
    rng = np.random.default_rng(0)
    level = {v: hetsyn if v == "HetSynLIF" else others for v in VARIANTS}
    return pd.DataFrame(
        {"seed": s, "variant": v, "mse": level[v] + spread * rng.standard_normal()} for v in VARIANTS for s in range(n)
    )


def verdict(data, lower=True):
    return verdicts.best(data, "2", "a claim", "mse", lower)["verdict"]


def test_a_comparison_comes_out_as_the_data_say():
    assert verdict(runs(0.5)) == REPRODUCED and verdict(runs(0.5), lower=False) == NOT
    assert verdict(runs(2.0)) == NOT and verdict(runs(2.0), lower=False) == REPRODUCED
    assert verdict(runs(0.5, n=3)) == TOO_FEW
    assert verdict(runs(1.0, spread=0)) == PARTLY  # a tie
    unclear = runs(0.99, spread=0.02)
    unclear.loc[unclear["variant"] == "HomNeuLIF", "mse"] = 5.0
    assert verdict(unclear) in (PARTLY, NOT)


def test_one_better_variant_is_enough_to_fail():
    data = runs(0.5)
    data.loc[data["variant"] == "HetNeuLIF", "mse"] = 0.1
    row = verdicts.best(data, "2", "a claim", "mse", lower=True)
    assert row["verdict"] == NOT and "HetNeuLIF" in row["measured"]


def test_a_better_median_is_against_it_even_if_most_pairs_are_not():
    data = runs(0.5, n=5).sort_values(["variant", "seed"])
    data.loc[data["variant"] == "HetSynLIF", "mse"] = [1.0, 2.0, 5.0, 6.0, 7.0]
    data.loc[data["variant"] == "HetNeuLIF", "mse"] = [1.1, 2.1, 4.0, 6.1, 7.1]
    data.loc[data["variant"].str.startswith("Hom"), "mse"] = 9.0
    assert verdict(data) == NOT


def test_a_missing_run_is_left_out_of_its_pair():
    data = runs(0.5)
    data.loc[data["seed"] == 3, "mse"] = np.nan
    assert verdict(data) == REPRODUCED


@pytest.mark.parametrize("value, expected", [(99.8, REPRODUCED), (97, PARTLY), (60, NOT)])
def test_a_number_is_graded_by_its_rule(value, expected):
    row = verdicts.graded("3C", "a claim", "100 %", np.full(10, value), (99.5, None), (95, None), " %")
    assert row["verdict"] == expected and row["rule"] == "reproduced: at least 99.5 %; partly: at least 95 %"
    assert row["measured"].startswith(f"{value:.3g}")


def test_a_number_that_is_too_good_is_not_reproduced_either():
    found = [
        verdicts.graded("A3", "a claim", "80 %", np.full(5, x), (70, 90), (60, None))["verdict"] for x in (80, 100, 50)
    ]
    assert found == [REPRODUCED, PARTLY, NOT]


def test_interval_holds_the_median_and_repeats_itself():
    values = np.random.default_rng(1).standard_normal(50)
    low, high = verdicts.interval(values)
    assert low < np.median(values) < high and verdicts.interval(values) == (low, high)
    assert verdicts.show(*verdicts.interval(values[:1])) == "one run, no interval"


def test_table4_under_the_papers_own_numbers_is_reproduced_and_under_others_not():
    own = pd.DataFrame(claims.TABLE4).assign(mu=(100, 200, 400))
    readings = {"F, decay": 2.0, "F, tau": 1.0}
    rows = [own.assign(reading=name, **own[list(claims.TABLE4)] * f) for name, f in readings.items() for _ in range(5)]
    found = claims.table4_rows(pd.concat(rows))
    assert [r["verdict"] for r in found] == 5 * [NOT] + 5 * [REPRODUCED]
    assert claims.table4_distance(own) == 0


def test_readme_block_is_replaced_and_nothing_else(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(
        "before\n<!-- ledger: made by python -m hetsyn_core.report.claims -->\nold\n<!-- end of ledger -->\nafter\n"
    )
    row = verdicts.graded("3C", "a claim", "100 %", np.full(10, 60), (99.5, None), (95, None), " %")
    claims.write_readme(readme, [row])
    text = readme.read_text()
    assert text.startswith("before\n<!--") and text.endswith("<!-- end of ledger -->\nafter\n") and "old" not in text
    assert "1 claims: 1 not reproduced." in text and "| Fig. 3 | 1 | 0 | a claim: 60 % (not reproduced) |" in text
    readme.write_text("no place")
    with pytest.raises(ValueError, match="no place for the ledger"):
        claims.write_readme(readme, [row])


def test_tables_of_records():
    config = dict(recurrent=True, variant="HetSynLIF", seed=1, hidden=[5, 4], tau_s_draw=["normal", 20, 5])
    good = {"config": config, "metrics": {"mse": 0.5}, "curves": {"mse": np.arange(40.0)}}
    failed = {"config": config | {"seed": 2}, "failed": "iteration 3: the loss is nan"}
    table = frame([good, failed])
    assert list(table["model"]) == ["R-HetSynLIF"] * 2 and table["failed"].notna().tolist() == [False, True]
    points = curves([good, failed], "mse", window=5, every=10)
    assert points["iteration"].tolist() == [1, 10, 20, 30, 40] and points["value"].tolist() == [0, 7, 17, 27, 37]


COMMITTED = sorted((ROOT / "data" / "records").glob("*.parquet"))


@pytest.mark.skipif(not COMMITTED, reason="no records are committed")
def test_all_runs_are_on_record_and_the_readme_shows_what_they_say(monkeypatch):
    monkeypatch.setenv("HETSYN_RECORDS", str(ROOT / "data"))
    missing = {name: records.load(runs("paper", {})).count(None) for name, runs in EXPERIMENTS.items()}
    assert not any(missing.values()), f"not on record: {missing}"
    rows = claims.ledger()
    assert claims.markdown(rows) in (ROOT / "data" / "ledger.md").read_text(encoding="utf-8")
    assert claims.summary(rows) in (ROOT / "README.md").read_text(encoding="utf-8")
