"""Files of weights: how they are read."""

from __future__ import annotations

import os
from typing import Any

import torch

from wslpet.core.errors import ModelError


def read_content(
    path: str | os.PathLike[str], what: str, file_format: str, remedy: str = "train one", device: str = "cpu"
) -> dict[str, Any]:
    """Read a file of weights; only tensors and plain values are unpickled.

    Parameters
    ----------
    what : the thing and its name, for messages.
    file_format : that the content names.
    remedy : where the file is missing.

    Raises
    ------
    ModelError
        when the file is missing, damaged or of another format.
    """
    try:
        content = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError as error:
        raise ModelError(f"{what} does not exist; {remedy}") from error
    except Exception as error:
        raise ModelError(f"{what} cannot be read as weights ({type(error).__name__}); train again") from error
    if not isinstance(content, dict) or content.get("format") != file_format:
        raise ModelError(f"{what} is not a {file_format} file; train one with this version")
    return content
