"""The plan of the house: lib/ knows nothing of the server, and its imports run downward."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

LIB = Path(__file__).resolve().parents[2] / "lib"
FILES = sorted(LIB.rglob("*.py"))
SERVER = {"monailabel", "apps", "fastapi", "uvicorn", "starlette"}


def module_of(path: Path) -> str:
    parts = path.relative_to(LIB.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in FILES}


def imports_of(path: Path) -> set[str]:
    """Full names of what a file imports, inside functions too; what is only for the type checker does not count."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: relative import"
            # from lib.phantom import cohort: a module; from lib.phantom import make_patient: a name of one.
            names |= {
                full if (full := f"{node.module}.{alias.name}") in MODULES else str(node.module) for alias in node.names
            }
    return names


def test_the_files_are_found():
    assert {"lib.volume", "lib.pipeline", "lib.phantom.cohort", "lib.cli"} <= set(MODULES)


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_lib_does_not_know_the_server(path):
    assert not {name.split(".")[0] for name in imports_of(path)} & SERVER


def test_imports_run_downward_without_cycles():
    graph = {name: {other for other in imports_of(path) if other in MODULES} for name, path in MODULES.items()}
    list(TopologicalSorter(graph).static_order())  # raises CycleError, naming the cycle


@pytest.mark.parametrize(
    ("module", "below"),
    [
        ("lib.volume", {"lib.errors"}),
        ("lib.seeds", {"lib.errors"}),
        ("lib.settings", {"lib.errors", "lib.seeds"}),
        ("lib.header", {"lib.errors"}),
        ("lib.suv", {"lib.errors", "lib.header"}),
        ("lib.series", {"lib.errors", "lib.header", "lib.limits", "lib.suv", "lib.volume"}),
        ("lib.rtstruct", {"lib.errors", "lib.header", "lib.series", "lib.volume"}),
        ("lib.readers", {"lib.errors", "lib.limits", "lib.series", "lib.volume"}),
        ("lib.maxima", {"lib.compiled"}),
        ("lib.voxels", {"lib.compiled"}),
        ("lib.projection", {"lib.maxima", "lib.volume"}),
        ("lib.network", {"lib.settings"}),
    ],
)
def test_the_ground_floor_stands_on_little(module, below):
    assert {name for name in imports_of(MODULES[module]) if name in MODULES} <= below


def test_the_method_does_not_know_the_phantom():
    tops = {"lib.cli", "lib.evaluation", "lib.contour_fit", "lib.pretraining"}
    for name, path in MODULES.items():
        if not name.startswith("lib.phantom") and name not in tops:
            assert not any(other.startswith("lib.phantom") for other in imports_of(path)), name
