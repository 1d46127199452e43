"""Distributions that a cohort of phantoms is sampled from: bodies, uptake, tumours and benign uptake."""

from __future__ import annotations

from dataclasses import dataclass, field

from wslpet.core.errors import InputError
from wslpet.data.phantom.settings.scanners import PAPER, Range, Scanner

Weighted = tuple[tuple[str, float], ...]


class PhantomError(InputError):
    """Phantom settings that describe no cohort."""


@dataclass(frozen=True)
class Uptake:
    """Ranges of physiological FDG uptake, SUV by body weight one hour after injection.

    Typical values are those of textbooks and surveys of normal uptake (liver 2–3, blood pool 1.5–2, brain 6–14, muscle
    below 1, lung 0.3–0.6); the limits are ours. `silent_myocardium` and `thyroid_fraction` are fractions of patients.
    """

    brain: Range = (6.0, 13.0)
    liver: Range = (1.8, 2.9)
    spleen: Range = (1.4, 2.3)
    blood: Range = (1.3, 2.1)
    myocardium: Range = (1.5, 14.0)
    silent_myocardium: float = 0.40
    lung: Range = (0.30, 0.55)
    muscle: Range = (0.50, 0.80)
    fat: Range = (0.15, 0.35)
    marrow: Range = (0.9, 1.7)
    kidney: Range = (2.0, 4.0)
    collecting_system: Range = (4.0, 20.0)
    ureter: Range = (3.0, 15.0)
    bladder: Range = (10.0, 70.0)
    bowel: Range = (0.9, 3.5)
    stomach: Range = (1.2, 3.2)
    junction: Range = (1.5, 3.2)
    salivary: Range = (1.5, 4.0)
    tonsil: Range = (2.0, 6.0)
    thyroid: Range = (2.0, 6.0)
    thyroid_fraction: float = 0.15


@dataclass(frozen=True)
class Spread:
    """A truncated log-normal distribution."""

    median: float
    log_sd: float
    low: float
    high: float


@dataclass(frozen=True)
class Disease:
    """Distributions of the lesions of lifelike patients.

    Parameters
    ----------
    types : (cancer type, weight) pairs.
    count : smallest and largest number of lesions, log-uniform.
    spread : share of lesions that start a new site; the others are beside the lesion before.
    radius_mm : radius of a lesion.
    suv_max : typical SUVmax of a patient's lesions before noise; each lesion varies about it.
    """

    types: Weighted = (("lung", 0.3), ("oesophagus", 0.2), ("lymphoma", 0.25), ("melanoma", 0.25))
    count: tuple[int, int] = (1, 24)
    spread: float = 0.55
    radius_mm: Spread = Spread(7.5, 0.55, 3.0, 45.0)
    suv_max: Spread = Spread(7.5, 0.6, 2.2, 40.0)


@dataclass(frozen=True)
class CohortSettings:
    """Distributions that the patients of a cohort are sampled from. Numbers without a source are ours.

    Parameters
    ----------
    name : name of the cohort.
    scanners : (Scanner, weight) pairs.
    fields : (name, weight) pairs of axial fields of view, see `wslpet.data.phantom.scan.plan.FIELDS`.
    arms_down : fraction of patients with the arms beside the body.
    height_m, bmi : (mean, SD).
    uptake : ranges of physiological uptake.
    tumour_suv_max : SUVmax of the primary before noise.
    lung_diameter_mm, oesophagus_length_mm, oesophagus_width_mm : size of the primary.
    heterogeneity : range of the relative SD of uptake inside a tumour.
    necrosis : fraction of tumours wider than 35 mm with a core without uptake.
    nodes : fraction of patients with involved nodes.
    contrast : smallest ratio of tumour SUVmax to local background.
    lung_sites : (name, weight) pairs of "parenchyma", "hilum", "mediastinum", "chest wall".
    mimics : (name, probability) pairs of benign uptake, see `wslpet.data.phantom.disease.mimics`.
    no_tumour_fraction : fraction of patients without a tumour.
    disease : distributions of the lesions of lifelike patients (`wslpet.data.phantom.lifelike`); None for plain
        patients with one primary.
    edge_noise : range of the factor by which the outermost slices are noisier.

    Raises
    ------
    PhantomError
        if `no_tumour_fraction` is not from 0 to 1.
    """

    name: str = "plain"
    scanners: tuple[tuple[Scanner, float], ...] = ((PAPER, 1.0),)
    fields: Weighted = (("skull-thigh", 0.5), ("vertex-thigh", 0.5))
    arms_down: float = 0.2
    height_m: Range = (1.71, 0.09)
    bmi: Range = (25.0, 4.0)
    uptake: Uptake = field(default_factory=Uptake)
    tumour_suv_max: Spread = Spread(9.5, 0.40, 5.0, 20.0)
    lung_diameter_mm: Spread = Spread(36.0, 0.32, 18.0, 65.0)
    oesophagus_length_mm: Spread = Spread(55.0, 0.30, 28.0, 100.0)
    oesophagus_width_mm: Spread = Spread(28.0, 0.20, 18.0, 42.0)
    heterogeneity: Range = (0.04, 0.12)
    necrosis: float = 0.15
    nodes: float = 0.15
    contrast: float = 1.6
    lung_sites: Weighted = (("parenchyma", 0.36), ("hilum", 0.22), ("mediastinum", 0.22), ("chest wall", 0.2))
    mimics: Weighted = ()
    no_tumour_fraction: float = 0.0
    disease: Disease | None = None
    edge_noise: Range = (1.0, 1.0)

    def __post_init__(self) -> None:
        if not 0.0 <= self.no_tumour_fraction <= 1.0:
            raise PhantomError(
                f"no_tumour_fraction {self.no_tumour_fraction} is not a fraction; give a number from 0 to 1"
            )
