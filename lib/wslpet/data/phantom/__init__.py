"""Whole-body FDG PET phantoms: simulated patients with a known tumour, its type and a click, from a random seed."""

from wslpet.data.phantom.cohort import write_cohort
from wslpet.data.phantom.dicom import Examination, write_series
from wslpet.data.phantom.patient import Lesion, Patient, make_patient
from wslpet.data.phantom.settings import PRESETS, CohortSettings, PhantomError, Scanner, Spread, Uptake

__all__ = [
    "PRESETS",
    "CohortSettings",
    "Examination",
    "Lesion",
    "Patient",
    "PhantomError",
    "Scanner",
    "Spread",
    "Uptake",
    "make_patient",
    "write_cohort",
    "write_series",
]
