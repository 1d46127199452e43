"""Records of a scan by its annotation: seeds are delineated, a submitted mask counts where the annotation is of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.method.inference.test_several_lesions import BLOBS, STORED, at, make
from wslpet.analysis.burden.body import Body
from wslpet.analysis.uptake import central_voxel
from wslpet.core.errors import InputError, SeedError
from wslpet.core.seeds import NO_TUMOUR, ContourChoice, Seed, annotation_of
from wslpet.core.settings import Settings
from wslpet.core.volume import Volume
from wslpet.method.burden import annotated_burden, is_of_mask, numbered_lesions

SETTINGS = Settings()


def drawn(volume: Volume, truths, value: int = 2) -> Volume:
    """A mask of one type, as viewers submit it."""
    inside = np.logical_or.reduce(truths)
    return volume.with_array((inside * value).astype(np.uint8), "label")


def centre(volume: Volume, truth) -> Seed:
    return Seed("oesophagus", tuple(volume.to_world(central_voxel(truth, volume.spacing))), user="Ann")


@pytest.mark.parametrize("name", STORED)
def test_the_lesions_of_seeds_with_who_and_how(name):
    volume, centres, _ = make(name)
    second = replace(at(centres[3]), user="Eve", time="2026-11-27T11:00:00.000+00:00", contour=ContourChoice("41 %"))
    annotation = annotation_of([replace(at(centres[0]), user="Ann"), second])
    scan = annotated_burden("p", volume, annotation, SETTINGS, body=Body(80.0, 1.8, "M"))
    record = scan.record
    assert (record.state, record.origin.user, record.origin.cancer_type) == ("measured", "Ann", "oesophagus")
    assert [(one.number, one.origin.user, one.origin.method) for one in record.lesions] == [
        (1, "Ann", "ours"),
        (2, "Eve", "41 %"),
    ]
    assert record.lesions[1].origin.time == second.time
    for lesion, n in zip(record.lesions, (0, 3), strict=True):
        assert np.linalg.norm(np.array(lesion.position) - centres[n]) < 5
        assert lesion.voxels == (scan.labels.array == lesion.number).sum()
        assert lesion.sul_max is not None
    np.testing.assert_array_equal(scan.labels.affine, volume.affine)


@pytest.mark.parametrize("name", ["LPS", "oblique"])
def test_a_submitted_mask_is_measured_as_it_was_drawn(name):
    volume, _, truths = make(name)
    parts = [truths[0], truths[3], truths[1]]
    mask = drawn(volume, parts)
    annotation = annotation_of([centre(volume, truth) for truth in parts])
    assert is_of_mask(annotation, mask)
    scan = annotated_burden("p", volume, annotation, SETTINGS, mask)
    assert [lesion.voxels for lesion in scan.record.lesions] == [int(truth.sum()) for truth in parts]
    assert {lesion.origin.method for lesion in scan.record.lesions} == {"label"}
    for number, truth in enumerate(parts, start=1):
        np.testing.assert_array_equal(scan.labels.array == number, truth)


def test_a_mask_on_a_finer_grid_is_brought_to_the_scan():
    volume, _, truths = make("off-origin")
    fine = np.repeat(np.repeat(np.repeat(truths[0].astype(np.uint8), 2, 0), 2, 1), 2, 2)
    affine = volume.affine @ np.diag([0.5, 0.5, 0.5, 1])
    affine[:3, 3] = volume.to_world(np.full(3, -0.25))
    mask = Volume(fine, affine, "label", "fine")
    annotation = annotation_of(centre(mask, fine > 0))
    assert is_of_mask(annotation, mask)
    scan = annotated_burden("p", volume, annotation, SETTINGS, mask)
    np.testing.assert_array_equal(scan.labels.array == 1, truths[0])


def test_parts_without_a_seed_come_after_those_with_one_by_size():
    volume, _, truths = make()
    mask = drawn(volume, [truths[0], truths[1], truths[3]])
    # As logs before version 2 have it: one seed, of the largest part.
    numbers = numbered_lesions(mask, annotation_of(centre(volume, truths[3]))).array
    sizes = sorted((truths[0].sum(), truths[1].sum()), reverse=True)
    assert [int((numbers == n).sum()) for n in (1, 2, 3)] == [int(truths[3].sum()), *map(int, sizes)]


def test_a_click_after_the_mask_is_not_of_it():
    volume, centres, truths = make()
    mask = drawn(volume, [truths[0]])
    of_mask = centre(volume, truths[0])
    assert is_of_mask(annotation_of(of_mask), mask)
    assert not is_of_mask(annotation_of([of_mask, at(centres[3])]), mask)
    for moved in (np.array([8.0, 0, 0]), np.array([0.7, 0, 0]), np.array([400.0, 0, 0])):
        clicked = replace(of_mask, position=tuple(moved + of_mask.position))
        assert not is_of_mask(annotation_of(clicked), mask)


def test_no_tumour_is_no_lesion():
    volume, _, _ = make()
    said = annotation_of(Seed(NO_TUMOUR, (0.0, 0.0, 0.0), user="Ann"))
    scan = annotated_burden("p", volume, said, replace(SETTINGS, no_tumour=True))
    assert (scan.record.state, scan.record.lesions, scan.record.origin.user) == ("no tumour", (), "Ann")
    assert not scan.labels.array.any()


def test_what_cannot_be_delineated_is_said():
    volume, centres, truths = make()
    with pytest.raises(SeedError, match="outside the scan"):
        annotated_burden("p", volume, annotation_of(at(centres[0] + 900)), SETTINGS)
    specks = np.zeros(volume.shape, np.uint8)
    specks[::3, ::3, ::6] = 1
    with pytest.raises(InputError, match="unconnected parts, more than 255; remove specks"):
        annotated_burden("p", volume, annotation_of(at(centres[0])), SETTINGS, volume.with_array(specks, "label"))
    assert len(BLOBS) == len(truths)
