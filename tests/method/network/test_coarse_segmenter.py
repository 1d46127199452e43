from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from wslpet.core.errors import ModelError
from wslpet.data.phantom import PRESETS, make_patient
from wslpet.method.network.coarse_segmenter import (
    GRID_MM,
    CoarseNet,
    find,
    input_channels,
    load_network,
    presence,
    save_network,
)
from wslpet.method.normal.reference import MipImage, display_images
from wslpet.method.projection.mip import project

# A patient with lung cancer, off the middle; no phantom of this number was learned from.
SEED = 91_004


def body_with_spot(row: int, column: int, spacing: tuple[float, float]) -> MipImage:
    pixels = np.zeros((round(900 / spacing[0]), round(400 / spacing[1])), dtype=np.float32)
    pixels[:, pixels.shape[1] // 5 : -pixels.shape[1] // 5] = 0.8
    y, x = np.ogrid[: pixels.shape[0], : pixels.shape[1]]
    distance = np.hypot((y - row) * spacing[0], (x - column) * spacing[1])
    return MipImage(np.where(distance < 14, 6.0, pixels).astype(np.float32), spacing)


@pytest.mark.parametrize("spacing", [(2.0, 2.036), (3.27, 4.69), (5.0, 2.0)])
def test_a_spot_is_found_where_it_is_at_any_spacing(spacing: tuple[float, float]) -> None:
    row, column = round(310 / spacing[0]), round(140 / spacing[1])
    image = body_with_spot(row, column, spacing)
    found = find(load_network(), image)
    assert found.shape == image.pixels.shape and found.min() >= 0 and found.max() <= 1
    place = np.unravel_index(found.argmax(), found.shape)
    assert np.hypot((place[0] - row) * spacing[0], (place[1] - column) * spacing[1]) < 14
    assert presence(found, spacing) > presence(find(load_network(), body_with_spot(-999, -999, spacing)), spacing)


def test_a_mirrored_image_has_the_mirrored_answer() -> None:
    # Of a size that needs no padding, which is at one side.
    pixels = body_with_spot(150, 70, (2.0, 2.0)).pixels[:448, :192]
    one, other = (find(load_network(), MipImage(each, (2.0, 2.0))) for each in (pixels, pixels[:, ::-1]))
    assert np.allclose(one, other[:, ::-1], atol=1e-3)


def test_the_answer_is_the_mean_of_the_image_and_the_mirrored_one() -> None:
    image = body_with_spot(150, 70, (2.0, 2.0))
    both, plain, mirrored = (find(load_network(), image, steps) for steps in ((1, -1), (1,), (-1,)))
    assert np.allclose(both, (plain + mirrored) / 2, atol=1e-5) and not np.allclose(plain, mirrored, atol=1e-3)


def test_inputs_do_not_depend_on_air_above_the_body() -> None:
    body = np.zeros((120, 90), dtype=np.float32)
    body[10:, 25:65] = 0.2
    more = np.vstack([np.zeros((7, 90), dtype=np.float32), body])
    assert np.allclose(input_channels(body)[:, 10:], input_channels(more)[:, 17:], atol=1e-5)


def test_a_file_is_read_back_and_others_are_refused(tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = CoarseNet().eval()
    save_network(network, tmp_path / "a.pt", {"steps": 0})
    image = torch.rand(1, 3, 32, 32)
    assert torch.allclose(network(image), load_network(tmp_path / "a.pt")(image), atol=0.02)
    with pytest.raises(ModelError, match=r"segmenter none.pt does not exist"):
        load_network(tmp_path / "none.pt")
    (tmp_path / "b.pt").write_bytes(b"no weights")
    with pytest.raises(ModelError, match=r"b.pt cannot be read"):
        load_network(tmp_path / "b.pt")
    torch.save({"format": "other"}, tmp_path / "c.pt")
    with pytest.raises(ModelError, match=r"c.pt is not a wslpet-coarse-segmenter-1 file"):
        load_network(tmp_path / "c.pt")


@pytest.mark.slow
def test_the_shipped_weights_point_at_phantoms_lesions() -> None:
    hits, present = [], {True: [], False: []}
    for seed in range(SEED, SEED + 12):
        patient = make_patient(seed, PRESETS["lifelike"], (4.07, 4.07, GRID_MM))
        image = display_images(project(patient.volume.to_ras()))[0]
        found = find(load_network(), image)
        truth = patient.truth.array.any(axis=1)[::-1, ::-1].T
        present[bool(truth.any())].append(presence(found, image.spacing))
        if truth.any():
            row, column = np.unravel_index(found.argmax(), found.shape)
            hits.append(truth[max(0, row - 2) : row + 3, max(0, column - 2) : column + 3].any())
    assert np.mean(hits) > 0.5
    assert np.mean(present[True]) > np.mean(present[False])
