from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest

from benchmarks.real import clicks
from benchmarks.real.baselines import METHODS
from benchmarks.real.clicks import ALL, BEST, OURS
from tests.helpers.blobs import ellipsoid, empty, scan


@pytest.fixture
def folder(tmp_path):
    """One scan, flipped and off-origin, with a lesion that is easy and one that lies beside a hotter one."""
    volume = empty((40, 36, 30), (4.0, 4.0, 4.0), origin=(50.0, -80.0, 300.0))
    volume = type(volume)(volume.array, volume.affine @ np.diag([-1.0, 1.0, -1.0, 1.0]), "SUV", "case")
    places = [volume.to_world(np.array(place)) for place in ((11, 10, 18), (28, 25, 9))]
    blobs = [(places[0], (11, 11, 11), 9.0), (places[1], (9, 9, 9), 6.0)]
    hot = (places[1] + np.array([22.0, 0.0, 0.0]), (9, 9, 9), 18.0)
    image = scan(volume, [*blobs, hot])
    labels = sum((n + 1) * ellipsoid(volume, p, r).astype(np.uint8) for n, (p, r, _) in enumerate(blobs))
    nib.save(nib.Nifti1Image(image.array, image.affine), tmp_path / "chest_1_suv.nii.gz")
    nib.save(nib.Nifti1Image(labels, image.affine), tmp_path / "chest_1_mask.nii.gz")
    return tmp_path


def test_every_method_is_measured_on_every_click(folder, tmp_path, monkeypatch, capsys):
    out, figure = tmp_path / "out.json", tmp_path / "failures.png"
    monkeypatch.setattr("sys.argv", ["clicks", str(folder), "--json", str(out), "--figure", str(figure)])
    clicks.main()
    found = json.loads(out.read_text())
    assert len(found) == 2 * 5 * len(ALL)
    dice = {
        (lesion, method): np.mean([one["dice"] for one in found if (one["lesion"], one["method"]) == (lesion, method)])
        for lesion in ("chest_1/1", "chest_1/2")
        for method in ALL
    }
    for method in METHODS:
        assert dice["chest_1/1", method] > 0.5, method
    assert dice["chest_1/1", "SUV 2.5"] > 0.8
    assert dice["chest_1/2", OURS] > 0.7
    for lesion in ("chest_1/1", "chest_1/2"):
        assert dice[lesion, BEST] >= dice[lesion, OURS]
    table = capsys.readouterr().out
    assert "| chest_1/2 |" in table and "| chest |" in table
    assert all(method in table for method in ALL)


def test_a_failure_is_drawn(folder, tmp_path):
    lesions = list(clicks.real_lesions(folder))
    outcome = clicks.Outcome(lesions[0].name, lesions[0].group, 5.0, 2, OURS, 0.3, 2.0, True)
    clicks.draw_failures(lesions, [outcome], tmp_path / "failures.png")
    assert (tmp_path / "failures.png").stat().st_size > 5000
    clicks.draw_failures(lesions, [], tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()
