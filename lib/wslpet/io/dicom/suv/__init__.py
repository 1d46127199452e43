"""SUV of DICOM PET: factor, units, body measures, times of injection and of decay correction."""

from wslpet.io.dicom.suv.body_measures import MEASURE_SHARE, MEASURES, SIZE_M, WEIGHT_KG
from wslpet.io.dicom.suv.factor import Suv, suv_of

__all__ = ["MEASURES", "MEASURE_SHARE", "SIZE_M", "WEIGHT_KG", "Suv", "suv_of"]
