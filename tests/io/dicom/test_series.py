from __future__ import annotations

import random
import re
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.tag import Tag

from tests.helpers.blobs import STORAGES, stored_as
from tests.helpers.dicom_series import (
    change,
    copied,
    real_data,
    same_in_the_world,
    small_series,
    small_volume,
    spoil,
    values,
)
from wslpet.cli import main
from wslpet.core.errors import DicomError
from wslpet.core.volume import Volume
from wslpet.data.phantom import Examination, write_series
from wslpet.io.dicom.files import find_series
from wslpet.io.dicom.series import read_series
from wslpet.io.masks import read_mask
from wslpet.io.readers import read_volume


@pytest.mark.parametrize("tilt", [0.0, 11.0])
@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize(("permutation", "flips"), STORAGES[::5])
def test_a_written_series_is_read_in_its_world_position(tmp_path, permutation, flips, descending, tilt):
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


DROS = (
    "0_0", "1_0", "2_0", "2_1", "2_2", "2_3", "2_4", "2_5", "3_0",
    "3_1", "3_2", "3_3", "3_4", "4_0", "4_1", "4_2", "5_0",
)  # fmt: skip


@pytest.mark.parametrize("name", DROS)
def test_digital_reference_objects(name):
    """oncoray/suv_computation: each holds SUV 0.2, 1 and 4; they were cut to whole steps of the stored values."""
    series = read_series(real_data(f"suv_dro/DRO_{name}") / "PT")
    step = float(series.header.RescaleSlope) * max(series.suv.factors)
    values = series.volume.array[series.volume.array > 0]
    nearest = np.array([0.2, 1.0, 4.0])[np.abs(values[:, None] - [0.2, 1.0, 4.0]).argmin(axis=1)]
    assert set(nearest) == {np.float64(0.2), np.float64(1.0), np.float64(4.0)}
    assert np.abs(values - nearest).max() <= step


def test_a_series_that_was_exported_twice_counts_once(tmp_path):
    small_series(tmp_path / "disc" / "a")
    shutil.copytree(tmp_path / "disc" / "a", tmp_path / "disc" / "b")

    def by_another_program(dataset: pydicom.Dataset) -> None:
        dataset.file_meta.ImplementationVersionName = "ANOTHER"

    change(tmp_path / "disc" / "b", by_another_program)
    series = read_series(tmp_path / "disc")
    assert same_in_the_world(series.volume, small_volume())
    assert len(series.files) == 7 and series.notes == ("7 files are copies of others: each image counts once.",)
    assert read_series(tmp_path / "disc" / "a").notes == ()


@pytest.mark.parametrize("implicit", [True, False])
@pytest.mark.parametrize("first", ["SpecificCharacterSet", "ImageType", "SOPClassUID"])
def test_dicom_without_preamble_is_read(tmp_path, implicit, first):
    files = small_series(tmp_path)
    for file in files:
        dataset = pydicom.Dataset(pydicom.dcmread(file))
        for tag in [element.tag for element in dataset if element.tag < Tag(first)]:
            del dataset[tag]
        dataset.is_implicit_VR, dataset.is_little_endian = implicit, True
        dataset.save_as(file)
        assert file.read_bytes()[128:132] != b"DICM"
    assert same_in_the_world(read_series(tmp_path).volume, small_volume())
    assert list(find_series(tmp_path, "PT").values()) == [files]


def test_folders_behind_links_are_read_once(tmp_path):
    small_series(tmp_path / "elsewhere" / "deep")
    studies = tmp_path / "studies"
    studies.mkdir()
    (studies / "linked").symlink_to(tmp_path / "elsewhere")
    (studies / "again").symlink_to(tmp_path / "elsewhere" / "deep")
    (tmp_path / "elsewhere" / "deep" / "circle").symlink_to(studies)
    (studies / "nowhere").symlink_to(tmp_path / "gone")
    assert [len(files) for files in find_series(studies).values()] == [7]
    assert same_in_the_world(read_series(studies).volume, small_volume())


def test_decimals_longer_than_the_standard_are_read_in_full(tmp_path):
    files = small_series(tmp_path)
    change(files, lambda d: values(PixelSpacing="4.0000000000000001234\\3.0000000000000001234")(d))
    assert read_series(tmp_path).volume.spacing == pytest.approx((3.0, 4.0, 5.0))


def test_rounded_positions_are_no_gaps(tmp_path):
    for number, file in enumerate(small_series(tmp_path)):
        change(file, values(ImagePositionPatient=f"20.5\\-31.25\\{410.9 + 5 * number + (-1) ** number * 0.05:.2f}"))
    assert read_series(tmp_path).volume.spacing[2] == pytest.approx(5.0, abs=0.02)


def test_other_files_beside_the_slices_are_ignored(tmp_path):
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
    pytest.importorskip("torch")
    array = np.full((24, 22, 26), 0.5, np.float32)
    array[15:19, 8:12, 11:15] = 9
    body = Volume(array, np.diag([8.0, 8, 8, 1]), "SUV", "body")
    centre = tuple(body.to_world(np.array([16.5, 9.5, 12.5])))
    write_series(body, tmp_path / "studies" / "jane", "jane", replace(Examination(), position="FFS"), descending=True)
    click = ["--seed", *map(str, centre), "--type", "lung"]
    assert main.main(["segment", str(tmp_path / "studies"), "--out", str(tmp_path / "out"), *click]) == 0
    assert capsys.readouterr().out.startswith("jane: lung")
    mask = read_mask(tmp_path / "out" / "jane-mask.nii.gz")
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
