"""What the log must not hold: set by the app that runs, not by importing its modules."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import warnings

import pytest
from highdicom.valuerep import check_person_name

from tests.helpers.app_server import ROOT
from wslpet.server.quiet import QUOTES_NAMES, TALKATIVE, quieten

IMPORTED = f"""
import importlib, json, logging, pkgutil, warnings
import highdicom, monailabel.datastore.local, monailabel.endpoints.infer  # whatever these set is theirs
import wslpet
before = list(warnings.filters)
levels = {{name: logging.getLogger(name).level for name in {TALKATIVE!r}}}
for package in (wslpet,):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.endswith("__main__") and module.name != "wslpet.server.app":
            importlib.import_module(module.name)
ours = [entry for entry in warnings.filters if entry not in before and {QUOTES_NAMES!r} in str(entry[1])]
after = {{name: logging.getLogger(name).level for name in levels}}
print(json.dumps([ours, [name for name in levels if levels[name] != after[name]]], default=str))
"""


@pytest.mark.slow
def test_importing_the_modules_changes_no_filter_and_no_level():
    done = subprocess.run([sys.executable, "-c", IMPORTED], cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == [[], []]


@pytest.fixture
def own_filters():
    levels = {name: logging.getLogger(name).level for name in TALKATIVE}
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def test_warnings_with_a_patients_name_are_filtered(own_filters):
    with pytest.warns(UserWarning, match="Nobody"):
        check_person_name("Nobody")
    quieten()
    with warnings.catch_warnings(record=True) as said:
        check_person_name("Nobody")
    assert said == []
    assert {logging.getLogger(name).level for name in TALKATIVE} == {logging.WARNING}
