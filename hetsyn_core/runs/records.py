"""Records of runs: one small file each while computing, one Parquet file per experiment to keep.

A record's name is a hash of its configuration and of `VERSION`, so a changed parameter is a new record and an
unchanged one is never computed twice. Every record carries the checksum of its content; one that does not match
is named, set aside and computed again.
"""

import hashlib
import io
import json
import warnings
import zipfile
from dataclasses import asdict, fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ..paths import records_folder, write_whole
from .train import Config

# Raise the number of a task when its results change; records of the old code are then no longer found.
VERSION = {"pattern": 1, "match": 1}


class DamagedRecord(ValueError):
    """A record whose content does not match its checksum; the message names the file."""


def key(config: Config | dict) -> str:
    """Name of a run's record: hash of its configuration and the version of its task's code.

    Settings at their default do not count, so that a new one, whose default changes nothing, keeps the old names.
    """
    values = config if isinstance(config, dict) else asdict(config)
    defaults = {field.name: field.default for field in fields(Config)}
    values = {name: value for name, value in values.items() if value != defaults[name]}
    # 2 and 2.0 are the same setting and make the same run.
    values = {name: float(v) if isinstance(v, int) and not isinstance(v, bool) else v for name, v in values.items()}
    text = json.dumps([values, VERSION[values["task"]]], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def pack(record: dict) -> bytes:
    """A record as bytes: checksum, then a .npz file of its arrays and of the rest as JSON (nothing pickled)."""
    arrays, rest = {}, {}
    for name, value in record.items():
        if isinstance(value, dict) and any(isinstance(v, np.ndarray) for v in value.values()):
            arrays |= {f"{name}/{k}": np.asarray(v) for k, v in value.items()}
        else:
            rest[name] = value
    arrays["json"] = np.frombuffer(json.dumps(rest, sort_keys=True).encode(), np.uint8)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:  # what np.savez does, without the time of day
        for name, array in arrays.items():
            entry = io.BytesIO()
            np.save(entry, array, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), entry.getvalue(), zipfile.ZIP_DEFLATED)
    content = buffer.getvalue()
    return hashlib.sha256(content).hexdigest().encode() + b"\n" + content


def unpack(data: bytes, source: str = "record") -> dict:
    """The record that `pack` made bytes of.

    Raises:
        DamagedRecord: any byte differs or is missing.
    """
    digest, content = data[:64], data[65:]
    if data[64:65] != b"\n" or hashlib.sha256(content).hexdigest().encode() != digest:
        raise DamagedRecord(f"{source} is damaged or incomplete")
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        record = json.loads(archive["json"].tobytes())
        for name in archive.files:
            if name != "json":
                group, entry = name.split("/", 1)
                record.setdefault(group, {})[entry] = archive[name]
    return record


def save(record: dict) -> Path:
    """Write a record into ``records_folder()/runs``, whole or not at all."""
    target = records_folder() / "runs" / f"{key(record['config'])}.run"
    write_whole(target, pack(record))
    return target


def load(configs: list[Config]) -> list[dict | None]:
    """What is on record of the configs, in their order; None where a run is missing or its record damaged."""
    # A run with details has all that is asked of one without.
    names = [[key(config), key(replace(config, detail=True))] for config in configs]
    kept = {}
    for path in sorted((records_folder() / "records").glob("*.parquet")):
        kept |= _rows(path, {name for pair in names for name in pair})
    return [_one(first, kept) or (_one(second, kept) if second != first else None) for first, second in names]


def _one(name: str, kept: dict[str, bytes]) -> dict | None:
    path = records_folder() / "runs" / f"{name}.run"
    sources = [(path, path.read_bytes())] if path.exists() else []
    sources += [(f"record {name}", kept[name])] if name in kept else []
    for source, data in sources:
        try:
            return unpack(data, str(source))
        except DamagedRecord as error:
            if isinstance(source, Path):
                source.replace(source.with_suffix(".damaged"))
            warnings.warn(f"{error}; set aside, it is computed again", stacklevel=3)
    return None


def _rows(path: Path, wanted: set[str]) -> dict[str, bytes]:
    try:
        table = pq.read_table(path, columns=["key", "record"], page_checksum_verification=True)
        return {k: r for k, r in zip(table["key"].to_pylist(), table["record"].to_pylist()) if k in wanted}
    except (OSError, pa.ArrowException) as error:
        path.replace(path.with_suffix(".damaged"))
        warnings.warn(f"{path} is damaged ({error}); set aside, its runs are computed again", stacklevel=4)
        return {}


def consolidate(experiment: str, records: list[dict]) -> Path:
    """Write the records of an experiment as records/EXPERIMENT.parquet: a row a run, its settings and metrics as columns."""
    rows = [
        {"key": key(r["config"]), **r["config"], **r.get("metrics", {}), "failed": r.get("failed"), "record": pack(r)}
        for r in records
    ]
    buffer = io.BytesIO()
    table = pa.Table.from_pandas(pd.DataFrame(rows), preserve_index=False)
    pq.write_table(table, buffer, compression="zstd", write_page_checksum=True)
    target = records_folder() / "records" / f"{experiment}.parquet"
    write_whole(target, buffer.getvalue())
    return target
