"""Where a NIfTI lies: by the form that ITK goes by, and masks of it for ITK and nibabel alike."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nibabel.affines import apply_affine
from scipy.spatial.transform import Rotation

from wslpet.core.errors import GeometryError, InputError
from wslpet.core.volume import Volume
from wslpet.io.masks import read_mask, write_mask
from wslpet.io.readers import decoded, read_volume

SHAPE = (5, 6, 7)
RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
CORNERS = np.array(list(product(*((0, n - 1) for n in SHAPE))), dtype=float)
AGREE_MM = 0.1
CODES = list(product(range(5), range(5)))


def _moved(affine: np.ndarray, shift: tuple[float, float, float] = (25, -18, 12), degrees: float = 9.0) -> np.ndarray:
    turned = np.eye(4)
    turned[:3, :3] = Rotation.from_euler("xyz", (degrees, -degrees / 2, degrees), degrees=True).as_matrix()
    moved = turned @ affine
    moved[:3, 3] += shift
    return moved


def _sheared(affine: np.ndarray) -> np.ndarray:
    sheared = affine.copy()
    sheared[:3, 2] += 0.1 * sheared[:3, 0]
    return sheared


def _grid(rows: list[list[float]], origin: tuple[float, float, float]) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = rows, origin
    return affine


AXES = {
    "flipped": _grid([[-4, 0, 0], [0, -5, 0], [0, 0, 6]], (80, 70, -40)),
    "straight": _grid([[4, 0, 0], [0, 5, 0], [0, 0, 6]], (-310, 20, 900)),
    "permuted": _grid([[0, 0, 6], [-4, 0, 0], [0, 5, 0]], (10, -20, 30)),
    "left-handed": _grid([[0, 5, 0], [4, 0, 0], [0, 0, 6]], (1, 2, 3)),
}
SFORMS = {"moved": _moved, "sheared": _sheared, "mirrored": lambda a: np.diag([-1.0, 1, 1, 1]) @ a}


def pet() -> np.ndarray:
    return np.random.default_rng(0).uniform(0.2, 9, SHAPE).astype(np.float32)


def _write(path, qform: np.ndarray, sform: np.ndarray, codes: tuple[int, int], array: np.ndarray | None = None) -> None:
    image = nib.Nifti1Image(pet() if array is None else array, qform)
    image.set_qform(qform, codes[0])
    image.set_sform(sform, codes[1], update_affine=False)
    header = image.header
    header.set_qform(qform, max(codes[0], 1))  # nibabel leaves the quaternion alone where the code is 0
    header["qform_code"] = codes[0]
    header["srow_x"], header["srow_y"], header["srow_z"] = sform[:3]
    header["sform_code"] = codes[1]
    header.set_data_offset(352)
    path.write_bytes(header.binaryblock + bytes(4) + image.get_fdata(dtype=np.float32).tobytes(order="F"))


def _itk(path) -> np.ndarray:
    """(4, 4), voxel index → mm RAS, as ITK reads a file; raises RuntimeError where it does not."""
    image = sitk.ReadImage(str(path))
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return RAS @ affine


def _apart(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.linalg.norm(apply_affine(one, CORNERS) - apply_affine(other, CORNERS), axis=1).max())


def _check_as_itk(folder, qform: np.ndarray, sform: np.ndarray, codes: tuple[int, int]) -> None:
    path = folder / "scan.nii"
    _write(path, qform, sform, codes)
    try:
        seen = _itk(path)
    except RuntimeError:
        seen = None
    if seen is None or codes == (0, 0):
        with pytest.raises(GeometryError, match=r"scan\.nii.*(shears|no orientation)"):
            read_volume(path)
        return
    volume = read_volume(path)
    assert _apart(volume.affine, seen) < 0.01
    mask = volume.with_array((volume.array > 5).astype(np.uint8), "label")
    scan = nib.load(path)
    for name in ("mask.nii", "mask.nii.gz", "mask.nrrd", "mask.mha"):
        write_mask(mask, folder / name)
        assert _apart(_itk(folder / name), seen) < AGREE_MM, name
        assert np.array_equal(read_mask(folder / name).array, mask.array)
        assert _apart(read_mask(folder / name).affine, volume.affine) < 0.01
    written = nib.load(folder / "mask.nii.gz")
    assert _apart(written.affine, scan.affine) < AGREE_MM
    for field in ("qform_code", "sform_code", "quatern_b", "qoffset_x", "srow_x", "srow_y", "srow_z"):
        assert np.array_equal(written.header[field], scan.header[field]), field
    assert np.array_equal(written.header["pixdim"][:4], scan.header["pixdim"][:4])


@pytest.mark.parametrize("codes", CODES, ids=lambda codes: f"q{codes[0]}s{codes[1]}")
@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize("sform", SFORMS)
def test_a_scan_and_its_masks_lie_where_itk_sees_them(tmp_path, sform, axes, codes):
    _check_as_itk(tmp_path, AXES[axes], SFORMS[sform](AXES[axes]), codes)


@settings(deadline=None, max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_the_affine_is_that_of_itk_for_any_qform_and_sform(tmp_path, data):
    spacing = np.array(data.draw(st.tuples(*[st.floats(0.8, 8)] * 3)))
    axes = np.eye(3)[:, data.draw(st.permutations(range(3)))] * data.draw(st.tuples(*[st.sampled_from([-1, 1])] * 3))
    tilt = Rotation.from_euler("xyz", data.draw(st.tuples(*[st.floats(-25, 25)] * 3)), degrees=True).as_matrix()
    qform = _grid(tilt @ axes * spacing, data.draw(st.tuples(*[st.floats(-800, 800)] * 3)))
    shift, degrees = (
        data.draw(st.tuples(*[st.floats(-50, 50)] * 3)),
        data.draw(st.sampled_from([0.0, 0.001, 3.0, 40.0])),
    )
    sform = _moved(qform, shift, degrees)
    sform[:3, 2] += data.draw(st.sampled_from([0.0, 0.0, 1e-6, 0.01, 0.2])) * sform[:3, 0]
    # Lengths that ITK takes from pixdim stay those of the columns.
    sform[:3, :3] *= spacing / np.linalg.norm(sform[:3, :3], axis=0)
    _check_as_itk(tmp_path, qform, sform, data.draw(st.sampled_from(CODES)))


@dataclass(frozen=True)
class Registered:
    """A scan whose sform leads to the CT, as SPM's "Coregister: Estimate" leaves it."""

    path: object
    qform: np.ndarray
    sform: np.ndarray


@pytest.fixture
def registered(tmp_path) -> Registered:
    qform = AXES["flipped"]
    sform = _moved(qform, degrees=0)
    _write(tmp_path / "coreg.nii", qform, sform, (1, 2))
    return Registered(tmp_path / "coreg.nii", qform, sform)


def _label(at: tuple[int, int, int]) -> np.ndarray:
    label = np.zeros(SHAPE, np.uint8)
    label[at] = 1
    return label


def test_a_label_of_slicer_lies_at_its_voxel(registered, tmp_path):
    scan = sitk.ReadImage(str(registered.path))
    label = sitk.GetImageFromArray(_label((3, 2, 5)).T.copy())
    label.CopyInformation(scan)
    sitk.WriteImage(label, str(tmp_path / "label.nrrd"))
    volume = read_volume(registered.path)
    position = read_mask(tmp_path / "label.nrrd", volume).to_world((3, 2, 5))
    assert np.allclose(volume.to_index(position), (3, 2, 5), atol=0.01)


@pytest.mark.parametrize("keeps_header", [True, False])
def test_a_label_of_nibabel_lies_at_its_voxel(registered, tmp_path, keeps_header):
    scan = nib.load(registered.path)
    header = scan.header if keeps_header else None
    nib.save(nib.Nifti1Image(_label((3, 2, 5)), scan.affine, header), tmp_path / "label.nii.gz")
    volume = read_volume(registered.path)
    position = read_mask(tmp_path / "label.nii.gz", volume).to_world((3, 2, 5))
    assert np.allclose(volume.to_index(position), (3, 2, 5), atol=0.01)


def test_a_label_elsewhere_stays_there(registered, tmp_path):
    elsewhere = registered.qform.copy()
    elsewhere[:3, 3] += 3
    nib.save(nib.Nifti1Image(_label((3, 2, 5)), elsewhere), tmp_path / "label.nii.gz")
    mask = read_mask(tmp_path / "label.nii.gz", read_volume(registered.path))
    assert np.allclose(mask.affine, elsewhere, atol=1e-3)


def test_voxel_sizes_that_contradict_each_other_are_refused(tmp_path):
    sform = AXES["flipped"] @ np.diag([1.0, 1.0, 1.5, 1.0])
    _write(tmp_path / "scan.nii", AXES["flipped"], sform, (0, 2))
    with pytest.raises(
        GeometryError, match=r"4\.0, 5\.0, 9\.0\] mm by its sform and of \[4\.0, 5\.0, 6\.0\] mm by its pixdim"
    ):
        read_volume(tmp_path / "scan.nii")


@pytest.mark.parametrize("unit", ["meter", "micron"])
def test_another_unit_of_length_is_refused(tmp_path, unit):
    image = nib.Nifti1Image(pet(), AXES["flipped"])
    image.header.set_xyzt_units(unit)
    nib.save(image, tmp_path / "scan.nii")
    with pytest.raises(GeometryError, match=f"voxel sizes are in {unit}"):
        read_volume(tmp_path / "scan.nii")


def test_a_quaternion_that_is_none_is_refused(tmp_path):
    _write(tmp_path / "scan.nii", AXES["flipped"], _sheared(AXES["flipped"]), (1, 2))
    content = bytearray((tmp_path / "scan.nii").read_bytes())
    content[256:260] = np.float32(1.7).tobytes()  # quatern_b
    (tmp_path / "scan.nii").write_bytes(content)
    with pytest.raises(InputError, match=r"scan\.nii.*qform cannot be used"):
        read_volume(tmp_path / "scan.nii")


@pytest.mark.parametrize("extension", [".nrrd", ".mha"])
def test_sheared_axes_of_other_formats_are_refused(tmp_path, extension):
    mask = Volume(pet().astype(np.uint8), _sheared(AXES["permuted"]), "label")
    write_mask(mask, tmp_path / f"mask{extension}")
    with pytest.raises(GeometryError, match="right angles"):
        decoded(tmp_path / f"mask{extension}")


def test_a_crop_and_a_turned_volume_do_not_claim_the_forms(registered):
    volume = read_volume(registered.path)
    assert volume.forms
    assert not volume.to_ras().forms and not volume.cropped((slice(1, 3),) * 3).forms
