from __future__ import annotations

import matplotlib.image
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from tests.helpers.blobs import empty, scan, stored_as
from wslpet.core.seeds import Seed
from wslpet.core.settings import settings_from
from wslpet.method.inference.pipeline import delineate
from wslpet.method.inference.plotting import LESION_COLOUR, SEED_COLOUR, TRUTH_COLOUR, Case, gallery, picture
from wslpet.method.network.checkpoint import Model, new_network


def clicked_case(**more) -> Case:
    """A tumour at the patient's right, in front, and high up."""
    volume = empty((100, 80, 90), (5.0, 5.0, 5.0))
    centre = volume.to_world(np.array([76, 60, 72]))
    volume = stored_as(scan(volume, [(centre, (25, 25, 25), 9.0)]), (2, 0, 1), (True, False, True))
    seed = Seed("lung", tuple(centre))
    return Case(volume, delineate(volume, seed), seed=seed, **more)


def pixels(path, colour: str) -> np.ndarray:
    """(n, 2) row and column, as shares of the picture, of the pixels above the legend that have a colour."""
    image = matplotlib.image.imread(path)[:, :, :3]
    found = np.argwhere(np.abs(image - to_rgb(colour)).max(axis=2) < 0.04) / image.shape[:2]
    return found[found[:, 0] < 0.9]


@pytest.mark.parametrize("colour", [SEED_COLOUR, LESION_COLOUR])
def test_seed_and_lesion_lie_where_a_reader_expects_them(tmp_path, colour):
    picture(clicked_case(), tmp_path / "case.png")
    found = pixels(tmp_path / "case.png", colour)
    coronal, sagittal = found[found[:, 1] < 0.5], found[found[:, 1] > 0.56]
    # Right and front on the left; the head above.
    assert coronal[:, 1].mean() < 0.25
    assert 0.56 < sagittal[:, 1].mean() < 0.75
    assert found[:, 0].mean() < 0.4
    assert coronal[:, 0].mean() == pytest.approx(sagittal[:, 0].mean(), abs=0.02)


def test_panels_are_in_physical_proportion(tmp_path):
    case = clicked_case()
    picture(case, tmp_path / "case.png")
    lesion = pixels(tmp_path / "case.png", LESION_COLOUR)
    height, width = matplotlib.image.imread(tmp_path / "case.png").shape[:2]
    coronal = lesion[lesion[:, 1] < 0.5] * [height, width]
    tall, wide = np.ptp(coronal, axis=0)
    assert tall == pytest.approx(wide, rel=0.15)  # a ball


def test_a_gallery_shows_cam_and_truth(tmp_path):
    settings = settings_from(widths=(8,) * 8)
    model = Model(new_network(settings).eval(), settings)
    clicked = clicked_case()
    found = delineate(clicked.volume, clicked.seed, model)
    truth = clicked.result.mask
    cases = [clicked, Case(clicked.volume, found, settings.grid_mm * settings.stride, truth=truth, title="two")] * 2
    gallery(cases, tmp_path / "gallery.png", columns=3)
    assert len(pixels(tmp_path / "gallery.png", TRUTH_COLOUR)) > 20


def test_the_case_is_not_modified(tmp_path):
    case = clicked_case()
    scanned, mask = case.volume.array.copy(), case.result.mask.array.copy()
    picture(case, tmp_path / "case.png")
    assert np.array_equal(case.volume.array, scanned) and np.array_equal(case.result.mask.array, mask)
