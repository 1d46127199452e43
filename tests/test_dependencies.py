"""What the package imports is declared: by the package itself, or by the extra of the layer that imports it."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

if sys.version_info < (3, 11):
    import tomli as tomllib
else:
    import tomllib

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "lib" / "wslpet"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MODULES = {"PIL": "pillow", "skimage": "scikit-image", "sklearn": "scikit-learn", "jwt": "pyjwt"}
# Of the server's, through FastAPI; and what `wslpet setup` installs.
OTHERWISE = {"starlette", "anyio", "monailabel", "radiomics"}


def declared(*extras: str) -> set[str]:
    """Packages that are declared, their names in lower case."""
    lists = [PROJECT["dependencies"], *(PROJECT["optional-dependencies"][extra] for extra in extras)]
    return {re.match(r"[\w.-]+", line)[0].lower().replace("_", "-") for lines in lists for line in lines}


def imported(file: Path, deferred: bool) -> Iterator[str]:
    """Packages of others that a module imports, at its own import or also when its functions run."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    nodes = ast.walk(tree) if deferred else iter(tree.body)
    for node in nodes:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [str(node.module)]
        for name in (name.partition(".")[0] for name in names):
            if name not in sys.stdlib_module_names and name != "wslpet":
                yield MODULES.get(name, name).lower().replace("_", "-")


@pytest.mark.parametrize("layer", ["core", "io", "analysis", "method", "data", "cli/commands", "io/client.py"])
def test_the_library_needs_no_extra_to_be_imported(layer):
    files = [PACKAGE / layer] if layer.endswith(".py") else sorted((PACKAGE / layer).rglob("*.py"))
    found = {(name, file.name) for file in files for name in imported(file, deferred=False)}
    assert [pair for pair in sorted(found) if pair[0] not in declared()] == []


@pytest.mark.parametrize(
    ("layer", "extras"),
    [
        ("core", ["dask"]),
        ("io", []),
        ("analysis", ["study"]),
        ("method", ["onnx"]),
        ("data", []),
        ("study", ["study"]),
        ("cli", ["server"]),
        ("server", ["server"]),
    ],
)
def test_each_layer_needs_its_own_extra_at_most(layer, extras):
    found = {(name, file.name) for file in (PACKAGE / layer).rglob("*.py") for name in imported(file, deferred=True)}
    allowed = declared(*extras) | OTHERWISE
    assert [pair for pair in sorted(found) if pair[0] not in allowed] == []


def test_the_development_extra_has_what_the_tests_need():
    pinned = (ROOT / "requirements-dev.txt").read_text(encoding="utf-8").lower().splitlines()
    needed = {re.match(r"[\w.-]+", line)[0] for line in pinned if line}
    assert needed - declared("dev", "dask", "onnx") == set()
