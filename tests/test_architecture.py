"""The plan of the house: lib/ knows nothing of the server, and its imports run downward."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

LIB = Path(__file__).resolve().parents[1] / "lib"
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
            # from wslpet.data.phantom import cohort: a module; from wslpet.data.phantom import make_patient: a name of one.
            names |= {
                full if (full := f"{node.module}.{alias.name}") in MODULES else str(node.module) for alias in node.names
            }
    return names


def test_the_files_are_found():
    assert {
        "wslpet.core.volume",
        "wslpet.method.inference.pipeline",
        "wslpet.data.phantom.cohort",
        "wslpet.cli.main",
    } <= set(MODULES)


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_lib_does_not_know_the_server(path):
    assert not {name.split(".")[0] for name in imports_of(path)} & SERVER


def test_imports_run_downward_without_cycles():
    graph = {name: {other for other in imports_of(path) if other in MODULES} for name, path in MODULES.items()}
    list(TopologicalSorter(graph).static_order())  # raises CycleError, naming the cycle


@pytest.mark.parametrize(
    ("module", "below"),
    [
        ("wslpet.core.volume", {"wslpet.core.errors"}),
        ("wslpet.core.seeds", {"wslpet.core.errors"}),
        ("wslpet.core.settings", {"wslpet.core.errors", "wslpet.core.seeds"}),
        ("wslpet.io.dicom.headers", {"wslpet.core.errors"}),
        ("wslpet.io.dicom.times", {"wslpet.io.dicom.headers"}),
        ("wslpet.io.dicom.decay", {"wslpet.io.dicom.times", "wslpet.core.errors", "wslpet.io.dicom.headers"}),
        (
            "wslpet.io.dicom.suv",
            {
                "wslpet.io.dicom.body_measures",
                "wslpet.io.dicom.decay",
                "wslpet.io.dicom.times",
                "wslpet.core.errors",
                "wslpet.io.dicom.headers",
            },
        ),
        ("wslpet.io.dicom.jpeg", set()),
        (
            "wslpet.io.dicom.series",
            {
                "wslpet.core.errors",
                "wslpet.io.dicom.headers",
                "wslpet.io.dicom.jpeg",
                "wslpet.core.limits",
                "wslpet.io.dicom.suv",
                "wslpet.core.volume",
            },
        ),
        (
            "wslpet.io.dicom.rtstruct",
            {"wslpet.core.errors", "wslpet.io.dicom.headers", "wslpet.io.dicom.series", "wslpet.core.volume"},
        ),
        ("wslpet.io.nifti_forms", {"wslpet.core.errors"}),
        ("wslpet.io.plausible", {"wslpet.core.errors", "wslpet.core.limits", "wslpet.core.volume"}),
        (
            "wslpet.io.readers",
            {
                "wslpet.core.errors",
                "wslpet.core.limits",
                "wslpet.io.nifti_forms",
                "wslpet.io.plausible",
                "wslpet.io.dicom.series",
                "wslpet.core.volume",
            },
        ),
        ("wslpet.method.projection.ray_maxima", {"wslpet.core.jit"}),
        ("wslpet.method.delineation.components", {"wslpet.core.jit"}),
        ("wslpet.method.projection.mip", {"wslpet.method.projection.ray_maxima", "wslpet.core.volume"}),
        ("wslpet.method.network.cam_net", {"wslpet.core.settings"}),
    ],
)
def test_the_ground_floor_stands_on_little(module, below):
    assert {name for name in imports_of(MODULES[module]) if name in MODULES} <= below


def test_the_method_does_not_know_the_phantom():
    tops = {
        "wslpet.cli.main",
        "wslpet.analysis.overlap",
        "wslpet.data.pretraining.contours",
        "wslpet.data.pretraining.weights",
    }
    for name, path in MODULES.items():
        if not name.startswith("wslpet.data.phantom") and name not in tops:
            assert not any(other.startswith("wslpet.data.phantom") for other in imports_of(path)), name
