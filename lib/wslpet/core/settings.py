"""Settings of the method, as one frozen dataclass; the preset "paper" has the paper's choices."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from wslpet.core.errors import InputError
from wslpet.core.seeds import NO_TUMOUR

# Number of groups of group normalisation.
NORM_GROUPS = 8
CHOICES = {
    "intensity": ("sqrt", "linear"),
    "pooling": ("log-sum-exp", "average"),
    "distance": ("likelihood", "expected", "off"),
}


@dataclass(frozen=True)
class Settings:
    """Settings of the network's input, architecture and training.

    Parameters
    ----------
    types : the cancer types, in the order of their label values 1, 2, ...
    no_tumour : whether "no tumour" is a class of the network, too.
    grid_mm : pixel size of the network's two MIPs, mm.
    test_time_scales : test-time augmentation (ours): the network runs on grids of grid_mm times each of these factors,
        and the CAMs are averaged. If the middle factor alone gives enough confidence, the others are left out; see
        `forward.run_network`.
    suv_limit : SUV is clipped to [0, suv_limit] and scaled to [0, 1] (paper §3.2: 30).
    intensity : "linear" (paper) or "sqrt" of the scaled SUV, which gives faint uptake more contrast (ours).
    depth : whether the depth map of a MIP is a second input channel (ours).
    strides : stride of each of the 8 convolutions; their product is input size / CAM size (paper §2.2: 16).
    dilations : dilation of each convolution (ours; the paper does not say).
    widths : channels of each convolution (ours; the paper does not say).
    dropout : share of the feature maps of the third to eighth convolution that are dropped in training (ours).
    pooling : from a CAM to the score of its type: "average" (paper §2.1) or "log-sum-exp" (ours).
    distance : loss 2: "expected" distance of the CAM to the seed, "likelihood" of the seed under the CAM, or "off"
        (training on the types alone). The paper leaves the form open.
    distance_weight : weight of loss 2 relative to loss 1.
    least_probability : least probability of a candidate for it to be a lesion (ours). A lower one finds more lesions,
        and more false ones. The one that the CAMs are sure of is always a lesion; without any, there is none.
    epochs, batch_size, learning_rate, weight_decay : of the training.
    patience : epochs without a better validation loss, after which training ends early.
    segmenter_steps : steps of the segmenter's training on site for each of `epochs` (ours); 0 leaves it as it is.
    fine_tuning : factor of the learning rate when training starts from weights.
    validation : share of the patients that is held out for validation.
    random_seed : random seed of initialisation, splits and augmentation.

    Raises
    ------
    InputError
        naming the setting, its value and the values that are allowed.
    """

    types: tuple[str, ...] = ("lung", "oesophagus")
    no_tumour: bool = False
    grid_mm: float = 4.0
    test_time_scales: tuple[float, ...] = (0.9, 1.0, 1.1)
    suv_limit: float = 30.0
    intensity: str = "sqrt"
    depth: bool = True
    strides: tuple[int, ...] = (2, 2, 1, 1, 1, 1, 1, 1)
    dilations: tuple[int, ...] = (1, 1, 1, 2, 4, 4, 2, 1)
    widths: tuple[int, ...] = (16, 32, 48, 48, 48, 48, 48, 64)
    dropout: float = 0.15
    pooling: str = "log-sum-exp"
    distance: str = "likelihood"
    distance_weight: float = 1.0
    least_probability: float = 0.4
    epochs: int = 50
    batch_size: int = 8
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    patience: int = 25
    segmenter_steps: int = 4
    fine_tuning: float = 0.25
    validation: float = 0.2
    random_seed: int = 0

    def __post_init__(self) -> None:
        for name in ("types", "test_time_scales", "strides", "dilations", "widths"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise InputError(f"setting {name}={getattr(self, name)!r} is not one of {', '.join(allowed)}")
        if len(self.types) < 2 or len(set(self.types)) != len(self.types) or not all(map(_is_name, self.types)):
            raise InputError(f"setting types={list(self.types)!r} is not two or more different cancer type names")
        if not len(self.strides) == len(self.dilations) == len(self.widths) == 8:
            raise InputError("settings strides, dilations and widths need one entry for each of the 8 layers")
        for name in ("strides", "dilations", "widths"):
            if not all(isinstance(n, int) and n >= 1 for n in getattr(self, name)):
                raise InputError(f"setting {name}={list(getattr(self, name))!r} is not 8 whole numbers from 1 up")
        if not self.test_time_scales or not all(0.5 <= zoom <= 2.0 for zoom in self.test_time_scales):
            raise InputError(
                f"setting test_time_scales={list(self.test_time_scales)!r} is not one or more numbers from 0.5 to 2"
            )
        if any(width % NORM_GROUPS for width in self.widths):
            raise InputError(f"setting widths={list(self.widths)!r}: each must be a multiple of {NORM_GROUPS}")
        for name, (low, high) in _RANGES.items():
            if not low <= getattr(self, name) <= high:
                raise InputError(f"setting {name}={getattr(self, name)!r} is outside {low}–{high}")

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes of the network: the types, then "no tumour" if it is one."""
        return (*self.types, NO_TUMOUR) if self.no_tumour else self.types

    @property
    def labels(self) -> dict[str, int]:
        """Cancer type → value in a mask."""
        return {name: value for value, name in enumerate(self.types, start=1)}

    @property
    def stride(self) -> int:
        """Input size / CAM size."""
        product = 1
        for stride in self.strides:
            product *= stride
        return product

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON-ready values; `settings_from(**settings.to_dict())` is the inverse."""
        return asdict(self)


_RANGES = {
    "grid_mm": (1.0, 16.0),
    "suv_limit": (1.0, 1000.0),
    "dropout": (0.0, 0.9),
    "distance_weight": (0.0, 1000.0),
    "least_probability": (0.0, 1.0),
    "epochs": (1, 10_000),
    "batch_size": (1, 1024),
    "learning_rate": (1e-7, 1.0),
    "weight_decay": (0.0, 1.0),
    "patience": (1, 10_000),
    "segmenter_steps": (0, 1000),
    "fine_tuning": (1e-4, 1.0),
    "validation": (0.0, 0.5),
}


def _is_name(name: object) -> bool:
    return isinstance(name, str) and bool(name.strip()) and name not in (NO_TUMOUR, "background")


PRESETS: dict[str, Settings] = {
    "default": Settings(),
    "paper": Settings(
        grid_mm=2.0,
        test_time_scales=(1.0,),
        intensity="linear",
        depth=False,
        strides=(2, 1, 2, 1, 2, 1, 2, 1),
        dilations=(1,) * 8,
        dropout=0.0,
        pooling="average",
        distance="expected",
        batch_size=8,
        segmenter_steps=0,
    ),
}


def settings_from(preset: str = "default", **overrides: Any) -> Settings:
    """Return a preset with some settings replaced.

    Raises
    ------
    InputError
        if the preset or a setting does not exist, or a value is not allowed.
    """
    if preset not in PRESETS:
        raise InputError(f"preset {preset!r} is not one of {', '.join(PRESETS)}")
    known = {f.name for f in fields(Settings)}
    unknown = sorted(set(overrides) - known)
    if unknown:
        raise InputError(f"settings {', '.join(unknown)} do not exist; known are {', '.join(sorted(known))}")
    return replace(PRESETS[preset], **overrides)


def renamed_types(text: str) -> dict[str, str]:
    """Parse the cancer types that were renamed, written "old:new, older:newer": former name → present name.

    >>> renamed_types("oesophagus:esophagus, mamma:breast")
    {'oesophagus': 'esophagus', 'mamma': 'breast'}

    Raises
    ------
    InputError
        if the text is not of this form, or has a former name twice.
    """
    renamed: dict[str, str] = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        former, _, name = (part.strip() for part in pair.partition(":"))
        if not former or not name:
            raise InputError(f'rename {text[:200]!r} cannot be read; write it like "oesophagus:esophagus"')
        if former in renamed:
            raise InputError(f"rename: {former!r} is given twice; give it one new name")
        renamed[former] = name
    return renamed
