"""Measurements of lesions as DICOM SR: a measurement report by TID 1500 (PS3.16)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    DeviceObserverIdentifyingAttributes,
    EnhancedSR,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    PersonObserverIdentifyingAttributes,
    ReferencedSegment,
    SourceSeriesForSegmentation,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from wslpet.core.errors import DicomError
from wslpet.io.dicom.derived.lesion_segmentation import in_order
from wslpet.io.dicom.derived.lesions import ExportedLesion, SeriesLesions
from wslpet.io.dicom.derived.segmentation import MAKER, complete_header, person_name
from wslpet.io.dicom.derived.segmentation_writing import CATEGORY, NEOPLASM

_GRAMS, _NONE, _PER_M = Code("g", "UCUM", "g"), Code("1", "UCUM", "no units"), Code("/m", "UCUM", "/m")
_ML, _MM = Code("ml", "UCUM", "ml"), Code("mm", "UCUM", "mm")
_SUVBW, _IN_SUVBW = (
    Code("126401", "DCM", "SUVbw"),
    Code("g/ml{SUVbw}", "UCUM", "Standardized Uptake Value body weight"),
)
_SUL, _IN_SUL = (
    Code("126405", "DCM", "SUVlbm(Janma)"),
    Code("g/ml{SUVlbm(Janma)}", "UCUM", "Standardized Uptake Value lean body mass (Janma)"),
)
_BY_LEAN_MASS = Code("126414", "DCM", "SUV lean body mass calculation Janmahasatian method")
_MAX, _MEAN = Code("56851009", "SCT", "Maximum"), Code("373098007", "SCT", "Mean")
_PEAK, _TOTAL = Code("126031", "DCM", "Peak Value Within ROI"), Code("255619001", "SCT", "Total")
_VOLUME, _GLYCOLYSIS = Code("126032", "DCM", "Metabolic Volume"), Code("126033", "DCM", "Total Lesion Glycolysis")
_TITLE = Code("126000", "DCM", "Imaging Measurement Report")
_PROCEDURE = Code("363679005", "SCT", "Imaging procedure")
_PERSON, _DEVICE = CodedConcept("121006", "DCM", "Person"), CodedConcept("121007", "DCM", "Device")
# Coding scheme for concepts that DICOM has no code for.
_OWN = "99WSLPET"


@dataclass(frozen=True)
class CodedMeasure:
    """How a measure is coded: concept, unit, derivation and method."""

    name: Code
    unit: Code
    derivation: Code | None = None
    method: Code | None = None


# TLG is volume × SUV: ml · g/ml = g.
LESION_MEASURES = {
    "volume_ml": CodedMeasure(_VOLUME, _ML),
    "suv_max": CodedMeasure(_SUVBW, _IN_SUVBW, _MAX),
    "suv_peak": CodedMeasure(_SUVBW, _IN_SUVBW, _PEAK),
    "suv_mean": CodedMeasure(_SUVBW, _IN_SUVBW, _MEAN),
    "tlg": CodedMeasure(_GLYCOLYSIS, _GRAMS),
    "sul_max": CodedMeasure(_SUL, _IN_SUL, _MAX),
    "sul_peak": CodedMeasure(_SUL, _IN_SUL, _PEAK),
    "sul_mean": CodedMeasure(_SUL, _IN_SUL, _MEAN),
    "tlg_sul": CodedMeasure(_GLYCOLYSIS, _GRAMS, None, _BY_LEAN_MASS),
}
BURDEN_MEASURES = {
    "lesions": CodedMeasure(Code("246206008", "SCT", "Number of lesions"), _NONE),
    "mtv_ml": CodedMeasure(_VOLUME, _ML, _TOTAL),
    "tlg": CodedMeasure(_GLYCOLYSIS, _GRAMS, _TOTAL),
    "suv_max": CodedMeasure(_SUVBW, _IN_SUVBW, _MAX),
    "suv_peak": CodedMeasure(_SUVBW, _IN_SUVBW, _PEAK),
    "dmax_mm": CodedMeasure(Code("dmax", _OWN, "Largest distance between two lesions"), _MM),
    "dmax_bulk_mm": CodedMeasure(Code("dmax-bulk", _OWN, "Largest distance from the largest lesion"), _MM),
    "spread_mm": CodedMeasure(Code("spread", _OWN, "Largest sum of distances from one lesion to all others"), _MM),
    "spread_bulk_mm": CodedMeasure(
        Code("spread-bulk", _OWN, "Sum of distances from the largest lesion to all others"), _MM
    ),
    "sdmax_per_m": CodedMeasure(Code("sdmax", _OWN, "Largest distance over body surface area"), _PER_M),
    "dmax_per_sqrt_bsa": CodedMeasure(
        Code("dmax-sqrt-bsa", _OWN, "Largest distance over root of body surface area"), _NONE
    ),
    "sul_max": CodedMeasure(_SUL, _IN_SUL, _MAX),
    "tlg_sul": CodedMeasure(_GLYCOLYSIS, _GRAMS, _TOTAL, _BY_LEAN_MASS),
}


def measurement_report(exported: SeriesLesions, segmentation: Dataset) -> Dataset:
    """Make a report with one group of measurements per lesion, and one for all lesions together.

    Parameters
    ----------
    segmentation : result of `lesion_segmentation.lesion_segmentation`; the groups refer to its segments.

    Raises
    ------
    DicomError
        if the series' headers lack elements that an SR needs.
    """
    headers = [complete_header(header, exported.grid) for header in exported.headers]
    try:
        groups: list[Any] = [
            _lesion(exported, segmentation, n, one) for n, one in enumerate(in_order(exported), start=1)
        ]
        if exported.burden:
            groups.append(_burden(exported))
        report = MeasurementReport(
            observation_context=_observers(exported),
            procedure_reported=_PROCEDURE,
            imaging_measurements=groups,
            title=_TITLE,
        )
        made = EnhancedSR(
            evidence=[*headers, segmentation],
            content=report[0],
            series_instance_uid=exported.uid("SR series"),
            series_number=303,
            series_description=f"{MAKER} lesions",
            sop_instance_uid=exported.uid("SR"),
            instance_number=1,
            manufacturer=MAKER,
            is_complete=True,
        )
    except (AttributeError, TypeError, ValueError, KeyError) as error:
        raise DicomError(f"{exported.labels.name}: the series cannot be referred to by a DICOM SR ({error})") from error
    made.ManufacturerModelName, made.SoftwareVersions, made.DeviceSerialNumber = "wslpet", exported.version, "0"
    exported.set_times(made)
    return made


def _observers(exported: SeriesLesions) -> ObservationContext:
    person = next((name for one in in_order(exported) if (name := person_name(one.person))), None)
    device = DeviceObserverIdentifyingAttributes(
        uid=exported.uid("device"), name=MAKER, manufacturer_name=MAKER, model_name=f"wslpet {exported.version}"[:64]
    )
    return ObservationContext(
        observer_person_context=None
        if person is None
        else ObserverContext(_PERSON, PersonObserverIdentifyingAttributes(name=person)),
        observer_device_context=ObserverContext(_DEVICE, device),
    )


def _lesion(
    exported: SeriesLesions, segmentation: Dataset, segment: int, lesion: ExportedLesion
) -> VolumetricROIMeasurementsAndQualitativeEvaluations:
    return VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(exported.tracking_uid(lesion), lesion.name),
        referenced_segment=ReferencedSegment(
            sop_class_uid=segmentation.SOPClassUID,
            sop_instance_uid=segmentation.SOPInstanceUID,
            segment_number=segment,
            source_series=SourceSeriesForSegmentation(str(exported.header.SeriesInstanceUID)),
        ),
        finding_category=CATEGORY,
        finding_type=NEOPLASM,
        algorithm_id=AlgorithmIdentification(MAKER, exported.version, [f"contour: {lesion.contour}"]),
        measurements=_coded(lesion.measures, LESION_MEASURES),
    )


def _burden(exported: SeriesLesions) -> MeasurementsAndQualitativeEvaluations:
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(exported.uid("all lesions"), "all lesions"),
        finding_category=CATEGORY,
        finding_type=NEOPLASM,
        algorithm_id=AlgorithmIdentification(MAKER, exported.version),
        measurements=_coded(exported.burden, BURDEN_MEASURES),
    )


def _coded(measures: Mapping[str, float], known: Mapping[str, CodedMeasure]) -> list[Measurement]:
    return [
        Measurement(coded.name, measures[name], coded.unit, derivation=coded.derivation, method=coded.method)
        for name, coded in known.items()
        if name in measures
    ]
