"""Where records are kept: one small file each while computing, one Parquet file per experiment to keep.

A record's name is a hash of its settings and of the version of its task, so a changed parameter is a new record and
an unchanged one is never computed twice. Every record carries its settings and the checksum of its content; one that
does not match what is asked, or is damaged, is never taken for a result.

python -m hetsyn_core.runs.store import FOLDER    # take in records made on another machine
"""

import argparse
import hashlib
import inspect
import io
import json
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ..paths import records_folder, write_whole
from ..tasks import TASKS
from ..tasks.task import Task
from .record import DamagedRecord, Record, pack, unpack


@dataclass(frozen=True)
class Job:
    """A run, and what its record must hold besides the outcome."""

    run: Task
    detail: bool = False  # decays, the trained network and an example trial
    analyses: tuple[str, ...] = ()  # names in `ANALYSES`

    def done_by(self, record: Record) -> bool:
        """Whether a record of this run holds all that is asked; a failure does."""
        if record.failure is not None:
            return True
        return (record.detail is not None or not self.detail) and set(self.analyses) <= record.analyses.keys()


def held(record: Record) -> Job:
    """What a record holds, as a job that asks for it."""
    return Job(record.run, record.detail is not None, tuple(record.analyses))


def as_job(asked: Task | Job) -> Job:
    """A run alone asks for its outcome and nothing else."""
    return asked if isinstance(asked, Job) else Job(asked)


class Unnamed(ValueError):
    """A task that no record can name, because its code is not to be found; train it with `train`."""


def task_name(run: Task) -> str:
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


def settings(run: Task) -> dict:
    """All settings of a run and the name of its task, as JSON would give them back.

    A task that cannot be named has its bare class name: it can be trained, only not be found again.
    """
    try:
        task = task_name(run)
    except Unnamed:
        task = type(run).__qualname__
    return json.loads(json.dumps({"task": task, **asdict(run)}))


def restore(stored: dict) -> Task:
    """The run that `settings` gave a dict of; tasks of this package only."""
    return TASKS[stored["task"]](**{name: value for name, value in stored.items() if name != "task"})


def key(run: Task) -> str:
    """Name of a run's record: hash of its settings and the version of its task's code.

    Settings at their default do not count, so that a new one, whose default changes nothing, keeps the old names.

    Raises:
        Unnamed: see `task_name`.
    """
    values = {field.name: value for field in fields(run) if (value := getattr(run, field.name)) != field.default}
    text = json.dumps([task_name(run), _plain(values), run.version], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def same_settings(stored: dict, run: Task) -> bool:
    """Whether stored settings are this run's: names they lack, added since, must stand at their default."""
    asked = {"task": task_name(run), **asdict(run)}
    filled = {"task": None} | {field.name: field.default for field in fields(run)} | stored
    return _plain(filled) == _plain(asked)


def _plain(value):
    # 2 and 2.0 are the same setting and make the same run, and JSON has no tuples.
    if isinstance(value, dict):
        return {name: _plain(v) for name, v in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def runs_folder() -> Path:
    """Where the records of single runs go."""
    return records_folder() / "runs"


def path(run: Task, ending: str = "run") -> Path:
    """Where a run's record goes, or, with the ending "checkpoint", what its training goes on from."""
    return runs_folder() / f"{key(run)}.{ending}"


def save(record: Record) -> Path:
    """Write a record into `runs_folder`, whole or not at all."""
    target = path(record.run)
    write_whole(target, pack(record, settings(record.run)))
    return target


def take_in(folder: Path) -> tuple[list[str], list[str], dict[str, str]]:
    """Bring home records made elsewhere: copy the .run files of a folder to where this machine looks for them.

    Returns:
        names of the files taken; of those whose content is here already; and for each that was refused the reason: its
        content is damaged, its name is not that of its settings, or the record that is here holds something that it
        lacks.

    Raises:
        FileNotFoundError: there is no .run file in the folder.
    """
    files = sorted(Path(folder).glob("*.run"))
    if not files:
        raise FileNotFoundError(f"there are no .run files in {folder}")
    found: dict[Path, Record] = {}
    taken, known, refused = [], [], {}
    for file in files:
        try:
            record = unpack(file.read_bytes(), restore, file.name)
        except DamagedRecord as error:
            refused[file.name] = str(error)
        except (KeyError, TypeError, ValueError) as error:
            refused[file.name] = f"no run of this version: {error}"
        else:
            if file.stem == key(record.run):
                found[file] = record
            else:
                refused[file.name] = f"its settings belong to {key(record.run)}.run"
    for (file, record), here in zip(found.items(), load([r.run for r in found.values()]), strict=True):
        if here is not None and here.failure is None and (record.failure is not None or held(record).done_by(here)):
            known.append(file.name)
        elif here is None or here.failure is not None or held(here).done_by(record):
            write_whole(path(record.run), file.read_bytes())
            taken.append(file.name)
        else:
            refused[file.name] = "the record that is here holds something that it lacks"
    return taken, known, refused


def load(asked: Sequence[Task | Job]) -> list[Record | None]:
    """What is on record, in the order asked; None where a record is missing, damaged, of other settings or too small.

    A record with details or analyses serves where none are asked.
    """
    jobs = [as_job(one) for one in asked]
    wanted = {key(job.run) for job in jobs}
    kept: dict[str, list[bytes]] = {}
    for table in sorted((records_folder() / "records").glob("*.parquet")):
        for name, data in _rows(table, wanted):
            kept.setdefault(name, []).append(data)
    return [_one(job, kept) for job in jobs]


def _one(job: Job, kept: dict[str, list[bytes]]) -> Record | None:
    name, file = key(job.run), path(job.run)
    sources = [(file, file.read_bytes())] if file.exists() else []
    sources += [(f"record {name}", data) for data in kept.get(name, [])]
    for source, data in sources:
        try:
            record = unpack(data, lambda stored: job.run if same_settings(stored, job.run) else None, source)
        except DamagedRecord as error:
            if isinstance(source, Path):
                _set_aside(source)
            warnings.warn(f"{error}; it is passed over", stacklevel=4)
            continue
        if record is not None and job.done_by(record):
            return record
    return None


def _rows(table: Path, wanted: set[str]) -> list[tuple[str, bytes]]:
    content = table.read_bytes()  # what cannot be read now is not damaged for that
    try:
        columns = ["key", "record"]
        file = pq.ParquetFile(io.BytesIO(content), page_checksum_verification=True)
        if not set(columns) <= set(file.schema_arrow.names):
            return []  # a table of somebody's own
        rows = file.read(columns)
        pairs = zip(rows["key"].to_pylist(), rows["record"].to_pylist(), strict=True)
        return [(name, data) for name, data in pairs if name in wanted]
    except (OSError, pa.ArrowException) as error:
        _set_aside(table)
        warnings.warn(f"{table} is damaged ({error}); set aside, its runs are computed again", stacklevel=4)
        return []


def _set_aside(file: Path) -> None:
    with suppress(FileNotFoundError):  # another process was faster
        file.replace(file.with_suffix(".damaged"))


def consolidate(experiment: str, records: Sequence[Record]) -> Path:
    """Write an experiment's records as records/EXPERIMENT.parquet: one row per run, settings and outcome as columns."""
    rows = [
        {
            "key": key(r.run), **settings(r.run), **r.test, **r.found(),
            "failure": r.failure, "record": pack(r, settings(r.run)),
        }
        for r in records
    ]  # fmt: skip
    frame = pd.DataFrame(rows)
    mixed = {name: str for name in ("tau_s", "hidden", "held_out") if name in frame}  # no column of Parquet's
    table, buffer = pa.Table.from_pandas(frame.astype(mixed), preserve_index=False), io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", write_page_checksum=True)
    target = records_folder() / "records" / f"{experiment}.parquet"
    write_whole(target, buffer.getvalue())
    return target


def main(arguments: list[str] | None = None) -> int:
    """Bring home the .run files of a folder; says which were refused, and why."""
    parser = argparse.ArgumentParser(prog="hetsyn_core.runs.store", description=main.__doc__)
    parser.add_argument("command", choices=["import"])
    parser.add_argument("folder", type=Path)
    options = parser.parse_args(arguments)
    try:
        taken, known, refused = take_in(options.folder)
    except OSError as error:
        parser.error(str(error))
    for name, reason in refused.items():
        print(f"refused {name}: {reason}", file=sys.stderr)
    print(f"{len(taken)} taken, {len(known)} here already, {len(refused)} refused")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
