"""Export the lesions of a DICOM series with their measures as DICOM SEG, RTSTRUCT and SR."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timezone

from pydicom.dataset import Dataset

from wslpet.analysis.burden.lesions import DRAWN, LesionMeasures, Origin
from wslpet.analysis.burden.patient import burden_of
from wslpet.analysis.burden.tables import PatientRecord, rounded
from wslpet.core.volume import Volume
from wslpet.io.dicom.derived.lesion_segmentation import lesion_segmentation
from wslpet.io.dicom.derived.lesions import ExportedLesion, SeriesLesions
from wslpet.io.dicom.derived.report import BURDEN_MEASURES, LESION_MEASURES, measurement_report
from wslpet.io.dicom.derived.rtstruct_writing import rtstruct


def series_lesions(
    record: PatientRecord, labels: Volume, grid: Volume, headers: Sequence[Dataset], stamp: str, version: str
) -> SeriesLesions:
    """Combine the lesions of a record with the geometry and headers of their series; measures are rounded as in tables.

    Parameters
    ----------
    labels, grid, headers, stamp, version : as in `SeriesLesions`, which also lists the errors.
    """
    burden = asdict(burden_of(record.lesions, record.body))
    return SeriesLesions(
        labels,
        grid,
        headers,
        tuple(_exported(lesion) for lesion in record.lesions),
        stamp,
        _when(record.origin.time if record.origin else ""),
        version,
        {name: rounded(burden[name]) for name in BURDEN_MEASURES if burden[name] is not None},
    )


def dicom_object(form: str, exported: SeriesLesions) -> Dataset:
    """Make the object of a form: "seg", "rtstruct", or "sr", which refers to the "seg" of the same annotation."""
    if form == "rtstruct":
        return rtstruct(exported)
    segmentation = lesion_segmentation(exported)
    return segmentation if form == "seg" else measurement_report(exported, segmentation)


def _exported(lesion: LesionMeasures) -> ExportedLesion:
    origin = lesion.origin
    step = f", step {origin.step:+d}" if origin.step else ""
    values = {name: getattr(lesion, name) for name in LESION_MEASURES}
    return ExportedLesion(
        lesion.number,
        origin.cancer_type,
        _algorithm_type(origin),
        f"{origin.method}{step}",
        origin.user,
        {name: rounded(value) for name, value in values.items() if value is not None},
    )


def _algorithm_type(origin: Origin) -> str:
    if origin.source == "model":
        return "AUTOMATIC"
    return "MANUAL" if origin.method == DRAWN else "SEMIAUTOMATIC"


def _when(time: str) -> datetime:
    """Parse the time of an annotation; the present time if an imported table has it in another format."""
    try:
        return datetime.fromisoformat(time.replace("Z", "+00:00")).astimezone(timezone.utc)
    except ValueError:
        return datetime.now(timezone.utc)
