"""An issuer of tokens, for the tests of accounts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.helpers.accounts import use_issuer
from tests.helpers.oidc_issuer import Issuer


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with Issuer() as issuer:
        yield issuer


@pytest.fixture
def accounts(issuer, monkeypatch) -> None:
    """Accounts are on, and the issuer is asked anew."""
    use_issuer(monkeypatch, issuer.url)
