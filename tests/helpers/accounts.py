"""Accounts of an issuer, and an app with routes for the roles."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient
from monailabel.config import settings
from monailabel.endpoints.user.auth import RBAC, User

from wslpet.server.http import authentication
from wslpet.server.http.authentication import (
    Administrator,
    Annotator,
    AnyUser,
    current_user,
    install,
)


def use_issuer(monkeypatch, address: str) -> None:
    """Turn accounts on, with the issuer at this address."""
    monkeypatch.setattr(settings, "MONAI_LABEL_AUTH_ENABLE", True)
    monkeypatch.setattr(settings, "MONAI_LABEL_AUTH_REALM_URI", address)
    authentication._issuer.cache_clear()
    authentication._keys.cache_clear()


def app() -> TestClient:
    """Routes of ours for three roles, one for any account, and one with MONAI Label's own role check."""
    server = FastAPI()

    @server.get("/me")
    def me(user: Annotated[User, Depends(current_user)]) -> User:
        return user

    @server.get("/user")
    def for_users(user: AnyUser) -> str:
        return user.username

    @server.get("/annotator")
    def for_annotators(user: Annotator) -> str:
        return user.username

    @server.get("/admin")
    def for_administrators(user: Administrator) -> str:
        return user.username

    @server.get("/framework")
    def framework(user: Annotated[User, Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_REVIEWER))]) -> str:
        return user.username

    install(server)
    return TestClient(server)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
