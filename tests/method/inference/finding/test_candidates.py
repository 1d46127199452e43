from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from tests.helpers.blobs import dice, ellipsoid, empty, scan
from wslpet.core.volume import Volume
from wslpet.method.inference.finding.candidates import FEATURES, candidates
from wslpet.method.inference.finding.maps import ANGLES, LesionMap
from wslpet.method.inference.finding.places import map_places
from wslpet.method.inference.finding.probability import load_lesion_probability
from wslpet.method.inference.finding.selection import found_lesions, rows_of
from wslpet.method.inference.localisation import CamPoints, Finding
from wslpet.method.projection.rotated import rotated_mips

SPACING = (4.06, 3.5, 5.0)
# mm from the first voxel, off-centre in every axis, one not in front of another.
PLACES = np.array([[60.0, 60.0, 70.0], [130.0, 110.0, 170.0]])
RADII = (16, 14, 18)


def two_blobs() -> tuple[Volume, np.ndarray]:
    volume = empty(
        tuple(np.ceil(np.array([190.0, 160.0, 230.0]) / SPACING).astype(int)), SPACING, (-120.0, 35.0, 400.0)
    )
    centres = volume.to_world(PLACES / SPACING)
    return scan(volume, [(centre, RADII, 7.0) for centre in centres]), centres


def maps_of(volume: Volume, centre: np.ndarray, angles=ANGLES) -> list[LesionMap]:
    """Maps that are sure of one blob, most so in its middle."""
    mips = rotated_mips(volume, angles)
    shadows = rotated_mips(volume.with_array(ellipsoid(volume, centre, RADII).astype(np.float32)), angles)
    deep = [ndimage.distance_transform_edt(one.mip > 0) for one in shadows]
    return [LesionMap(mip, (0.01 + 0.96 * d / d.max()).astype(np.float32)) for mip, d in zip(mips, deep, strict=True)]


@pytest.mark.parametrize("angles", [ANGLES, (0.0,), (90.0,), (45.0, 157.5)])
@pytest.mark.parametrize("number", [0, 1])
def test_a_map_leads_to_its_lesion_in_mm(angles, number):
    volume, centres = two_blobs()
    maps = maps_of(volume, centres[number], angles)
    place = map_places(maps, np.array(SPACING))[0]
    assert volume.to_world(np.array(place)) == pytest.approx(centres[number], abs=10)
    found = candidates(volume, maps, None, [])
    truth = ellipsoid(volume, centres[number], RADII)
    assert dice(found[0].contour.in_volume(volume.shape), truth) > 0.8
    assert found[0].features[FEATURES.index("map")] == pytest.approx(np.log(0.97 / 0.03), abs=0.6)


def test_a_place_in_a_contour_is_no_second_candidate():
    volume, centres = two_blobs()
    cam = Finding(tuple(volume.to_index(centres[0]).tolist()), 1.0)
    found = candidates(volume, maps_of(volume, centres[0]), None, [cam])
    truth = ellipsoid(volume, centres[0], RADII)
    assert sum(one.contour.in_volume(volume.shape)[truth].mean() > 0.5 for one in found) == 1


def test_without_maps_the_cams_alone_decide():
    volume, centres = two_blobs()
    index = np.array([volume.to_index(centre) for centre in centres])
    points = CamPoints(np.rint(index).astype(int), np.log([0.9, 0.1]), np.array(SPACING))
    found = candidates(volume, (), points, points.findings())
    assert [round(one.share, 3) for one in found] == [0.9, 0.1]
    assert all(np.isnan(one.features[FEATURES.index("map")]) for one in found)
    odds = load_lesion_probability(FEATURES).log_odds(np.array([one.features for one in found]), np.zeros(2, bool))
    assert np.isfinite(odds).all() and odds[0] > odds[1]


def test_the_more_probable_of_two_that_overlap_stands():
    volume, centres = two_blobs()
    both = [one for centre in centres for one in candidates(volume, maps_of(volume, centre), None, [])]
    again = found_lesions([*both, *both], load_lesion_probability(FEATURES), 0.0, 0.0)
    assert len(again.lesions) == len(found_lesions(both, load_lesion_probability(FEATURES), 0.0, 0.0).lesions) == 2
    probabilities = [p for _, p in again.lesions]
    assert probabilities == sorted(probabilities, reverse=True)


def test_what_the_cams_are_sure_of_stands():
    volume, centres = two_blobs()
    index = np.array([volume.to_index(centre) for centre in centres])
    points = CamPoints(np.rint(index).astype(int), np.log([0.05, 0.95]), np.array(SPACING))
    score = load_lesion_probability(FEATURES)
    found = candidates(volume, (), points, points.findings())
    assert [one.primary for one in found] == [True, False]
    for confidence, count in ((0.95, 1), (0.85, 0)):
        kept = found_lesions(found, score, 1.0, confidence).lesions
        assert [one for one, _ in kept] == found[:1] * count
    assert np.linalg.norm(volume.to_world(np.array(found[0].index)) - centres[1]) < 10


def test_the_most_probable_stands_if_the_network_learned_on_site_and_names_a_tumour():
    volume, centres = two_blobs()
    score, maps = load_lesion_probability(FEATURES), maps_of(volume, centres[1])
    index = np.array([volume.to_index(centre) for centre in centres])
    points = CamPoints(np.rint(index).astype(int), np.log([0.95, 0.05]), np.array(SPACING))
    found = candidates(volume, maps, points, points.findings())
    best = max(found, key=lambda one: score.log_odds(rows_of([one]), np.zeros(1, bool))[0])
    assert best is not found[0] and found[0].primary
    assert found_lesions(found, score, 1.0, 0.3).lesions == ()
    assert [one for one, _ in found_lesions(found, score, 1.0, 0.3, calibrated=False).lesions] == [best]
    unlikely = replace(score, weights=score.weights - [0, 0, 0, 30], without_map=score.without_map - [0, 0, 30])
    assert found_lesions(found, unlikely, 1.0, 0.3, calibrated=False).lesions == ()
    large = [replace(one, ml=301.0) if one is best else one for one in found]
    assert best not in [one for one, _ in found_lesions(large, score, 1.0, 0.3, calibrated=False).lesions]
    assert len(found_lesions(large, score, 1.0, 0.3, calibrated=False).lesions) == 1
    assert found_lesions([replace(one, ml=301.0) for one in found], score, 1.0, 0.3, calibrated=False).lesions == ()
    # The CAMs of "no tumour" have no points.
    without = candidates(volume, maps, None, [])
    assert found_lesions(without, score, 1.0, 0.3, calibrated=False).lesions == ()


def test_without_candidates_there_is_no_lesion():
    assert found_lesions([], load_lesion_probability(FEATURES), 0.0, 0.0).patient == 0.0
