"""The ledger: every claim of `claims`, judged by what the records say.

python -m hetsyn_core.results.ledger    # writes data/ledger.md, and one line per claim of the paper into README.md

Every row is computed: the numbers from the records, the verdict from the numbers. Nobody types a verdict.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from ..paths import ROOT, write_whole
from ..runs import sweep
from ..runs.experiments import jobs
from . import cost
from .claims import CLAIMS, NOT_ASKED, NOT_THE_PAPERS, TABLE3, Claim, Part
from .tables import frame
from .verdicts import FAILS, HOLDS, NO_TEST, NO_VERDICT, ORDER, Verdict, mixed, too_few, worst

COMMAND = "python -m hetsyn_core.results.ledger"
PLURAL = {HOLDS: "hold", FAILS: "do not hold"}  # as in "2 hold"
BEGIN, END = f"<!-- ledger: made by {COMMAND} -->", "<!-- end of ledger -->"  # around the summary in the README
COLUMNS = ["figure", "claim", "paper", "measured", "interval", "n", "verdict", "rule"]


@dataclass(frozen=True)
class Row:
    """A part of a claim, judged by some runs."""

    text: str
    paper: str  # what the paper says of it alone, or ""
    found: Verdict
    decides: bool
    data: str  # of these runs if they are not the paper's, such as "regenerated SHD", else ""


@dataclass(frozen=True)
class Judged:
    """A claim and what decides it."""

    claim: Claim
    rows: tuple[Row, ...]

    @property
    def beyond(self) -> bool:
        """Whether the paper does not make the claim."""
        return self.claim.paper == NOT_ASKED

    @property
    def decisive(self) -> Row:
        """The first of the rows with the worst verdict."""
        own = [row for row in self.rows if row.decides]
        verdict = worst(row.found.verdict for row in own)
        return next(row for row in own if row.found.verdict == verdict)

    @property
    def verdict(self) -> str:
        """The claim's verdict: one of `verdicts.ORDER`, or that it holds or does not."""
        found = self.decisive.found
        return (found.beyond_the_paper() if self.beyond else found).verdict

    def cells(self) -> list[dict[str, str | int]]:
        """What a table shows, by column: the claim, and below it its rows where there are several."""
        head = self._cells(self.decisive, self.claim.figure, self.claim.text, self.claim.paper)
        if len(self.rows) == 1:
            return [head]
        head |= {"measured": f"{self.decisive.text}: {head['measured']}", "rule": "as its worst row"}
        below = [self._cells(row, "", f"· {row.text}" + ("" if row.decides else " *"), row.paper) for row in self.rows]
        return [head, *below]

    def _cells(self, row: Row, figure: str, text: str, paper: str) -> dict[str, str | int]:
        found = row.found.beyond_the_paper() if self.beyond else row.found
        on = f", on {row.data}" if row.data else ""  # beside the verdict, or where there is none, beside the number
        measured, verdict = (on, "") if found.verdict in NO_VERDICT else ("", on)
        measured, verdict = found.measured + measured, found.verdict + verdict
        shown = (figure, text, paper, measured, found.interval, found.n, verdict, found.rule)
        return dict(zip(COLUMNS, shown, strict=True))


def judged(profile: str = "paper") -> list[Judged]:
    """All claims, in the order of `CLAIMS`; runs that are not on record are computed first."""
    names = dict.fromkeys(part.experiment for claim in CLAIMS for part in claim.parts)
    runs = lambda name: cost.table3() if name == TABLE3 else frame(sweep.run(jobs(name, profile), what=name))
    return judge(CLAIMS, {name: runs(name) for name in names})


def judge(claims: tuple[Claim, ...], runs: Mapping[str, pd.DataFrame]) -> list[Judged]:
    """The claims that some experiments decide.

    A claim is left out if a part that decides it is about another experiment, or about settings that were not run.

    Args:
        runs: of each experiment, a `tables.frame`.
    """
    found = []
    for claim in claims:
        known = [part for part in claim.parts if part.experiment in runs]
        if all(part in known for part in claim.parts if part.decides):
            rows = tuple(row for part in known for row in _rows(part, runs[part.experiment]))
            if any(row.decides for row in rows):
                found.append(Judged(claim, rows))
    return found


def _rows(part: Part, runs: pd.DataFrame) -> Iterator[Row]:
    tried, runs = _data(runs), part.runs(runs)
    if not part.over:
        yield _row(part, runs, tried)
    elif set(part.over) <= set(runs):
        for _, own in runs.groupby(list(part.over)):
            yield _row(part, own, tried)


def _data(runs: pd.DataFrame) -> list[str]:
    return sorted(set(runs["data"])) if "data" in runs else []


def _row(part: Part, runs: pd.DataFrame, tried: list[str]) -> Row:
    """What some runs say, or where there is none, on which data the experiment was ``tried``."""
    data = _data(runs)
    if mixed(part.rule, runs):
        found = too_few("several runs of a seed: vary one setting at a time", part.rule.words)
    else:
        found = part.rule.judge(runs)
    if part.data and not set(data or tried) <= set(part.data):
        found = replace(found, verdict=NO_TEST, rule="no test: other data")
    others = " and ".join(NOT_THE_PAPERS.get(name, name) for name in data if name in NOT_THE_PAPERS)
    text = part.text.format(**{name: runs[name].iloc[0] for name in part.over})
    return Row(text, part.paper, found, part.decides, others)


def of(beyond: bool = False, **runs: pd.DataFrame) -> pd.DataFrame:
    """The ledger of some experiments for reading, such as ``of(fig3=runs, fig3c=frozen)``.

    Args:
        beyond: the claims that go beyond the paper, in place of the paper's.
        runs: the table of each experiment, as `experiment` returns it.
    """
    return table(judge(tuple(claim for claim in CLAIMS if (claim.paper == NOT_ASKED) == beyond), runs))


def table(found: list[Judged]) -> pd.DataFrame:
    """Claims as a table for reading, each with its rows below it; a star: it does not decide."""
    cells = [cells for one in found for cells in one.cells()]
    return pd.DataFrame(cells, columns=COLUMNS).set_index(["figure", "claim"])


def counts(found: list[Judged]) -> str:
    """How many claims came out which way, in one line; those the paper does not make apart."""
    asked, beyond = ([one for one in found if one.beyond == further] for further in (False, True))
    text = f"{len(asked)} claims: {_outcomes(asked)}."
    return text + (f" Beyond the paper, {len(beyond)}: {_outcomes(beyond)}." if beyond else "")


def _outcomes(found: list[Judged]) -> str:
    number = pd.Series([one.verdict for one in found]).value_counts()
    order = sorted(number.index, key=_rank)
    words = {v: f"{number[v]} {v if number[v] == 1 else PLURAL.get(v, v)}" for v in order}
    said, unsaid = ([words[v] for v in order if (v in NO_VERDICT) == none] for none in (False, True))
    return ", ".join(said or ["no verdict"]) + (f"; without a verdict: {', '.join(unsaid)}" if unsaid else "")


def _rank(verdict: str) -> int:
    return ORDER.index(verdict) if verdict in ORDER else (0 if verdict == HOLDS else len(ORDER))


def markdown(found: list[Judged]) -> str:
    """The whole ledger: how many claims came out which way, and every claim with its rows."""
    head = "| figure | claim | paper | here | 95 % interval | n | verdict | rule |"
    lines = [counts(found), "", head, "|---|---|---|---|---|---|---|---|"]
    for head, *below in (one.cells() for one in found):
        bold = {name: f"**{head[name]}**" for name in ("claim", "verdict")}
        lines += [_line(cells.values()) for cells in (head | bold, *below)]
    return "\n".join(lines)


def summary(found: list[Judged]) -> str:
    """The ledger for the README: one line per claim of the paper, the worst first, with the numbers that decide."""
    asked = [one for one in found if not one.beyond]
    asked.sort(key=lambda one: (one.verdict in NO_VERDICT, -_rank(one.verdict)))
    lines = [counts(found), "", "| figure | claim | paper | here | verdict |", "|---|---|---|---|---|"]
    shown = ("figure", "claim", "paper", "measured", "verdict")
    return "\n".join(lines + [_line(one.cells()[0][column] for column in shown) for one in asked])


def _line(cells: Iterable[str | int]) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"


def split_readme(path: Path) -> tuple[str, str, str]:
    """A README up to and with the comment that begins the summary, the summary, and the rest.

    Raises:
        ValueError: the two comments that enclose the summary are not there.
    """
    text = path.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    shown, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{path} has no place for the ledger: {BEGIN} and {END}")
    return before + begin, shown, end + after


def write_readme(path: Path, found: list[Judged]) -> None:
    """Put the summary between the two comments of a README that enclose it; errors as `split_readme`."""
    before, _, after = split_readme(path)
    write_whole(path, f"{before}\n{summary(found)}\n{after}".encode())


MADE = f"""Made by `{COMMAND}` from the records; `notebooks/18_claims.ipynb` explains the rules.

A claim comes out as the worst of its rows, which stand below it; a row with a star (*) does not decide. Numbers are
means over runs, or counts of runs; where models are compared, those of HetSynLIF and of the other that decides.
"""


def main() -> None:
    """Write the ledger and its summary."""
    found = judged()
    write_whole(ROOT / "data" / "ledger.md", f"# The ledger\n\n{MADE}\n{markdown(found)}\n".encode())
    write_readme(ROOT / "README.md", found)


if __name__ == "__main__":
    main()
