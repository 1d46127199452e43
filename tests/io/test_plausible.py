"""What is no PET in SUV is told by its values, and no PET in SUV is told to be none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from wslpet.core.errors import InputError
from wslpet.core.volume import Volume
from wslpet.data.phantom import PRESETS
from wslpet.data.phantom.patient import make_patient
from wslpet.io.readers import check_suv, read_volume

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def body() -> np.ndarray:
    """A lesion of SUV 9.8 in a body of 0.8."""
    offset = np.indices((44, 44, 60)) - np.array([20, 20, 20])[:, None, None, None]
    return np.asfortranarray(0.8 + 9 * np.exp(-(offset**2).sum(0) / 12), np.float32)


def ct(seed: int = 0) -> np.ndarray:
    """HU: air, soft tissue, a bone."""
    offset = np.indices((44, 44, 60)) - 20
    hu = np.where(offset[0] ** 2 + offset[1] ** 2 < 300, 40.0, -1000.0)
    hu[18:22, 30:32] = 1400
    return hu + np.random.default_rng(seed).normal(0, 12, hu.shape)


def mask() -> np.ndarray:
    return (body() > 4).astype(np.float32)


def resampled(array: np.ndarray, how: int, spacing: float = 0.7) -> np.ndarray:
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.T, np.float32))
    size = [round(n / spacing) for n in image.GetSize()]
    identity, origin, direction = sitk.Transform(), image.GetOrigin(), image.GetDirection()
    return sitk.GetArrayFromImage(sitk.Resample(image, size, identity, how, origin, [spacing] * 3, direction)).T


def check(array: np.ndarray, from_file: bool = True) -> None:
    array = np.asfortranarray(array, np.float32)
    check_suv(Volume(array, np.diag([4.0, 4, 4, 1]), "SUV", "x.nii"), array.min(), array.max(), from_file)


NO_SUV = {
    "mask": (lambda: mask(), "whole numbers only, up to 1 "),
    "mask of two lesions": (lambda: mask() + (body() > 8), "whole numbers only, up to 2 "),
    "mask times 255": (lambda: mask() * 255, "whole numbers only"),
    "mask with a slope": (lambda: mask() * 0.7, r"holds 2 values.*0\.7 \(a mask"),
    "mask, resampled": (lambda: resampled(mask(), sitk.sitkLinear), "a mask"),
    "mask, smoothed": (lambda: resampled(mask(), sitk.sitkLinear, 1.3), "a mask"),
    "CT as stored": (lambda: np.round(ct() + 1024).clip(0), "whole numbers only, up to 2"),
    "CT as stored, resampled": (lambda: (ct() + 1024).clip(0), "median of the body is 10.*a CT"),
    "CT": (ct, "% of its voxels are below -1"),
    "CT of soft tissue": (lambda: ct()[12:28, 12:28], "median of the body is 40"),
    "Bq/ml around a lesion": (lambda: body()[12:28, 12:28, 12:28] / 9.8 * 2.3 * 4100, r"median of the body.*Bq/ml"),
    "Bq/ml of a low dose": (lambda: body() / 9.8 * 40 * 240, r"median of the body.*Bq/ml"),
    "Bq/ml": (lambda: body() * 4100, "maximum 4.* is not SUV"),
    "MBq/ml": (lambda: body() * 4100e-6, "median of the body is 0.003.*MBq/ml"),
    "MBq/ml by a wrong slope": (lambda: body() * 4100e-9, "median of the body is 3.*e-06.*MBq/ml"),
    "share of the maximum": (lambda: body() / 9.8, "median of the body is 0.08"),
}


@pytest.mark.parametrize("name", NO_SUV)
def test_an_image_not_in_suv_is_refused_with_the_value(name):
    array, said = NO_SUV[name]
    with pytest.raises(InputError, match=rf"image x\.nii.*{said}.*(give the PET in SUV|convert it to SUVbw first)"):
        check(array())


def with_bladder() -> np.ndarray:
    array = body()
    array[28:33, 20:24, 45:49] = 45
    return array


SUV = {
    "body": body,
    "undershoot beside a bladder": lambda: resampled(with_bladder(), sitk.sitkBSpline, 0.5),
    "noise of filtered back projection": lambda: with_bladder() + np.random.default_rng(1).normal(0, 0.5, body().shape),
    "one padded voxel": lambda: np.concatenate([body(), np.full((1, 44, 60), -1024, np.float32)])[:, :, :30],
    "half the uptake": lambda: body() / 2,
    "twice the uptake": lambda: body() * 2,
    "stored to a tenth": lambda: np.round(body(), 1),
    "nothing around": lambda: np.pad(body(), 60),
    "a crop": lambda: body()[12:28, 12:28, 12:28],
}


@pytest.mark.parametrize("name", SUV)
def test_images_in_suv_are_accepted(name):
    check(SUV[name]())


def test_a_dicom_series_is_not_checked_for_plausible_values():
    check(mask() * 3 - 1.5, from_file=False)
    for absurd in (np.full((3, 3, 3), np.nan), np.zeros((3, 3, 3)), np.full((3, 3, 3), 2e4)):
        with pytest.raises(InputError):
            check(absurd, from_file=False)


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("preset", PRESETS)
def test_phantoms_pass_the_plausibility_checks(preset, factor):
    check(make_patient(11, PRESETS[preset]).volume.array * factor)


def _real() -> list[Path]:
    folders = ("real_lesions", "real_scans", "ibsi_sts_pet")
    return [f for name in folders for f in sorted((DATA / name).rglob("*.nii.gz")) if "mask" not in f.name]


@pytest.mark.slow
@pytest.mark.skipif(not _real(), reason=f"no real scans in {DATA}")
@pytest.mark.parametrize("spacing", [None, 0.8, 1.6])
def test_real_scans_pass_the_plausibility_checks(spacing):
    """As they are and resampled, in bodies of half and twice the weight."""
    for path in _real():
        array = read_volume(path).array
        if spacing is not None:
            array = resampled(array, sitk.sitkBSpline, spacing)
        for factor in (0.5, 1.0, 2.0):
            check(array * np.float32(factor))


@pytest.mark.skipif(not _real(), reason=f"no real scans in {DATA}")
@pytest.mark.parametrize("factor", [240.0, 4100.0, 4100e-6, 4100e-9])
def test_real_scans_in_another_unit_are_refused(factor):
    for path in _real():
        with pytest.raises(InputError, match="SUVbw first"):
            check(read_volume(path).array * np.float32(factor))
