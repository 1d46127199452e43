"""Validated access to a DICOM header: a value is of the type and range that its tag requires, or an error is raised.

The error names file, tag and value. Decimal and integer strings are parsed here from the bytes, because libraries
accept "NaN", "1e999" and "1_000" in geometry and rescale elements (CVE-2026-48705).
"""

from __future__ import annotations

import inspect
import re
import struct
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
import pydicom
from pydicom.datadict import dictionary_description, private_dictionary_description
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.tag import BaseTag, Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from wslpet.core.errors import DicomError

# A decimal string (PS3.5 6.2). More than its 16 characters are accepted, since many exporters write more.
DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
LONGEST_DECIMAL = 64
WHOLE = re.compile(r"[+-]?\d{1,12}", re.ASCII)
SHOWN = 40
RESEND = "send the series again from the scanner or PACS"
CORRECT = "correct the header, or send the series again from the scanner"
# The first element of a data set without preamble has group 0008, at most this element number, and this length.
LAST_FIRST_ELEMENT, LONGEST_FIRST = 0x0018, 256
PADDING = " \t\r\n\0"
# pydicom 2 and 3 have different names for "with preamble and file meta information".
PYDICOM_3 = "enforce_file_format" in inspect.signature(pydicom.dcmwrite).parameters
FILE_FORMAT: dict[str, Any] = {"enforce_file_format": True} if PYDICOM_3 else {"write_like_original": False}

Limits = tuple[float, float]
T = TypeVar("T")


def read_dicom(path: Path, tags: list[str] | None = None) -> FileDataset:
    """Read one DICOM file, pixels included but not decoded; or some tags of its header alone.

    Raises
    ------
    DicomError
        if it is not a DICOM file, is damaged or deflated, or cannot be opened.
    """
    try:
        bare = _is_bare(path)
        # Deflated files are refused before they are read, because their size is not known until they are inflated.
        if not bare and read_file_meta_info(path).get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
            raise DicomError(f"{path.name}: deflated transfer syntax is not read; store the series uncompressed")
        dataset = pydicom.dcmread(path, stop_before_pixels=tags is not None, specific_tags=tags, force=bare)
        return _with_syntax(dataset) if bare else dataset
    except DicomError:
        raise
    except InvalidDicomError:
        raise DicomError(
            f"{path.name} is not a DICOM file, or cut short; take it out of the folder, or {RESEND}"
        ) from None
    except Exception as error:
        raise DicomError(f"{path.name} cannot be read as DICOM ({type(error).__name__}); {RESEND}") from error


def write_dicom(dataset: Dataset, file: Path | BinaryIO) -> None:
    """Write a data set as a DICOM file (PS3.10), encoded as its transfer syntax says."""
    if not PYDICOM_3:
        syntax = dataset.file_meta.TransferSyntaxUID
        dataset.is_little_endian, dataset.is_implicit_VR = syntax.is_little_endian, syntax.is_implicit_VR
    pydicom.dcmwrite(file, dataset, **FILE_FORMAT)


def _is_bare(path: Path) -> bool:
    """Whether a file is a data set without preamble and file meta information, as ACR-NEMA and some exporters write.

    It begins with an element of group 0008, little endian, in either of the two encodings of PS3.5 7.1.
    """
    with open(path, "rb") as file:
        head = file.read(132)
    if head[128:] == b"DICM" or len(head) < 12:
        return False
    group, element = struct.unpack("<HH", head[:4])
    explicit = head[4:6] in (b"UL", b"CS", b"UI", b"SH", b"DA", b"TM", b"LO") and head[6:8] != b"\0\0"
    implicit = struct.unpack("<I", head[4:8])[0] <= LONGEST_FIRST
    return group == 0x0008 and element <= LAST_FIRST_ELEMENT and (explicit or implicit)


def _with_syntax(dataset: FileDataset) -> FileDataset:
    """Set the transfer syntax that was detected in a data set without file meta information."""
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if dataset.is_implicit_VR else ExplicitVRLittleEndian
    return dataset


class Header:
    """A data set with the name of its file, or an item of one of its sequences.

    Tags are keywords ("PatientWeight") or numbers. A `remedy` is the end of an error: how to correct the file.
    """

    def __init__(self, dataset: Dataset, file: str | None = None) -> None:
        self.dataset = dataset
        self.path = Path(str(getattr(dataset, "filename", None) or "header"))
        self.file = file or self.path.name

    def texts(self, tag: str | int) -> tuple[str, ...]:
        """Values of a tag as written, without padding; empty when the tag is missing or empty."""
        try:
            element = self.dataset.get_item(Tag(tag))
        except NotImplementedError:  # a value representation that does not exist
            return ()
        value = None if element is None else element.value
        if isinstance(value, bytes):
            value = value.decode("ascii", "replace").split("\\")
        elif isinstance(value, str) or not isinstance(value, Iterable):
            value = [] if value is None else [value]
        stripped = tuple(str(part).strip(PADDING) for part in value)
        return stripped if any(stripped) else ()

    def text(self, tag: str | int) -> str:
        """First value of a tag as written; "" when it is missing."""
        return next(iter(self.texts(tag)), "")

    def name(self, tag: str) -> str:
        """First value of a tag, decoded with the character set of the file.

        Raises
        ------
        DicomError
            when it cannot be decoded.
        """
        try:
            return str(self.dataset.get(tag, "")).strip(PADDING)
        except Exception:
            raise DicomError(f"{self.file}: {self._name(Tag(tag))} is damaged; {RESEND}") from None

    def numbers(self, tag: str | int, count: int, limits: Limits, remedy: str) -> tuple[float, ...]:
        """Read `count` decimal strings within limits.

        Raises
        ------
        DicomError
            when there are more or fewer, or one is no number, not finite or outside.
        """
        texts = self.texts(tag)
        if len(texts) != count:
            problem = f"not {count} number{'s' * (count > 1)}" if texts else "missing"
            raise self.refusal(tag, problem, remedy)
        return tuple(self._number(text, tag, limits, remedy) for text in texts)

    def number(self, tag: str | int, limits: Limits, remedy: str) -> float:
        """Read one decimal string within limits; errors as `numbers`."""
        return self.numbers(tag, 1, limits, remedy)[0]

    def optional_number(self, tag: str | int, limits: Limits, remedy: str) -> float | None:
        """Read one decimal string as `number` does; None when the tag is missing or empty."""
        return self.number(tag, limits, remedy) if self.texts(tag) else None

    def whole(self, tag: str | int, limits: Limits, remedy: str) -> int:
        """Read one whole number, binary or an integer string; errors as `numbers`."""
        texts = self.texts(tag)  # as written: pydicom reads the integer string "1_000" as 1000
        try:
            element = self.dataset[Tag(tag)]
            value = element.value
        except KeyError:
            raise self.refusal(tag, "missing", remedy) from None
        except Exception:
            raise self.refusal(tag, "not a whole number", remedy) from None
        as_text = element.VR == "IS"
        if not isinstance(value, int) or (as_text and not (len(texts) == 1 and WHOLE.fullmatch(texts[0]))):
            raise self.refusal(tag, "not a whole number", remedy)
        self._check(value, tag, limits, remedy)
        return int(value)

    def stored_value(self, tag: str, dtype: np.dtype[Any]) -> int | None:
        """Read a stored pixel value such as Pixel Padding Value, in the pixels' `dtype`; None when there is none.

        Its representation is US or SS. Writers confuse the two, so the sign is taken from `dtype`.
        """
        try:
            value = self.dataset[Tag(tag)].value
        except Exception:  # missing, or damaged beyond reading
            return None
        if isinstance(value, bytes):
            value = int.from_bytes(value[:2], "little") if len(value) >= 2 else None
        if not isinstance(value, int) or not -0x8000 <= value <= 0xFFFF:
            return None
        return int(np.array(value & 0xFFFF, np.uint16).view(dtype))

    def items(self, tag: str, remedy: str) -> list[Header]:
        """Items of a sequence; raises DicomError when there is none."""
        try:
            items = [Header(item, self.file) for item in self.dataset[Tag(tag)].value or ()]
            if not all(isinstance(item.dataset, Dataset) for item in items):
                raise TypeError("no sequence")
        except KeyError:
            items = []
        except Exception:
            raise DicomError(f"{self.file}: {self._name(Tag(tag))} is damaged; {remedy}") from None
        if not items:
            raise self.refusal(tag, "missing", remedy)
        return items

    def item(self, tag: str, remedy: str) -> Header:
        """Return the single item of a sequence. Raises DicomError if there is none, or more than one."""
        items = self.items(tag, remedy)
        if len(items) > 1:
            raise DicomError(f"{self.file}: {self._name(Tag(tag))} has {len(items)} items, not one; {remedy}")
        return items[0]

    def private(self, group: int, creator: str, element: int, or_without_creator: bool = False) -> BaseTag | None:
        """Tag of a private element in the block of its creator; None when the file lacks it.

        Parameters
        ----------
        or_without_creator : accept the first block without a private creator, as written by some exporters and
            de-identifiers.
        """
        for offset in range(0x10, 0x100):
            if self.text((group << 16) + offset) == creator:
                tag = Tag(group, (offset << 8) + element)
                return tag if tag in self.dataset else None
        tag = Tag(group, 0x1000 + element)
        unnamed = not self.text((group << 16) + 0x10)
        return tag if or_without_creator and unnamed and tag in self.dataset else None

    def refusal(self, tag: str | int, problem: str, remedy: str) -> DicomError:
        """DicomError for a tag: file, tag, value as written, problem, remedy."""
        name = self._name(Tag(tag))
        if problem == "missing":
            return DicomError(f"{self.file}: {name} is missing; {remedy}")
        return DicomError(f"{self.file}: {name} is {self.shown(tag)}, {problem}; {remedy}")

    def shown(self, tag: str | int) -> str:
        """Value of a tag as written, shortened to fit in one line of an error."""
        written = "\\".join(self.texts(tag))
        text = "".join(letter if letter.isprintable() else "?" for letter in written[:SHOWN])
        return f"'{text}{'…' if len(written) > SHOWN else ''}'"

    def _number(self, text: str, tag: str | int, limits: Limits, remedy: str) -> float:
        if len(text) > LONGEST_DECIMAL or not DECIMAL.fullmatch(text):
            raise self.refusal(tag, "not a number", remedy)
        value = float(text)
        self._check(value, tag, limits, remedy)
        return value

    def _check(self, value: float, tag: str | int, limits: Limits, remedy: str) -> None:
        low, high = limits
        if not low <= value <= high:
            problem = f"not {low:g}" if low == high else f"outside {low:g} to {high:g}"
            raise self.refusal(tag, problem, remedy)

    def _name(self, tag: BaseTag) -> str:
        number = f"({tag.group:04x},{tag.element:04x})"
        try:
            if tag.is_private:
                creator = self.text((tag.group << 16) + (tag.element >> 8))
                return f"{private_dictionary_description(tag, creator)} {number}"
            return f"{dictionary_description(tag)} {number}"
        except KeyError:
            return number


def same_in_all(headers: Sequence[Header], tag: str | int, read: Callable[[Header], T]) -> T:
    """Value that all slices have in common; raises DicomError naming the first slice that differs."""
    first = read(headers[0])
    for header in headers[1:]:
        if read(header) != first:
            problem = f"not that of {headers[0].file} ({headers[0].shown(tag)})"
            raise header.refusal(tag, problem, "keep one series, of one patient and injection, in a folder")
    return first
