"""What a request may say: each model takes its keys, and refuses what else there is in a sentence."""

from __future__ import annotations

import pytest

from wslpet.core.errors import InputError
from wslpet.server.http.request_models import (
    MAX_EPOCHS,
    MAX_TEXT,
    RESERVED_KEYS,
    BatchOptions,
    InferOptions,
    SampleOptions,
    ScoreOptions,
    TrainRequest,
    parsed,
    parsed_infer,
)

MODELS = {
    "infer": InferOptions,
    "batch infer": BatchOptions,
    "activelearning": SampleOptions,
    "scoring": ScoreOptions,
    "train": TrainRequest,
}
CLASSES = ("lung", "oesophagus")
A_LINE = f"a line of at most {MAX_TEXT} characters"
A_WORD = "a word of letters, digits and .:,+- of at most 64 characters"
A_FLAG = "true or false"
A_COUNT = "a whole number from 0 to 1000000"
EPOCHS = f"a number between 1 and {MAX_EPOCHS}"
SPLIT = "a number between 0.0 and 0.5"
SAFE = "a safe name; use letters, digits, '_' and '-'"


def refusal(what: str, **options) -> str:
    with pytest.raises(InputError) as refused:
        parsed(MODELS[what], what, options)
    return str(refused.value)


@pytest.mark.parametrize("what", MODELS)
def test_an_empty_request_is_accepted(what):
    assert parsed(MODELS[what], what, {}).model_fields_set == set()


@pytest.mark.parametrize("what", MODELS)
def test_an_unknown_key_is_refused_and_the_known_ones_are_listed(what):
    said = refusal(what, max_epoch=3)
    assert said.startswith(f"{what} request: 'max_epoch' does not exist; known are ")
    told = said.rpartition("known are ")[2].split(", ")
    assert (told == sorted(told) and "client_id" in told) or what == "train"
    assert set(told) <= set(MODELS[what].model_fields)


def test_ignored_keys_are_not_listed_in_a_refusal():
    assert refusal("train", x=1).rpartition("known are ")[2] == "from_scratch, max_epochs, name, pretrained, val_split"
    assert refusal("activelearning", x=1).endswith("known are client_id, exclude, strategy")
    told = refusal("infer", x=1).rpartition("known are ")[2].split(", ")
    assert "result_extension" in told and not {"image", "session_id", "roi_size"} & set(told)


@pytest.mark.parametrize("what", MODELS)
def test_a_long_unknown_key_is_cut(what):
    assert "…" in refusal(what, **{"k" * 5000: 1}) and len(refusal(what, **{"k" * 5000: 1})) < 1000


@pytest.mark.parametrize("what", ["infer", "batch infer", "activelearning", "scoring"])
def test_none_means_the_default(what):
    options = dict.fromkeys(MODELS[what].model_fields)
    assert parsed(MODELS[what], what, options) == parsed(MODELS[what], what, {})


def test_none_in_a_train_request():
    request = parsed(TrainRequest, "train", {"max_epochs": None, "val_split": None, "pretrained": None, "model": None})
    assert (request.max_epochs, request.val_split, request.continues) == (None, None, True)
    assert refusal("train", name=None) == f"train request: name None is not {SAFE}"
    assert refusal("train", from_scratch=None) == "train request: from_scratch None is not true or false"


@pytest.mark.parametrize(
    ("what", "key", "value", "kind"),
    [
        ("infer", "result_extension", 3, A_LINE),
        ("infer", "result_extension", ".nii\n", A_LINE),
        ("infer", "label", "x" * (MAX_TEXT + 1), A_LINE),
        ("infer", "device", "cuda;rm", A_WORD),
        ("infer", "device", "../x", A_WORD),
        ("infer", "output", "é", A_WORD),
        ("infer", "label_tag", "x" * 65, A_WORD),
        ("infer", "radiomics", "true", A_FLAG),
        ("infer", "radiomics", 1, A_FLAG),
        ("infer", "max_workers", -1, A_COUNT),
        ("infer", "max_workers", 1_000_001, A_COUNT),
        ("infer", "max_workers", "3", A_COUNT),
        ("infer", "max_workers", True, A_COUNT),
        ("infer", "timeout", 0, "a number of seconds up to 3600"),
        ("infer", "timeout", 3600.5, "a number of seconds up to 3600"),
        ("infer", "timeout", float("nan"), "a number of seconds up to 3600"),
        ("infer", "label_info", {}, f"a list of at most {MAX_TEXT} objects"),
        ("infer", "label_info", ["lung"], f"a list of at most {MAX_TEXT} objects"),
        ("infer", "image", {"id": 1}, "a number, a flag or a line of text"),
        ("batch infer", "images", "all", "a list of at most 1000 names"),
        ("batch infer", "images", [1], "a list of at most 1000 names"),
        ("batch infer", "max_batch_size", 1.5, A_COUNT),
        ("activelearning", "exclude", {"a": 1}, "a list of at most 1000 names"),
        ("activelearning", "exclude", ["a"] * 1001, "a list of at most 1000 names"),
        ("activelearning", "strategy", ["random"], A_WORD),
        ("activelearning", "client_id", {}, A_LINE),
        ("scoring", "method", 1, A_WORD),
        ("train", "name", "../x", SAFE),
        ("train", "name", "", SAFE),
        ("train", "name", "_x", SAFE),
        ("train", "name", "x" * 65, SAFE),
        ("train", "name", "train_01\n", SAFE),
        ("train", "max_epochs", 0, EPOCHS),
        ("train", "max_epochs", MAX_EPOCHS + 1, EPOCHS),
        ("train", "max_epochs", 2.0, EPOCHS),
        ("train", "max_epochs", True, EPOCHS),
        ("train", "max_epochs", "3", EPOCHS),
        ("train", "val_split", 0.51, SPLIT),
        ("train", "val_split", -0.01, SPLIT),
        ("train", "val_split", False, SPLIT),
        ("train", "val_split", float("nan"), SPLIT),
        ("train", "val_split", "0.2", SPLIT),
        ("train", "pretrained", "yes", A_FLAG),
        ("train", "from_scratch", 0, A_FLAG),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused(what, key, value, kind):
    said = refusal(what, **{key: value})
    assert said.startswith(f"{what} request: {key} {repr(value)[:70]}") and said.endswith(f" is not {kind}")
    assert len(said) < 300


@pytest.mark.parametrize(
    ("what", "options"),
    [
        ("infer", {"result_extension": ".nii.gz", "device": "cuda:0", "timeout": 3600, "label_info": [{"name": "x"}]}),
        ("infer", {"max_workers": 0, "label": "x" * MAX_TEXT, "label_tag": "", "radiomics": False}),
        ("batch infer", {"images": [], "max_batch_size": 1_000_000, "timeout": 0.5}),
        ("activelearning", {"strategy": "random", "exclude": ["Müller 1"] * 1000, "client_id": "3D Slicer"}),
        ("scoring", {"method": "sum", "multi_gpu": True}),
        ("train", {"name": "a-B_9", "max_epochs": 1, "val_split": 0, "pretrained": False}),
        ("train", {"name": "x" * 64, "max_epochs": MAX_EPOCHS, "val_split": 0.5, "from_scratch": True}),
    ],
)
def test_values_within_the_limits_are_accepted(what, options):
    request = parsed(MODELS[what], what, options)
    assert request.model_dump(exclude_unset=True) == options


@pytest.mark.parametrize("value", [3, 0.5, True, "a line", None])
def test_ignored_keys_accept_any_simple_value(value):
    for key in ("image", "session_id", "roi_size", "slices"):
        assert getattr(parsed(InferOptions, "infer", {key: value}), key) == value


def test_a_train_request_ignores_keys_that_monai_label_adds():
    parsed(TrainRequest, "train", {"dataset": ["x"], "tracking": {"a": 1}, "model": object(), "gpus": "\n"})


@pytest.mark.parametrize(
    ("options", "continues"),
    [
        ({}, True),
        ({"pretrained": True}, True),
        ({"pretrained": True, "from_scratch": False}, True),
        ({"pretrained": False}, False),
        ({"from_scratch": True}, False),
        ({"pretrained": False, "from_scratch": True}, False),
    ],
)
def test_training_starts_from_the_weights_in_use_unless_from_scratch(options, continues):
    assert parsed(TrainRequest, "train", options).continues is continues


def test_pretrained_and_from_scratch_exclude_each_other():
    said = refusal("train", pretrained=True, from_scratch=True)
    assert said == "train request: both pretrained and from_scratch are true; give one"


def test_points_have_the_names_of_the_types_as_keys():
    options = {"lung": [[1, 2, 3]], "oesophagus": "anything", "output": "json"}
    assert parsed_infer(options, CLASSES).model_dump(exclude_unset=True) == {"output": "json"}
    with pytest.raises(InputError, match="infer request: 'lung' does not exist"):
        parsed_infer({"lung": 3}, ("breast", "cervix"))


def test_lists_under_unknown_names_are_left_to_the_check_of_clicks():
    assert parsed_infer({"cervix": [[1, 2, 3]], "background": [], "image": [1]}, CLASSES).model_fields_set == set()
    with pytest.raises(InputError, match="'cervix' does not exist"):
        parsed_infer({"cervix": {"x": 1}}, CLASSES)
    with pytest.raises(InputError, match=f"device .* is not {A_WORD[:6]}"):
        parsed_infer({"device": [1]}, CLASSES)


def test_the_keys_of_an_infer_request_are_reserved():
    assert {"output", "label", "image", "client_id", "background", "points"} <= RESERVED_KEYS
    assert not set(CLASSES) & RESERVED_KEYS
