"""Each row of the table in docs/reference/dicom.md: a series spoilt in that way, and its message, word by word."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EnhancedPETImageStorage,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
)

from tests.helpers.dicom_series import change, compress, copied, philips, small_series, values
from wslpet.core.errors import DicomError
from wslpet.data.phantom import Examination
from wslpet.io.dicom.series import read_series

DOCS = Path(__file__).resolve().parents[3] / "docs" / "reference" / "dicom.md"
ROW = re.compile(r"^\| `([a-z0-9-]+)` \| [^|]+ \| `(.+)` \|$", re.MULTILINE)
TABLE = dict(ROW.findall(DOCS.read_text(encoding="utf-8")))

Spoiler = Callable[[Path], object]
CASES: dict[str, Spoiler] = {}


def case(name: str) -> Callable[[Spoiler], Spoiler]:
    def add(spoil: Spoiler) -> Spoiler:
        assert name not in CASES
        CASES[name] = spoil
        return spoil

    return add


def everywhere(name: str, **tags: str | None) -> None:
    CASES[name] = lambda folder: change(folder, values(**tags))


def in_one(name: str, **tags: str | None) -> None:
    CASES[name] = lambda folder: change(folder / "0003.dcm", values(**tags))


# SUV
everywhere("no-attenuation-correction", CorrectedImage="DECY\\NORM")
everywhere("no-decay-correction", CorrectedImage="ATTN\\NORM")
everywhere("no-corrections", CorrectedImage=None)
everywhere("decay-none", DecayCorrection="NONE")
everywhere("decay-none-in-suv", DecayCorrection="NONE", CorrectedImage="ATTN\\SCAT", Units="GML")
everywhere("decay-none-with-factor", DecayCorrection="NONE", CorrectedImage="ATTN", DecayFactor="1.0063")
everywhere("decay-none-no-duration", DecayCorrection="NONE", CorrectedImage="ATTN", ActualFrameDuration=None)
everywhere("decay-factor-contradicts", DecayFactor="1.1")
everywhere("decay-factor-below-one", DecayFactor="0.5")
everywhere("decay-factor-admin-contradicts", DecayFactor="1.1", DecayCorrection="ADMIN")
everywhere("decay-factor-no-number", DecayFactor="one")
everywhere("decay-unknown", DecayCorrection="")
everywhere("units-unknown", Units=None)
everywhere("units-other", Units="PROPCPS")
everywhere("counts-alone", Units="CNTS")
everywhere("suv-by-lean-mass", Units="GML", SUVType="LBM")
everywhere("suv-type-in-other-units", Units="GML", SUVType="BSA")
everywhere("lean-mass-no-height", Units="GML", SUVType="LBMJAMES128", PatientSize=None)
everywhere("lean-mass-height-in-cm", Units="GML", SUVType="LBMJAMES128", PatientSize="174")
everywhere("lean-mass-no-sex", Units="GML", SUVType="LBMJAMES128", PatientSex=None)
everywhere("lean-mass-absurd", Units="GML", SUVType="LBMJAMES128", PatientWeight="290", PatientSize="1.5")
everywhere("weight-missing", PatientWeight="")
everywhere("weight-zero", PatientWeight="0")
everywhere("weight-negative", PatientWeight="-70")
everywhere("weight-not-finite", PatientWeight="NaN")
everywhere("weight-in-grams", PatientWeight="72500")
in_one("weight-differs", PatientWeight="55")
everywhere("tracer-missing", RadiopharmaceuticalInformationSequence=None)
everywhere("dose-missing", RadionuclideTotalDose=None)
everywhere("dose-zero", RadionuclideTotalDose="0")
everywhere("dose-not-finite", RadionuclideTotalDose="inf")
everywhere("dose-in-mbq-or-mci", RadionuclideTotalDose="10.2")
everywhere("dose-in-kbq", RadionuclideTotalDose="310500")
everywhere("dose-absurd", RadionuclideTotalDose="3.1E+14")
everywhere("half-life-missing", RadionuclideHalfLife=None)
everywhere("half-life-in-minutes", RadionuclideHalfLife="109.77")
everywhere("half-life-absurd", RadionuclideHalfLife="1e-3")
everywhere("injection-missing", RadiopharmaceuticalStartDateTime=None, RadiopharmaceuticalStartTime=None)
everywhere("injection-after-scan", RadiopharmaceuticalStartDateTime="20260105113000", RadiopharmaceuticalStartTime=None)
everywhere("injection-time-after-scan", RadiopharmaceuticalStartDateTime=None, RadiopharmaceuticalStartTime="111000")
everywhere(
    "injection-days-before", RadiopharmaceuticalStartDateTime="20251231100000", RadiopharmaceuticalStartTime=None
)
everywhere("injection-garbled", RadiopharmaceuticalStartDateTime="yesterday", RadiopharmaceuticalStartTime=None)
everywhere(
    "injection-zone-unknown", RadiopharmaceuticalStartDateTime="20260105090230+0000", RadiopharmaceuticalStartTime=None
)
everywhere("injection-both-garbled", RadiopharmaceuticalStartDateTime="gone", RadiopharmaceuticalStartTime="gone")
everywhere("time-garbled", SeriesTime="256100")
everywhere("date-garbled", AcquisitionDate="20261305")
in_one("acquisition-missing", AcquisitionTime=None)
in_one("series-time-differs", SeriesTime="100500")
everywhere("zone-garbled", TimezoneOffsetFromUTC="CET")


@case("two-tracers")
def _(folder: Path) -> None:
    def add(dataset: Dataset) -> None:
        dataset.RadiopharmaceuticalInformationSequence.append(Dataset())

    change(folder, add)


@case("philips-factor-missing-in-some")
def _(folder: Path) -> None:
    def counts(dataset: Dataset) -> None:
        dataset.Units = "CNTS"
        philips(dataset, "0" if dataset.InstanceNumber == 3 else "0.0005")

    change(folder, counts)


@case("philips-factor-absurd")
def _(folder: Path) -> None:
    def counts(dataset: Dataset) -> None:
        dataset.Units = "CNTS"
        philips(dataset, "-1")

    change(folder, counts)


# Which series
everywhere("ct", SOPClassUID=CTImageStorage, Modality="CT")
everywhere("no-kind", SOPClassUID=None)
everywhere("modality-other", Modality="NM")
everywhere("enhanced", SOPClassUID=EnhancedPETImageStorage)
everywhere("multi-frame", NumberOfFrames="7")
everywhere("dynamic", SeriesType="DYNAMIC\\IMAGE")
everywhere("gated", SeriesType="GATED\\IMAGE")
everywhere("projections", SeriesType="WHOLE BODY\\REPROJECTION")
in_one("series-uid-missing", SeriesInstanceUID=None)
in_one("mixed-frames-of-reference", FrameOfReferenceUID="1.2.3")


@case("mixed-series")
def _(folder: Path) -> None:
    small_series(folder / "raw", replace(Examination(), description="PET WB NAC", corrected=False))


@case("empty-folder")
def _(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()


@case("no-dicom")
def _(folder: Path) -> None:
    (folder / "0003.dcm").write_text("not a slice")


@case("cut-to-nothing")
def _(folder: Path) -> None:
    (folder / "0007.dcm").write_bytes(b"")


@case("header-damaged")
def _(folder: Path) -> None:
    data = (folder / "0003.dcm").read_bytes()
    (folder / "0003.dcm").write_bytes(data.replace(b"\x08\x00\x16\x00UI", b"\x08\x00\x16\x00??"))


@case("pixels-cut-short")
def _(folder: Path) -> None:
    data = (folder / "0003.dcm").read_bytes()
    (folder / "0003.dcm").write_bytes(data[:-9])


# Slices
in_one("mixed-orientations", ImageOrientationPatient="1\\0\\0\\0\\0\\-1")
in_one("mixed-spacings", PixelSpacing="4\\3.5")
in_one("mixed-sizes", Rows="\x06\x00")
in_one("uneven", ImagePositionPatient="20.5\\-31.25\\421.9")
in_one("shifted", ImagePositionPatient="23.5\\-31.25\\420.9")


@case("copied-slice")
def _(folder: Path) -> None:
    (folder / "again").mkdir()
    shutil.copy(folder / "0004.dcm", folder / "again")
    change(folder / "again", values(SOPInstanceUID="1.2.3.4"))


@case("two-slices-in-one-place")
def _(folder: Path) -> None:
    change(folder / "0004.dcm", values(ImagePositionPatient="20.5\\-31.25\\420.9"))


@case("missing-slice")
def _(folder: Path) -> None:
    (folder / "0004.dcm").unlink()
    change(folder, values(NumberOfSlices="\x06\x00"))


@case("missing-end")
def _(folder: Path) -> None:
    (folder / "0007.dcm").unlink()


@case("one-slice")
def _(folder: Path) -> None:
    for file in sorted(folder.iterdir())[1:]:
        file.unlink()


@case("leaning")
def _(folder: Path) -> None:
    def lean(dataset: Dataset) -> None:
        x, y, z = dataset.ImagePositionPatient
        dataset.ImagePositionPatient = [x, y + 0.2 * (z - 410.9), z]

    change(folder, lean)


@case("spacing-of-slices-absurd")
def _(folder: Path) -> None:
    def spread(dataset: Dataset) -> None:
        x, y, _ = dataset.ImagePositionPatient
        dataset.ImagePositionPatient = [x, y, 100.0 * dataset.InstanceNumber]

    change(folder, spread)


# Crafted values
in_one("position-not-finite", ImagePositionPatient="20.5\\NaN\\420.9")
in_one("position-incomplete", ImagePositionPatient="20.5\\-31.25")
in_one("position-absurd", ImagePositionPatient="20.5\\-31.25\\1e300")
in_one("position-beyond-double", ImagePositionPatient="20.5\\-31.25\\1e999")
in_one("position-endless", ImagePositionPatient="20.5\\-31.25\\" + 5000 * "9")
everywhere("orientation-no-unit-vectors", ImageOrientationPatient="1\\0\\0\\1\\0\\0")
everywhere("orientation-missing", ImageOrientationPatient=None)
in_one("orientation-infinite", ImageOrientationPatient="Infinity\\0\\0\\0\\1\\0")
everywhere("spacing-zero", PixelSpacing="0\\0")
in_one("spacing-no-number", PixelSpacing="four\\3")
in_one("slope-missing", RescaleSlope=None)
in_one("slope-zero", RescaleSlope="0")
in_one("slope-not-finite", RescaleSlope="nan")
in_one("slope-underscore", RescaleSlope="1_0")
in_one("intercept-absurd", RescaleIntercept="-1e200")
everywhere("rows-absurd", Rows="@@")
everywhere("rows-damaged", Rows="@@@@")
everywhere("rows-no-number", Rows=None)
everywhere("not-monochrome", PhotometricInterpretation="RGB")
everywhere("eight-bits", BitsAllocated="\x08\x00")
everywhere("bits-absurd", HighBit="\x07\x00")
everywhere("suv-absurd", RescaleSlope="1e8")


@case("too-large")
def _(folder: Path) -> None:
    def enlarge(dataset: Dataset) -> None:
        dataset.Rows = dataset.Columns = 8000

    change(folder, enlarge)


@case("empty-image")
def _(folder: Path) -> None:
    def clear(dataset: Dataset) -> None:
        dataset.PixelData = bytes(len(dataset.PixelData))

    change(folder, clear)


def pretend(syntax: str) -> Spoiler:
    def encapsulated(dataset: Dataset) -> None:
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.PixelData = encapsulate([b"no JPEG at all"])
        dataset["PixelData"].is_undefined_length = True

    return lambda folder: change(folder, encapsulated)


CASES["not-supported"] = pretend(JPEGBaseline8Bit)
CASES["undecodable"] = pretend(JPEGLosslessSV1)


@case("jpeg-cut-short")
def _(folder: Path) -> None:
    def cut(dataset: Dataset) -> None:
        compress(dataset, JPEGLosslessSV1, cut=9)

    change(folder / "0003.dcm", cut)


@case("exported-twice-and-changed")
def _(folder: Path) -> None:
    shutil.copytree(folder, folder / "again")
    change(folder / "again" / "0003.dcm", values(RescaleSlope="1.5"))


@case("deflated")
def _(folder: Path) -> None:
    def deflate(dataset: Dataset) -> None:
        dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian

    change(folder, deflate)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    small_series(folder)
    read_series(folder)
    return folder


def test_each_row_has_a_test_and_each_test_a_row():
    assert list(TABLE) == list(dict.fromkeys(TABLE)) and set(TABLE) == set(CASES)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASES)
def test_the_message_is_the_documented_one(whole, tmp_path, name):
    folder = copied(whole, tmp_path / "study")
    CASES[name](folder)
    with pytest.raises(DicomError) as refused:
        read_series(folder)
    expected = ".+".join(map(re.escape, TABLE[name].split("…")))
    assert re.fullmatch(expected, str(refused.value)), str(refused.value)
