"""Distributions that cohorts are sampled from: scanners, bodies, uptake, tumours and benign uptake."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from wslpet.core.errors import InputError

Range = tuple[float, float]
Weighted = tuple[tuple[str, float], ...]


class PhantomError(InputError):
    """Phantom settings that describe no cohort."""


@dataclass(frozen=True)
class Scanner:
    """A scanner with its usual reconstruction.

    Parameters
    ----------
    voxel_mm : (x, y, z) voxel size.
    fwhm_mm : range of the effective point spread, FWHM in mm (5–7 for clinical reconstructions).
    liver_cov : range of the coefficient of variation in the liver; EARL asks for < 0.15, the rest is ours.
    field_mm : transaxial field of view.
    """

    name: str
    voxel_mm: tuple[float, float, float]
    fwhm_mm: Range = (5.0, 7.0)
    liver_cov: Range = (0.07, 0.15)
    field_mm: float = 520.0


PAPER = Scanner("4.06x4.06x2", (4.06, 4.06, 2.0))
MANY_SCANNERS = (
    (PAPER, 0.30),
    (Scanner("4.69x4.69x3.27", (4.6875, 4.6875, 3.27), (5.5, 7.5), (0.10, 0.21), 600.0), 0.20),
    (Scanner("2.73x2.73x3.27", (2.734, 2.734, 3.27), (4.8, 6.5), (0.08, 0.17), 700.0), 0.15),
    (Scanner("5.3x5.3x2", (5.3, 5.3, 2.0), (6.0, 7.5), (0.06, 0.14), 680.0), 0.12),
    (Scanner("4.07x4.07x5", (4.07, 4.07, 5.0), (5.5, 7.5), (0.07, 0.16), 684.0), 0.20),
    (Scanner("2.04x2.04x2", (2.04, 2.04, 2.0), (4.5, 5.5), (0.08, 0.18), 520.0), 0.03),
)
TRAINING_SCANNERS = (
    (Scanner("4x4x3", (4.0, 4.0, 3.0), (4.8, 7.2), (0.05, 0.16), 576.0), 0.30),
    (Scanner("4.06x4.06x2", (4.06, 4.06, 2.0), (5.0, 7.0), (0.05, 0.15), 520.0), 0.20),
    (Scanner("5.47x5.47x3.27", (5.47, 5.47, 3.27), (5.5, 8.0), (0.06, 0.16), 700.0), 0.25),
    (Scanner("4.07x4.07x5", (4.07, 4.07, 5.0), (5.5, 8.0), (0.06, 0.17), 684.0), 0.20),
    (Scanner("3.18x3.18x3", (3.18, 3.18, 3.0), (4.6, 6.5), (0.07, 0.18), 610.0), 0.05),
)
LIFELIKE_SCANNERS = tuple(
    (replace(scanner, fwhm_mm=(4.5, 8.5), liver_cov=(0.07, 0.34)), weight) for scanner, weight in TRAINING_SCANNERS
)


@dataclass(frozen=True)
class Uptake:
    """Ranges of physiological FDG uptake, SUV by body weight an hour after injection.

    Typical values as nuclear medicine textbooks and normal-uptake surveys give them (liver 2–3, blood
    pool 1.5–2, brain 6–14, muscle below 1, lung 0.3–0.6); the limits are ours.
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
    """What lifelike patients have.

    Parameters
    ----------
    types : (cancer type, weight).
    count : least and largest number of lesions, log-uniform.
    spread : share of lesions that start a new site; the others lie beside the one before.
    radius_mm : of a lesion.
    suv_max : of a patient's lesions before noise; each lesion varies about it.
    """

    types: Weighted = (("lung", 0.3), ("oesophagus", 0.2), ("lymphoma", 0.25), ("melanoma", 0.25))
    count: tuple[int, int] = (1, 24)
    spread: float = 0.55
    radius_mm: Spread = Spread(7.5, 0.55, 3.0, 45.0)
    suv_max: Spread = Spread(7.5, 0.6, 2.2, 40.0)


@dataclass(frozen=True)
class CohortSettings:
    """The distributions that patients are sampled from; all numbers without a source are ours.

    Parameters
    ----------
    scanners : (Scanner, weight) pairs; an explicit voxel size overrides the voxel size only.
    fields : (name, weight) of axial fields of view: "vertex-thigh", "skull-thigh", "head-abdomen", "thorax".
    arms_down : fraction of patients with the arms beside the body.
    height_m, bmi : (mean, SD).
    tumour_suv_max : SUVmax of the primary before noise.
    lung_diameter_mm, oesophagus_length_mm, oesophagus_width_mm : size of the primary.
    heterogeneity : range of the relative SD of uptake inside a tumour.
    necrosis : fraction of tumours wider than 35 mm with a core without uptake.
    nodes : fraction of patients with involved nodes.
    contrast : least ratio of tumour SUVmax to local background.
    lung_sites : (name, weight) of "parenchyma", "hilum", "mediastinum", "chest wall".
    mimics : (name, probability) of benign uptake, see `wslpet.data.phantom.disease.mimics`.
    no_tumour_fraction : fraction of patients without a tumour.
    disease : makes the patients lifelike (`wslpet.data.phantom.lifelike`), with these lesions; None: one primary.
    edge_noise : range of the factor by which the outermost slices are noisier.
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


class _Presets(dict[str, CohortSettings]):
    def __missing__(self, name: str) -> CohortSettings:
        raise PhantomError(f"cohort preset {name!r} does not exist; choose one of {sorted(self)}")


PRESETS: dict[str, CohortSettings] = _Presets(
    plain=CohortSettings(),
    hard=CohortSettings(
        name="hard",
        scanners=MANY_SCANNERS,
        fields=(("skull-thigh", 0.5), ("vertex-thigh", 0.2), ("head-abdomen", 0.15), ("thorax", 0.15)),
        arms_down=0.35,
        bmi=(26.0, 5.0),
        uptake=Uptake(
            marrow=(0.9, 2.6), bowel=(1.0, 5.5), junction=(1.4, 4.2), silent_myocardium=0.35, thyroid_fraction=0.2
        ),
        tumour_suv_max=Spread(6.5, 0.55, 2.5, 25.0),
        lung_diameter_mm=Spread(32.0, 0.50, 10.0, 80.0),
        oesophagus_length_mm=Spread(52.0, 0.42, 20.0, 120.0),
        oesophagus_width_mm=Spread(23.0, 0.28, 12.0, 45.0),
        heterogeneity=(0.08, 0.25),
        necrosis=0.4,
        nodes=0.35,
        mimics=(
            ("pneumonia", 0.22),
            ("reactive hilar nodes", 0.25),
            ("reactive axillary nodes", 0.12),
            ("reactive cervical nodes", 0.12),
            ("oesophagitis", 0.18),
            ("rib fractures", 0.12),
            ("vertebral fracture", 0.10),
            ("brown fat", 0.08),
            ("granuloma", 0.15),
            ("port", 0.08),
            ("injection site", 0.15),
        ),
    ),
    train=CohortSettings(
        name="train",
        scanners=TRAINING_SCANNERS,
        fields=(("skull-thigh", 0.45), ("vertex-thigh", 0.25), ("head-abdomen", 0.15), ("thorax", 0.15)),
        arms_down=0.3,
        height_m=(1.69, 0.10),
        bmi=(25.5, 5.5),
        uptake=Uptake(
            brain=(5.0, 15.0),
            liver=(1.6, 3.2),
            spleen=(1.2, 2.6),
            blood=(1.1, 2.3),
            myocardium=(1.2, 16.0),
            silent_myocardium=0.33,
            marrow=(0.7, 2.2),
            bladder=(6.0, 90.0),
            bowel=(0.7, 5.0),
            junction=(1.2, 4.0),
            collecting_system=(3.0, 26.0),
            thyroid_fraction=0.1,
        ),
        lung_sites=(("parenchyma", 0.45), ("hilum", 0.2), ("mediastinum", 0.17), ("chest wall", 0.18)),
        tumour_suv_max=Spread(8.0, 0.60, 2.3, 30.0),
        lung_diameter_mm=Spread(30.0, 0.55, 9.0, 90.0),
        oesophagus_length_mm=Spread(48.0, 0.48, 18.0, 130.0),
        oesophagus_width_mm=Spread(25.0, 0.32, 11.0, 48.0),
        heterogeneity=(0.03, 0.28),
        necrosis=0.3,
        nodes=0.25,
        mimics=(
            ("pneumonia", 0.15),
            ("reactive hilar nodes", 0.18),
            ("reactive axillary nodes", 0.10),
            ("reactive cervical nodes", 0.08),
            ("oesophagitis", 0.14),
            ("rib fractures", 0.10),
            ("vertebral fracture", 0.08),
            ("brown fat", 0.06),
            ("granuloma", 0.10),
            ("port", 0.05),
            ("injection site", 0.12),
        ),
    ),
)
# Another scanner, and patients who ate before the scan: insulin drives FDG into muscle and heart, and less is left for
# liver and tumour. The shipped weights have seen none like them; the demo shows how clicks teach it.
PRESETS["fed"] = replace(
    PRESETS["plain"],
    name="fed",
    scanners=((Scanner("4.69x4.69x3.27", (4.6875, 4.6875, 3.27), (6.0, 7.5), (0.08, 0.14), 600.0), 1.0),),
    uptake=Uptake(muscle=(2.6, 4.0), myocardium=(8.0, 18.0), silent_myocardium=0.0, liver=(1.2, 1.8)),
    tumour_suv_max=Spread(6.0, 0.25, 4.5, 9.0),
)
# The training cohort with twice the benign uptake and three times the pneumonia: the false positives of a network that
# was trained on the rest.
PRESETS["train-mimics"] = replace(
    PRESETS["train"],
    name="train-mimics",
    mimics=tuple((name, (3 if name == "pneumonia" else 2) * p) for name, p in PRESETS["train"].mimics),
)
# Patients as they come: organs that lie and measure as in 457 people (docs/reference/phantoms.md), each uptake over a
# wider range than any one site has, arms up or down, partial bodies, and 1 to 24 lesions of four cancers, or none.
PRESETS["lifelike"] = CohortSettings(
    name="lifelike",
    scanners=LIFELIKE_SCANNERS,
    fields=(
        ("brain-thigh", 0.78),
        ("vertex-thigh", 0.06),
        ("whole body", 0.1),
        ("head-abdomen", 0.03),
        ("thorax", 0.03),
    ),
    arms_down=0.1,
    height_m=(1.71, 0.095),
    bmi=(26.0, 5.5),
    uptake=Uptake(
        brain=(5.0, 18.0),
        liver=(1.4, 3.4),
        spleen=(1.1, 3.0),
        blood=(0.9, 2.5),
        myocardium=(1.3, 18.0),
        silent_myocardium=0.35,
        lung=(0.25, 0.75),
        muscle=(0.45, 1.05),
        fat=(0.12, 0.42),
        marrow=(0.6, 2.4),
        kidney=(1.3, 3.6),
        collecting_system=(3.0, 40.0),
        ureter=(2.5, 20.0),
        bladder=(3.0, 90.0),
        bowel=(0.7, 4.2),
        stomach=(0.9, 3.6),
        junction=(1.0, 3.5),
        salivary=(1.0, 6.0),
        tonsil=(1.5, 9.0),
        thyroid=(1.5, 6.0),
        thyroid_fraction=0.12,
    ),
    tumour_suv_max=Spread(8.5, 0.60, 2.3, 35.0),
    lung_diameter_mm=Spread(32.0, 0.55, 9.0, 110.0),
    oesophagus_length_mm=Spread(48.0, 0.48, 18.0, 130.0),
    oesophagus_width_mm=Spread(25.0, 0.32, 11.0, 48.0),
    heterogeneity=(0.03, 0.3),
    necrosis=0.35,
    mimics=(
        ("pneumonia", 0.12),
        ("reactive hilar nodes", 0.12),
        ("reactive axillary nodes", 0.08),
        ("reactive cervical nodes", 0.08),
        ("oesophagitis", 0.1),
        ("rib fractures", 0.06),
        ("vertebral fracture", 0.06),
        ("brown fat", 0.06),
        ("granuloma", 0.06),
        ("port", 0.05),
        ("injection site", 0.15),
    ),
    no_tumour_fraction=0.4,
    disease=Disease(),
    edge_noise=(1.0, 6.0),
)
