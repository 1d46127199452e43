"""Properties that hold whatever the numbers: geometry in world coordinates, and readers on any bytes."""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from wslpet.core.errors import InputError
from wslpet.core.seeds import Seed
from wslpet.core.volume import Volume
from wslpet.io.masks import read_mask, write_mask
from wslpet.io.readers import read_volume

quick = settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
numbers = st.floats(-1e3, 1e3, allow_nan=False)


@st.composite
def volumes(draw) -> Volume:
    """Any grid: permuted, flipped, tilted up to 40°, anisotropic, off-origin."""
    shape = draw(st.tuples(*[st.integers(2, 9)] * 3))
    spacing = np.array(draw(st.tuples(*[st.floats(0.5, 12)] * 3)))
    axes = np.eye(3)[:, draw(st.permutations(range(3)))] * draw(st.tuples(*[st.sampled_from([-1, 1])] * 3))
    tilt = Rotation.from_euler("xyz", draw(st.tuples(*[st.floats(-20, 20)] * 3)), degrees=True).as_matrix()
    affine = np.eye(4)
    affine[:3, :3] = tilt @ axes * spacing
    affine[:3, 3] = draw(st.tuples(numbers, numbers, numbers))
    array = np.zeros(shape, np.float32)
    array[tuple(draw(st.integers(0, n - 1)) for n in shape)] = 7
    return Volume(array, affine)


def hot(volume: Volume) -> np.ndarray:
    """Where the one hot voxel is, mm RAS."""
    return volume.to_world(np.argwhere(volume.array == 7)[0])


@quick
@given(volumes())
def test_a_voxel_stays_where_it_is_in_the_body(volume):
    ras = volume.to_ras()
    assert np.allclose(hot(ras), hot(volume), atol=1e-6)
    assert np.array_equal(volume.from_ras(ras.array), volume.array)
    assert np.isclose(ras.voxel_ml, volume.voxel_ml)
    # Each axis of the RAS volume runs more to the right, anterior, superior than anywhere else.
    assert (np.diag(ras.affine[:3, :3]) > 0).all()


@quick
@given(volumes(), st.tuples(numbers, numbers, numbers))
def test_index_and_position_are_inverse(volume, position):
    assert np.allclose(volume.to_world(volume.to_index(np.array(position))), position, atol=1e-6)


@quick
@given(volumes(), st.data())
def test_a_cropped_volume_keeps_its_world_position(volume, data):
    window = []
    for n, at in zip(volume.shape, np.argwhere(volume.array == 7)[0], strict=True):
        window.append(slice(data.draw(st.integers(0, int(at))), data.draw(st.integers(int(at) + 1, n))))
    assert np.allclose(hot(volume.cropped(tuple(window))), hot(volume), atol=1e-6)


@quick
@given(volumes(), st.sampled_from([".nii", ".nii.gz", ".nrrd", ".mha"]))
def test_a_mask_that_is_written_lies_where_it_did(tmp_path, volume, extension):
    mask = volume.with_array(volume.array.astype(np.uint8), "label")
    path = tmp_path / f"mask{extension}"
    write_mask(mask, path)
    assert np.allclose(hot(read_mask(path)), hot(mask), atol=1e-3)


@quick
@given(st.text(min_size=1), st.tuples(numbers, numbers, numbers), st.none() | st.tuples(numbers, numbers, numbers))
def test_a_seed_is_restored_from_its_record(cancer_type, position, index):
    seed = Seed(cancer_type, position, index)
    assert Seed.from_dict(seed.to_dict()) == seed


def _scans(folder: Path) -> dict[str, bytes]:
    array = np.zeros((5, 4, 6), np.float32)
    array[2, 2, 3] = 7
    plain = nib.Nifti1Image(array, np.diag([4.0, 4, 4, 1])).to_bytes()
    found = {".nii": plain, ".nii.gz": gzip.compress(plain)}
    for extension in (".nrrd", ".mha"):
        path = folder / f"good{extension}"
        write_mask(Volume(array.astype(np.uint8), np.diag([4.0, 4, 4, 1]), "label"), path, compress=False)
        found[extension] = path.read_bytes()
    return found


@pytest.mark.parametrize("extension", [".nii", ".nii.gz", ".nrrd", ".mha"])
def test_readers_read_or_refuse_any_bytes_without_crashing(tmp_path, extension):
    good = _scans(tmp_path)[extension]
    path = tmp_path / f"fuzzed{extension}"

    @settings(deadline=None, max_examples=300)
    @given(st.data())
    def read_damaged(data):
        content = bytearray(good)
        head = min(len(content), 400) - 1
        for _ in range(data.draw(st.integers(1, 8))):
            content[data.draw(st.integers(0, head))] = data.draw(st.integers(0, 255))
        cut = data.draw(st.none() | st.integers(0, len(content)))
        inner = data.draw(st.binary(max_size=20))
        path.write_bytes(bytes(content[:cut]) + inner)
        for read in (read_volume, read_mask):
            try:
                assert np.isfinite(read(path).array).all()
            except InputError as error:
                assert str(tmp_path) not in str(error)  # no folder of the server's in a refusal

    read_damaged()


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=600))
def test_gzip_of_anything_is_refused(content):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.nii.gz"
        path.write_bytes(gzip.compress(content))
        with pytest.raises(InputError):
            read_volume(path)
