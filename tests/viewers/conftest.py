"""One ward for the tests of both viewers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ward import Ward, open_ward


@pytest.fixture(scope="session")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    with open_ward(tmp_path_factory.mktemp("ward")) as opened:
        yield opened
