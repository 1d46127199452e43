"""Cohorts of phantoms by name."""

from __future__ import annotations

from dataclasses import replace

from wslpet.data.phantom.settings.cohort import CohortSettings, Disease, PhantomError, Spread, Uptake
from wslpet.data.phantom.settings.scanners import LIFELIKE_SCANNERS, MANY_SCANNERS, TRAINING_SCANNERS, Scanner


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
# Patients who did not fast, on another scanner: insulin drives FDG into muscle and heart, away from liver and tumour.
# The shipped weights were not trained on such patients; in the demo, training on clicks improves them.
PRESETS["fed"] = replace(
    PRESETS["plain"],
    name="fed",
    scanners=((Scanner("4.69x4.69x3.27", (4.6875, 4.6875, 3.27), (6.0, 7.5), (0.08, 0.14), 600.0), 1.0),),
    uptake=Uptake(muscle=(2.6, 4.0), myocardium=(8.0, 18.0), silent_myocardium=0.0, liver=(1.2, 1.8)),
    tumour_suv_max=Spread(6.0, 0.25, 4.5, 9.0),
)
# The training cohort with twice the benign uptake and three times the pneumonia, which are the false positives of a
# network that was trained on the preset "train" alone.
PRESETS["train-mimics"] = replace(
    PRESETS["train"],
    name="train-mimics",
    mimics=tuple((name, (3 if name == "pneumonia" else 2) * p) for name, p in PRESETS["train"].mimics),
)
# Organs with positions and sizes as in 457 people (docs/reference/phantoms.md), uptake over a wider range than at any
# single site, arms up or down, partial bodies, and 1 to 24 lesions of four cancers, or none.
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
