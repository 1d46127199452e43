"""Parse the options `--conf KEY VALUE`, a dictionary of strings, into one `Configuration`."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from wslpet.core.errors import InputError
from wslpet.core.settings import Settings, renamed_types, settings_from
from wslpet.server.errors import quoted
from wslpet.server.http.request_models import RESERVED_KEYS

# Keys of MONAI Label's sample apps, which are accepted and ignored.
_MONAI_LABEL = """
models preload skip_scoring skip_strategies scribbles server_mode tracking_uri tracking_experiment_name auth_token
zoo_source zoo_repo bundles epistemic_enabled heuristic_planner auto_finetune_models auto_finetune_check_interval
"""
_MONAI_LABEL_KEYS = frozenset(_MONAI_LABEL.split())
_OWN_KEYS = (
    "preset",
    "tracking",
    "model_dir",
    "use_pretrained_model",
    "rename",
    "state_dir",
    "wait_for_scans",
    "open_routes",
    "readers",
)
MAX_READERS = 10
_BOOLEANS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


@dataclass(frozen=True)
class Configuration:
    """The parsed `--conf` options.

    Parameters
    ----------
    settings : settings of the method: a preset, with some of its settings replaced.
    model_dir : folder for published weights; None for `model` in the state folder.
    use_pretrained_model : whether the shipped weights are used until others are published.
    renamed : former name of a cancer type → its name in the settings.
    state_dir : folder for seeds, weights and caches; None for that of `wslpet.data.state_folder`.
    wait_for_scans : whether the server starts although the studies folder has no usable scan.
    open_routes : whether MONAI Label's routes that no client calls are open.
    readers : number of readers per patient, each blind to the others until all have read the patient.
    """

    settings: Settings
    model_dir: Path | None = None
    use_pretrained_model: bool = True
    renamed: Mapping[str, str] = field(default_factory=dict)
    state_dir: Path | None = None
    wait_for_scans: bool = False
    open_routes: bool = False
    readers: int = 1


def configuration_from(conf: Mapping[str, str]) -> Configuration:
    """Read `--conf KEY VALUE` pairs: preset, any setting (lists separated by commas), and `_OWN_KEYS`.

    >>> configuration_from({"types": "breast, cervix", "no_tumour": "true"}).settings.classes
    ('breast', 'cervix', 'no tumour')

    Raises
    ------
    InputError
        if a key does not exist, or a value does not have the key's type.
    """
    kinds = {f.name: getattr(Settings(), f.name) for f in fields(Settings)}
    for key in conf:
        if key not in kinds and key not in _OWN_KEYS and key not in _MONAI_LABEL_KEYS:
            raise InputError(f"conf key {key!r} does not exist{_nearest(key, [*kinds, *_OWN_KEYS])}")
    if conf.get("tracking", "none") not in ("none", "", "false"):
        raise InputError(
            f"conf tracking={quoted(conf['tracking'])} is not supported; TensorBoard is always on: use none"
        )
    overrides = {key: _parsed(key, conf[key], kinds[key]) for key in kinds if key in conf}
    settings = settings_from(conf.get("preset", "default"), **overrides)
    taken = RESERVED_KEYS.intersection(settings.types)
    if taken:
        raise InputError(f"cancer type {sorted(taken)[0]!r} is a key of MONAI Label's requests; name it otherwise")
    model_dir = Path(conf["model_dir"]) if conf.get("model_dir") else None
    pretrained = _parsed("use_pretrained_model", conf.get("use_pretrained_model", True), True)
    state_dir = Path(conf["state_dir"]) if conf.get("state_dir") else None
    waits = _parsed("wait_for_scans", conf.get("wait_for_scans", False), False)
    opened = _parsed("open_routes", conf.get("open_routes", False), False)
    renamed = _renamed(conf.get("rename", ""), settings)
    readers = _parsed("readers", conf.get("readers", 1), 1)
    if not 1 <= readers <= MAX_READERS:
        raise InputError(f"conf readers={readers} is not from 1 to {MAX_READERS}; write how many read each patient")
    return Configuration(settings, model_dir, pretrained, renamed, state_dir, waits, opened, readers)


def _renamed(text: str, settings: Settings) -> dict[str, str]:
    renamed = renamed_types(text)
    for former, name in renamed.items():
        if name not in settings.classes:
            known = ", ".join(settings.classes)
            raise InputError(f"rename: {name!r} is no cancer type here; the types are {known}")
        if former in settings.classes:
            raise InputError(f"rename: {former!r} is still a cancer type here; name only types that went")
    return renamed


def _parsed(key: str, value: Any, like: Any) -> Any:
    """Convert a conf string to the type of the setting's default."""
    text = str(value).strip()
    try:
        if isinstance(like, bool):
            return _BOOLEANS[text.lower()]
        if isinstance(like, tuple):
            return tuple(type(like[0])(part.strip()) for part in text.split(","))
        return type(like)(text)
    except (ValueError, KeyError):
        example = ",".join(map(str, like)) if isinstance(like, tuple) else str(like).lower()
        raise InputError(f"conf {key}={quoted(value)} cannot be read; write it like {example}") from None


def _nearest(key: str, known: list[str]) -> str:
    near = difflib.get_close_matches(key, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(sorted(known))}"
