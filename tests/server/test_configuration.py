"""conf strings → settings."""

from pathlib import Path

import pytest

from wslpet.core.errors import InputError
from wslpet.core.settings import PRESETS
from wslpet.server.configuration import configuration_from


def test_without_options_the_settings_are_the_default():
    assert configuration_from({}).settings == PRESETS["default"]


def test_strings_become_settings():
    conf = {
        "types": "breast, cervix,larynx",
        "no_tumour": "true",
        "epochs": "7",
        "learning_rate": "1e-3",
        "strides": "2,1,2,1,2,1,1,1",
        "model_dir": "/somewhere",
        "use_pretrained_model": "false",
        "models": "wslpet",
        "tracking": "none",
    }
    configuration = configuration_from(conf)
    settings = configuration.settings
    assert settings.types == ("breast", "cervix", "larynx")
    assert (settings.no_tumour, settings.epochs, settings.learning_rate) == (True, 7, 1e-3)
    assert settings.strides == (2, 1, 2, 1, 2, 1, 1, 1)
    assert configuration.model_dir == Path("/somewhere")
    assert configuration.use_pretrained_model is False


def test_a_preset_is_changed_by_settings():
    settings = configuration_from({"preset": "paper", "epochs": "3"}).settings
    assert settings.pooling == PRESETS["paper"].pooling
    assert settings.epochs == 3


@pytest.mark.parametrize(
    ("conf", "said"),
    [
        ({"type": "lung,oesophagus"}, "did you mean 'types'"),
        ({"epoch": "3"}, "did you mean 'epochs'"),
        ({"types": "lung"}, "two or more"),
        ({"types": "lung,lung"}, "two or more"),
        ({"types": "lung,image"}, "name it otherwise"),
        ({"types": "lung,background"}, "two or more"),
        ({"preset": "papers"}, "not one of"),
        ({"no_tumour": "perhaps"}, "write it like false"),
        ({"epochs": "many"}, "write it like"),
        ({"epochs": "-1"}, "outside"),
        ({"strides": "2,x"}, "write it like 2,2"),
        ({"tracking": "mlflow"}, "TensorBoard"),
    ],
)
def test_invalid_settings_are_refused(conf, said):
    with pytest.raises(InputError, match=said):
        configuration_from(conf)
