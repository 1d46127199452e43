"""Pixel data of a DICOM series: transfer syntaxes, stored bits, rescaling, padding."""

from __future__ import annotations

import io
import shutil
from functools import partial

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import (
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from tests.helpers.dicom_series import (
    change,
    compress,
    philips,
    same_in_the_world,
    small_series,
    small_volume,
    values,
)
from wslpet.core.errors import DicomError
from wslpet.core.volume import Volume
from wslpet.data.phantom import Examination, write_series
from wslpet.io.dicom.jpeg import JPEG_LOSSLESS
from wslpet.io.dicom.series import read_series
from wslpet.io.readers import read_volume


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


@pytest.mark.parametrize("syntax", [JPEG_LOSSLESS, JPEGLosslessSV1, JPEGLSLossless, JPEGLSNearLossless])
@pytest.mark.parametrize("signed", [True, False])
def test_jpeg_lossless_and_jpeg_ls(tmp_path, syntax, signed):
    files = write_series(small_volume(), tmp_path, "x", signed=signed)
    change(files, lambda dataset: compress(dataset, syntax))
    assert same_in_the_world(
        read_series(tmp_path).volume, small_volume(), 1.51 if syntax == JPEGLSNearLossless else 0.51
    )


@pytest.mark.parametrize("syntax", [JPEGLosslessSV1, JPEGLSLossless])
def test_a_jpeg_of_another_size_or_without_its_end_is_refused(tmp_path, syntax):
    file = small_series(tmp_path)[2]
    whole = file.read_bytes()
    for cut in (1, 2, 9, 30):
        change(file, partial(compress, syntax=syntax, cut=cut))
        with pytest.raises(DicomError, match="damaged or cut short"):
            read_series(tmp_path)
        file.write_bytes(whole)
    other = pydicom.dcmread(
        write_series(Volume(np.ones((60, 50, 3), np.float32), np.eye(4)), tmp_path / "other", "y")[0]
    )
    compress(other, syntax)
    shutil.rmtree(tmp_path / "other")

    def swap(dataset: pydicom.Dataset) -> None:
        dataset.file_meta.TransferSyntaxUID, dataset.PixelData = syntax, other.PixelData
        dataset["PixelData"].is_undefined_length = True

    change(file, swap)
    with pytest.raises(DicomError, match="damaged or cut short"):
        read_series(tmp_path)


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("limit", [None, 300])
def test_padding_outside_the_field_of_view_is_zero(tmp_path, signed, limit):
    """Writers give the value with either sign."""
    padding = -32768 if signed else 65000
    files = write_series(small_volume(), tmp_path, "x", signed=signed)

    def pad(dataset: pydicom.Dataset) -> None:
        words = (
            np.frombuffer(dataset.PixelData, "<i2" if signed else "<u2").reshape(dataset.Rows, dataset.Columns).copy()
        )
        words[0], words[-1, :2] = padding, padding + (limit or 0)
        dataset.PixelData = words.tobytes()
        dataset.add_new("PixelPaddingValue", "US", padding & 0xFFFF)
        if limit:
            dataset.add_new("PixelPaddingRangeLimit", "SS" if signed else "US", padding + limit)

    change(files, pad)
    array = read_series(tmp_path).volume.array
    assert not array[:, 0].any() and not array[:2, -1].any()
    assert array[:, 1:-1].min() > 0.4 and array.max() == pytest.approx(20, rel=0.01)


def test_a_padding_value_in_the_middle_is_tissue(tmp_path):
    hot = small_series(tmp_path)[5]
    value = int(pydicom.dcmread(hot).pixel_array.max())
    change(hot, lambda dataset: dataset.add_new("PixelPaddingValue", "SS", value))
    assert same_in_the_world(read_series(tmp_path).volume, small_volume())


def test_values_far_below_zero_are_no_reason_to_refuse_a_series(tmp_path):
    volume = small_volume()
    low = volume.with_array(np.where(volume.array < 5, -volume.array, volume.array))
    write_series(low, tmp_path, "x")
    assert same_in_the_world(read_volume(tmp_path), low) and low.array.min() < -4
