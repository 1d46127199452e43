from __future__ import annotations

import numpy as np
import pytest
import torch

from wslpet.core.settings import settings_from
from wslpet.method.network.cam import OUTSIDE, Cams, batch_cams, cell_points, mask_outside, normalise
from wslpet.method.network.checkpoint import new_network
from wslpet.method.network.inputs import Example, collate


def random_cams(n=2, classes=3, x=4, y=3, z=5) -> Cams:
    rng = torch.Generator().manual_seed(0)
    coronal = torch.randn(n, classes, x, z, generator=rng) * 2
    sagittal = torch.randn(n, classes, y, z, generator=rng) * 2
    return Cams(coronal, sagittal, 16.0)


def volumes(cams: Cams) -> np.ndarray:
    """(n, class, x, y, z): the 3D map, built."""
    return np.exp(cams.coronal[:, :, :, None, :].numpy() + cams.sagittal[:, :, None, :, :].numpy())


def test_log_mass_is_the_log_of_the_sum_over_the_3d_map():
    cams = random_cams()
    assert cams.log_mass().numpy() == pytest.approx(np.log(volumes(cams).sum(axis=(2, 3, 4))), rel=1e-5)


def test_log_mass_takes_a_weight_for_each_view():
    cams = random_cams()
    coronal, sagittal = torch.randn(2, 1, 4, 5), torch.randn(2, 1, 3, 5)
    weighted = volumes(cams) * np.exp(coronal.numpy()[:, :, :, None, :] + sagittal.numpy()[:, :, None, :, :])
    assert cams.log_mass(coronal, sagittal).numpy() == pytest.approx(np.log(weighted.sum(axis=(2, 3, 4))), rel=1e-4)


def test_log_sum_exp_pools_to_the_sum_of_the_3d_map():
    cams = random_cams()
    expected = np.log(volumes(cams).sum(axis=(2, 3, 4)))
    assert cams.type_scores("log-sum-exp").numpy() == pytest.approx(expected, abs=1e-4)


def test_average_pools_to_the_mean_of_the_views():
    cams = random_cams()
    expected = (cams.coronal.mean(dim=(2, 3)) + cams.sagittal.mean(dim=(2, 3))) / 2
    assert torch.allclose(cams.type_scores("average"), expected, atol=1e-5)


@pytest.mark.parametrize("pooling", ["log-sum-exp", "average"])
def test_padding_does_not_change_a_score(pooling):
    cams = random_cams()
    padded = [torch.nn.functional.pad(cam, (0, 2, 0, 3), value=OUTSIDE) for cam in (cams.coronal, cams.sagittal)]
    scores = Cams(*padded, 16.0).type_scores(pooling)
    assert torch.allclose(scores, cams.type_scores(pooling), atol=1e-4)


def test_normalise_is_equation_1():
    cam = torch.tensor([[-1.0, 2.0], [4.0, 1.0]])
    assert torch.allclose(normalise(cam), torch.tensor([[0.0, 0.5], [1.0, 0.25]]))
    assert torch.equal(normalise(-torch.ones(1, 3, 3)), torch.zeros(1, 3, 3))


def test_cells_are_outside_when_their_centre_is():
    cam = torch.zeros(2, 1, 3, 4)
    masked = mask_outside(cam, torch.tensor([[8, 16], [11, 7]]), stride=4)
    assert (masked[0, 0] == OUTSIDE).tolist() == [[False] * 4, [False] * 4, [True] * 4]
    assert (masked[1, 0] == OUTSIDE).tolist() == [[False, False, True, True]] * 3
    assert torch.equal(cam, torch.zeros(2, 1, 3, 4))


def test_cell_points_are_centred():
    settings = settings_from()
    points = torch.tensor([[(settings.stride - 1) / 2, settings.stride - 0.5]])
    assert torch.allclose(cell_points(points, settings), torch.tensor([[0.0, 0.5]]))


def test_patients_of_a_batch_do_not_disturb_each_other():
    settings = settings_from(widths=(8,) * 8)
    rng = np.random.default_rng(0)
    small, large = (
        Example(
            {view: rng.uniform(0, 5, (2, u, z)).astype(np.float32) for view, u in (("coronal", 40), ("sagittal", 24))},
            None,
            "lung",
        ).to("cpu")
        for z in (40, 64)
    )
    network = new_network(settings).eval()
    with torch.inference_mode():
        both = batch_cams(network, collate([small, large], settings), settings)
        alone = batch_cams(network, collate([large], settings), settings)
    assert both.coronal.shape[0] == both.sagittal.shape[0] == 2
    assert (both.coronal[0, :, :, 10:] == OUTSIDE).all()
    assert torch.allclose(both.coronal[1], alone.coronal[0], atol=1e-4)
