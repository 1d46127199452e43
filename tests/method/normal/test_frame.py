"""The frame of the body: landmarks of differently sized, shifted and cut people come to the same place."""

import numpy as np
import pytest

from wslpet.core.arrays import Array
from wslpet.method.normal.frame import FIT_MM, BodyFrame, FrameFit, features
from wslpet.method.normal.reference import MipImage, build_template

MM = 4.0
# Centres (row, column) and radii of organs of a person of 960 × 360 mm, mm, and their SUV.
ORGANS = (((80, 180), 55, 6.0), ((330, 200), 35, 4.0), ((420, 130), 55, 2.5), ((760, 180), 30, 7.0))
BLADDER = np.array([760.0, 180.0])


def figure(scale: tuple[float, float], shift: tuple[float, float], shape: tuple[int, int] = (280, 130)) -> Array:
    """(row, column) SUV on pixels of `MM` of a person scaled about the origin, then shifted in mm."""
    y, x = ((np.arange(n) + 0.5) * MM for n in shape)
    y, x = ((y - shift[0]) / scale[0])[:, None], ((x - shift[1]) / scale[1])[None, :]
    image = np.where((y > 20) & (y < 960) & (np.abs(x - 180) < 140), 0.8, 0.0)
    for (row, column), radius, suv in ORGANS:
        image = np.where((y - row) ** 2 + (x - column) ** 2 < radius**2, suv, image)
    return image.astype(np.float32)


@pytest.fixture(scope="module")
def fit() -> FrameFit:
    rng = np.random.default_rng(0)
    people = [
        [MipImage(figure(tuple(rng.uniform(0.97, 1.03, 2)), (60 + rng.normal(0, 5), 80.0)), (MM, MM))] for _ in range(4)
    ]
    template, weight = build_template(people)
    return FrameFit(template[0], weight[0])


def bladder(fit: FrameFit, image: Array, scale: tuple[float, float], shift: tuple[float, float]) -> Array:
    """Place of the bladder in the frame, mm."""
    pixel = (BLADDER * scale + shift) / MM - 0.5
    return (fit.fit(image, (MM, MM)).point(tuple(pixel), (MM, MM), 1.0) + 0.5).astype(float)


@pytest.mark.parametrize("scale", [(0.9, 1.0), (1.1, 0.9), (1.0, 1.12)])
@pytest.mark.parametrize("shift", [(20.0, 40.0), (110.0, 100.0)])
def test_landmarks_of_any_size_and_place_coincide(fit, scale, shift):
    usual = bladder(fit, figure((1.0, 1.0), (60.0, 80.0)), (1.0, 1.0), (60.0, 80.0))
    found = bladder(fit, figure(scale, shift, (310, 150)), scale, shift)
    assert np.linalg.norm(found - usual) < 12


def test_a_partial_body_is_placed_where_it_belongs(fit):
    whole = figure((1.0, 1.0), (60.0, 80.0))
    usual = bladder(fit, whole, (1.0, 1.0), (60.0, 80.0))
    first = 70  # from above the heart down: no head
    found = bladder(fit, whole[first:], (1.0, 1.0), (60.0 - first * MM, 80.0))
    assert np.linalg.norm(found - usual) < 16


def test_a_hot_lesion_does_not_move_the_frame(fit):
    image = figure((1.0, 1.0), (60.0, 80.0))
    before = fit.fit(image, (MM, MM))
    image[100:112, 60:72] = 25.0
    after = fit.fit(image, (MM, MM))
    assert np.abs(np.subtract(before.origin, after.origin)).max() < 12


def test_resampling_to_the_frame_and_back_keeps_a_point():
    frame = BodyFrame((-30.0, 14.0), (1.07, 0.94))
    image = np.zeros((200, 120), dtype=np.float32)
    image[90:96, 50:56] = 4.0
    placed = frame.to_frame(image, (3.0, 4.0))
    hot = np.argwhere(np.nan_to_num(placed) > 3.5).mean(axis=0)
    assert np.allclose(hot, frame.point((92.5, 52.5), (3.0, 4.0)), atol=0.6)
    back = frame.from_frame(np.nan_to_num(placed), image.shape, (3.0, 4.0))
    assert np.allclose(np.argwhere(back > 2).mean(axis=0), (92.5, 52.5), atol=0.3)
    assert np.isnan(placed[0]).all()  # the image begins 30 mm below the frame's first row


def test_features_are_cut_where_lesions_begin():
    assert features(np.array([0.0, 3.0, 40.0])).tolist() == [0.0, 1.0, 1.0]
    assert FIT_MM == 8.0
