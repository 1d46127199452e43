"""Three points in OHIF in Chromium on a real PACS: three lesions, one removed, one corrected, read back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pydicom
import pytest

from tests.browser.viewers.ohif import Ohif
from tests.browser.viewers.ward import overlap
from tests.helpers.app_server import Server
from tests.helpers.browser import chromium
from tests.helpers.needs import needs_chromium, needs_pacs
from tests.server.tasks.test_several_lesions import Case, make
from wslpet.cli.demo.orthanc import Orthanc
from wslpet.data.phantom.dicom import Examination, write_series

pytestmark = [needs_chromium, needs_pacs]
VOXEL_MM = 5.0


@dataclass(frozen=True)
class Opened:
    """A patient with four lesions, of which two run into each other, in OHIF."""

    case: Case
    uid: str
    server: Server
    ohif: Ohif

    def truth(self, *numbers: int) -> np.ndarray:
        """(n, 3) positions of the voxels of some lesions."""
        inside = np.any([self.case.truths[n] for n in numbers], axis=0)
        return self.case.volume.to_world(np.argwhere(inside))

    def point(self, number: int) -> None:
        """Scroll to a lesion's centre and click it."""
        self.ohif.show(self.case.centres[number])
        self.ohif.click(self.case.centres[number])

    def run(self) -> np.ndarray:
        """Run, and the positions (n, 3) that OHIF holds as lung."""
        answer = self.ohif.run_points()
        assert answer.status == 200, answer.text()
        self.ohif.settle()
        return self.ohif.segmentation().positions("lung")

    def share(self, shown: np.ndarray, number: int) -> float:
        """How much of a lesion is in the mask that is shown."""
        truth = {tuple(p) for p in np.rint(self.truth(number)).astype(int)}
        return len(truth & {tuple(p) for p in np.rint(shown).astype(int)}) / len(truth)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    folder, case = tmp_path_factory.mktemp("lesions"), make("several", "lps")
    files = write_series(case.volume, folder / "dicom", "several", Examination())
    header = pydicom.dcmread(files[0], stop_before_pixels=True)
    with Orthanc(folder / "orthanc") as pacs:
        pacs.upload(files)
        server = Server(
            pacs.dicomweb, folder / "server", settings={"MONAI_LABEL_DICOMWEB_CACHE_PATH": str(folder / "cache")}
        ).start()
        try:
            with chromium() as browser:
                ohif = Ohif(browser.new_page(viewport={"width": 1280, "height": 720}), server.url)
                ohif.open(str(header.StudyInstanceUID))
                ohif.connect()
                ohif.choose("lung")
                yield Opened(case, str(header.SeriesInstanceUID), server, ohif)
        finally:
            server.stop()


def test_three_points_are_three_lesions_of_which_one_is_removed_and_one_corrected(opened):
    for number in (0, 1, 2):
        opened.point(number)
    three = opened.run()
    assert min(opened.share(three, number) for number in (0, 1, 2)) > 0.7
    # The neighbour that the third lesion runs into is taken along, or not: `background` decides below.
    opened.ohif.clear_points()
    opened.point(0)
    opened.point(2)
    two = opened.run()
    assert opened.share(two, 1) == 0
    assert min(opened.share(two, number) for number in (0, 2)) > 0.7
    opened.ohif.choose("background")
    opened.point(3)
    corrected = opened.run()
    assert opened.share(corrected, 3) < 0.2
    assert overlap(corrected, opened.truth(0, 2), VOXEL_MM) > 0.7
    newest = opened.server.seeds(opened.uid)[-1]
    assert newest["cancer_type"] == "lung"
    for held, numbers in ((newest["seeds"], (0, 2)), (newest["background"], (3,))):
        assert len(held) == len(numbers)
        for seed, number in zip(held, numbers, strict=True):
            assert np.linalg.norm(np.array(seed["position"]) - opened.case.centres[number]) < VOXEL_MM
