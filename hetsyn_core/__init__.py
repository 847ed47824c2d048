"""HetSyn: spiking networks in which every synapse has its own time constant."""

from importlib import import_module

# Imported when asked for: a worker that trains needs no plots, a network on a GPU neither Numba nor pandas.
_HOME = {
    "Layer": "model.layer",
    "Network": "model.layer",
    "save": "model.files",
    "load": "model.files",
    "Task": "tasks.task",
    "MatchToSample": "tasks.match",
    "PatternGeneration": "tasks.pattern",
    "SequentialDigits": "tasks.digits",
    "Speech": "tasks.speech",
    "train": "runs.train",
    "trained": "runs.record",
    "experiment": "results.tables",
}
_MODULES = {"sweep": "runs.sweep", "ledger": "results.ledger", "plots": "drawing.plots", "tables": "results.tables"}
__all__ = [*_HOME, *_MODULES]


def __getattr__(name: str):
    if name in _MODULES:
        return import_module(f".{_MODULES[name]}", __name__)
    if name in _HOME:
        return getattr(import_module(f".{_HOME[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
