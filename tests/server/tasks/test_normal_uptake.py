from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from wslpet.core.errors import InputError, ModelError
from wslpet.method.normal.reference import load_reference
from wslpet.server.tasks import normal_uptake
from wslpet.server.tasks.normal_uptake import FILE, known_normal, renew_atlas


@pytest.fixture
def datastore(tmp_path):
    return SimpleNamespace(private=tmp_path)


def made(monkeypatch, value):
    def site_atlas(examples):
        if isinstance(value, Exception):
            raise value
        return value

    monkeypatch.setattr(normal_uptake, "site_atlas", site_atlas)


def test_the_sites_atlas_replaces_the_shipped_one_and_its_frame_stays(datastore, monkeypatch):
    shipped = load_reference()
    assert known_normal(datastore) == (shipped, False)
    made(monkeypatch, replace(shipped.atlas, quantiles=shipped.atlas.quantiles + 1, people=12))
    renew_atlas(datastore, [])
    known, of_site = known_normal(datastore)
    assert of_site and known.atlas.people == 12
    assert np.allclose(known.atlas.quantiles, shipped.atlas.quantiles + 1, rtol=1e-3)
    assert known.template is shipped.template


@pytest.mark.parametrize("nothing", [None, InputError("fewer than 5 people reach any row")])
def test_an_atlas_that_cannot_be_made_leaves_the_one_before(datastore, monkeypatch, nothing):
    made(monkeypatch, replace(load_reference().atlas, people=12))
    renew_atlas(datastore, [])
    made(monkeypatch, nothing)
    renew_atlas(datastore, [])
    assert known_normal(datastore)[0].atlas.people == 12


def test_a_damaged_file_is_named(datastore):
    (datastore.private / FILE).write_bytes(b"nothing")
    with pytest.raises(ModelError, match=FILE):
        known_normal(datastore)
