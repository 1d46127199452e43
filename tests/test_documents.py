"""The documents: what they link to and name exists, and they are as short as they promise."""

from __future__ import annotations

import importlib
import importlib.util
import re
from pathlib import Path

import pytest

import wslpet
from wslpet.data.phantom import PRESETS, write_cohort

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("model/*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")
# A file or folder of the repository in code font; a name with capitals stands for one to be written.
NAMED = re.compile(r"`((?:lib|tests|benchmarks|docs|model|apps|tools)/[\w./-]+)`")
PLACEHOLDER = re.compile(r"NAME")
HEADING = re.compile(r"(?m)^#+ (.+)$")


def anchor(heading: str) -> str:
    """As the repository's host and the site make it."""
    return re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", heading.lower()).strip())


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_and_named_files_exist(document):
    text, missing = document.read_text(encoding="utf-8"), []
    for target in LINK.findall(text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, fragment = target.partition("#")
        file = (document.parent / path).resolve() if path else document
        anchors = map(anchor, HEADING.findall(file.read_text(encoding="utf-8"))) if file.suffix == ".md" else ()
        if not file.exists() or (fragment and fragment not in anchors):
            missing.append(target)
    missing += [name for name in NAMED.findall(text) if not PLACEHOLDER.search(name) and not (ROOT / name).exists()]
    assert missing == []


def test_documents_that_the_code_names_exist():
    code = [*ROOT.glob("lib/**/*.py"), *ROOT.glob("benchmarks/**/*.py")]
    named = {name for file in code for name in re.findall(r"docs/[\w/-]+\.md", file.read_text(encoding="utf-8"))}
    assert named
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_the_readme_and_the_architecture_are_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= 1000
    assert len((ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").splitlines()) <= 80


@pytest.mark.parametrize("page", sorted(ROOT.glob("docs/**/*.md")), ids=lambda page: page.name)
def test_what_the_reference_documents_exists_where_it_says(page):
    for name in re.findall(r"^::: ([\w.]+)", page.read_text(encoding="utf-8"), re.MULTILINE):
        module, _, attribute = name.rpartition(".")
        found = importlib.util.find_spec(name) if hasattr(importlib.import_module(module), "__path__") else None
        assert found or hasattr(importlib.import_module(module), attribute), name


@pytest.mark.slow
@pytest.mark.parametrize("document", ["README.md", "docs/index.md", "docs/reference/python.md"])
def test_the_python_example_runs_on_the_phantom_that_it_names(document, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_cohort(tmp_path / "scans", 2, 0, PRESETS["plain"], workers=1)
    example = re.search(r"```python\n(import wslpet\n.*?)```", (ROOT / document).read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, object] = {}
    exec(example[1], names)
    seed = names["seed"]
    lesion = wslpet.delineate(names["volume"], seed).lesions[0]
    assert 6 < lesion.volume_ml < 25  # 12.4 ml
    assert names["found"].cancer_type == seed.cancer_type == "lung"
