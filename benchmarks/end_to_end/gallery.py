"""The README's picture: phantom patients new to the shipped weights: python -m benchmarks.end_to_end.gallery"""

from __future__ import annotations

from pathlib import Path

from wslpet.data.phantom import PRESETS, make_patient
from wslpet.method.inference.pipeline import find_lesions
from wslpet.method.inference.plotting import Case, gallery
from wslpet.method.network.checkpoint import load_model

# Below the training cohort's first seed; hard patients with different fields of view, not chosen by result.
PATIENTS = (("plain", 31), ("hard", 32), ("hard", 33), ("hard", 35))


def main() -> None:
    """Write docs/images/gallery.png."""
    model = load_model("model/pretrained_wslpet.pt")
    cases = []
    for preset, seed in PATIENTS:
        patient = make_patient(seed, PRESETS[preset])
        result = find_lesions(patient.volume, model)
        probability = result.type_probabilities[result.cancer_type]
        title = f"phantom, {preset}: truth {patient.cancer_type}\nfound {result.cancer_type} ({probability:.0%})"
        cell_mm = model.settings.grid_mm * model.settings.stride
        cases.append(Case(patient.volume, result, cell_mm, patient.seed, patient.truth, title))
    Path("docs/images").mkdir(parents=True, exist_ok=True)
    gallery(cases, "docs/images/gallery.png", columns=4, dpi=90)


if __name__ == "__main__":
    main()
