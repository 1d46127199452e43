from __future__ import annotations

import contextlib
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage, generate_uid

from tests.helpers.blobs import STORAGES, affine_of, positions, stored_as
from tests.helpers.dicom_series import real_data, spoil, values
from wslpet.core.errors import DicomError
from wslpet.core.volume import Volume
from wslpet.data.phantom import write_series
from wslpet.io.dicom.derived.rtstruct import read_rtstruct
from wslpet.io.dicom.headers import write_dicom
from wslpet.io.dicom.series import Series, read_series

# Ellipses in a slice, as fractions of it, off-centre in both directions: one with a hole, two apart.
OUTER, HOLE, APART = ((0.62, 0.41), (0.24, 0.3)), ((0.66, 0.45), (0.07, 0.11)), ((0.2, 0.8), (0.11, 0.09))


@pytest.fixture(scope="module", params=STORAGES[::9], ids=str)
def series(request, tmp_path_factory) -> Series:
    array = np.ones((25, 22, 19), np.float32)
    volume = Volume(array, affine_of((2.5, 4.0, 3.1), (-60.3, 20.7, 333.3), 8.0), "SUV", "grid")
    folder = tmp_path_factory.mktemp("series")
    write_series(stored_as(volume, *request.param), folder, "someone")
    return read_series(folder)


def ellipse(series: Series, shape, k: float, points: int = 720) -> np.ndarray:
    """(point, 3) mm LPS."""
    (u, v), (a, b) = shape
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    columns, rows, _ = series.volume.shape
    index = np.column_stack([(u + a * np.cos(angle)) * columns, (v + b * np.sin(angle)) * rows, np.full(points, k)])
    return series.volume.to_world(index) * (-1, -1, 1)


def inside(series: Series, shape) -> np.ndarray:
    """(column, row) bool: by the equation of the ellipse."""
    (u, v), (a, b) = shape
    columns, rows, _ = series.volume.shape
    i, j = np.meshgrid(np.arange(columns), np.arange(rows), indexing="ij")
    return ((i / columns - u) / a) ** 2 + ((j / rows - v) / b) ** 2 <= 1


def structures(path: Path, series: Series, rois: dict[str, Sequence[np.ndarray]], **contour_tags: str) -> Path:
    """An RTSTRUCT of closed planar contours, mm LPS."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = RTStructureSetStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.StructureSetROISequence, dataset.ROIContourSequence = [], []
    for number, (name, contours) in enumerate(rois.items(), start=1):
        roi, drawn = Dataset(), Dataset()
        roi.ROINumber = drawn.ReferencedROINumber = number
        roi.ROIName = name.rstrip("'")
        roi.ReferencedFrameOfReferenceUID = series.header.FrameOfReferenceUID
        drawn.ContourSequence = []
        for points in contours:
            contour = Dataset()
            contour.ContourGeometricType = "CLOSED_PLANAR"
            contour.NumberOfContourPoints = len(points)
            contour.ContourData = [f"{number:.6f}" for number in np.ravel(points)]
            values(**contour_tags)(contour)
            drawn.ContourSequence.append(contour)
        if not contours:
            del drawn.ContourSequence
        dataset.StructureSetROISequence.append(roi)
        dataset.ROIContourSequence.append(drawn)
    write_dicom(dataset, path)
    return path


def test_voxels_are_inside_when_their_centres_are(series, tmp_path):
    last = series.volume.shape[2] - 1
    tumour = [ellipse(series, OUTER, 3), ellipse(series, HOLE, 3), ellipse(series, APART, 3), ellipse(series, OUTER, 4)]
    edge = [ellipse(series, APART, last)]
    masks = read_rtstruct(structures(tmp_path / "s.dcm", series, {"tumour": tumour, "Käse": edge, "none": []}), series)
    assert list(masks) == ["tumour", "Käse"]
    expected = np.zeros(series.volume.shape, bool)
    expected[:, :, 3] = inside(series, OUTER) & ~inside(series, HOLE) | inside(series, APART)
    expected[:, :, 4] = inside(series, OUTER)
    mask = masks["tumour"]
    assert (mask.array.dtype, mask.unit) == (np.uint8, "label")
    assert np.array_equal(mask.affine, series.volume.affine)
    assert np.array_equal(mask.array > 0, expected)
    assert np.array_equal(np.argwhere(masks["Käse"].array.any(axis=(0, 1))), [[last]])


def test_the_mask_lies_where_the_contours_do(series, tmp_path):
    slices = range(5, 9)
    drawn = [ellipse(series, OUTER, k) for k in slices]
    mask = read_rtstruct(structures(tmp_path / "s.dcm", series, {"t": drawn}), series)["t"]
    found = positions(mask)[mask.array > 0].mean(axis=0)
    assert np.abs(found - np.concatenate(drawn).mean(axis=0) * (-1, -1, 1)).max() < 0.8


def corners(series: Series, *steps) -> np.ndarray:
    return series.volume.to_world(np.array(steps, float)) * (-1, -1, 1)


FLAT = ((4, 4, 3), (9, 4, 3), (9, 9, 3))


@pytest.mark.parametrize(
    ("rois", "tags", "said"),
    [
        ({"t": [((4, 4, 3.4), (9, 4, 3.4), (9, 9, 3.4))]}, {}, "not in a slice of the series"),
        ({"t": [((4, 4, 3), (9, 4, 4), (9, 9, 5))]}, {}, "not in a slice of the series"),
        ({"t": [((4, 4, 25), (9, 4, 25), (9, 9, 25))]}, {}, "not in a slice of the series"),
        ({"t": [((4, 4, 3), (90, 4, 3), (9, 9, 3))]}, {}, "outside the series"),
        ({"t": [FLAT[:2]]}, {}, "6 numbers, not three for each of 3 points or more"),
        ({"t": [FLAT]}, {"ContourData": "1\\2\\3\\4\\5\\6\\7\\8\\nan"}, "not a number"),
        ({"t": [FLAT]}, {"ContourData": "1\\2\\3\\4\\5\\6\\7\\8\\1e300"}, "outside -10000 to 10000"),
        ({"t": [FLAT]}, {"ContourGeometricType": "POINT"}, "'POINT', not CLOSED_PLANAR or"),
        ({"t": [FLAT], "t'": [FLAT]}, {}, "'t', number 2: there are two; rename one"),
    ],
)
def test_contours_that_are_not_of_the_series_are_refused(series, tmp_path, rois, tags, said):
    drawn = {name: [corners(series, *points) for points in contours] for name, contours in rois.items()}
    path = structures(tmp_path / "s.dcm", series, drawn, **tags)
    with pytest.raises(DicomError, match=rf"^s\.dcm: .*{said}"):
        read_rtstruct(path, series)


@pytest.mark.filterwarnings("ignore")
def test_damage_is_refused_or_read_but_never_crashes(series, tmp_path):
    path = structures(tmp_path / "s.dcm", series, {"one": [corners(series, *FLAT)], "two": [corners(series, *FLAT)]})
    whole, rng = path.read_bytes(), random.Random(5)
    for _ in range(60):
        path.write_bytes(spoil(bytearray(whole), rng))
        with contextlib.suppress(DicomError):
            read_rtstruct(path, series)


def test_another_frame_and_another_kind_are_refused(series, tmp_path):
    path = structures(tmp_path / "s.dcm", series, {"t": [corners(series, *FLAT)]})
    other = Dataset()
    other.FrameOfReferenceUID = "1.2.3"
    with pytest.raises(DicomError, match=r"Frame of Reference UID .* not that of the series \(1\.2\.3\)"):
        read_rtstruct(path, Series(series.volume, series.suv, series.files, other))
    with pytest.raises(DicomError, match="not an RT Structure Set"):
        read_rtstruct(series.files[0], series)
    (tmp_path / "n.dcm").write_text("no")
    with pytest.raises(DicomError, match=r"n\.dcm is not a DICOM file"):
        read_rtstruct(tmp_path / "n.dcm", series)


def test_real_contours_on_a_real_scan():
    folder = real_data("sts_001_ge_pet")
    series = read_series(folder / "image")
    (path,) = (folder / "mask").iterdir()
    masks = read_rtstruct(path, series)
    assert set(masks) == {"GTV_Mass", "GTV_Edema"}
    suv = series.volume.array[masks["GTV_Mass"].array > 0]
    assert suv.size == 5095
    assert suv.max() == pytest.approx(7.9107, abs=1e-3)
    assert suv.mean() == pytest.approx(2.555, abs=1e-3)
