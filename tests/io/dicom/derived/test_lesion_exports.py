"""Lesions as SEG, RTSTRUCT and SR, each read back by another reader than ours, in world coordinates."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from matplotlib.path import Path as Polygon

from tests.io.dicom.derived.exported import BURDEN, CENTRES, exported, grid, in_order, lesions_in, world
from wslpet.core.errors import DicomError
from wslpet.core.volume import Volume
from wslpet.io.dicom.derived.lesion_segmentation import lesion_segmentation, write
from wslpet.io.dicom.derived.report import measurement_report
from wslpet.io.dicom.derived.rtstruct import read_rtstruct
from wslpet.io.dicom.derived.rtstruct_writing import rtstruct
from wslpet.io.dicom.series import read_series

LPS_TO_RAS = np.array([-1, -1, 1])
STORED = {
    "head_first": grid(),
    "oblique": grid(tilt=13.0),
    "feet_first": grid(flips=(False, True, True)),
    "coronal": grid((0, 2, 1), (True, False, True)),
    "sagittal": grid((1, 2, 0), (False, True, False), tilt=7.0),
}


@pytest.fixture(params=STORED)
def stored(request):
    return STORED[request.param]


def program(name: str, *arguments) -> None:
    """One of dcmqi's, which are written in C++ on DCMTK and ITK."""
    found = Path(sys.executable).with_name(name)
    if not found.exists():
        pytest.skip(f"{name} of dcmqi is not installed")
    done = subprocess.run([found, *map(str, arguments)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_dcmqi_finds_each_segment_where_its_lesion_is(stored, tmp_path):
    lesions = exported(tmp_path / "pet", stored)
    write(lesion_segmentation(lesions), tmp_path / "seg.dcm")
    out = tmp_path / "read"
    out.mkdir()
    program("segimage2itkimage", "--inputDICOM", tmp_path / "seg.dcm", "--outputDirectory", out, "-t", "nrrd")
    labels = lesions_in(stored)
    for segment, number in enumerate(CENTRES, start=1):
        image = sitk.ReadImage(str(out / f"{segment}.nrrd"))
        index = np.argwhere(sitk.GetArrayFromImage(image))[:, ::-1].tolist()
        found = np.array([image.TransformContinuousIndexToPhysicalPoint([float(n) for n in i]) for i in index])
        np.testing.assert_allclose(in_order(found * LPS_TO_RAS), world(stored, labels == number), atol=0.02)
    said = json.loads((out / "meta.json").read_text())["segmentAttributes"]
    said = [segment for group in said for segment in group]
    assert [segment["SegmentLabel"] for segment in said] == ["lung 1", "lung 2", "lung 5"]
    assert [segment["SegmentAlgorithmType"] for segment in said] == ["SEMIAUTOMATIC", "SEMIAUTOMATIC", "MANUAL"]


def test_pydicom_and_polygons_find_each_roi_where_its_lesion_is(stored, tmp_path):
    lesions = exported(tmp_path / "pet", stored)
    write(rtstruct(lesions), tmp_path / "rt.dcm")
    dataset = pydicom.dcmread(tmp_path / "rt.dcm")
    labels = lesions_in(stored)
    names = {int(roi.ROINumber): roi.ROIName for roi in dataset.StructureSetROISequence}
    slices = {str(header.SOPInstanceUID): header for header in lesions.headers}
    for roi, number in zip(dataset.ROIContourSequence, CENTRES, strict=True):
        assert names[int(roi.ReferencedROINumber)] == f"lung {number}"
        found, volume_mm3 = [], 0.0
        for contour in roi.ContourSequence:
            header = slices[contour.ContourImageSequence[0].ReferencedSOPInstanceUID]
            points = np.array(contour.ContourData, float).reshape(-1, 3)
            voxels, area = inside(points, header)
            found.append(voxels)
            volume_mm3 += area * lesions.grid.spacing[2]
        np.testing.assert_allclose(
            in_order(np.concatenate(found) * LPS_TO_RAS), world(stored, labels == number), atol=0.02
        )
        assert volume_mm3 == pytest.approx((labels == number).sum() * stored.voxel_ml * 1000, rel=1e-3)


def inside(points: np.ndarray, header: pydicom.Dataset) -> tuple[np.ndarray, float]:
    """Positions (n, 3) mm LPS of the pixels of a slice in a polygon (point, 3) mm LPS, and its area in mm²."""
    cosines = np.array(header.ImageOrientationPatient, float).reshape(2, 3)
    origin, (down, across) = np.array(header.ImagePositionPatient, float), map(float, header.PixelSpacing)
    away = (points - origin) @ np.cross(*cosines)
    np.testing.assert_allclose(away, 0, atol=0.01)
    u = (points - origin) @ cosines.T
    columns, rows = np.arange(header.Columns) * across, np.arange(header.Rows) * down
    centres = np.stack(np.meshgrid(columns, rows, indexing="ij"), axis=-1).reshape(-1, 2)
    taken = centres[Polygon(u).contains_points(centres)]
    area = abs(u[:, 0] @ np.roll(u[:, 1], -1) - u[:, 1] @ np.roll(u[:, 0], -1)) / 2
    return origin + taken @ cosines, float(area)


def test_our_reader_gets_every_voxel_back(stored, tmp_path):
    lesions = exported(tmp_path / "pet", stored)
    write(rtstruct(lesions), tmp_path / "rt.dcm")
    masks = read_rtstruct(tmp_path / "rt.dcm", read_series(tmp_path / "pet"))
    for number in CENTRES:
        np.testing.assert_array_equal(masks[f"lung {number}"].array > 0, lesions.labels.array == number)


def report(folder, stored):
    lesions = exported(folder / "pet", stored)
    segmentation = lesion_segmentation(lesions)
    write(segmentation, folder / "seg.dcm")
    write(measurement_report(lesions, segmentation), folder / "sr.dcm")
    return lesions, segmentation


def test_highdicom_reads_each_measurement_and_what_it_is_of(tmp_path):
    lesions, segmentation = report(tmp_path, STORED["oblique"])
    read = highdicom.sr.srread(tmp_path / "sr.dcm")
    groups = read.content.get_volumetric_roi_measurement_groups()
    assert len(groups) == 3
    for segment, (group, lesion) in enumerate(zip(groups, lesions.lesions, strict=True), start=1):
        assert (group.tracking_identifier, group.tracking_uid) == (lesion.name, lesions.tracking_uid(lesion))
        reference = group.referenced_segment
        assert reference.referenced_sop_instance_uid == segmentation.SOPInstanceUID
        assert reference.referenced_segment_numbers == [segment]
        assert segmentation.SegmentSequence[segment - 1].TrackingUID == group.tracking_uid
        said = {(m.name.value, m.derivation and m.derivation.meaning): m for m in group.get_measurements()}
        assert said["126032", None].value == lesion.measures["volume_ml"]
        assert said["126401", "Maximum"].value == 7.91071
        assert said["126401", "Maximum"].unit.value == "g/ml{SUVbw}"
        assert said["126401", "Mean"].value == 2.5
        assert said["126033", None].value == lesion.measures["tlg"]
        assert said["126405", "Maximum"].unit.value == "g/ml{SUVlbm(Janma)}"
    (together,) = read.content.get_image_measurement_groups()
    values = {m.name.value: m.value for m in together.get_measurements()}
    assert values["246206008"] == 3
    assert (values["126032"], values["dmax"]) == (BURDEN["mtv_ml"], BURDEN["dmax_mm"])
    referred = {str(i.ReferencedSOPInstanceUID) for i in evidence(read)}
    assert referred == {str(h.SOPInstanceUID) for h in lesions.headers} | {str(segmentation.SOPInstanceUID)}


def evidence(read):
    for study in (*read.CurrentRequestedProcedureEvidenceSequence, *read.get("PertinentOtherEvidenceSequence", ())):
        for series in study.ReferencedSeriesSequence:
            yield from series.ReferencedSOPSequence


def test_dcmqi_reads_the_report(tmp_path):
    lesions, segmentation = report(tmp_path, STORED["head_first"])
    program("tid1500reader", "--inputDICOM", tmp_path / "sr.dcm", "--outputMetadata", tmp_path / "sr.json")
    said = json.loads((tmp_path / "sr.json").read_text())
    groups = [group for group in said["Measurements"] if "segmentationSOPInstanceUID" in group]
    assert [group["TrackingIdentifier"] for group in groups] == ["lung 1", "lung 2", "lung 5"]
    assert {group["segmentationSOPInstanceUID"] for group in groups} == {str(segmentation.SOPInstanceUID)}
    first = {
        (m["quantity"]["CodeMeaning"], m.get("derivationModifier", {}).get("CodeMeaning")): float(m["value"])
        for m in groups[0]["measurementItems"]
    }
    assert first["SUVbw", "Maximum"] == 7.91071
    assert first["Metabolic Volume", None] == lesions.lesions[0].measures["volume_ml"]


def test_the_same_annotation_gives_the_same_objects_and_another_others(tmp_path):
    one, again = exported(tmp_path / "pet", grid()), exported(tmp_path / "pet", grid())
    for make in (lesion_segmentation, rtstruct, lambda e: measurement_report(e, lesion_segmentation(e))):
        first, second = make(one), make(again)
        assert first == second
        other = make(exported(tmp_path / "pet", grid(), "seed 2"))
        assert other.SOPInstanceUID != first.SOPInstanceUID
        assert other.SeriesInstanceUID != first.SeriesInstanceUID
        assert first.StudyInstanceUID == one.header.StudyInstanceUID
        assert first.PatientID == one.header.PatientID


def test_a_lesion_without_a_voxel_is_left_out_and_no_lesion_refused(tmp_path):
    full = exported(tmp_path / "pet", grid())
    labels = np.where(full.labels.array == 2, 0, full.labels.array).astype(np.uint8)
    less = type(full)(
        Volume(labels, full.grid.affine), full.grid, full.headers, full.lesions, "s", full.made, "2", BURDEN
    )
    assert [s.SegmentLabel for s in lesion_segmentation(less).SegmentSequence] == ["lung 1", "lung 5"]
    with pytest.raises(DicomError, match="there is no lesion on the series"):
        type(full)(Volume(labels * 0, full.grid.affine), full.grid, full.headers, full.lesions, "s", full.made)
    with pytest.raises(DicomError, match="label value 5 is none of the lesions"):
        type(full)(full.labels, full.grid, full.headers, full.lesions[:2], "s", full.made)


def test_a_series_without_a_frame_of_reference_has_no_rtstruct(tmp_path):
    lesions = exported(tmp_path / "pet", grid())
    for header in lesions.headers:
        del header.FrameOfReferenceUID
    with pytest.raises(DicomError, match=r"Frame of Reference UID \(0020,0052\)"):
        rtstruct(lesions)
