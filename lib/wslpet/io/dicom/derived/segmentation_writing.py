"""Write masks as DICOM SEG (PS3.3 A.51).

It is separate from `segmentation`, since highdicom and pydicom's dictionaries of codes take a second or more to import,
which would delay the start of a server.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import highdicom
import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import generate_uid

from wslpet.core.errors import DicomError
from wslpet.core.volume import Volume, resample_labels
from wslpet.io.dicom.derived.segmentation import MAKER, Maker, complete_header, person_name
from wslpet.io.dicom.headers import write_dicom

CATEGORY = Code("49755003", "SCT", "Morphologically Altered Structure")
NEOPLASM = Code("108369006", "SCT", "Neoplasm")
# Cancer types whose name is not in DICOM's list of anatomic regions (CID 4); all others are looked up there.
_REGIONS = {"oesophagus": Code("32849002", "SCT", "Esophagus"), "esophagus": Code("32849002", "SCT", "Esophagus")}
# Colours by label value, in turn, in DICOM's CIELab encoding: red, orange, green, blue.
_COLOURS = ((34885, 53485, 50171), (49021, 39017, 53174), (50175, 21074, 49171), (21167, 53247, 5140))
ARTIFICIAL_INTELLIGENCE = Code("123110", "DCM", "Artificial Intelligence")


def write_segmentation(
    mask: Volume, grid: Volume, headers: Sequence[Dataset], names: Mapping[int, str], maker: Maker, path: Path
) -> str:
    """Write a mask as DICOM SEG, one binary segment per label value that occurs.

    Parameters
    ----------
    mask : uint8 label values, on any grid; voxels outside the series are cut off.
    grid : the series' geometry, axes (column, row, slice).
    headers : the series' slices along k, without pixels.
    names : label value → cancer type.

    Returns
    -------
    The SeriesInstanceUID of the segmentation.

    Raises
    ------
    DicomError
        when the mask is empty on the series, holds a value without a name, or the headers cannot be referred to.
    """
    labels = resample_labels(mask, grid).array.transpose(2, 1, 0)  # (slice, row, column)
    values = [int(value) for value in np.unique(labels[labels > 0])]
    if not values:
        raise DicomError(f"{mask.name}: the mask is empty on the series, and DICOM SEG knows no empty one")
    unnamed = [value for value in values if value not in names]
    if unnamed:
        raise DicomError(f"{mask.name}: label value {unnamed[0]} stands for no cancer type; the values are {names}")
    slices = [complete_header(header, grid) for header in headers]
    try:
        segmentation = highdicom.seg.Segmentation(
            source_images=slices,
            pixel_array=np.stack([labels == value for value in values], axis=-1).astype(np.uint8),
            segmentation_type="BINARY",
            segment_descriptions=[_of_type(n, names[v], v, maker) for n, v in enumerate(values, start=1)],
            series_instance_uid=generate_uid(),
            series_number=300,
            series_description=f"{MAKER} {', '.join(names[value] for value in values)}"[:64],
            sop_instance_uid=generate_uid(),
            instance_number=1,
            manufacturer=MAKER,
            manufacturer_model_name="wslpet",
            software_versions=maker.version,
            device_serial_number="0",
            content_label="TUMOUR",
            content_description="Tumour in FDG PET",
            content_creator_name=person_name(maker.person),
        )
    except (AttributeError, TypeError, ValueError, KeyError) as error:
        raise DicomError(f"{mask.name}: its series cannot be referred to by a DICOM SEG ({error})") from error
    write_dicom(segmentation, path)
    return str(segmentation.SeriesInstanceUID)


def segment_description(
    number: int,
    label: str,
    value: int,
    algorithm_type: str,
    version: str,
    tracking: tuple[str, str],
    region: Code | None = None,
) -> highdicom.seg.SegmentDescription:
    """Describe the segment of a neoplasm; `tracking` is its tracking ID and UID, `value` chooses its colour."""
    algorithm = None
    if algorithm_type != "MANUAL":
        algorithm = highdicom.AlgorithmIdentificationSequence(MAKER, ARTIFICIAL_INTELLIGENCE, version)
    tracking_id, tracking_uid = tracking
    segment = highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=label,
        segmented_property_category=CATEGORY,
        segmented_property_type=NEOPLASM,
        algorithm_type=algorithm_type,
        algorithm_identification=algorithm,
        tracking_uid=tracking_uid,
        tracking_id=tracking_id,
        anatomic_regions=[region] if region else None,
    )
    segment.RecommendedDisplayCIELabValue = list(_COLOURS[(value - 1) % len(_COLOURS)])
    return segment


def _of_type(number: int, name: str, value: int, maker: Maker) -> highdicom.seg.SegmentDescription:
    tracking = (f"{name} tumour", generate_uid())
    return segment_description(number, name, value, maker.algorithm_type, maker.version, tracking, _region(name))


def _region(name: str) -> Code | None:
    """Anatomic region code of a cancer type; None for a name that is not an organ ("lymphoma")."""
    known = _REGIONS.get(name.casefold())
    if known:
        return known
    return getattr(codes.cid4, "".join(word.capitalize() for word in name.split()), None)
