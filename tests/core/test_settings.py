from __future__ import annotations

import json

import pytest

from wslpet.core.errors import InputError
from wslpet.core.seeds import NO_TUMOUR
from wslpet.core.settings import PRESETS, Settings, settings_from


def test_the_preset_paper_has_the_papers_settings():
    paper = PRESETS["paper"]
    assert paper.stride == 16
    assert (paper.pooling, paper.intensity, paper.suv_limit, paper.batch_size) == ("average", "linear", 30.0, 8)
    assert len(paper.strides) == 8


def test_labels_follow_the_configured_order():
    settings = settings_from(types=("breast", "cervix", "larynx"), no_tumour=True)
    assert settings.labels == {"breast": 1, "cervix": 2, "larynx": 3}
    assert settings.classes == ("breast", "cervix", "larynx", NO_TUMOUR)


def test_settings_are_restored_from_their_json():
    settings = settings_from("paper", epochs=3)
    assert settings_from(**json.loads(json.dumps(settings.to_dict()))) == settings


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"epoch": 3}, "settings epoch do not exist; known are .*epochs"),
        ({"pooling": "max"}, "pooling='max' is not one of log-sum-exp, average"),
        ({"distance": "emd"}, "distance='emd'"),
        ({"types": ("lung",)}, "two or more different"),
        ({"types": ("lung", "lung")}, "two or more different"),
        ({"types": ("lung", NO_TUMOUR)}, "two or more different"),
        ({"types": ("lung", " ")}, "two or more different"),
        ({"strides": (2, 2)}, "each of the 8 layers"),
        ({"epochs": 0}, "epochs=0 is outside 1"),
        ({"validation": 0.9}, "validation=0.9"),
        ({"grid_mm": 0.0}, "grid_mm=0.0"),
        ({"learning_rate": float("nan")}, "learning_rate=nan"),
        ({"test_time_scales": ()}, "test_time_scales="),
        ({"test_time_scales": (1.0, 3.0)}, "test_time_scales="),
    ],
)
def test_wrong_settings_are_named(changes, said):
    with pytest.raises(InputError, match=said):
        settings_from(**changes)


def test_a_misspelt_preset_is_refused():
    with pytest.raises(InputError, match="'papper' is not one of default, paper"):
        settings_from("papper")


def test_the_preset_default_has_the_default_settings():
    assert settings_from() == Settings()
