from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.helpers.blobs import STORAGES, empty, scan, stored_as
from tests.helpers.point_sources import hot_pixel, point_source
from wslpet.core.errors import SeedError
from wslpet.core.seeds import NO_TUMOUR, Seed, annotation_of
from wslpet.core.settings import Settings, settings_from
from wslpet.method.network.inputs import (
    Example,
    collate,
    example_arrays,
    example_from_arrays,
    load_example,
    network_channels,
    prepare,
    save_example,
)
from wslpet.method.projection.mip import VIEWS

SETTINGS = settings_from()


@pytest.mark.parametrize("spacing", [(4.0, 4.0, 4.0), (3.0, 5.0, 6.5)])
@pytest.mark.parametrize(("permutation", "flips"), STORAGES[::6])
def test_the_seed_lies_on_the_hot_spot_of_both_views(spacing, permutation, flips):
    shape = tuple(int(n / s) for n, s in zip((180, 150, 210), spacing, strict=True))
    ras = scan(empty(shape, spacing, (-300.0, 77.0, 500.0)), [])
    voxel = np.array(shape) * [2, 1, 3] // [3, 3, 4]
    ras.array[tuple(voxel)] = 80.0
    stored = stored_as(ras, permutation, flips)
    example = prepare(stored, Seed("lung", tuple(ras.to_world(voxel))), SETTINGS)
    for view in VIEWS:
        assert np.abs(hot_pixel(example.images[view][0]) - example.points[view]).max() < 0.5


def test_a_type_that_is_not_configured_and_a_seed_outside_are_refused():
    volume = scan(empty((20, 20, 20)), [])
    with pytest.raises(SeedError, match="case: cancer type 'breast' is not one of lung, oesophagus"):
        prepare(volume, Seed("breast", (10, 10, 10)), SETTINGS)
    with pytest.raises(SeedError, match=r"case: seed at .* lies outside the scan"):
        prepare(volume, Seed("lung", (-10, 10, 10)), SETTINGS)


def test_no_tumour_needs_no_place():
    settings = settings_from(no_tumour=True)
    example = prepare(scan(empty((20, 20, 20)), []), Seed(NO_TUMOUR, (-1e4, 0, 0)), settings)
    assert example.points is None


def test_the_scan_is_not_modified():
    volume = scan(empty((20, 20, 20)), [])
    before = volume.array.copy()
    prepare(volume, Seed("lung", (10, 10, 10)), SETTINGS)
    assert np.array_equal(before, volume.array)


def test_channels_are_scaled_mip_view_and_depth():
    def channels(suv: float, settings: Settings) -> dict[str, torch.Tensor]:
        images = {view: np.stack([np.full((3, 4), suv), np.full((3, 4), 50.0)]).astype(np.float32) for view in VIEWS}
        batch = collate([Example(images, None, "lung").to("cpu")], settings)
        return {view: network_channels(batch, view, settings)[0] for view in VIEWS}

    for number, view in enumerate(VIEWS):
        own = channels(7.5, SETTINGS)[view]
        assert own[:, 0, 0].tolist() == pytest.approx([0.5, number, 0.5])
        assert own[:, 2, 3].tolist() == own[:, 0, 0].tolist()
        assert not own[:, 3:].any() and not own[:, :, 4:].any()
    assert channels(7.5, settings_from("paper"))["coronal"][:, 0, 0].tolist() == pytest.approx([0.25, 0.0])
    assert channels(400.0, SETTINGS)["coronal"][0].max() == 1.0


def test_a_batch_is_padded_at_its_far_ends():
    settings = settings_from("paper", types=("oesophagus", "lung"), no_tumour=True)
    one = point_source()
    other = Example({view: image[:, :-7, :90] for view, image in one.images.items()}, None, NO_TUMOUR)
    batch = collate([one.to("cpu"), other.to("cpu")], settings)
    assert {view: tuple(images.shape) for view, images in batch.images.items()} == {
        "coronal": (2, 2, 64, 112),
        "sagittal": (2, 2, 32, 112),
    }
    assert batch.sizes["coronal"].tolist() == [[50, 100], [43, 90]]
    assert batch.sizes["sagittal"].tolist() == [[30, 100], [23, 90]]
    coronal = batch.images["coronal"]
    assert torch.equal(coronal[1, :, :43, :90], torch.from_numpy(other.images["coronal"]))
    assert not coronal[1, :, 43:].any() and not coronal[1, :, :, 90:].any()
    assert batch.types.tolist() == [1, 2]
    assert batch.points["sagittal"][0].tolist() == [12.0, 60.0]
    assert torch.isnan(batch.points["coronal"][1]).all()
    assert batch.seeded.tolist() == [True, False]


@pytest.mark.parametrize("cancer_type", ["lung", NO_TUMOUR])
def test_an_example_comes_back_from_its_file(tmp_path, cancer_type):
    seed = Seed(cancer_type, (10, 10, 10))
    example = prepare(scan(empty((20, 20, 20)), []), seed, settings_from(no_tumour=True))
    save_example(example, tmp_path / "example.npz")
    back = load_example(tmp_path / "example.npz")
    assert (back.points, back.cancer_type, back.name) == (example.points, example.cancer_type, example.name)
    assert all(np.array_equal(back.images[view], example.images[view]) for view in VIEWS)


def test_the_primary_is_learned_from_and_other_lesions_are_kept():
    volume = scan(empty((20, 20, 20)), [])
    seeds = [Seed("lung", (10, 10, 10)), Seed("lung", (30, 40, 20)), Seed("lung", (50, 8, 60))]
    alone, example = prepare(volume, seeds[0], SETTINGS), prepare(volume, annotation_of(seeds), SETTINGS)
    assert example.points == alone.points and alone.others == {}
    again = example_from_arrays(example_arrays(example))
    for view in VIEWS:
        np.testing.assert_allclose(example.others[view][0], prepare(volume, seeds[1], SETTINGS).points[view])
        np.testing.assert_array_equal(again.others[view], example.others[view])
    batch = collate([alone.to("cpu"), example.to("cpu")], SETTINGS)
    assert batch.others["coronal"].shape == (2, 2, 2)
    assert batch.others["coronal"][0].isnan().all() and batch.others["coronal"][1].isfinite().all()
