"""Pydantic models of the requests' options, and one function that turns a validation error into a sentence.

MONAI Label and its viewers send keys that have no effect here. These are declared with the type `Ignored` or `Unread`,
so that they are accepted; every other unknown key is refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from wslpet.core.errors import InputError
from wslpet.server.errors import quoted

MAX_TEXT = 200
MAX_INFO_BYTES = 64 << 10
MAX_EPOCHS = 1000
_MAX_ENTRIES = 1000
_SAFE_WORD = re.compile(r"[\w.:, +-]{0,64}", re.ASCII)
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("not printable")
    return text


def _matches(pattern: re.Pattern[str]) -> AfterValidator:
    def check(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(f"does not match {pattern.pattern}")
        return text

    return AfterValidator(check)


def _no_flag(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("a flag is no number")
    return value


_Line = Annotated[str, StringConstraints(max_length=MAX_TEXT), AfterValidator(_printable)]
# A refusal reads "KEY VALUE is not DESCRIPTION".
Text = Annotated[_Line | None, Field(description=f"a line of at most {MAX_TEXT} characters")]
Word = Annotated[
    Annotated[str, _matches(_SAFE_WORD)] | None,
    Field(description="a word of letters, digits and .:,+- of at most 64 characters"),
]
Flag = Annotated[bool | None, Field(description="true or false")]
Count = Annotated[
    Annotated[int, Field(ge=0, le=1_000_000)] | None, Field(description="a whole number from 0 to 1000000")
]
Seconds = Annotated[Annotated[float, Field(gt=0, le=3600)] | None, Field(description="a number of seconds up to 3600")]
Names = Annotated[
    Annotated[list[_Line], Field(max_length=_MAX_ENTRIES)] | None,
    Field(description=f"a list of at most {_MAX_ENTRIES} names"),
]
Share = Annotated[Annotated[float, Field(ge=0, le=1)] | None, Field(description="a number from 0 to 1")]
Segments = Annotated[
    Annotated[list[dict[str, Any]], Field(max_length=MAX_TEXT)] | None,
    Field(description=f"a list of at most {MAX_TEXT} objects"),
]
# Checked by `storage.annotations.clicks`.
Contours = Annotated[Any, Field(description="a contour's name, an object, or a list with one for each point")]
Ignored = Annotated[
    bool | int | float | _Line | None,
    Field(description="a number, a flag or a line of text", json_schema_extra={"ignored": True}),
]

Unread = Annotated[Any, Field(json_schema_extra={"ignored": True})]


class _Options(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, protected_namespaces=())


class _Common(_Options):
    """Options that MONAI Label's viewers send with every request."""

    client_id: Text = None
    model: Word = None
    device: Word = None
    gpus: Word = None
    logging: Word = None
    multi_gpu: Flag = None
    max_workers: Count = None
    save_label: Flag = None
    label_tag: Word = None


class InferOptions(_Common):
    """Options of an infer request. The points, whose keys are the names of the cancer types, are no part of it."""

    result_extension: Text = None
    result_dtype: Word = None
    result_compress: Flag = None
    result_write_to_file: Flag = None
    restore_label_idx: Flag = None
    radiomics: Flag = None
    label: Text = None
    label_info: Segments = None
    lesion_labels: Flag = None
    least_probability: Share = None
    contour: Contours = None
    output: Word = None
    timeout: Seconds = None
    # Keys that viewers send and that have no effect here.
    image: Ignored = None
    labels: Ignored = None
    description: Ignored = None
    background: Ignored = None
    foreground: Ignored = None
    points: Ignored = None
    user: Ignored = None
    session: Ignored = None
    session_id: Ignored = None
    file: Ignored = None
    params: Ignored = None
    model_filename: Ignored = None
    roi_size: Ignored = None
    sw_batch_size: Ignored = None
    sw_overlap: Ignored = None
    slice: Ignored = None
    slices: Ignored = None
    dimension: Ignored = None
    cache_transforms: Ignored = None
    cache_transforms_in_memory: Ignored = None
    cache_transforms_ttl: Ignored = None
    image_id: Ignored = None
    images: Ignored = None
    max_batch_size: Ignored = None
    config: Ignored = None


class BatchOptions(_Common):
    """Options of a batch inference."""

    images: Names = None
    max_batch_size: Count = None
    timeout: Seconds = None


class SampleOptions(_Options):
    """Options of a request for the next image to annotate."""

    client_id: Text = None
    strategy: Word = None
    exclude: Names = None


class ScoreOptions(_Common):
    """Options of a scoring request."""

    method: Word = None


class TrainRequest(_Options):
    """Options of a train request.

    Parameters
    ----------
    name : name of the run and of its TensorBoard folder.
    max_epochs : number of epochs; None for the setting.
    val_split : share of the patients held out for validation; None for the setting.
    pretrained, from_scratch : whether training starts from the weights in use, or from random weights.
    """

    NAME: ClassVar[str] = "train_01"

    name: Annotated[str, _matches(_SAFE_NAME), Field(description="a safe name; use letters, digits, '_' and '-'")] = (
        NAME
    )
    max_epochs: Annotated[
        Annotated[int, Field(ge=1, le=MAX_EPOCHS)] | None, Field(description=f"a number between 1 and {MAX_EPOCHS}")
    ] = None
    val_split: Annotated[
        Annotated[float, AfterValidator(_no_flag), Field(ge=0, le=0.5)] | None,
        Field(description="a number between 0.0 and 0.5"),
    ] = None
    pretrained: Annotated[bool | None, Field(description="true or false")] = None
    from_scratch: Annotated[bool, Field(description="true or false")] = False
    # Keys that MONAI Label and its viewers send and that have no effect here.
    model: Unread = None
    client_id: Unread = None
    device: Unread = None
    gpus: Unread = None
    multi_gpu: Unread = None
    dataset: Unread = None
    local_rank: Unread = None
    tracking: Unread = None
    tracking_uri: Unread = None
    tracking_experiment_name: Unread = None
    early_stop_patience: Unread = None
    train_batch_size: Unread = None
    val_batch_size: Unread = None
    train_random_seed: Unread = None
    train_random_slices: Unread = None
    run_id: Unread = None
    bundle_path: Unread = None
    description: Unread = None
    logging: Unread = None
    max_workers: Unread = None
    user: Unread = None

    @model_validator(mode="after")
    def _one_start(self) -> TrainRequest:
        if self.pretrained and self.from_scratch:
            raise InputError("train request: both pretrained and from_scratch are true; give one")
        return self

    @property
    def continues(self) -> bool:
        """Whether training starts from the weights in use, where they fit."""
        return self.pretrained is not False and not self.from_scratch


# Keys of an infer request that are options. A cancer type cannot have one of these names.
RESERVED_KEYS = frozenset(InferOptions.model_fields)

Options = TypeVar("Options", bound=_Options)


def parsed(model: type[Options], what: str, options: Mapping[str, Any]) -> Options:
    """Validate the options of a request.

    Parameters
    ----------
    model : pydantic model of the options.
    what : name of the request in error messages, such as "train".

    Raises
    ------
    InputError
        naming the key, its value and what it should be.
    """
    try:
        return model.model_validate(dict(options))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        if not first["loc"]:  # of the request as a whole
            raise InputError(str(first["ctx"]["error"])) from None
        key = str(first["loc"][0])
        if first["type"] == "extra_forbidden":
            known = ", ".join(sorted(name for name in model.model_fields if not _is_ignored(model, name)))
            raise InputError(f"{what} request: {quoted(key)} does not exist; known are {known}") from None
        kind = model.model_fields[key].description
        raise InputError(f"{what} request: {key} {quoted(options[key])} is not {kind}") from None


def parsed_infer(options: Mapping[str, Any], classes: Collection[str]) -> InferOptions:
    """Validate the options of an infer request, without its points, which `clicks.clicks_in` reads and checks.

    Points are lists under the name of a class. Lists under another name are points of an unknown type, which
    `clicks_in` refuses.
    """
    own_options = {
        key: value
        for key, value in options.items()
        if key not in classes and not (isinstance(value, list) and _is_ignored(InferOptions, key))
    }
    return parsed(InferOptions, "infer", own_options)


def _is_ignored(model: type[BaseModel], name: str) -> bool:
    if name not in model.model_fields:
        return True
    extra = model.model_fields[name].json_schema_extra
    return isinstance(extra, dict) and bool(extra.get("ignored"))
