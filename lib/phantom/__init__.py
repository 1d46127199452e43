"""Whole-body FDG PET phantoms: patients with a known tumour, its type and a click, from an integer seed."""

from lib.phantom.cohort import write_cohort
from lib.phantom.dicom import Examination, write_series
from lib.phantom.patient import Lesion, Patient, make_patient
from lib.phantom.settings import PRESETS, CohortSettings, PhantomError, Scanner, Spread, Uptake

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
