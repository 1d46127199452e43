"""Settings of phantom cohorts: scanners, the distributions that patients are sampled from, and presets."""

from wslpet.data.phantom.settings.cohort import (
    CohortSettings,
    Disease,
    PhantomError,
    Spread,
    Uptake,
    Weighted,
)
from wslpet.data.phantom.settings.presets import PRESETS
from wslpet.data.phantom.settings.scanners import Range, Scanner

__all__ = ["PRESETS", "CohortSettings", "Disease", "PhantomError", "Range", "Scanner", "Spread", "Uptake", "Weighted"]
