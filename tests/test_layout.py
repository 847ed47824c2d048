"""Imports point one way."""

import ast

import pytest

from hetsyn_core.paths import ROOT

# What each part may import of the others; all may import paths and workers.
BELOW = {
    "model": set(),
    "datasets": set(),
    "tasks": {"model", "datasets"},
    "runs": {"model", "datasets", "tasks"},
    "coursework": set(),
    "report": {"model", "datasets", "tasks", "runs", "coursework", "benchmark"},
}
FILES = sorted(path for part in BELOW for path in (ROOT / "hetsyn_core" / part).glob("*.py"))


def imported(path):
    """Parts of the package that a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == 2:
            yield from [node.module.split(".")[0]] if node.module else [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hetsyn_core."):
            yield node.module.split(".")[1]


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_imports_point_one_way(path):
    assert set(imported(path)) - {"paths", "workers", path.parent.name} <= BELOW[path.parent.name]


def test_training_knows_no_task_by_name():
    for path in (ROOT / "hetsyn_core").rglob("*.py"):
        assert "task ==" not in path.read_text(encoding="utf-8"), path
