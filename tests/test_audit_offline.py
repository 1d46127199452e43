"""`tools/audit-offline`: versions are compared with advisories as PyPA's database and Safety DB write them."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

tool = runpy.run_path(str(Path(__file__).resolve().parents[1] / "tools" / "audit-offline"))
ADVISORY = """
id: PYSEC-2024-1
aliases: [CVE-2024-1]
{more}affected:
- package: {{ecosystem: PyPI, name: Some.Package}}
  ranges:
  - type: ECOSYSTEM
    events: [{{introduced: '1.2'}}, {{fixed: '1.10'}}, {{introduced: '2.0'}}, {{last_affected: '2.1'}}]
  versions: ['0.5']
"""


def audit(folder: Path, database: Path, *pins: str) -> int:
    (folder / "pins.txt").write_text("\n".join(pins) + "\n")
    return tool["main"]([str(database), "--pins", str(folder / "pins.txt")])


@pytest.fixture
def pypa(tmp_path: Path) -> Path:
    place = tmp_path / "advisory-database" / "vulns" / "some-package"
    place.mkdir(parents=True)
    (place / "PYSEC-2024-1.yaml").write_text(ADVISORY.format(more=""))
    return place.parents[1]


@pytest.mark.parametrize(
    ("version", "affected"),
    [("1.1", 0), ("1.2", 1), ("1.9.3", 1), ("1.10", 0), ("2.0", 1), ("2.1", 1), ("2.1.1", 0), ("0.5", 1)],
)
def test_a_version_is_compared_with_introduced_fixed_last_affected_and_named_versions(
    tmp_path, pypa, capsys, version, affected
):
    assert audit(tmp_path, pypa, f'some_package=={version}; python_version >= "3.11"', "other==1.5") == affected
    printed = capsys.readouterr().out
    assert ("PYSEC-2024-1 (CVE-2024-1)" in printed) == bool(affected)
    assert f"{affected} about 2 versions of 2 packages" in printed


def test_an_advisory_that_was_withdrawn_does_not_count(tmp_path, pypa):
    (pypa / "vulns/some-package/PYSEC-2024-1.yaml").write_text(ADVISORY.format(more="withdrawn: '2024-02-01'\n"))
    assert audit(tmp_path, pypa, "some-package==1.5") == 0


def test_ranges_of_safety_db_are_read_and_a_known_exception_is_named_with_its_reason(tmp_path, capsys):
    database = tmp_path / "insecure.json"
    database.write_text(json.dumps({"$meta": {}, "Some_Package": [">=1.2,<1.10"], "diskcache": ["<=5.6.3"]}))
    assert audit(tmp_path, database, "some-package==1.9") == 1
    assert audit(tmp_path, database, "some-package==1.10", "diskcache==5.6.3") == 0
    assert "diskcache 5.6.3: Safety DB: <=5.6.3; excepted: " in capsys.readouterr().out


def test_a_range_that_cannot_be_read_and_a_folder_that_is_no_database_are_errors(tmp_path):
    database = tmp_path / "insecure.json"
    database.write_text(json.dumps({"some-package": ["before 1.2"]}))
    with pytest.raises(SystemExit, match=r"'before 1.2' is not a range"):
        audit(tmp_path, database, "some-package==1.0")
    with pytest.raises(SystemExit, match=r"neither insecure.json nor a folder with vulns/"):
        audit(tmp_path, tmp_path, "some-package==1.0")
