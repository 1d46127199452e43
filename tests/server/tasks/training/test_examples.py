from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from wslpet.core.errors import InputError
from wslpet.core.seeds import NO_TUMOUR, Annotation, ContourChoice, Seed
from wslpet.core.settings import Settings
from wslpet.core.volume import Volume
from wslpet.method.projection.mip import project
from wslpet.method.segmentation.volumes.lesion_mips import LesionExample
from wslpet.server.tasks.training import examples
from wslpet.server.tasks.training.examples import examples_of

SPACING = 5.0
LESION_MM = (90.0, 180.0, 250.0)


class Datastore:
    """Two images of one body: the first is clicked, the other has no tumour; counts what is read."""

    def __init__(self, folder) -> None:
        x, y, z = np.indices((70, 60, 90)) * SPACING
        body = ((x - 175) / 140) ** 2 + ((y - 150) / 100) ** 2 < 1
        far = (x - LESION_MM[0]) ** 2 + (y - LESION_MM[1]) ** 2 + (z - LESION_MM[2]) ** 2
        self.scan = Volume((body + 10 * np.exp(-far / 200)).astype(np.float32), np.diag([SPACING] * 3 + [1]), "scan")
        self.private = folder
        self.versions = {"clicked": "1", "well": "1"}
        self.annotations = {
            "clicked": Annotation((Seed("lung", LESION_MM),)),
            "well": Annotation((Seed(NO_TUMOUR, (0.0, 0.0, 0.0)),)),
        }
        self.read: list[str] = []

    def seeded(self):
        return self.annotations

    def facts(self, image):
        return {"PatientID": "P1"} if image == "clicked" else {}

    def image_version(self, image):
        return self.versions[image]

    def volume(self, image):
        self.read.append(image)
        return self.scan

    def views(self, image):
        return project(self.scan.to_ras())


@pytest.fixture
def datastore(tmp_path):
    return Datastore(tmp_path)


SETTINGS = Settings(no_tumour=True)


def test_each_image_teaches_both_networks(datastore):
    made = examples_of(datastore, SETTINGS)
    assert [one.name for one in made.cam] == ["clicked", "well"] and made.skipped == {}
    assert [one.patient for one in made.lesions] == [one.patient for one in made.cam] == ["P1", "well"]
    clicked, well = made.lesions
    assert clicked.cancer_type == "lung" and len(clicked.mips) == len(well.mips) > 0
    assert all(mip.lesions.any() for mip in clicked.mips) and not any(mip.lesions.any() for mip in well.mips)


def test_what_is_unchanged_comes_from_the_cache(datastore):
    first = examples_of(datastore, SETTINGS)
    again = examples_of(datastore, SETTINGS)
    assert datastore.read == ["clicked", "well"]
    for one, other in zip(first.lesions, again.lesions, strict=True):
        assert np.array_equal(one.mips[0].lesions, other.mips[0].lesions)
        assert np.allclose(one.mips[0].image, other.mips[0].image, rtol=1e-3)
    seed = datastore.annotations["clicked"].seeds[0]
    changes = (
        replace(seed, contour=ContourChoice(step=1)),
        replace(seed, position=(92.0, 180.0, 250.0)),
    )
    for count, changed in enumerate(changes, start=1):
        datastore.annotations["clicked"] = Annotation((changed,))
        examples_of(datastore, SETTINGS)
        assert datastore.read[2:] == ["clicked"] * count
    datastore.versions["well"] = "2"
    examples_of(datastore, SETTINGS)
    assert datastore.read[-1] == "well"


def test_a_segmenter_that_does_not_learn_needs_no_scan(datastore):
    made = examples_of(datastore, replace(SETTINGS, segmenter_steps=0))
    assert len(made.cam) == len(made.lesions) == 2 and datastore.read == []
    assert all(one.mips == () for one in made.lesions)


def test_an_image_that_fails_is_left_out_with_its_reason(datastore, monkeypatch):
    def fails(datastore, cache, image, annotation, patient):
        if image == "clicked":
            raise InputError("clicked: cut off; export it again")
        return LesionExample((), "lung", patient)

    monkeypatch.setattr(examples, "_lesion_example", fails)
    made = examples_of(datastore, SETTINGS)
    assert made.skipped == {"clicked": "clicked: cut off; export it again"}
    assert [one.name for one in made.cam] == ["well"] and len(made.lesions) == 1
