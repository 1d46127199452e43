from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from wslpet.method.network.cam import OUTSIDE, Cams
from wslpet.method.training.losses import SEED_SD_MM, distance_loss, type_loss

CELL_MM = 16.0
X, Y, Z = 5, 4, 6
NONE = [math.nan, math.nan]


def random_cams(n=3, classes=2) -> Cams:
    rng = torch.Generator().manual_seed(3)
    return Cams(torch.randn(n, classes, X, Z, generator=rng), torch.randn(n, classes, Y, Z, generator=rng), CELL_MM)


def seeds_at(*places) -> dict[str, torch.Tensor]:
    return {
        "coronal": torch.tensor([NONE if p is None else [p[0], p[2]] for p in places]),
        "sagittal": torch.tensor([NONE if p is None else [p[1], p[2]] for p in places]),
    }


def spike(place) -> Cams:
    coronal, sagittal = torch.full((1, 2, X, Z), -40.0), torch.full((1, 2, Y, Z), -40.0)
    coronal[:, :, place[0], place[2]] = 40.0
    sagittal[:, :, place[1], place[2]] = 40.0
    return Cams(coronal, sagittal, CELL_MM)


def naive_expected(cam: np.ndarray, seed) -> float:
    mass, total = 0.0, 0.0
    for u, z in np.ndindex(cam.shape):
        p = math.exp(cam[u, z])
        mass += p
        total += p * CELL_MM * math.hypot(u - seed[0], z - seed[1])
    return total / mass / 100.0


def naive_likelihood(coronal: np.ndarray, sagittal: np.ndarray, seed) -> float:
    variance = SEED_SD_MM**2 + CELL_MM**2 / 12
    mass, near = 0.0, 0.0
    for x, y, z in np.ndindex(X, Y, Z):
        p = math.exp(coronal[x, z] + sagittal[y, z])
        square = CELL_MM**2 * ((x - seed[0]) ** 2 + (y - seed[1]) ** 2 + (z - seed[2]) ** 2)
        mass += p
        near += p * math.exp(-square / (2 * variance))
    return math.log(mass / near)


PLACES = [(1.3, 2.0, 4.2), (3.0, 0.5, 0.9), (0.0, 3.2, 2.2)]
TYPES = torch.tensor([0, 1, 1])


def test_expected_distance_is_the_sum_over_cells():
    cams = random_cams()
    expected = np.mean(
        [
            naive_expected(cams.coronal[i, t].numpy(), (x, z)) / 2
            + naive_expected(cams.sagittal[i, t].numpy(), (y, z)) / 2
            for i, (t, (x, y, z)) in enumerate(zip(TYPES, PLACES, strict=True))
        ]
    )
    assert distance_loss(cams, TYPES, seeds_at(*PLACES), "expected").item() == pytest.approx(expected, rel=1e-3)


def test_likelihood_is_the_sum_over_the_3d_map():
    cams = random_cams()
    expected = np.mean(
        [
            naive_likelihood(cams.coronal[i, t].numpy(), cams.sagittal[i, t].numpy(), place)
            for i, (t, place) in enumerate(zip(TYPES, PLACES, strict=True))
        ]
    )
    assert distance_loss(cams, TYPES, seeds_at(*PLACES), "likelihood").item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("form", ["expected", "likelihood"])
def test_patients_without_a_seed_do_not_count(form):
    cams = random_cams()
    all_of_them = distance_loss(
        Cams(cams.coronal[::2], cams.sagittal[::2], CELL_MM), TYPES[::2], seeds_at(PLACES[0], PLACES[2]), form
    )
    assert distance_loss(cams, TYPES, seeds_at(PLACES[0], None, PLACES[2]), form).item() == pytest.approx(
        all_of_them.item(), rel=1e-5
    )
    assert distance_loss(cams, TYPES, seeds_at(None, None, None), form).item() == 0.0


@pytest.mark.parametrize("form", ["expected", "likelihood"])
def test_a_patient_without_a_seed_has_no_gradient(form):
    cams = random_cams()
    cams.coronal.requires_grad_()
    distance_loss(cams, TYPES, seeds_at(PLACES[0], None, PLACES[2]), form).backward()
    assert torch.isfinite(cams.coronal.grad).all()
    assert cams.coronal.grad.abs().sum(dim=(1, 2, 3)).bool().tolist() == [True, False, True]


def test_off_is_off():
    assert distance_loss(random_cams(), TYPES, seeds_at(*PLACES), "off").item() == 0.0


@pytest.mark.parametrize("form", ["expected", "likelihood"])
def test_a_cam_at_the_seed_costs_nothing_and_more_the_further_away(form):
    types = torch.tensor([0])
    costs = [distance_loss(spike((2, 1, z)), types, seeds_at((2.0, 1.0, 0.0)), form).item() for z in range(Z)]
    assert costs[0] == pytest.approx(0.0, abs=1e-3)
    assert all(b > a + 0.05 for a, b in pairwise(costs))


@pytest.mark.parametrize("form", ["expected", "likelihood"])
@pytest.mark.parametrize("axis", range(3))
def test_every_axis_costs(form, axis):
    place = [2, 1, 3]
    seed = [float(p) for p in place]
    place[axis] += 2
    assert distance_loss(spike(place), torch.tensor([1]), seeds_at(seed), form).item() > 0.1


@pytest.mark.parametrize("form", ["expected", "likelihood"])
def test_the_gradient_pulls_the_cam_to_the_seed(form):
    coronal, sagittal = torch.zeros(1, 2, X, Z, requires_grad=True), torch.zeros(1, 2, Y, Z, requires_grad=True)
    distance_loss(Cams(coronal, sagittal, CELL_MM), torch.tensor([1]), seeds_at((1.0, 2.0, 3.0)), form).backward()
    assert (coronal.grad[:, 0] == 0).all()
    assert coronal.grad[0, 1].flatten().argmin().item() == 1 * Z + 3
    assert sagittal.grad[0, 1].flatten().argmin().item() == 2 * Z + 3


@pytest.mark.parametrize("form", ["expected", "likelihood"])
def test_padding_and_far_seeds_stay_finite(form):
    cams = random_cams(n=1)
    coronal = torch.nn.functional.pad(cams.coronal, (0, 4, 0, 4), value=OUTSIDE).requires_grad_()
    sagittal = torch.nn.functional.pad(cams.sagittal, (0, 4, 0, 4), value=OUTSIDE)
    loss = distance_loss(Cams(coronal, sagittal, CELL_MM), torch.tensor([0]), seeds_at((200.0, -150.0, 90.0)), form)
    loss.backward()
    assert math.isfinite(loss.item()) and torch.isfinite(coronal.grad).all()
    near = distance_loss(cams, torch.tensor([0]), seeds_at(PLACES[0]), form)
    padded = distance_loss(Cams(coronal, sagittal, CELL_MM), torch.tensor([0]), seeds_at(PLACES[0]), form)
    assert padded.item() == pytest.approx(near.item(), rel=1e-4)


def test_type_loss_is_the_negative_log_share():
    scores = torch.tensor([[2.0, 0.0], [1.0, 3.0]])
    expected = -np.mean(
        [math.log(math.exp(2) / (math.exp(2) + 1)), math.log(math.exp(1) / (math.exp(1) + math.exp(3)))]
    )
    assert type_loss(scores, torch.tensor([0, 0])).item() == pytest.approx(expected)


@pytest.mark.parametrize("form", ["expected", "likelihood"])
def test_another_lesion_is_no_background(form):
    first, other, elsewhere = (1, 1, 1), (4, 3, 4), (1, 3, 4)
    cams = random_cams(1)
    for cam in (cams.coronal, cams.sagittal):
        cam.requires_grad_(True)
    others = {view: places[:, None] for view, places in seeds_at(other).items()}
    distance_loss(cams, torch.tensor([0]), seeds_at(first), form, others).backward()
    coronal, sagittal = cams.coronal.grad[0, 0], cams.sagittal.grad[0, 0]
    assert coronal[other[0], other[2]] == 0 and sagittal[other[1], other[2]] == 0
    assert coronal[first[0], first[2]] < 0 and coronal[elsewhere[0], elsewhere[2]] > 0


def test_missing_others_change_nothing():
    cams, seeds = random_cams(), seeds_at(*PLACES)
    none = {view: torch.full((3, 2, 2), math.nan) for view in ("coronal", "sagittal")}
    for form in ("expected", "likelihood"):
        assert distance_loss(cams, TYPES, seeds, form, none) == distance_loss(cams, TYPES, seeds, form)
