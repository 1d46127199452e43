"""The tests themselves: all of them run, in CI none is left out, and nothing that CI needs may be missing."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SKIPPED = """
import json
from wslpet.cli.demo import orthanc as pacs
pacs.SYSTEM_FOLDERS = ()  # as if it were not installed
from tests.helpers.needs import needs_chromium, needs_pacs
print(json.dumps([needs_chromium.args[0], needs_pacs.args[0]]))
"""


@pytest.mark.parametrize(("viewers", "skipped"), [("", True), ("required", False)])
def test_a_missing_viewer_skips_its_tests_and_fails_them_where_it_is_required(tmp_path, viewers, skipped):
    nothing = {**os.environ, "PATH": str(tmp_path), "VIEWERS": viewers}
    asked = [sys.executable, "-c", SKIPPED]
    done = subprocess.run(asked, cwd=ROOT, env=nothing, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [skipped, skipped]


def test_ci_runs_the_commands_of_the_readme_as_they_stand_there():
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = [line.partition("#")[0].strip() for line in re.findall(r"^make (?:test|lint)\b.*$", readme, re.M)]
    assert "make test" in commands
    assert set(commands) <= set(ci)
    assert not [line for line in ci if re.search(r"ARGS|--ignore|--deselect|\s-k\b", line)]


def test_every_folder_of_tests_is_a_package():
    """Else two test files of one name cannot be collected together."""
    folders = {path.parent for path in (ROOT / "tests").rglob("*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").is_file()] == []
