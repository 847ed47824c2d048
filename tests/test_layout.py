"""Imports point one way."""

import ast

import pytest

from hetsyn_core.paths import ROOT

# What each part may import of the others; all may import `COMMON`, and nothing in the core imports tools.
COMMON = {"paths", "workers", "compiled", "progress"}
BELOW = {
    "model": set(),
    "datasets": set(),
    "tasks": {"model", "datasets"},
    "runs": {"model", "datasets", "tasks"},
    "results": {"model", "datasets", "tasks", "runs"},
    "drawing": {"model", "datasets", "tasks", "runs", "results"},
}
FILES = sorted(path for part in BELOW for path in (ROOT / "hetsyn_core" / part).rglob("*.py"))


def imported(path):
    """Parts of the package, or "tools", that a file imports."""
    package = list(path.relative_to(ROOT).parent.parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join(base + ([node.module] if node.module else []))
            modules = [f"{stem}.{alias.name}" for alias in node.names]
        else:
            continue
        for module in modules:
            first, *rest = module.split(".")
            if first == "tools":
                yield first
            elif first == "hetsyn_core":
                yield rest[0]


@pytest.mark.parametrize("path", FILES, ids=lambda path: "/".join(path.parts[-2:]))
def test_imports_point_one_way(path):
    part = path.relative_to(ROOT / "hetsyn_core").parts[0]
    assert set(imported(path)) - COMMON - {part} <= BELOW[part]


def test_training_knows_no_task_by_name():
    for path in (ROOT / "hetsyn_core").rglob("*.py"):
        assert "task ==" not in path.read_text(encoding="utf-8"), path
