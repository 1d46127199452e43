"""Read DICOM SEG (PS3.3 A.51) as label values on the grid of a series; helpers for the writers of derived objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import SegmentationStorage

from wslpet.core.arrays import Array, FloatArray
from wslpet.core.errors import DicomError
from wslpet.core.volume import Volume, resample_labels

# Type 2 attributes (PS3.3 C.7) copied from the series; empty where it lacks them.
_TAKEN_OVER = """
PatientID PatientName PatientBirthDate PatientSex AccessionNumber StudyID StudyDate StudyTime ReferringPhysicianName
"""
# Accepted deviation of a step between planes from a multiple of their distance, as a share of the distance.
_UNEVEN = 0.05
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])
MAKER = "WSL-PET"


@dataclass(frozen=True)
class Maker:
    """Origin of a mask.

    Parameters
    ----------
    algorithm_type : Segment Algorithm Type (0062,0008): "AUTOMATIC" (the network alone), "SEMIAUTOMATIC" (from a
        click) or "MANUAL" (submitted by a person).
    version : version of the weights, or of the software.
    person : name of the person who drew or clicked; "" for the network.
    """

    algorithm_type: str
    version: str = "1"
    person: str = ""


def read_segmentation(path: Path, grid: Volume, values: Mapping[str, int]) -> Volume:
    """Read a DICOM SEG as label values on a series' grid, zero outside its segments.

    Parameters
    ----------
    path : a segmentation by any software; a FRACTIONAL one is thresholded at half of its maximum.
    grid : geometry of the result.
    values : cancer type → label value. The type of a segment is its Segment Label, ignoring case.

    Raises
    ------
    DicomError
        if the file is not a segmentation, is damaged, or has a segment that is not a cancer type.
    """
    try:
        dataset = dcmread(path)
        if dataset.SOPClassUID != SegmentationStorage:
            raise DicomError(f"{path.name}: SOP Class UID (0008,0016) is {dataset.SOPClassUID}, not a segmentation")
        by_value = _frames_by_value(dataset, values)
        planes = _planes(dataset)
        pixels = _pixels(dataset)
        labels = np.zeros(grid.shape, np.uint8)
        for value, frames in by_value.items():
            distances = _distances(dataset, frames[0], grid)
            segment = _stacked([planes[n] for n in frames], pixels[frames], distances, path.name)
            labels[resample_labels(segment, grid).array > 0] = value
    except DicomError:
        raise
    except Exception as error:  # pydicom raises nearly anything for a damaged file
        raise DicomError(f"{path.name}: the DICOM SEG cannot be read ({type(error).__name__}: {error})") from error
    return grid.with_array(labels, "label")


def segment_names(dataset: Dataset) -> list[str]:
    """Segment Labels of a header, or of DICOMweb metadata."""
    return [str(item.get("SegmentLabel", "")) for item in dataset.get("SegmentSequence") or ()]


def referenced_series(dataset: Dataset) -> list[str]:
    """SeriesInstanceUIDs of the images that a segmentation refers to."""
    return [str(item.get("SeriesInstanceUID", "")) for item in dataset.get("ReferencedSeriesSequence") or ()]


def complete_header(header: Dataset, grid: Volume) -> Dataset:
    """Copy a slice's header, and add the elements that derived objects need, such as the actual slice spacing."""
    complete = header[:]  # the elements' dictionary copied, which copy.copy shares
    complete.file_meta = header.file_meta
    for keyword in _TAKEN_OVER.split():
        if keyword not in complete:
            setattr(complete, keyword, "")
    complete.SpacingBetweenSlices = round(grid.spacing[2], 6)
    return complete


def person_name(text: str) -> str | None:
    """Convert a name to one component of a Person Name (PS3.5 6.2); None for an empty name."""
    return text.replace("\\", " ").replace("^", " ").replace("=", " ")[:64].strip() or None


def _frames_by_value(dataset: Dataset, values: Mapping[str, int]) -> dict[int, list[int]]:
    """Label value → indices of its frames."""
    known = {name.casefold(): value for name, value in values.items()}
    of_segment = {}
    for item in dataset.SegmentSequence:
        name = str(item.get("SegmentLabel", ""))
        if name.casefold() not in known:
            raise DicomError(f"segment {name!r} of the DICOM SEG is no cancer type; the types are {', '.join(values)}")
        of_segment[int(item.SegmentNumber)] = known[name.casefold()]
    frames: dict[int, list[int]] = {}
    for n in range(int(dataset.NumberOfFrames)):
        segment = _group(dataset, n, "SegmentIdentificationSequence").ReferencedSegmentNumber
        frames.setdefault(of_segment[int(segment)], []).append(n)
    return frames


def _group(dataset: Dataset, frame: int, keyword: str) -> Dataset:
    """Functional group of a frame: its own, or the shared one."""
    own = dataset.PerFrameFunctionalGroupsSequence[frame].get(keyword)
    group: Dataset = (own or dataset.SharedFunctionalGroupsSequence[0][keyword].value)[0]
    return group


def _planes(dataset: Dataset) -> list[Array]:
    """Affine (4, 4) of each frame: index (column, row, slice) → mm RAS, the slice axis a unit normal."""
    planes = []
    for n in range(int(dataset.NumberOfFrames)):
        cosines = np.array(_group(dataset, n, "PlaneOrientationSequence").ImageOrientationPatient, float).reshape(2, 3)
        between_rows, between_columns = map(float, _group(dataset, n, "PixelMeasuresSequence").PixelSpacing)
        plane = np.eye(4)
        plane[:3, 0] = LPS_TO_RAS @ cosines[0] * between_columns
        plane[:3, 1] = LPS_TO_RAS @ cosines[1] * between_rows
        # Flipping x and y (LPS → RAS) is a rotation, so a cross product keeps its sign.
        plane[:3, 2] = LPS_TO_RAS @ np.cross(*cosines)
        position = _group(dataset, n, "PlanePositionSequence").ImagePositionPatient
        plane[:3, 3] = LPS_TO_RAS @ np.array(position, float)
        if not np.isfinite(plane).all():
            raise DicomError(f"frame {n + 1} of the DICOM SEG has no finite position, orientation and spacing")
        planes.append(plane)
    return planes


def _pixels(dataset: Dataset) -> Array:
    """(frame, row, column) boolean."""
    pixels = dataset.pixel_array
    if pixels.ndim == 2:
        pixels = pixels[np.newaxis]
    half = 0.0
    if dataset.SegmentationType == "FRACTIONAL":
        half = int(dataset.MaximumFractionalValue) / 2
    return pixels > half


def _distances(dataset: Dataset, frame: int, grid: Volume) -> list[float]:
    """Candidate distances between neighbouring planes, mm: as stated, that of the image, the slice thickness."""
    measures = _group(dataset, frame, "PixelMeasuresSequence")
    between, thickness = (float(measures.get(tag) or 0) for tag in ("SpacingBetweenSlices", "SliceThickness"))
    return [between, grid.spacing[2], thickness]


def _stacked(planes: list[Array], frames: Array, distances: Sequence[float], name: str) -> Volume:
    """Stack parallel frames (n, row, column), in any order and with gaps, into one volume."""
    first = planes[0]
    normal = first[:3, 2]
    if any(not np.allclose(plane[:3, :3], first[:3, :3], atol=1e-4) for plane in planes):
        raise DicomError(f"{name}: the frames of a segment are not parallel; save the DICOM SEG on one series")
    heights = np.array([plane[:3, 3] @ normal for plane in planes])
    distance = _distance(heights, distances)
    slices = np.rint((heights - heights.min()) / distance).astype(int)
    array = np.zeros((frames.shape[2], frames.shape[1], slices.max() + 1), np.uint8)
    for k, frame in zip(slices, frames, strict=True):
        array[:, :, k] |= frame.T
    affine = np.array(planes[int(heights.argmin())])
    affine[:3, 2] = normal * distance
    return Volume(array, affine, "label", name)


def _distance(heights: FloatArray, candidates: Sequence[float]) -> float:
    """Distance between neighbouring planes, mm: the first candidate of which all steps are multiples."""
    steps = np.diff(np.unique(np.round(heights, 3)))
    for distance in candidates:
        if distance > 0 and np.abs(steps / distance - np.rint(steps / distance)).max(initial=0) < _UNEVEN:
            return distance
    return float(steps.min())
