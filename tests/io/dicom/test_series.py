from __future__ import annotations

import io
import random
import re
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian, JPEG2000Lossless, RLELossless

from tests.helpers.blobs import STORAGES, stored_as
from tests.helpers.dicom_series import change, copied, philips, real_data, small_series, small_volume, spoil, values
from wslpet.cli import main
from wslpet.core.errors import DicomError
from wslpet.core.volume import Volume
from wslpet.data.phantom import Examination, write_series
from wslpet.io.dicom.series import find_series, read_series
from wslpet.io.readers import read_volume


def same_in_the_world(read: Volume, written: Volume, steps: float = 0.51) -> bool:
    """Each value within half a step of 15 bits of the hottest voxel, each voxel at its place."""
    one, two = read.to_ras(), written.to_ras()
    step = float(written.array.max()) / 32767
    return np.allclose(one.affine, two.affine, atol=1e-6) and np.allclose(one.array, two.array, atol=steps * step)


@pytest.mark.parametrize("tilt", [0.0, 11.0])
@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize(("permutation", "flips"), STORAGES[::5])
def test_what_is_written_is_read_at_its_place(tmp_path, permutation, flips, descending, tilt):
    stored = stored_as(small_volume(tilt), permutation, flips)
    files = write_series(stored, tmp_path, "x", descending=descending)
    series = read_series(tmp_path)
    assert (series.volume.unit, series.volume.array.dtype) == ("SUV", np.float32)
    assert same_in_the_world(series.volume, stored)
    assert series.volume.shape == stored.shape  # columns, rows, slices
    along = series.volume.affine[:3, 2] @ stored.affine[:3, 2] > 0
    assert series.files == tuple(files if along else reversed(files))


@pytest.mark.parametrize("flips", [(False, False, False), (True, True, False), (False, True, True)])
def test_axes_are_column_row_and_their_normal(tmp_path, flips):
    stored = stored_as(small_volume(7.0), (0, 1, 2), flips)
    write_series(stored, tmp_path, "x")
    series = read_series(tmp_path)
    across, down, along = (series.volume.affine[:3, axis] / series.volume.spacing[axis] for axis in range(3))
    assert np.allclose(np.cross(across, down), along, atol=1e-9)
    assert np.allclose(across * (-1, -1, 1), series.header.ImageOrientationPatient[:3])
    assert np.allclose(series.volume.affine[:3, 3] * (-1, -1, 1), series.header.ImagePositionPatient)
    assert "PixelData" not in series.header


def test_order_is_by_place_not_by_name_or_number(tmp_path):
    small_series(tmp_path / "in order")
    shuffled = tmp_path / "shuffled"
    shuffled.mkdir()
    names = [f"{number}.dcm" for number in range(7)]
    random.Random(1).shuffle(names)
    for file, name in zip(sorted((tmp_path / "in order").iterdir()), names, strict=True):
        shutil.copy(file, shuffled / name)
        change(shuffled / name, values(InstanceNumber=name.removesuffix(".dcm")))
    one, two = read_series(tmp_path / "in order"), read_series(shuffled)
    assert np.array_equal(one.volume.array, two.volume.array)
    assert np.array_equal(one.volume.affine, two.volume.affine)
    assert [file.name for file in two.files] == names


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless, JPEG2000Lossless])
@pytest.mark.parametrize("signed", [True, False])
def test_every_encoding_holds_the_same_scan(tmp_path, syntax, signed):
    files = write_series(small_volume(), tmp_path, "x", signed=signed)

    def encode(dataset: pydicom.Dataset) -> None:
        if syntax == RLELossless:
            dataset.compress(RLELossless)
            return
        if syntax == JPEG2000Lossless:
            words = np.frombuffer(dataset.PixelData, "<u2").reshape(dataset.Rows, dataset.Columns)
            Image.fromarray(words).save(coded := io.BytesIO(), "JPEG2000", no_jp2=True, irreversible=False)
            dataset.PixelData = encapsulate([coded.getvalue()])
            dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.is_implicit_VR, dataset.is_little_endian = syntax.is_implicit_VR, syntax.is_little_endian
        if not syntax.is_little_endian:
            dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").byteswap().tobytes()

    change(files, encode)
    assert same_in_the_world(read_series(tmp_path).volume, small_volume())


@pytest.mark.parametrize("signed", [True, False])
def test_bits_that_are_not_stored_do_not_count(tmp_path, signed):
    files = write_series(small_volume(), tmp_path, "x", signed=signed)

    def twelve_bits(dataset: pydicom.Dataset) -> None:
        words = np.frombuffer(dataset.PixelData, "<u2") >> 4
        dataset.PixelData = (words | 0xA000).astype("<u2").tobytes()
        dataset.BitsStored, dataset.HighBit = 12, 11
        dataset.RescaleSlope = str(float(dataset.RescaleSlope) * 16)[:16]

    change(files, twelve_bits)
    assert same_in_the_world(read_series(tmp_path).volume, small_volume(), steps=16.5)


def test_negative_values_and_intercepts_are_kept(tmp_path):
    volume = small_volume()
    volume = volume.with_array(volume.array - np.float32(0.7))
    files = write_series(volume, tmp_path, "x")
    change(files, values(RescaleIntercept="250.5"))
    shift = 250.5 / Examination().activity_per_suv()
    assert same_in_the_world(read_series(tmp_path).volume, volume.with_array(volume.array + np.float32(shift)))


def test_philips_counts_take_the_factor_of_their_slice(tmp_path):
    def counts(dataset: pydicom.Dataset) -> None:
        dataset.Units = "CNTS"
        philips(dataset, f"{dataset.InstanceNumber / Examination().activity_per_suv():.10f}")

    change(small_series(tmp_path), counts)
    expected = small_volume().to_ras().array * np.arange(1, 8)
    assert np.allclose(read_series(tmp_path).volume.to_ras().array, expected, rtol=1e-3, atol=5e-3)


def test_decimals_longer_than_the_standard_are_read_in_full(tmp_path):
    files = small_series(tmp_path)
    change(files, lambda d: values(PixelSpacing="4.0000000000000001234\\3.0000000000000001234")(d))
    assert read_series(tmp_path).volume.spacing == pytest.approx((3.0, 4.0, 5.0))


def test_rounded_positions_are_no_gaps(tmp_path):
    for number, file in enumerate(small_series(tmp_path)):
        change(file, values(ImagePositionPatient=f"20.5\\-31.25\\{410.9 + 5 * number + (-1) ** number * 0.05:.2f}"))
    assert read_series(tmp_path).volume.spacing[2] == pytest.approx(5.0, abs=0.02)


def test_what_lies_beside_the_slices_is_left_alone(tmp_path):
    small_series(tmp_path / "series" / "below")
    for name in ("DICOMDIR", "README", "notes.txt", ".DS_Store", "report.pdf"):
        (tmp_path / "series" / name).write_bytes(b"no slice")
    assert len(read_series(tmp_path / "series").files) == 7


def test_series_are_found_in_and_below_a_folder(tmp_path):
    one = small_series(tmp_path / "one")
    two = small_series(tmp_path / "deep" / "two", Examination(description="another", corrected=False))
    shutil.copy(one[0], tmp_path / "deep" / "two" / "stray.dcm")
    (tmp_path / "notes.dcm").write_bytes(b"no DICOM")
    found = find_series(tmp_path)
    first, second = (pydicom.dcmread(files[0]).SeriesInstanceUID for files in (one, two))
    assert set(found) == {first, second}
    assert sorted(found[first]) == sorted([*one, tmp_path / "deep" / "two" / "stray.dcm"])
    assert found[second] == two
    change(two, values(Modality="CT"))
    assert set(find_series(tmp_path, "PT")) == {first}
    assert same_in_the_world(read_series(one).volume, small_volume())


def test_read_volume_reads_a_folder(tmp_path):
    small_series(tmp_path / "someone")
    volume = read_volume(tmp_path / "someone")
    assert volume.name == "someone" and same_in_the_world(volume, small_volume())


def test_the_terminal_segments_series(capsys, tmp_path):
    array = np.full((24, 22, 26), 0.5, np.float32)
    array[15:19, 8:12, 11:15] = 9
    body = Volume(array, np.diag([8.0, 8, 8, 1]), "SUV", "body")
    centre = tuple(body.to_world(np.array([16.5, 9.5, 12.5])))
    write_series(body, tmp_path / "studies" / "jane", "jane", replace(Examination(), position="FFS"), descending=True)
    click = ["--seed", *map(str, centre), "--type", "lung"]
    assert main.main(["segment", str(tmp_path / "studies"), "--out", str(tmp_path / "out"), *click]) == 0
    assert capsys.readouterr().out.startswith("jane: lung")
    mask = read_volume(tmp_path / "out" / "jane-mask.nii.gz")
    found = mask.to_world(np.argwhere(mask.array > 0))
    assert np.abs(found.mean(axis=0) - centre).max() < 8


def test_real_ge_series():
    folder = real_data("sts_001_ge_pet") / "image"
    started = time.perf_counter()
    series = read_series(folder)
    assert time.perf_counter() - started < 10  # a second, with room for a busy machine
    assert series.volume.shape == (128, 128, 267)
    assert series.volume.spacing == pytest.approx((4.6875, 4.6875, 3.27), abs=1e-3)
    # Head first, slice 267 at the feet; GE's series time is the acquisition's.
    assert (series.files[0].name, series.files[-1].name) == ("1-267.dcm", "1-001.dcm")
    assert series.suv.factor == pytest.approx(71_000 / (388_777_472 * 2 ** -(2711 / 6588)), rel=1e-9)
    number = 100
    stored = pydicom.dcmread(series.files[number])
    activity = stored.pixel_array * float(stored.RescaleSlope)
    assert np.allclose(series.volume.array[:, :, number].T, activity * series.suv.factor, rtol=1e-5)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.filterwarnings("ignore")
def test_damage_is_refused_or_changes_nothing_but_never_crashes(tmp_path, seed):
    files = small_series(tmp_path / "whole")
    rng = random.Random(seed)
    for _ in range(25):
        folder = copied(tmp_path / "whole", tmp_path / f"{rng.getrandbits(60)}")
        victim = folder / rng.choice(files).name
        victim.write_bytes(spoil(bytearray(victim.read_bytes()), rng))
        try:
            volume = read_series(folder).volume
        except DicomError as error:
            assert len(str(error)) < 600
        else:
            assert np.isfinite(volume.array).all() and np.isfinite(volume.affine).all()
        shutil.rmtree(folder)


def test_an_empty_value_of_an_unknown_representation_is_missing(tmp_path):
    victim = small_series(tmp_path)[2]
    victim.write_bytes(re.sub(rb"(\x28\0\x53\x10)DS..[0-9. ]+", b"\\1QQ\0\0", victim.read_bytes()))
    with pytest.raises(DicomError, match=r"0003\.dcm: Rescale Slope \(0028,1053\) is missing"):
        read_series(tmp_path)


def test_a_scan_of_a_gigabyte_is_not_even_opened(tmp_path):
    files = small_series(tmp_path)
    with open(files[0], "r+b") as file:
        file.truncate(1_100_000_000)  # sparse: no disk is used
    with pytest.raises(DicomError, match=r"1\.1 GB, over 1; give one PET series"):
        read_series(tmp_path)


def test_files_that_vanish_are_named(tmp_path):
    files = small_series(tmp_path)
    with pytest.raises(DicomError, match=r"gone\.dcm cannot be read"):
        read_series([*files, Path(tmp_path / "gone.dcm")])
    with pytest.raises(DicomError, match=r"0001\.dcm: not a folder"):
        read_series(files[0])
    with pytest.raises(DicomError, match="no DICOM file"):
        read_series([])
