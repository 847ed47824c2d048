"""Records of runs: one small file each while computing, one Parquet file per experiment to keep.

A record's name is a hash of its settings and of the version of its task, so a changed parameter is a new record and
an unchanged one is never computed twice. Every record carries its settings and the checksum of its content; one that
does not match what is asked, or is damaged, is never taken for a result.

python -m hetsyn_core.runs.records import FOLDER    # take in records made on another machine
"""

import argparse
import hashlib
import inspect
import io
import json
import sys
import warnings
from contextlib import suppress
from dataclasses import asdict, fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ..paths import records_folder, write_whole
from ..tasks import TASKS
from ..tasks.run import Run


class DamagedRecord(ValueError):
    """A record whose content does not match its checksum; the message names the file."""


class Unnamed(ValueError):
    """A task that no record can name, because its code is not to be found; train it with `train`."""


def task_name(run: Run) -> str:
    """The task's class: its name, and for one of your own a hash of its code, since another may have that name.

    The code is that of the class and of those it is made from. After a change of a function outside, which they call,
    raise the task's `version`.

    Raises:
        Unnamed: the code of the class cannot be read.
    """
    known = ("hetsyn_core", "abc", "builtins")
    own = [cls for cls in type(run).__mro__ if cls.__module__.partition(".")[0] not in known]
    if not own:
        return type(run).__name__
    try:
        code = "".join(inspect.getsource(cls) for cls in own)
    except (OSError, TypeError):
        message = f"the code of {type(run).__qualname__} cannot be read, so its runs cannot be kept: use train(...)"
        raise Unnamed(message) from None
    return f"{type(run).__qualname__} {hashlib.sha256(code.encode()).hexdigest()[:12]}"


def settings(run: Run) -> dict:
    """All settings of a run and the name of its task, as JSON would give them back.

    A task that cannot be named has its bare class name: it can be trained, only not be found again.
    """
    try:
        task = task_name(run)
    except Unnamed:
        task = type(run).__qualname__
    return json.loads(json.dumps({"task": task, **asdict(run)}))


def restore(config: dict) -> Run:
    """The run that `settings` gave a dict of; tasks of this package only."""
    return TASKS[config["task"]](**{name: value for name, value in config.items() if name != "task"})


def key(run: Run) -> str:
    """Name of a run's record: hash of its settings and the version of its task's code.

    Settings at their default do not count, so that a new one, whose default changes nothing, keeps the old names.

    Raises:
        Unnamed: see `task_name`.
    """
    defaults = {field.name: field.default for field in fields(run)}
    values = {name: value for name, value in asdict(run).items() if value != defaults[name]}
    text = json.dumps([task_name(run), _plain(values), run.version], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def same_settings(stored: dict, run: Run) -> bool:
    """Whether a stored config is this run's: names it lacks, added since, must stand at their default."""
    asked = {"task": task_name(run), **asdict(run)}
    defaults = {field.name: field.default for field in fields(run)}
    filled = {name: stored.get(name, defaults.get(name)) for name in asked}
    return stored.keys() <= asked.keys() and _plain(filled) == _plain(asked)


def _plain(value):
    # 2 and 2.0 are the same setting and make the same run, and JSON has no tuples.
    if isinstance(value, dict):
        return {name: _plain(v) for name, v in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def pack(record: dict) -> bytes:
    """A record as bytes: checksum, then a .npz file of its arrays and of the rest as JSON (nothing pickled)."""
    arrays, rest = {}, {}
    for name, value in record.items():
        if isinstance(value, dict) and any(isinstance(v, np.ndarray) for v in value.values()):
            arrays |= {f"{name}/{k}": np.asarray(v) for k, v in value.items()}
        else:
            rest[name] = value
    buffer = io.BytesIO()
    as_bytes = np.frombuffer(json.dumps(rest, sort_keys=True).encode(), np.uint8)
    np.savez_compressed(buffer, allow_pickle=False, json=as_bytes, **arrays)
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


def path(run: Run, ending: str = "run") -> Path:
    """Where a run's record goes, or, with the ending "checkpoint", what its training goes on from."""
    return records_folder() / "runs" / f"{key(run)}.{ending}"


def save(record: dict, run: Run) -> Path:
    """Write a record into ``records_folder()/runs``, whole or not at all."""
    target = path(run)
    write_whole(target, pack(record))
    return target


def take_in(folder: Path) -> tuple[list[str], dict[str, str]]:
    """Bring home records made elsewhere: copy the .run files of a folder to where this machine looks for them.

    Returns:
        names of the files taken, and for each that was refused the reason: its content is damaged, or its name is not
        that of its settings.

    Raises:
        FileNotFoundError: there is no .run file in the folder.
    """
    files = sorted(Path(folder).glob("*.run"))
    if not files:
        raise FileNotFoundError(f"there are no .run files in {folder}")
    taken, refused = [], {}
    for file in files:
        data = file.read_bytes()
        try:
            run = restore(unpack(data, file.name)["config"])
        except DamagedRecord as error:
            refused[file.name] = str(error)
        except (KeyError, TypeError, ValueError) as error:
            refused[file.name] = f"no run of this version: {error}"
        else:
            if file.stem == key(run):
                write_whole(path(run), data)
                taken.append(file.name)
            else:
                refused[file.name] = f"its settings belong to {key(run)}.run"
    return taken, refused


def load(runs: list[Run]) -> list[dict | None]:
    """What is on record of the runs, in their order; None where one is missing, damaged or of other settings."""
    # A run with details has all that is asked of one without.
    alike = [[run] if run.detail else [run, replace(run, detail=True)] for run in runs]
    wanted = {key(run) for candidates in alike for run in candidates}
    kept = {}
    for table in sorted((records_folder() / "records").glob("*.parquet")):
        kept.update(_rows(table, wanted))
    return [next((r for run in candidates if (r := _one(run, kept))), None) for candidates in alike]


def _one(run: Run, kept: dict[str, bytes]) -> dict | None:
    name, file = key(run), path(run)
    sources = [(file, file.read_bytes())] if file.exists() else []
    sources += [(f"record {name}", kept[name])] if name in kept else []
    for source, data in sources:
        try:
            record = unpack(data, str(source))
        except DamagedRecord as error:
            if isinstance(source, Path):
                _set_aside(source)
            warnings.warn(f"{error}; it is computed again", stacklevel=4)
            continue
        if same_settings(record["config"], run):  # a default may have changed since it was named
            return record | {"config": settings(run)}  # with the settings added since
    return None


def _rows(table: Path, wanted: set[str]) -> dict[str, bytes]:
    content = table.read_bytes()  # what cannot be read now is not damaged for that
    try:
        columns = ["key", "record"]
        file = pq.ParquetFile(io.BytesIO(content), page_checksum_verification=True)
        if not set(columns) <= set(file.schema_arrow.names):
            return {}  # a table of somebody's own
        rows = file.read(columns)
        return {k: r for k, r in zip(rows["key"].to_pylist(), rows["record"].to_pylist()) if k in wanted}
    except (OSError, pa.ArrowException) as error:
        _set_aside(table)
        warnings.warn(f"{table} is damaged ({error}); set aside, its runs are computed again", stacklevel=4)
        return {}


def _set_aside(file: Path) -> None:
    with suppress(FileNotFoundError):  # another process was faster
        file.replace(file.with_suffix(".damaged"))


def consolidate(experiment: str, runs: list[Run], found: list[dict]) -> Path:
    """Write an experiment's records as records/EXPERIMENT.parquet: a row a run, its settings and metrics as columns."""
    rows = [
        {"key": key(run), **r["config"], **r.get("metrics", {}), "failed": r.get("failed"), "record": pack(r)}
        for run, r in zip(runs, found, strict=True)
    ]
    buffer = io.BytesIO()
    frame = pd.DataFrame(rows).astype({"tau_s_draw": str, "hidden": str})  # mixed lists are no column of Parquet's
    pq.write_table(
        pa.Table.from_pandas(frame, preserve_index=False), buffer, compression="zstd", write_page_checksum=True
    )
    target = records_folder() / "records" / f"{experiment}.parquet"
    write_whole(target, buffer.getvalue())
    return target


def main(arguments: list[str] | None = None) -> int:
    """Bring home the .run files of a folder; says which were refused, and why."""
    parser = argparse.ArgumentParser(prog="hetsyn_core.runs.records", description=main.__doc__)
    parser.add_argument("command", choices=["import"])
    parser.add_argument("folder", type=Path)
    options = parser.parse_args(arguments)
    try:
        taken, refused = take_in(options.folder)
    except FileNotFoundError as error:
        parser.error(str(error))
    for name, reason in refused.items():
        print(f"refused {name}: {reason}", file=sys.stderr)
    print(f"{len(taken)} taken, {len(refused)} refused")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
