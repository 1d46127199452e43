"""The CT of a PET series on a PACS: found in its study, fetched, and on the PET's voxels."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.helpers.dicom_patients import write_patient
from tests.helpers.needs import needs_pacs
from tests.server.series.test_ct import CTS, assert_bone_in_tumour, beside_pet
from wslpet.cli.demo.orthanc import Orthanc
from wslpet.core.settings import Settings
from wslpet.server.errors import PacsError
from wslpet.server.series.ct import FusedCt
from wslpet.server.series.datastore import SeriesDatastore
from wslpet.server.series.sources.dicomweb import DicomWeb

pytestmark = [needs_pacs, pytest.mark.slow]


def test_the_ct_of_a_study_on_a_pacs_lies_where_its_pet_does(tmp_path: Path) -> None:
    stored = "feet_first_upward"
    one, two = write_patient(tmp_path, "anna", stored), write_patient(tmp_path, "bert")
    ct = beside_pet(one, CTS[stored], tmp_path / "ct", "anna")
    scout = beside_pet(
        one, CTS[stored], tmp_path / "scout", "anna", "Scout", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]
    )
    pacs = Orthanc(tmp_path / "orthanc").start()
    try:
        for files in (one.files, two.files, ct, scout[:2]):
            pacs.upload(files)
        store = SeriesDatastore(str(tmp_path / "cache"), Settings(), DicomWeb(pacs.dicomweb))
        assert set(store.list_images()) == {one.uid, two.uid}
        fused = FusedCt(store)
        assert (fused.has(one.uid), fused.has(two.uid)) == (True, False)
        assert_bone_in_tumour(store, one)
    finally:
        pacs.stop()
    # It is kept: the PACS is not asked again; one that is silent has no CT to show.
    assert fused.array(one.uid).shape == store.volume(one.uid).to_ras().shape
    with pytest.raises(PacsError):
        store.source.ct("1.2", "1.3")
    assert not FusedCt(store).has(one.uid)
    shutil.rmtree(tmp_path / "orthanc")
