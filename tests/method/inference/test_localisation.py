from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.helpers.blobs import dice, ellipsoid, empty, positions, scan, stored_as
from wslpet.analysis.uptake import measure
from wslpet.core.settings import settings_from
from wslpet.core.volume import Volume
from wslpet.method.delineation.contours import Contour
from wslpet.method.inference.localisation import (
    CamPoints,
    Finding,
    ScaleOutput,
    lesion_at,
    select_lesion,
)
from wslpet.method.inference.result import Lesion
from wslpet.method.network.cam import Cams
from wslpet.method.network.inputs import grid_images
from wslpet.method.projection.mip import VIEWS, project

SPACINGS = [(4.0, 4.0, 4.0), (4.06, 4.06, 2.0), (3.0, 5.0, 6.5)]
EXTENT = np.array([190.0, 160.0, 230.0])


def field(spacing) -> Volume:
    return empty(tuple(np.ceil(EXTENT / spacing).astype(int)), spacing, (-120.0, 35.0, 400.0))


def place(volume: Volume, mm) -> np.ndarray:
    """mm from the first voxel → mm RAS."""
    return volume.to_world(np.asarray(mm) / volume.spacing)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("offset", [(0, 0, 0), (5, -4, 6)])
def test_a_hot_ellipsoid_is_delineated(spacing, offset):
    volume = field(spacing)
    centre, radii = place(volume, (125, 55, 160)), (18, 14, 24)
    volume = scan(volume, [(centre, radii, 9.0)])
    found = lesion_at(volume, volume.to_index(centre + np.array(offset))).in_volume(volume.shape)
    assert dice(found, ellipsoid(volume, centre, radii)) > 0.85


@pytest.mark.parametrize("clicked", [0, 1])
def test_touching_blobs_do_not_leak_into_each_other(clicked):
    volume = field((4.0, 4.0, 4.0))
    blobs = [(place(volume, (75, 70, 120)), (18, 18, 18), 9.0), (place(volume, (113, 70, 120)), (20, 20, 20), 12.0)]
    volume = scan(volume, blobs)
    found = lesion_at(volume, volume.to_index(blobs[clicked][0])).in_volume(volume.shape)
    own, other = (ellipsoid(volume, *blobs[n][:2]) for n in (clicked, 1 - clicked))
    assert dice(found, own) > 0.8
    assert (found & other).sum() < 0.15 * other.sum()


def test_a_lesion_at_the_edge_of_the_scan_is_delineated():
    volume = field((4.0, 4.0, 4.0))
    centre, radii = place(volume, (6, 80, 222)), (20, 20, 20)
    volume = scan(volume, [(centre, radii, 9.0)])
    found = lesion_at(volume, volume.to_index(centre)).in_volume(volume.shape)
    assert dice(found, ellipsoid(volume, centre, radii)) > 0.7


def test_the_scan_is_not_modified():
    volume = scan(field((4.0, 4.0, 4.0)), [])
    before = volume.array.copy()
    index = np.array([10.0, 10.0, 10.0])
    lesion_at(volume, index)
    assert np.array_equal(volume.array, before)
    assert index.tolist() == [10, 10, 10]


def peaked(images, settings, points) -> Cams:
    """CAMs of one class with a bump at each (x, y, z, height) voxel."""
    maps = {}
    for view, axes in (("coronal", (0, 2)), ("sagittal", (1, 2))):
        size = [-(-n // settings.stride) for n in images[view].mip.shape]
        grid = np.stack(np.meshgrid(*map(np.arange, size), indexing="ij"), axis=-1)
        cam = np.full(size, -8.0)
        for *voxel, height in points:
            cell = (images[view].from_voxel(np.array(voxel)[list(axes)]) + 0.5) / settings.stride - 0.5
            cam = np.maximum(cam, height - ((grid - cell) ** 2).sum(axis=-1))
        maps[view] = torch.from_numpy(cam).float()[None, None]
    return Cams(maps["coronal"], maps["sagittal"], settings.grid_mm * settings.stride)


def seen(volume, settings):
    views = project(volume)
    return dict(zip(VIEWS, views, strict=True)), grid_images(views, settings)


def test_findings_are_voxels_that_both_cams_point_at():
    settings = settings_from()
    volume = field((4.0, 4.0, 4.0))
    # Two spots at one height: (x of one, y of the other) is a ghost that both CAMs support.
    spots = [(place(volume, (48, 40, 120)), (10, 10, 10), 9.0), (place(volume, (140, 116, 120)), (10, 10, 10), 8.0)]
    volume = scan(volume, spots)
    projections, images = seen(volume, settings)
    voxels = [volume.to_index(spot[0]) for spot in spots]
    cams = peaked(images, settings, [(*voxels[0], 4.0), (*voxels[1], 4.0)])
    found = CamPoints.from_outputs([ScaleOutput(images, cams)], 0, projections).findings()
    near = [min(np.linalg.norm((np.array(f.index) - v) * 4.0) for v in voxels) for f in found[:2]]
    assert max(near) < 16.0
    assert found[:3] == sorted(found[:3], key=lambda f: -f.share)
    assert all(0 < f.share <= 1 + 1e-9 for f in found)


def test_looks_on_several_grids_agree_on_one_place():
    volume = field((4.06, 4.06, 2.0))
    spots = [(place(volume, (60, 110, 70)), (12, 12, 12), 9.0), (place(volume, (130, 50, 170)), (12, 12, 12), 9.0)]
    volume = scan(volume, spots)
    true, doubtful = (volume.to_index(spot[0]) for spot in spots)
    scale_outputs = []
    for grid, doubt in ((3.6, 5.0), (4.0, -8.0), (4.4, -8.0)):
        settings = settings_from(grid_mm=grid)
        projections, images = seen(volume, settings)
        scale_outputs.append(ScaleOutput(images, peaked(images, settings, [(*true, 4.0), (*doubtful, doubt)])))
    for output, chosen in ((scale_outputs[:1], doubtful), (scale_outputs, true)):
        at = np.array(CamPoints.from_outputs(output, 0, projections).findings()[0].index)
        assert np.linalg.norm((at - chosen) * volume.spacing) < 12.0


def test_the_lesion_at_the_first_finding_is_where_the_cams_point():
    settings = settings_from()
    volume = field((4.0, 4.0, 4.0))
    spots = [(place(volume, (60, 50, 60)), (16, 16, 16), 7.0), (place(volume, (130, 100, 170)), (22, 22, 22), 15.0)]
    volume = scan(volume, spots)
    projections, images = seen(volume, settings)
    cams = peaked(images, settings, [(*volume.to_index(spots[0][0]), 6.0)])
    contour = lesion_at(
        volume, np.array(CamPoints.from_outputs([ScaleOutput(images, cams)], 0, projections).findings()[0].index)
    )
    assert dice(contour.in_volume(volume.shape), ellipsoid(volume, *spots[0][:2])) > 0.8


@pytest.mark.parametrize(("share_of_diffuse", "chosen"), [(0.6, 1), (0.999, 0)])
def test_of_two_findings_the_one_with_an_edge_is_the_lesion_unless_the_cams_are_sure(share_of_diffuse, chosen):
    volume = field((4.06, 4.06, 2.0))
    diffuse, sharp = place(volume, (60, 60, 70)), place(volume, (130, 110, 170))
    haze = 3.0 * np.exp(-(((positions(volume) - diffuse) / 40.0) ** 2).sum(axis=-1)).astype(np.float32)
    tumour = scan(volume, [(sharp, (16, 14, 18), 7.0)])
    volume = volume.with_array(tumour.array + haze)
    places = [
        Finding(tuple(volume.to_index(at)), share)
        for at, share in ((diffuse, share_of_diffuse), (sharp, 1 - share_of_diffuse))
    ]
    ordered, contour = select_lesion(volume, places)
    assert ordered == [places[chosen], places[1 - chosen]]
    if chosen == 1:
        assert dice(contour.in_volume(volume.shape), ellipsoid(volume, sharp, (16, 14, 18))) > 0.8


def test_no_finding_is_no_lesion():
    assert select_lesion(field((4.0, 4.0, 4.0)), []) == ([], None)


def test_a_lesion_says_where_it_is():
    ras = field((3.0, 5.0, 6.5))
    ras = ras.with_array(np.full(ras.shape, 2.0, np.float32))
    stored = stored_as(ras, (2, 0, 1), (False, True, False))
    inside = np.zeros((10, 9, 8), bool)
    inside[4:7, 5, 6:8] = True
    lesion = Lesion.from_contour(ras, Contour(inside, (10, 20, 5), np.zeros(0)), stored, 2, "oesophagus")
    assert lesion.position == pytest.approx((-120 + 15 * 3, 35 + 25 * 5, 400 + 11.5 * 6.5))
    assert stored.to_world(np.array(lesion.index)) == pytest.approx(lesion.position)
    assert lesion.index == pytest.approx((11.5, ras.shape[0] - 1 - 15, 25))
    assert lesion.volume_ml == pytest.approx(6 * 3 * 5 * 6.5 / 1000)
    assert (lesion.suv_max, lesion.suv_peak) == pytest.approx((2.0, 2.0))
    assert lesion.to_dict()["centroid"]["position"] == list(lesion.position)


def test_a_measure_in_a_window_is_that_in_the_whole_scan():
    ras = field((4.0, 4.0, 4.0))
    centre = place(ras, (125, 55, 160))
    ras = scan(ras, [(centre, (18, 14, 24), 9.0)])
    contour = lesion_at(ras, ras.to_index(centre))
    lesion = Lesion.from_contour(ras, contour, ras, 1, "lung")
    whole = measure(ras, contour.in_volume(ras.shape))
    assert {name: getattr(lesion, name) for name in whole} == pytest.approx(whole, rel=1e-5)


def test_the_finding_with_the_best_contour_and_share_is_the_lesion():
    volume = field((4.06, 4.06, 2.0))
    one, other = place(volume, (60, 60, 70)), place(volume, (130, 110, 170))
    volume = scan(volume, [(one, (16, 14, 18), 7.0), (other, (16, 14, 18), 7.0)])
    places = [Finding(tuple(volume.to_index(at)), share) for at, share in ((one, 0.3), (other, 0.7))]
    found, contour = select_lesion(volume, places)
    assert found == places[::-1]
    assert dice(contour.in_volume(volume.shape), ellipsoid(volume, other, (16, 14, 18))) > 0.8


def test_the_share_near_a_voxel_is_that_of_its_points():
    voxels, spacing = np.array([[10, 10, 10], [11, 10, 10], [40, 10, 10]]), np.array([4.0, 3.0, 2.0])
    points = CamPoints(voxels, np.log([1.0, 2.0, 5.0]), spacing)
    assert points.share_near(np.array([10.0, 10.0, 10.0]), 3.9) == pytest.approx(1 / 8)
    assert points.share_near(np.array([10.0, 10.0, 10.0]), 4.1) == pytest.approx(3 / 8)
    assert [one.share for one in points.findings()] == pytest.approx([5 / 8, 3 / 8])
