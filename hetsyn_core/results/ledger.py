"""The ledger: every claim of `claims`, judged by what the records say.

python -m hetsyn_core.results.ledger    # writes data/ledger.md, and one line per figure into README.md

Every row is computed: the numbers from the records, the verdict from the numbers. Nobody types a verdict.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import pandas as pd

from ..paths import ROOT, write_whole
from ..runs import sweep
from ..runs.experiments import jobs
from . import cost
from .claims import CLAIMS, NOT_ASKED, TABLE3, Claim
from .tables import frame
from .verdicts import HOLDS, REPRODUCED, Verdict

COMMAND = "python -m hetsyn_core.results.ledger"


@dataclass(frozen=True)
class Row:
    """One row of the ledger."""

    claim: Claim  # its text filled in
    found: Verdict

    @property
    def beyond(self) -> bool:
        """Whether the paper does not make the claim."""
        return self.claim.paper == NOT_ASKED

    def cells(self) -> dict[str, str | int]:
        """What a table shows, by column."""
        claim, found = self.claim, self.found
        return {
            "figure": claim.figure,
            "claim": claim.text,
            "paper": claim.paper,
            "measured": found.measured,
            "interval": found.interval,
            "n": found.n,
            "verdict": found.verdict,
            "rule": found.rule,
        }


def rows(profile: str = "paper") -> list[Row]:
    """All rows, in the order of `CLAIMS`; runs that are not on record are computed first."""
    found = []
    for name in dict.fromkeys(claim.experiment for claim in CLAIMS):
        runs = cost.table3() if name == TABLE3 else frame(sweep.run(jobs(name, profile), what=name))
        found += judge(CLAIMS, name, runs)
    return found


def judge(claims: tuple[Claim, ...], experiment: str, runs: pd.DataFrame) -> list[Row]:
    """Rows of the claims about an experiment.

    Neighbours that are about the same runs take turns: 3D and 3E with 5 neurons, then both with 20.

    Args:
        runs: of the experiment, a `tables.frame`.
    """
    own = [claim for claim in claims if claim.experiment == experiment]
    found = []
    for (choose, over), family in groupby(own, key=lambda claim: (claim.runs, claim.over)):
        family = list(family)
        found += [judge_one(claim, part) for part in _parts(choose(runs), over) for claim in family]
    return found


def _parts(runs: pd.DataFrame, over: tuple[str, ...]) -> Iterator[pd.DataFrame]:
    if not over:
        yield runs
    elif set(over) <= set(runs):
        yield from (part for _, part in runs.groupby(list(over)))


def judge_one(claim: Claim, runs: pd.DataFrame) -> Row:
    """The row of a claim, judged by exactly these runs."""
    data = " and ".join(sorted(set(runs["data"]))) if "data" in runs and len(runs) else "no data"
    words = {"data": data} | {name: runs[name].iloc[0] for name in claim.over}
    found = claim.rule.judge(runs)
    return Row(
        claim=replace(claim, text=claim.text.format(**words)),
        found=found.beyond_the_paper() if claim.paper == NOT_ASKED else found,
    )


def of(beyond: bool = False, **runs: pd.DataFrame) -> pd.DataFrame:
    """The ledger of some experiments for reading, such as ``of(fig3=runs, fig3c=frozen)``.

    Args:
        beyond: the claims that go beyond the paper, in place of the paper's.
        runs: the table of each experiment, as `experiment` returns it.
    """
    claims = tuple(claim for claim in CLAIMS if (claim.paper == NOT_ASKED) == beyond)
    return table([row for name, own in runs.items() for row in judge(claims, name, own)])


def table(rows: list[Row]) -> pd.DataFrame:
    """Rows as a table for reading, by figure and claim."""
    columns = ["figure", "claim", "paper", "measured", "interval", "n", "verdict", "rule"]
    return pd.DataFrame([row.cells() for row in rows], columns=columns).set_index(["figure", "claim"])


def counts(rows: list[Row]) -> str:
    """How many claims came out which way, in one line; those the paper does not make apart."""
    asked, beyond = ([row for row in rows if row.beyond == further] for further in (False, True))
    text = f"{len(asked)} claims: {_outcomes(asked)}."
    return text + (f" Beyond the paper, {len(beyond)}: {_outcomes(beyond)}." if beyond else "")


def _outcomes(rows: list[Row]) -> str:
    outcomes = pd.Series([row.found.verdict for row in rows]).value_counts()
    return ", ".join(f"{n} {verdict}" for verdict, n in outcomes.items())


def markdown(rows: list[Row]) -> str:
    """The whole ledger: how many claims came out which way, and one line for each."""
    lines = [
        counts(rows),
        "",
        "| figure | claim | paper | here | 95 % interval | n | verdict |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        *shown, _rule = row.cells().values()
        lines.append("| " + " | ".join(map(str, shown)) + " |")
    return "\n".join(lines)


def summary(rows: list[Row]) -> str:
    """The ledger for the README: one line per figure, with what does not reproduce in words."""
    lines = [counts(rows), "", "| figure | claims | reproduced | partly, or not reproduced |", "|---|---|---|---|"]
    for label in dict.fromkeys(figure_label(row.claim.figure) for row in rows):
        own = [row for row in rows if figure_label(row.claim.figure) == label]
        rest = [row for row in own if row.found.verdict not in (REPRODUCED, HOLDS)]
        text = "; ".join(f"{row.claim.text}: {row.found.measured} ({row.found.verdict})" for row in rest[:2])
        more = f"; and {len(rest) - 2} more" if len(rest) > 2 else ""
        lines.append(f"| {label} | {len(own)} | {len(own) - len(rest)} | {text}{more} |")
    return "\n".join(lines)


def figure_label(panel: str) -> str:
    """The figure or table of a panel: "Fig. 3" of "3D", "Table 1" of "T1"."""
    if panel.startswith("T"):
        return f"Table {panel[1:]}"
    if panel == "beyond":
        return "beyond the paper"
    return "Fig. " + (panel if panel.startswith("A") else panel.rstrip("ABCDEFG"))


def write_readme(path: Path, rows: list[Row]) -> None:
    """Put the summary between the two comments of a README that enclose it.

    Raises:
        ValueError: the comments are not there.
    """
    begin, end = f"<!-- ledger: made by {COMMAND} -->", "<!-- end of ledger -->"
    text = path.read_text(encoding="utf-8")
    if begin not in text or end not in text:
        raise ValueError(f"{path} has no place for the ledger: {begin} and {end}")
    body = f"{begin}\n{summary(rows)}\n{end}"
    text = re.sub(f"{re.escape(begin)}.*{re.escape(end)}", lambda _: body, text, flags=re.DOTALL)
    write_whole(path, text.encode())


def main() -> None:
    """Write the ledger and its summary."""
    found = rows()
    made = f"Made by `{COMMAND}` from the records; `notebooks/18_claims.ipynb` has the rules."
    write_whole(ROOT / "data" / "ledger.md", f"# The ledger\n\n{made}\n\n{markdown(found)}\n".encode())
    write_readme(ROOT / "README.md", found)


if __name__ == "__main__":
    main()
