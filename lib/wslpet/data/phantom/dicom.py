"""Phantoms as DICOM PET series: Bq/ml in 16 bits, one slope per slice, with the tags that SUV and viewers need."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, PositronEmissionTomographyImageStorage, generate_uid
from pydicom.valuerep import format_number_as_ds

from wslpet.core.arrays import Array, FloatArray
from wslpet.core.volume import Volume
from wslpet.data.phantom.settings import PhantomError
from wslpet.io.dicom.headers import write_dicom

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
FLUORINE_18_HALF_LIFE_S = 6586.2
# Patient Position (0018,5100) → codes of CID 19 to 21: on the table, and into the gantry.
LYING = {"S": ("40199007", "supine"), "P": ("1240000", "prone")}
ENTERING = {"HF": ("102540008", "headfirst"), "FF": ("102541007", "feet-first")}
# Largest cosine of the angle between two voxel axes that count as perpendicular.
PERPENDICULAR = 1e-6


@dataclass(frozen=True)
class Examination:
    """Header values of an examination: patient, injection, times, position.

    Parameters
    ----------
    sex : M or F; for other values OHIF shows no SUV.
    position : Patient Position (0018,5100): HFS, FFS, HFP or FFP. The patient coordinates do not depend on it.
    description : Series Description. The same patient and description give the same UIDs.
    corrected : False writes a series without attenuation correction (NAC), as scanners store in addition.
    """

    weight_kg: float = 72.5
    size_m: float = 1.74
    sex: str = "F"
    dose_bq: float = 3.1e8
    injected: datetime = datetime(2026, 1, 5, 10, 2, 30)
    scanned: datetime = datetime(2026, 1, 5, 11, 4, 15)
    half_life_s: float = FLUORINE_18_HALF_LIFE_S
    position: str = "HFS"
    description: str = "PET WB AC"
    corrected: bool = True

    def activity_per_suv(self) -> float:
        """Activity (Bq/ml) of SUV 1 at the start of the scan: the remaining dose per gram of body weight, at 1 g/ml."""
        elapsed = (self.scanned - self.injected).total_seconds()
        return float(self.dose_bq * 2.0 ** (-elapsed / self.half_life_s) / (self.weight_kg * 1000.0))


def write_series(
    volume: Volume,
    folder: Path,
    patient: str,
    examination: Examination | None = None,
    *,
    descending: bool = False,
    signed: bool = True,
) -> list[Path]:
    """Write a volume in SUV as one PET series (DICOM PS3.3 A.21), one file per slice, in the volume's geometry.

    Parameters
    ----------
    volume : (i, j, k) SUV with perpendicular axes: i is the column, j the row and k the slice. The geometry, oblique
        or not, is written with the 16 characters of a decimal string (DS).
    folder : folder of the files; created if missing.
    patient : Patient ID and name. UIDs depend on this and on the description only.
    descending : if true, instance number 1 is the last slice along k.
    signed : int16, as GE writes; otherwise uint16.

    Returns
    -------
    the files, along k.

    Raises
    ------
    PhantomError
        if the axes are not perpendicular, a value cannot be stored, or the position does not exist.
    """
    examination = examination or Examination()
    affine = RAS_TO_LPS @ volume.affine
    cosines = affine[:3, :3] / volume.spacing
    _check(volume, cosines, examination, signed)
    header = _header(patient, examination)
    _describe_geometry(header, volume, cosines)
    _describe_pixels(header, signed)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for k, number in enumerate(_instance_numbers(volume.shape[2], descending)):
        _place(header, affine @ (0, 0, k, 1), cosines[:, 2], number)
        _store(header, volume.array[:, :, k].T * examination.activity_per_suv(), signed)  # (row, column)
        files.append(folder / f"{number:04d}.dcm")
        write_dicom(header, files[-1])
    return files


def _check(volume: Volume, cosines: FloatArray, examination: Examination, signed: bool) -> None:
    if np.abs(cosines.T @ cosines - np.eye(3)).max() > PERPENDICULAR:
        raise PhantomError(f"{volume.name}: axes are not perpendicular; DICOM has rows, columns and slices")
    if not np.isfinite(volume.array).all() or (not signed and volume.array.min() < 0):
        raise PhantomError(f"{volume.name}: values are not finite, or negative and to be stored without sign")
    if examination.position[:2] not in ENTERING or examination.position[2:] not in LYING:
        raise PhantomError(f"position {examination.position!r} does not exist; give HFS, FFS, HFP or FFP")


def _instance_numbers(slices: int, descending: bool) -> Iterator[int]:
    return iter(range(slices, 0, -1) if descending else range(1, slices + 1))


def _header(patient: str, examination: Examination) -> Dataset:
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.SpecificCharacterSet = "ISO_IR 192"
    header.SOPClassUID = PositronEmissionTomographyImageStorage
    header.PatientID = header.PatientName = patient
    header.PatientBirthDate = ""
    header.PatientSex = examination.sex
    header.PatientSize = format_number_as_ds(examination.size_m)
    header.PatientWeight = format_number_as_ds(examination.weight_kg)
    header.StudyInstanceUID = _uid(patient, "study")
    header.StudyID = "1"
    header.StudyDescription = "Phantom FDG PET"
    header.AccessionNumber = header.ReferringPhysicianName = ""
    header.SeriesInstanceUID = _uid(patient, examination.description)
    header.SeriesNumber = 1 if examination.corrected else 2
    header.SeriesDescription = examination.description
    header.Modality = "PT"
    header.BodyPartExamined = "WHOLEBODY"
    header.ProtocolName = "WB FDG"
    header.PatientPosition = examination.position
    header.FrameOfReferenceUID = _uid(patient, "frame of reference")
    header.PositionReferenceIndicator = ""
    header.Manufacturer, header.ManufacturerModelName = "WSL-PET", "phantom"
    header.InstitutionName = ""
    _describe_acquisition(header, examination)
    _describe_tracer(header, examination)
    return header


def _describe_acquisition(header: Dataset, examination: Examination) -> None:
    for event in ("Study", "Series", "Acquisition", "Content"):
        setattr(header, f"{event}Date", examination.scanned.strftime("%Y%m%d"))
        setattr(header, f"{event}Time", examination.scanned.strftime("%H%M%S.%f"))
    header.ImageType = ["ORIGINAL", "PRIMARY"]
    header.SeriesType = ["WHOLE BODY", "IMAGE"]
    header.Units = "BQML"
    header.CountsSource = "EMISSION"
    header.CollimatorType = "NONE"
    header.DecayCorrection = "START"
    header.DecayFactor = format_number_as_ds(1.0)
    header.CorrectedImage = ["DECY", *(["ATTN", "SCAT"] if examination.corrected else []), "DTIM", "RAN", "NORM"]
    header.AttenuationCorrectionMethod = "CT" if examination.corrected else "NONE"
    header.ReconstructionMethod = "PHANTOM"
    header.ActualFrameDuration = 120_000
    header.FrameReferenceTime = format_number_as_ds(60_000.0)
    bed, gantry = LYING[examination.position[2:]], ENTERING[examination.position[:2]]
    orientation = _code("102538003", "recumbent")
    orientation.PatientOrientationModifierCodeSequence = [_code(*bed)]
    header.PatientOrientationCodeSequence = [orientation]
    header.PatientGantryRelationshipCodeSequence = [_code(*gantry)]


def _describe_tracer(header: Dataset, examination: Examination) -> None:
    tracer = Dataset()
    tracer.Radiopharmaceutical = "Fluorodeoxyglucose F^18^"
    tracer.RadiopharmaceuticalStartTime = examination.injected.strftime("%H%M%S.%f")
    tracer.RadiopharmaceuticalStartDateTime = examination.injected.strftime("%Y%m%d%H%M%S.%f")
    tracer.RadionuclideTotalDose = format_number_as_ds(examination.dose_bq)
    tracer.RadionuclideHalfLife = format_number_as_ds(examination.half_life_s)
    tracer.RadionuclidePositronFraction = format_number_as_ds(0.967)
    tracer.RadionuclideCodeSequence = [_code("77004003", "^18^Fluorine")]
    tracer.RadiopharmaceuticalCodeSequence = [_code("35321007", "Fluorodeoxyglucose F^18^")]
    tracer.AdministrationRouteCodeSequence = [_code("47625008", "Intravenous route")]
    header.RadiopharmaceuticalInformationSequence = [tracer]


def _describe_geometry(header: Dataset, volume: Volume, cosines: FloatArray) -> None:
    columns, rows, slices = volume.shape
    header.Columns, header.Rows, header.NumberOfSlices = columns, rows, slices
    header.ImageOrientationPatient = _decimals([*cosines[:, 0], *cosines[:, 1]])
    header.PixelSpacing = _decimals([volume.spacing[1], volume.spacing[0]])  # between rows, between columns
    header.SliceThickness = format_number_as_ds(volume.spacing[2])


def _describe_pixels(header: Dataset, signed: bool) -> None:
    header.SamplesPerPixel = 1
    header.PhotometricInterpretation = "MONOCHROME2"
    header.BitsAllocated = header.BitsStored = 16
    header.HighBit = 15
    header.PixelRepresentation = int(signed)
    header.RescaleIntercept = "0"


def _place(header: Dataset, position: FloatArray, along: Array, number: int) -> None:
    header.ImagePositionPatient = _decimals(position[:3])
    header.SliceLocation = format_number_as_ds(float(position[:3] @ along))
    header.InstanceNumber = header.ImageIndex = number
    header.SOPInstanceUID = _uid(header.PatientID, header.SeriesDescription, str(number))
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID


def _store(header: Dataset, activity: Array, signed: bool) -> None:
    """Bq/ml (row, column) → pixels that use the whole integer range, and the slope rounded to a DS."""
    highest = 32767 if signed else 65535
    # 0.1 % of room, so that the maximum stays in range although the slope is rounded.
    slope = format_number_as_ds(float(np.abs(activity).max()) * 1.001 / highest or 1.0)
    header.RescaleSlope = slope
    header.PixelData = np.round(activity / float(slope)).astype("<i2" if signed else "<u2").tobytes()


def _decimals(values: Array | list[float]) -> list[str]:
    return [format_number_as_ds(float(value) + 0.0) for value in values]  # + 0.0: no "-0.0"


def _code(value: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, "SCT", meaning
    return code


def _uid(*names: str) -> str:
    return generate_uid(entropy_srcs=list(names))
