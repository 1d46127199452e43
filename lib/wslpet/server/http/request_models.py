"""What a request may say beside its clicks: each key has a kind and bounds, and there are no others."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from wslpet.core.errors import InputError
from wslpet.server.errors import quoted
from wslpet.server.storage.clicks import RESERVED_KEYS

MAX_TEXT = 200
MAX_INFO_BYTES = 64 << 10
_MAX_ENTRIES = 1000
_SAFE_WORD = re.compile(r"[\w.:, +-]{0,64}", re.ASCII)

Check = Callable[[Any], bool]


def _text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MAX_TEXT and value.isprintable()


def _word(value: Any) -> bool:
    return isinstance(value, str) and bool(_SAFE_WORD.fullmatch(value))


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 1_000_000


def _seconds(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 3600


def _names(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= _MAX_ENTRIES and all(map(_text, value))


def _segments(value: Any) -> bool:
    """As 3D Slicer names label values: [{"name", "idx", …}]."""
    return isinstance(value, list) and len(value) <= MAX_TEXT and all(isinstance(entry, Mapping) for entry in value)


# What the kinds are called in a refusal.
_KINDS: dict[Check, str] = {
    _text: f"a line of at most {MAX_TEXT} characters",
    _word: "a word of letters, digits and .:,+- of at most 64 characters",
    _flag: "true or false",
    _count: "a whole number from 0 to 1000000",
    _seconds: "a number of seconds up to 3600",
    _names: f"a list of at most {_MAX_ENTRIES} names",
    _segments: f"a list of at most {MAX_TEXT} objects",
}
_COMMON: dict[str, Check] = {
    "client_id": _text,
    "model": _word,
    "device": _word,
    "gpus": _word,
    "logging": _word,
    "multi_gpu": _flag,
    "max_workers": _count,
    "save_label": _flag,
    "label_tag": _word,
}
_INFER: dict[str, Check] = {
    **_COMMON,
    "result_extension": _text,
    "result_dtype": _word,
    "result_compress": _flag,
    "result_write_to_file": _flag,
    "restore_label_idx": _flag,
    "radiomics": _flag,
    "label": _text,
    "label_info": _segments,
    "output": _word,
    "timeout": _seconds,
}
_BATCH: dict[str, Check] = {**_COMMON, "images": _names, "max_batch_size": _count, "timeout": _seconds}
_SAMPLE: dict[str, Check] = {"client_id": _text, "strategy": _word, "exclude": _names}
_SCORE: dict[str, Check] = {**_COMMON, "method": _word}


def check_infer(options: Mapping[str, Any], classes: Collection[str]) -> None:
    """Raise InputError for what an infer request may not say. Clicks, under `classes`, are `clicks.newest_click`'s.

    Other keys of MONAI Label's viewers, which mean nothing here, may hold a number, a flag or a line of text.
    """
    for key, value in options.items():
        check = _INFER.get(key)
        if check is not None:
            _check("infer", key, value, check)
        elif key in classes or isinstance(value, list):
            continue  # points; those of an unknown type are refused as such
        elif key not in RESERVED_KEYS:
            raise _unknown("infer", key, _INFER)
        elif not (value is None or _flag(value) or _text(value) or isinstance(value, int | float)):
            raise InputError(f"infer request: {key} {quoted(value)} is no number, no flag and no line of text")


def check_batch(options: Mapping[str, Any]) -> None:
    """Raise InputError for what a batch inference may not say."""
    _check_all("batch infer", options, _BATCH)


def check_sample(options: Mapping[str, Any]) -> None:
    """Raise InputError for what a request for the next image may not say."""
    _check_all("activelearning", options, _SAMPLE)


def check_score(options: Mapping[str, Any]) -> None:
    """Raise InputError for what a scoring request may not say."""
    _check_all("scoring", options, _SCORE)


def _check_all(what: str, options: Mapping[str, Any], known: Mapping[str, Check]) -> None:
    for key, value in options.items():
        if key not in known:
            raise _unknown(what, key, known)
        _check(what, key, value, known[key])


def _check(what: str, key: str, value: Any, check: Check) -> None:
    if value is not None and not check(value):
        raise InputError(f"{what} request: {key} {quoted(value)} is not {_KINDS[check]}")


def _unknown(what: str, key: str, known: Mapping[str, Check]) -> InputError:
    return InputError(f"{what} request: {quoted(key)} does not exist; known are {', '.join(sorted(known))}")
