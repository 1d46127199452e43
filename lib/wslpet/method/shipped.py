"""Where the shipped files of the model are: in the installed package, or in the checkout's `model/`."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
_CHECKOUT = _PACKAGE.parents[1] / "model"
MODEL_FOLDER = _CHECKOUT if (_CHECKOUT / "pretrained_wslpet.pt").exists() else _PACKAGE / "weights"
SHIPPED_MODEL = MODEL_FOLDER / "pretrained_wslpet.pt"
CONTOUR_SCORE = MODEL_FOLDER / "contour_score.json"
NORMAL_REFERENCE = MODEL_FOLDER / "normal_reference.npz"
SHIPPED_SEGMENTER = MODEL_FOLDER / "segmenter.pt"
LESION_PROBABILITY = MODEL_FOLDER / "lesion_probability.json"
