"""Types of arrays; the docstrings say shapes, axes and units."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Of any type: of stored voxels, or where several types are right.
Array = NDArray[Any]
BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.floating[Any]]
