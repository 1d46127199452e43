"""Values of a DICOM header, from the bytes of a file: as their tag requires, or an error naming file, tag and value."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from wslpet.core.errors import DicomError
from wslpet.io.dicom.headers import LONGEST_DECIMAL, Header, read_dicom, same_in_all

WEIGHT, SPACING, FRAMES, ROWS, NAME = 0x00101030, 0x00280030, 0x00280008, 0x00280010, 0x00100010
CREATOR = 0x70530010
FIX = "weigh again"
KILOGRAMS = (1.0, 500.0)


def element(tag: int, kind: str, value: bytes) -> bytes:
    """A short element, explicit little endian."""
    value += b" " * (len(value) % 2)
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, kind.encode(), len(value)) + value


@pytest.fixture
def written(tmp_path):
    """(tag, kind, bytes) of the elements → the header of a file of these, named slice.dcm."""

    def write(*elements: tuple[int, str, bytes], charset: bytes = b"ISO_IR 100", name: str = "slice.dcm") -> Header:
        content = [(0x00080005, "CS", charset), *elements]
        (tmp_path / name).write_bytes(b"".join(element(*one) for one in content))
        return Header(read_dicom(tmp_path / name))

    return write


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (b"70", 70),
        (b" 70.5 ", 70.5),
        (b"+7.05e1", 70.5),
        (b"70.", 70),
        (b"700E-1", 70),
        (b".5e2", 50),
        (b"70\0", 70),
        (b"70.123456789012345678", 70.123456789012345678),
        (b"0" * (LONGEST_DECIMAL - 2) + b"70", 70),
    ],
)
def test_a_decimal_string_is_its_number(written, text, number):
    assert written((WEIGHT, "DS", text)).number("PatientWeight", KILOGRAMS, FIX) == number


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (b"NaN", "NaN"),
        (b"inf", "inf"),
        (b"-Infinity", "-Infinity"),
        (b"1_0", "1_0"),
        (b"0x46", "0x46"),
        (b"70,5", "70,5"),
        (b"7 0", "7 0"),
        (b"70kg", "70kg"),
        (b"--70", "--70"),
        (b"1e", "1e"),
        (b".", "."),
        (b"7\n0", "7?0"),
        ("٧٠".encode(), "����"),  # Arabic digits, of which float() makes 70
        (b"0" * (LONGEST_DECIMAL - 1) + b"70", "0" * 40 + "…"),
    ],
)
def test_an_invalid_decimal_string_is_refused_and_quoted(written, text, shown):
    header = written((WEIGHT, "DS", text))
    with pytest.raises(DicomError) as refused:
        header.number("PatientWeight", KILOGRAMS, FIX)
    assert str(refused.value) == f"slice.dcm: Patient's Weight (0010,1030) is '{shown}', not a number; {FIX}"


@pytest.mark.parametrize("text", [b"0.99", b"500.01", b"-70", b"1e999", b"-1e999", b"1e-999"])
def test_a_number_outside_the_limits_is_refused(written, text):
    with pytest.raises(DicomError, match=rf"is '{text.decode()}', outside 1 to 500; {FIX}"):
        written((WEIGHT, "DS", text)).number("PatientWeight", KILOGRAMS, FIX)


def test_the_limits_belong_to_the_range(written):
    for text in (b"1", b"500"):
        assert written((WEIGHT, "DS", text)).number("PatientWeight", KILOGRAMS, FIX) == float(text)
    with pytest.raises(DicomError, match="is '2', not 1; fix"):
        written((WEIGHT, "DS", b"2")).number("PatientWeight", (1, 1), "fix")


@pytest.mark.parametrize("elements", [(), ((WEIGHT, "DS", b""),), ((WEIGHT, "DS", b"  \0 "),)])
def test_missing_and_empty_are_the_same(written, elements):
    header = written(*elements)
    assert header.texts("PatientWeight") == () and header.text("PatientWeight") == ""
    assert header.optional_number("PatientWeight", KILOGRAMS, FIX) is None
    with pytest.raises(DicomError) as refused:
        header.number("PatientWeight", KILOGRAMS, FIX)
    assert str(refused.value) == f"slice.dcm: Patient's Weight (0010,1030) is missing; {FIX}"


def test_an_optional_number_must_be_valid_if_present(written):
    assert written((WEIGHT, "DS", b"70")).optional_number("PatientWeight", KILOGRAMS, FIX) == 70
    with pytest.raises(DicomError, match="'heavy', not a number"):
        written((WEIGHT, "DS", b"heavy")).optional_number("PatientWeight", KILOGRAMS, FIX)


def test_numbers_returns_the_requested_count(written):
    header = written((SPACING, "DS", b"4.0\\ 2.5"))
    assert header.numbers("PixelSpacing", 2, (0, 10), FIX) == (4.0, 2.5)
    assert header.texts("PixelSpacing") == ("4.0", "2.5") and header.text("PixelSpacing") == "4.0"
    with pytest.raises(DicomError, match=r"is '4.0\\2.5', not 3 numbers; "):
        header.numbers("PixelSpacing", 3, (0, 10), FIX)
    with pytest.raises(DicomError, match=r"is '4.0\\2.5', not 1 number; "):
        header.number("PixelSpacing", (0, 10), FIX)
    with pytest.raises(DicomError, match="not a number"):  # none is left out
        written((SPACING, "DS", b"4.0\\")).numbers("PixelSpacing", 2, (0, 10), FIX)


def test_a_data_set_in_memory_gives_what_was_written():
    dataset = Dataset()
    dataset.PixelSpacing = ["4.00", "2.5"]
    dataset.PatientWeight = 70
    header = Header(dataset)
    assert header.texts("PixelSpacing") == ("4.00", "2.5")
    assert header.number("PatientWeight", KILOGRAMS, FIX) == 70
    with pytest.raises(DicomError, match=r"^header: Patient's Size"):
        header.number("PatientSize", (0, 3), FIX)
    with pytest.raises(DicomError, match=r"^named: Patient's Size"):
        Header(dataset, "named").number("PatientSize", (0, 3), FIX)


def test_a_whole_number_is_binary_or_a_string(written):
    assert written((ROWS, "US", struct.pack("<H", 168))).whole("Rows", (2, 8192), FIX) == 168
    assert written((FRAMES, "IS", b" 12 ")).whole("NumberOfFrames", (1, 100), FIX) == 12


@pytest.mark.parametrize("text", [b"12.5", b"NaN", b"inf", b"twelve", b"12\\13", b"", b"1e5000", "١٢".encode()])
def test_an_invalid_whole_number_is_refused(written, text):
    with pytest.raises(DicomError, match=rf"^slice.dcm: Number of Frames \(0028,0008\) .*not a whole number; {FIX}$"):
        written((FRAMES, "IS", text)).whole("NumberOfFrames", (1, 100), FIX)


def test_a_whole_number_has_limits_and_may_be_missing(written):
    with pytest.raises(DicomError, match=f"is '101', outside 1 to 100; {FIX}"):
        written((FRAMES, "IS", b"101")).whole("NumberOfFrames", (1, 100), FIX)
    with pytest.raises(DicomError, match=rf"Rows \(0028,0010\) is missing; {FIX}"):
        written().whole("Rows", (2, 8192), FIX)
    with pytest.raises(DicomError, match="not a whole number"):  # two of them
        written((ROWS, "US", struct.pack("<HH", 168, 168))).whole("Rows", (2, 8192), FIX)


@pytest.mark.parametrize(
    ("value", "dtype", "stored"),
    [
        (-2000, np.int16, -2000),
        (63536, np.int16, -2000),
        (-2000, np.uint16, 63536),
        (63536, np.uint16, 63536),
        (struct.pack("<h", -2000), np.int16, -2000),
        (b"\x01", np.int16, None),
        (0x10000, np.int16, None),
        (-0x8001, np.int16, None),
        ("12", np.int16, None),
        (None, np.int16, None),
    ],
)
def test_a_stored_value_has_the_sign_of_the_pixels(value, dtype, stored):
    dataset = Dataset()
    dataset.add_new("PixelPaddingValue", "OW" if isinstance(value, bytes) else "SL", value)
    assert Header(dataset).stored_value("PixelPaddingValue", np.dtype(dtype)) == stored
    assert Header(Dataset()).stored_value("PixelPaddingValue", np.dtype(dtype)) is None


def test_a_name_has_the_character_set_of_its_file(written):
    name = "Müller^Jörg "
    assert written((NAME, "PN", name.encode("latin-1"))).name("PatientName") == "Müller^Jörg"
    assert written((NAME, "PN", name.encode()), charset=b"ISO_IR 192").name("PatientName") == "Müller^Jörg"
    assert written().name("PatientName") == ""


def test_a_value_representation_that_does_not_exist_is_refused(written):
    with pytest.raises(DicomError):
        written((ROWS, "ZZ", b"70")).whole("Rows", (2, 8192), FIX)


def test_the_items_of_a_sequence():
    item, tag = Dataset(), "RadiopharmaceuticalInformationSequence"
    item.RadionuclideTotalDose = "3.7e8"
    dataset = Dataset()
    for items in (None, []):
        if items is not None:
            dataset.RadiopharmaceuticalInformationSequence = Sequence(items)
        for read in (Header(dataset, "a.dcm").item, Header(dataset, "a.dcm").items):
            with pytest.raises(DicomError, match=rf"^a.dcm: Radiopharma.* \(0054,0016\) is missing; {FIX}"):
                read(tag, FIX)
    dataset.RadiopharmaceuticalInformationSequence = Sequence([item])
    only = Header(dataset, "a.dcm").item(tag, FIX)
    assert (only.file, only.number("RadionuclideTotalDose", (0, 1e10), FIX)) == ("a.dcm", 3.7e8)
    dataset.RadiopharmaceuticalInformationSequence = Sequence([item, Dataset()])
    assert len(Header(dataset).items(tag, FIX)) == 2
    with pytest.raises(DicomError, match=rf"has 2 items, not one; {FIX}"):
        Header(dataset).item(tag, FIX)


def test_a_value_that_is_not_a_sequence_has_no_items(written):
    with pytest.raises(DicomError, match=rf"^slice.dcm: Rows \(0028,0010\) is damaged; {FIX}"):
        written((ROWS, "US", struct.pack("<H", 168))).items("Rows", FIX)


def test_a_sequence_written_as_text_is_refused(written):
    with pytest.raises(DicomError, match=rf"is damaged; {FIX}"):
        written((0x00540016, "CS", b"XY")).items("RadiopharmaceuticalInformationSequence", FIX)


@pytest.mark.parametrize("text", [b"1_28", b"1e2", b"12.0"])
def test_an_integer_string_is_digits(written, text):
    with pytest.raises(DicomError, match="not a whole number"):
        written((FRAMES, "IS", text)).whole("NumberOfFrames", (1, 1000), FIX)


def test_a_private_element_lies_in_the_block_of_its_creator(written):
    header = written(
        (CREATOR, "LO", b"SOMEBODY"),
        (CREATOR + 2, "LO", b"VENDOR"),
        (0x70531009, "DS", b"0.25"),
        (0x70531209, "DS", b"0.5"),
    )
    assert header.private(0x7053, "VENDOR", 0x09) == Tag(0x7053, 0x1209)
    assert header.number(Tag(0x7053, 0x1209), (0, 1), FIX) == 0.5
    assert header.private(0x7053, "SOMEBODY", 0x09) == Tag(0x7053, 0x1009)
    assert header.private(0x7053, "VENDOR", 0x08) is None
    assert header.private(0x7053, "NOBODY", 0x09) is None
    assert header.private(0x7055, "VENDOR", 0x09) is None


def test_a_block_without_a_creator_counts_only_where_that_is_allowed(written):
    bare = written((0x70531009, "DS", b"0.5"))
    assert bare.private(0x7053, "VENDOR", 0x09) is None
    assert bare.private(0x7053, "VENDOR", 0x09, or_without_creator=True) == Tag(0x7053, 0x1009)
    assert bare.private(0x7053, "VENDOR", 0x08, or_without_creator=True) is None
    taken = written((CREATOR, "LO", b"SOMEBODY"), (0x70531009, "DS", b"0.5"))
    assert taken.private(0x7053, "VENDOR", 0x09, or_without_creator=True) is None


def test_a_private_tag_is_named_by_its_number(written):
    with pytest.raises(DicomError, match=r"^slice.dcm: \(7053,1009\) is 'half', not a number; "):
        written((CREATOR, "LO", b"VENDOR"), (0x70531009, "DS", b"half")).number(0x70531009, (0, 1), FIX)


def test_a_value_must_be_the_same_in_all_slices(written):
    def weight(header: Header) -> float:
        return header.number("PatientWeight", KILOGRAMS, FIX)

    slices = [
        written((WEIGHT, "DS", text), name=f"{n}.dcm") for n, text in enumerate((b"70", b"70.0", b"7e1", b"71", b"72"))
    ]
    assert same_in_all(slices[:3], "PatientWeight", weight) == 70
    with pytest.raises(DicomError, match=r"^3.dcm: Patient's Weight \(0010,1030\) is '71', not that of 0.dcm \('70'\)"):
        same_in_all(slices, "PatientWeight", weight)


@pytest.mark.parametrize("implicit", [False, True])
def test_a_data_set_without_preamble_is_read_in_its_encoding(tmp_path, implicit):
    path = tmp_path / "bare.dcm"
    dataset = Dataset()
    dataset.SpecificCharacterSet, dataset.PatientWeight, dataset.Rows = "ISO_IR 100", "70", 168
    dataset.is_little_endian, dataset.is_implicit_VR = True, implicit
    dataset.save_as(path)
    assert path.read_bytes()[:2] == b"\x08\x00"
    read = read_dicom(path)
    assert read.file_meta.TransferSyntaxUID == (ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian)
    assert Header(read).number("PatientWeight", KILOGRAMS, FIX) == 70
    assert Header(read).whole("Rows", (2, 8192), FIX) == 168
    assert "Rows" not in read_dicom(path, ["PatientWeight"]) and "PatientWeight" in read_dicom(path, ["PatientWeight"])


@pytest.mark.parametrize("content", [b"", b"\x08\0", b"not a DICOM file, " * 20, bytes(400), b"PK\3\4" + bytes(400)])
def test_a_file_that_is_not_dicom_is_named_in_the_error(tmp_path, content):
    (tmp_path / "notes.txt").write_bytes(content)
    with pytest.raises(DicomError, match=r"^notes.txt is not a DICOM file, or cut short; "):
        read_dicom(tmp_path / "notes.txt")


def test_a_file_that_is_not_there_and_a_deflated_one_are_refused(tmp_path):
    with pytest.raises(DicomError, match=r"^gone.dcm cannot be read as DICOM \(FileNotFoundError\); "):
        read_dicom(tmp_path / "gone.dcm")
    meta = element(0x00020010, "UI", str(DeflatedExplicitVRLittleEndian).encode() + b"\0")
    (tmp_path / "small.dcm").write_bytes(bytes(128) + b"DICM" + meta + b"\x03\x00")
    with pytest.raises(DicomError, match=r"^small.dcm: deflated transfer syntax is not read; "):
        read_dicom(tmp_path / "small.dcm")
