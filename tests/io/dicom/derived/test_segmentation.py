"""Masks as DICOM SEG, checked in world coordinates, by another reader than ours."""

import highdicom
import numpy as np
import pydicom
import pytest
from pydicom.sr.codedict import codes

from wslpet.core.errors import DicomError
from wslpet.core.volume import Volume, resample_labels
from wslpet.data.phantom.dicom import Examination, write_series
from wslpet.io.dicom.derived.segmentation import (
    Maker,
    read_segmentation,
    referenced_series,
    segment_names,
)
from wslpet.io.dicom.derived.segmentation_writing import write_segmentation
from wslpet.io.dicom.series import read_series

LPS_TO_RAS = np.array([-1, -1, 1])
NAMES = {1: "lung", 2: "oesophagus"}
VALUES = {name: value for value, name in NAMES.items()}
SHAPE = (24, 30, 18)
CENTRE = np.array([31.0, -22.0, 14.0])
RADIUS = 11.0
AUTOMATIC = Maker("AUTOMATIC", "abc123")

# Columns, rows and slices as signed body axes (x right, y anterior, z superior), and a tilt about x in degrees.
STORED = {
    "head_first": ("-0 -1 +2", "HFS", 0),
    "feet_first_prone": ("+0 +1 +2", "FFP", 0),
    "feet_first": ("+0 -1 -2", "FFS", 0),
    "slices_downward": ("-0 -1 -2", "HFS", 0),
    "oblique": ("-0 -1 +2", "HFS", 14),
    "coronal": ("-0 -2 +1", "HFS", 0),
}


def geometry(stored: str) -> np.ndarray:
    axes, _, tilt = STORED[stored]
    linear = np.zeros((3, 3))
    for column, (axis, spacing) in enumerate(zip(axes.split(), (4.1, 3.6, 5.2), strict=True)):
        linear[int(axis[1]), column] = spacing * (1 if axis[0] == "+" else -1)
    angle = np.deg2rad(tilt)
    turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ linear
    affine[:3, 3] = np.array([12.0, -5.0, 30.0]) - affine[:3, :3] @ ((np.array(SHAPE) - 1) / 2)
    return affine


def lesion(affine: np.ndarray, shape=SHAPE) -> np.ndarray:
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    world = index @ affine[:3, :3].T + affine[:3, 3]
    return np.linalg.norm(world - CENTRE, axis=-1) <= RADIUS


@pytest.fixture(params=STORED)
def series(request, tmp_path):
    return stored_series(request.param, tmp_path, descending=request.param in ("feet_first", "oblique"))


def stored_series(stored, folder, descending=False):
    affine = geometry(stored)
    volume = Volume(np.where(lesion(affine), 9.0, 1.0).astype(np.float32), affine)
    write_series(volume, folder / "pet", "P1", Examination(position=STORED[stored][1]), descending=descending)
    read = read_series(folder / "pet")
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in read.files]
    return read.volume, headers


def hot(volume: Volume) -> Volume:
    return volume.with_array((volume.array > 5).astype(np.uint8), "label")


def world_of_highdicom(path) -> np.ndarray:
    """Positions (n, 3) in mm RAS of the segmented voxels, from what the file says of each frame."""
    seg = highdicom.seg.segread(path)
    shared = seg.SharedFunctionalGroupsSequence[0]
    cosines = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float).reshape(2, 3)
    rows, columns = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
    found = []
    for frame, groups in zip(seg.pixel_array, seg.PerFrameFunctionalGroupsSequence, strict=True):
        position = np.array(groups.PlanePositionSequence[0].ImagePositionPatient, float)
        for row, column in np.argwhere(frame):
            found.append(position + cosines[0] * columns * column + cosines[1] * rows * row)
    return np.array(found) * LPS_TO_RAS


def in_order(positions: np.ndarray) -> np.ndarray:
    return positions[np.lexsort(positions.round(2).T)]


def test_highdicom_finds_the_lesion_where_it_is(series, tmp_path):
    volume, headers = series
    mask = hot(volume)
    write_segmentation(mask, volume, headers, NAMES, AUTOMATIC, tmp_path / "seg.dcm")
    found = world_of_highdicom(tmp_path / "seg.dcm")
    truth = volume.to_world(np.argwhere(mask.array))
    np.testing.assert_allclose(in_order(found), in_order(truth), atol=0.01)
    assert np.linalg.norm(found.mean(axis=0) - CENTRE) < 1.5


def test_it_is_read_back_voxel_by_voxel(series, tmp_path):
    volume, headers = series
    mask = hot(volume)
    mask = mask.with_array(mask.array * 2)
    write_segmentation(mask, volume, headers, NAMES, AUTOMATIC, tmp_path / "seg.dcm")
    back = read_segmentation(tmp_path / "seg.dcm", volume, VALUES)
    np.testing.assert_array_equal(back.array, mask.array)
    np.testing.assert_allclose(back.affine, volume.affine)


def test_the_segment_has_label_codes_and_algorithm(tmp_path):
    volume, headers = stored_series("head_first", tmp_path)
    labels = hot(volume).array
    labels[2:4, 3:5, 15:17] = 2
    uid = write_segmentation(
        volume.with_array(labels, "label"), volume, headers, NAMES, Maker("MANUAL", person="ann"), tmp_path / "s.dcm"
    )
    seg = highdicom.seg.segread(tmp_path / "s.dcm")
    assert seg.SeriesInstanceUID == uid
    assert seg.StudyInstanceUID == headers[0].StudyInstanceUID
    assert seg.FrameOfReferenceUID == headers[0].FrameOfReferenceUID
    assert segment_names(seg) == ["lung", "oesophagus"]
    assert referenced_series(seg) == [headers[0].SeriesInstanceUID]
    assert str(seg.ContentCreatorName) == "ann"
    for number, region in ((1, "39607008"), (2, "32849002")):
        segment = seg.get_segment_description(number)
        assert segment.segmented_property_category.value == "49755003"
        assert segment.segmented_property_type == codes.SCT.Neoplasm
        assert segment.AnatomicRegionSequence[0].CodeValue == region
        assert segment.SegmentAlgorithmType == "MANUAL"
        assert segment.TrackingUID


@pytest.mark.parametrize(("name", "region"), [("breast", "76752008"), ("lymphoma", None), ("no such thing", None)])
def test_other_types_are_neoplasms_of_a_region_if_they_name_one(tmp_path, name, region):
    volume, headers = stored_series("head_first", tmp_path)
    write_segmentation(hot(volume), volume, headers, {1: name}, AUTOMATIC, tmp_path / "s.dcm")
    segment = highdicom.seg.segread(tmp_path / "s.dcm").get_segment_description(1)
    regions = [item.CodeValue for item in segment.get("AnatomicRegionSequence", ())]
    assert regions == ([region] if region else [])
    assert segment.segmented_property_type == codes.SCT.Neoplasm
    assert segment.SegmentationAlgorithmIdentificationSequence[0].AlgorithmVersion == "abc123"


def test_sparse_headers_suffice(tmp_path):
    volume, headers = stored_series("head_first", tmp_path)
    for header in headers:
        for keyword in ("PatientBirthDate", "AccessionNumber", "StudyID", "StudyTime", "PatientSex", "PatientName"):
            delattr(header, keyword)
    write_segmentation(hot(volume), volume, headers, NAMES, AUTOMATIC, tmp_path / "s.dcm")
    assert world_of_highdicom(tmp_path / "s.dcm").size
    assert "StudyID" not in headers[0]


def test_lesions_with_slices_between_them_stay_apart(tmp_path):
    volume, headers = stored_series("slices_downward", tmp_path)
    labels = np.zeros(SHAPE, np.uint8)
    labels[5:8, 6:9, 3] = labels[15:18, 20:23, 9] = labels[1, 2, 15] = 1
    mask = volume.with_array(labels, "label")
    write_segmentation(mask, volume, headers, NAMES, AUTOMATIC, tmp_path / "s.dcm")
    plain = pydicom.dcmread(tmp_path / "s.dcm")
    # As makers write it who give no distance of slices, and a thickness that is none.
    del plain.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices
    plain.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SliceThickness = "10.4"
    plain.save_as(tmp_path / "bare.dcm")
    for name in ("s.dcm", "bare.dcm"):
        np.testing.assert_array_equal(read_segmentation(tmp_path / name, volume, VALUES).array, labels)


def test_a_mask_on_another_grid_keeps_its_world_position(tmp_path):
    volume, headers = stored_series("oblique", tmp_path)
    fine = np.diag([2.0, 2.0, 2.0, 1.0])
    fine[:3, 3] = CENTRE - 20
    drawn = Volume(lesion(fine, (20, 20, 20)).astype(np.uint8), fine, "label")
    write_segmentation(drawn, volume, headers, NAMES, AUTOMATIC, tmp_path / "s.dcm")
    back = read_segmentation(tmp_path / "s.dcm", volume, VALUES)
    nearest = np.rint(drawn.to_index(volume.to_world(np.argwhere(np.ones(SHAPE))))).astype(int)
    inside = ((nearest >= 0) & (nearest < drawn.shape)).all(axis=1)
    expected = np.zeros(len(nearest), np.uint8)
    expected[inside] = drawn.array[tuple(nearest[inside].T)]
    assert expected.any()
    np.testing.assert_array_equal(back.array, expected.reshape(SHAPE))


def test_a_mask_outside_the_series_is_empty(tmp_path):
    volume, headers = stored_series("head_first", tmp_path)
    far = np.array(volume.affine)
    far[:3, 3] += 900
    away = Volume(np.ones(SHAPE, np.uint8), far, "label")
    assert not resample_labels(away, volume).array.any()
    with pytest.raises(DicomError, match="empty"):
        write_segmentation(away, volume, headers, NAMES, AUTOMATIC, tmp_path / "s.dcm")
    assert not (tmp_path / "s.dcm").exists()


def test_a_mask_that_cannot_be_a_seg_is_refused(tmp_path):
    volume, headers = stored_series("head_first", tmp_path)
    with pytest.raises(DicomError, match="label value 7"):
        write_segmentation(volume.with_array(hot(volume).array * 7), volume, headers, NAMES, AUTOMATIC, tmp_path / "s")
    del headers[3].ImagePositionPatient
    with pytest.raises(DicomError, match="cannot be referred to"):
        write_segmentation(hot(volume), volume, headers, NAMES, AUTOMATIC, tmp_path / "s.dcm")


def test_a_file_that_is_no_seg_of_the_types_is_refused(tmp_path):
    volume, headers = stored_series("head_first", tmp_path)
    path = tmp_path / "s.dcm"
    write_segmentation(hot(volume), volume, headers, NAMES, AUTOMATIC, path)
    with pytest.raises(DicomError, match="'lung' of the DICOM SEG is no cancer type"):
        read_segmentation(path, volume, {"breast": 1})
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DicomError, match="cannot be read"):
        read_segmentation(path, volume, VALUES)
    with pytest.raises(DicomError, match="not a segmentation"):
        read_segmentation(next((tmp_path / "pet").iterdir()), volume, VALUES)
