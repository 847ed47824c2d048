"""Decay time constants of synapses in human and mouse cortex: the Allen Institute's Synaptic Physiology data.

Release 2.1, small: one SQLite file of 177 MB (Campagnola et al., Science 375, eabj5861, 2022). It holds seconds; all
times here are in ms.

How its fits were made decides what they can say (`fit_psp` of the Institute's package neuroanalysis, as published): a
fit starts at 50 ms in current clamp (potentials, PSP) and at 4 ms in voltage clamp (currents, PSC) and may move to a
tenth and to ten times that. The value of a synapse, a mean of fits that passed quality control, therefore lies between
5 and 500 ms, whatever the synapse does. The fit to resting-state responses starts from that value and has ten times
the room once more.
"""

import sqlite3
from contextlib import closing
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from ..paths import datasets_folder
from .download import digest, fetch

NAME = "synphys_r2.1_small.sqlite"
WAIT_S = 1  # for another program to let go of the file
URL = f"https://allen-synphys.s3-us-west-2.amazonaws.com/{NAME}"
SHA256 = "7372499fdd874f057565080d5769baaf2659ef39d9f3bc3c7147dd1e1c280a53"

PAPER_PAIRS = {"human": 194, "mouse": 1213}  # Fig. 1A
START_MS = {"psp": 50.0, "psc": 4.0}  # where a fit starts
ROOM = 10  # ... and the factor by which it may move, both ways
CLAMP = {"psp": "ic", "psc": "vc"}
COLUMNS = ["species", "synapse_type", "region", "cortical", "tau_ms", "column", "qc_pass", "at_bound"]

# Decays of synaptic currents in rat neocortex: mean, spread as published (SD or SE), n. They need no file. Gathered
# in "Neurotransmitter time constants (PSCs)" of the Centre for Theoretical Neuroscience, Waterloo.
PUBLISHED = pd.DataFrame(
    [
        ("AMPA, pyramidal to fast-spiking cell", 2.0, 0.8, 16, "Angulo et al. 1999, J. Neurophysiol. 82:1295"),
        ("GABA-A, type F3", 6.44, 1.7, 4, "Gupta et al. 2000, Science 287:273"),
        ("GABA-A, type F2", 8.3, 2.2, 52, "Gupta et al. 2000, Science 287:273"),
        ("GABA-A, miniature currents", 8.3, 1.3, 24, "Salin & Prince 1996, J. Neurophysiol. 75:1573"),
        ("GABA-A, type F1", 10.41, 6.16, 9, "Gupta et al. 2000, Science 287:273"),
        ("NMDA, pyramidal to fast-spiking cell", 52.0, 9.0, 4, "Angulo et al. 1999, J. Neurophysiol. 82:1295"),
        ("NMDA, postnatal day 8-9", 146.0, 9.1, 41, "Flint et al. 1997, J. Neurosci. 17:2469"),
        ("NMDA, postnatal day 3-4", 262.8, 20.8, 30, "Flint et al. 1997, J. Neurosci. 17:2469"),
    ],
    columns=["current", "tau_ms", "spread_ms", "n", "source"],
)

_SYNAPSES = """
SELECT synapse.id AS synapse_id, slice.species, synapse.synapse_type, experiment.target_region AS region,
       pre.cortical_layer IS NOT NULL AND post.cortical_layer IS NOT NULL AS cortical,
       synapse.{measure}_decay_tau AS start,
       EXISTS (SELECT 1 FROM avg_response_fit
               WHERE synapse_id = synapse.id AND clamp_mode = '{clamp}' AND manual_qc_pass) AS qc_pass
FROM synapse
JOIN pair ON pair.id = synapse.pair_id
JOIN experiment ON experiment.id = pair.experiment_id
JOIN slice ON slice.id = experiment.slice_id
LEFT JOIN cortical_cell_location AS pre ON pre.cell_id = pair.pre_cell_id
LEFT JOIN cortical_cell_location AS post ON post.cell_id = pair.post_cell_id
"""
_VALUES = {
    "synapse": "SELECT id AS synapse_id, {column} AS tau FROM synapse",
    "resting": "SELECT synapse_id, {column} AS tau FROM resting_state_fit",
    "average": "SELECT synapse_id, {column} AS tau FROM avg_response_fit WHERE clamp_mode = '{clamp}' "
    "ORDER BY n_averaged_responses DESC",
}
_COLUMN = {
    "synapse": "synapse.{measure}_decay_tau",
    "resting": "resting_state_fit.{clamp}_decay_tau",
    "average": "avg_response_fit.fit_decay_tau",
}


def find() -> Path | None:
    """The file in `datasets_folder`, or None where there is none.

    Raises:
        ValueError: its content is not this release's.
    """
    path = datasets_folder() / NAME
    if not path.exists():
        return None
    if digest(path, "sha256") != SHA256:
        raise ValueError(f"{path} is damaged or another release: delete it, then allen.download() fetches it again")
    return path


def download() -> Path:
    """Fetch the file (177 MB) into `datasets_folder`, where it is not there yet; see `fetch` for what may go wrong."""
    return find() or fetch(NAME, URL, f"sha256:{SHA256}")


def decay_tau(database: str | Path, measure: str = "psp", fit: str = "synapse") -> pd.DataFrame:
    """Decay time constants, a row for each synapse that has one (a pair of cells has one synapse at most).

    Args:
        database: the SQLite file; it is only read.
        measure: "psp" (potentials, current clamp) or "psc" (currents, voltage clamp).
        fit: "synapse", the value of the synapse table; "resting", the fit to responses after rest; "average", the fit
            to an average of all responses, of two holding potentials the one with more of them.

    Returns:
        Indexed by synapse_id: "species", "human" or "mouse"; "synapse_type", "ex" or "in"; "region", where the
        experiment aimed; "cortical", both cells were placed in a cortical layer; "tau_ms"; "column" of the file it
        comes from; "qc_pass", an average fit in this clamp mode passed manual quality control; "at_bound", the fit
        stopped at the shortest or longest time constant allowed.

    Raises:
        FileNotFoundError: there is no such file.
        BlockingIOError: another program uses it.
        ValueError: an unknown measure or fit, or the file is not this release.
    """
    for name, value, known in (("measure", measure, CLAMP), ("fit", fit, _COLUMN)):
        if value not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}, not {value!r}")
    names = dict(measure=measure, clamp=CLAMP[measure])
    names["column"] = _COLUMN[fit].format(**names)
    synapses, values = _read(Path(database), *(query.format(**names) for query in (_SYNAPSES, _VALUES[fit])))
    # Polysynaptic responses have no synapse_id; of two fits the first is the one of more responses.
    values = values.dropna().astype({"synapse_id": int}).drop_duplicates("synapse_id")
    taus = synapses.drop_duplicates("synapse_id").merge(values, on="synapse_id").set_index("synapse_id")
    # Only the fit at rest starts from what is known of the synapse.
    start = taus["start"].fillna(START_MS[measure] / 1000) if fit == "resting" else START_MS[measure] / 1000
    taus["at_bound"] = np.abs(np.log(taus["tau"] / start)) > np.log(ROOM) - 1e-3
    taus["tau_ms"] = 1000 * taus["tau"]
    taus["column"] = names["column"]
    return taus.astype({"cortical": bool, "qc_pass": bool})[COLUMNS]


def _read(path: Path, *queries: str) -> list[pd.DataFrame]:
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; allen.download() fetches it (177 MB)")
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=WAIT_S)) as connection:
            return [pd.read_sql_query(query, connection) for query in queries]
    except (sqlite3.DatabaseError, pd.errors.DatabaseError) as error:
        reason = str(error).splitlines()[-1]
        if "locked" in reason:
            raise BlockingIOError(f"{path} is in use by another program: close that program and try again") from None
        raise ValueError(f"{path} is not the Synaptic Physiology release 2.1 ({reason})") from error


def filters(database: str | Path) -> pd.DataFrame:
    """How many human and mouse pairs each obvious filter leaves, the closest to the paper's 194 and 1,213 first.

    Returns:
        One row for each filter: "measure" and "fit" as in `decay_tau`; "type", "all", "ex" or "in"; "qc", "cortical"
        and "free" (not at a bound), True where demanded; "human" and "mouse", the pairs left; "above_500_ms", how many
        of them; "found", both counts are the paper's.
    """
    rows = []
    for measure, fit in product(CLAMP, _COLUMN):
        taus = decay_tau(database, measure, fit)
        for kind, qc, cortical, free in product(("all", "ex", "in"), *[(False, True)] * 3):
            keep = (taus["qc_pass"] | (not qc)) & (taus["cortical"] | (not cortical)) & ~(taus["at_bound"] & free)
            kept = taus[keep & ((taus["synapse_type"] == kind) | (kind == "all"))]
            pairs = {species: int((kept["species"] == species).sum()) for species in PAPER_PAIRS}
            asked = dict(measure=measure, fit=fit, type=kind, qc=qc, cortical=cortical, free=free)
            above = int((kept["tau_ms"] > 500).sum())
            rows.append(asked | pairs | dict(above_500_ms=above, found=pairs == PAPER_PAIRS))
    table = pd.DataFrame(rows)
    distance = sum(np.abs(np.log((table[species] + 1) / (n + 1))) for species, n in PAPER_PAIRS.items())
    return table.iloc[np.argsort(distance, kind="stable")].reset_index(drop=True)
