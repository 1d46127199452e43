"""A ward for the tests of each viewer: what one leaves on the PACS, the other does not find there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser.viewers.ward import Ward, open_ward


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    with open_ward(tmp_path_factory.mktemp("ward")) as opened:
        yield opened
