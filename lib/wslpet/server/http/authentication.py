"""Authentication with OpenID Connect: the account of a request's bearer token.

`current_user` replaces FastAPI's dependency `get_current_user` of MONAI Label, on which the role check of every route
depends. MONAI Label's function does not name the signature algorithms, which PyJWT requires, and it accepts tokens of
any issuer and for any client if they are signed with the realm's key.

The roles are MONAI Label's. Each includes the ones before it: user (view, infer), annotator (click, label, upload),
reviewer, admin (train, delete, weights, logs).
"""

from __future__ import annotations

import functools
import logging
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

import jwt
import requests
from fastapi import Depends, FastAPI, HTTPException, Request
from monailabel.config import settings
from monailabel.endpoints.user import auth
from monailabel.endpoints.user.auth import DEFAULT_USER, User
from pydantic import AfterValidator, BaseModel, Field, ValidationError
from starlette.concurrency import run_in_threadpool

logger = logging.getLogger(__name__)

# Signature algorithms with a public key. Those with a shared secret (HS256), and "none", are not accepted.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
# Accepted difference between the clocks of server and issuer.
LEEWAY_SECONDS = 30
_NEEDED = ("exp", "iat", "iss")
# Status codes of a refused login: those of RFC 6749, section 5.2, and 403, which some issuers send for a disabled
# account.
_LOGIN_REFUSED = (400, 401, 403)
_Answer = TypeVar("_Answer", bound=BaseModel)


def _web_address(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("no web address")
    return text


_WebAddress = Annotated[str, AfterValidator(_web_address)]


def install(server: FastAPI) -> None:
    """If accounts are on, make the role check of MONAI Label's routes use `current_user`, as that of our routes."""
    # Only then: with any override, FastAPI analyses the parameters of a route again at each request.
    if settings.MONAI_LABEL_AUTH_ENABLE:
        server.dependency_overrides[auth.get_current_user] = current_user


async def current_user(request: Request) -> User:
    """Return the account of the request's bearer token; MONAI Label's default user if accounts are off.

    Raises
    ------
    HTTPException
        401 without a valid token that the issuer signed for this server; 503 if the issuer does not send its keys.
    """
    if not settings.MONAI_LABEL_AUTH_ENABLE:
        return DEFAULT_USER
    return await run_in_threadpool(_account, request.headers.get("Authorization", ""))


def _account(authorization: str) -> User:
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise _unknown("no token; log in, and send it as Authorization: Bearer TOKEN")
    try:
        return user_of(_claims(token.strip()))
    except _IssuerError as error:
        raise _unavailable(error) from error
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        logger.warning("a token was refused: %s", type(error).__name__)
        raise _unknown(f"the token is not valid ({_why(error)}); log in again") from error


@dataclass(frozen=True)
class _Holder:
    """FastAPI dependency: the account of a request, if it has a role. It replaces MONAI Label's RBAC class."""

    role: str

    async def __call__(self, user: Annotated[User, Depends(current_user)]) -> User:
        require(user, self.role)
        return user


AnyUser = Annotated[User, Depends(_Holder(settings.MONAI_LABEL_AUTH_ROLE_USER))]
Annotator = Annotated[User, Depends(_Holder(settings.MONAI_LABEL_AUTH_ROLE_ANNOTATOR))]
Reviewer = Annotated[User, Depends(_Holder(settings.MONAI_LABEL_AUTH_ROLE_REVIEWER))]
Administrator = Annotated[User, Depends(_Holder(settings.MONAI_LABEL_AUTH_ROLE_ADMIN))]


def require(user: User, role: str) -> None:
    """Raise HTTPException (403) if the account does not have a role. If accounts are off, it has all roles."""
    if role not in user.roles:
        raise HTTPException(403, f'Role "{role}" is required to perform this action')


def user_of(claims: dict[str, Any]) -> User:
    """Return the account of verified claims, with all roles that its highest role includes."""
    held: Any = claims
    for key in settings.MONAI_LABEL_AUTH_TOKEN_ROLES.split("#"):
        held = held.get(key) if isinstance(held, dict) else None
    held = held if isinstance(held, list) else []
    ladder = (
        settings.MONAI_LABEL_AUTH_ROLE_USER,
        settings.MONAI_LABEL_AUTH_ROLE_ANNOTATOR,
        settings.MONAI_LABEL_AUTH_ROLE_REVIEWER,
        settings.MONAI_LABEL_AUTH_ROLE_ADMIN,
    )
    highest = max((ladder.index(role) for role in held if role in ladder), default=-1)
    name = claims.get(settings.MONAI_LABEL_AUTH_TOKEN_USERNAME) or claims.get("sub")
    return User(
        username=str(name or "unknown")[:100],
        email=_text(claims.get(settings.MONAI_LABEL_AUTH_TOKEN_EMAIL)),
        name=_text(claims.get(settings.MONAI_LABEL_AUTH_TOKEN_NAME)),
        roles=list(ladder[: highest + 1]),
    )


def log_in(username: str, password: str) -> dict[str, Any]:
    """Ask the issuer for a token for a name and a password, as 3D Slicer's module requests it.

    Raises
    ------
    HTTPException
        401 if the issuer refuses them; 503 if the issuer does not answer, or its answer is not a token.
    """
    form = {
        "client_id": settings.MONAI_LABEL_AUTH_CLIENT_ID,
        "grant_type": "password",
        "username": username,
        "password": password,
    }
    try:
        address = _described(settings.MONAI_LABEL_AUTH_REALM_URI).token_endpoint
        if not address:
            raise _IssuerError("its description names no token_endpoint")
        answer = _ask("POST", address, form)
        if answer.status_code in _LOGIN_REFUSED:
            raise _unknown("the login was refused; check name and password")
        token = _parsed(_Token, answer)
    except _IssuerError as error:
        raise _unavailable(error) from error
    return {"access_token": token.access_token, "token_type": "bearer"}


def _claims(token: str) -> dict[str, Any]:
    """Verify a token and return its claims. Raises _IssuerError, or PyJWT's errors for a token that is not valid."""
    issuer = _issuer(settings.MONAI_LABEL_AUTH_REALM_URI)
    claims: dict[str, Any] = jwt.decode(
        token,
        _keys(issuer.jwks_uri).get_signing_key_from_jwt(token),
        algorithms=list(ALGORITHMS),
        issuer=issuer.issuer,
        leeway=LEEWAY_SECONDS,
        options={"require": list(_NEEDED), "verify_aud": False},
    )
    audience = claims.get("aud")
    # Keycloak puts the client into `azp`, and other services into `aud`.
    named = [*(audience if isinstance(audience, list) else [audience]), claims.get("azp"), claims.get("client_id")]
    if settings.MONAI_LABEL_AUTH_CLIENT_ID not in named:
        raise jwt.InvalidAudienceError("it is for another client")
    return claims


class _IssuerError(Exception):
    """The issuer does not answer, or its answer does not follow OpenID Connect."""


class _Issuer(BaseModel):
    """Fields of the issuer's metadata that are used (OpenID Connect Discovery 1.0, section 3)."""

    issuer: str = Field(min_length=1)
    jwks_uri: _WebAddress
    token_endpoint: _WebAddress | None = None


class _Token(BaseModel):
    """Field of a successful answer of the token endpoint that is used (RFC 6749, section 5.1)."""

    access_token: str = Field(min_length=1)


class _Keys(jwt.PyJWKClient):
    """The issuer's public keys. An answer that is no key set raises _IssuerError, since the token is not at fault."""

    def get_signing_keys(self, refresh: bool = False) -> list[jwt.PyJWK]:
        try:
            return super().get_signing_keys(refresh)
        except Exception as error:  # PyJWT raises nearly anything for an answer that is no key set
            if not refresh:  # if a refresh fails, the known keys are used further
                _issuer.cache_clear()
                _keys.cache_clear()
            raise _IssuerError(f"{self.uri} has no keys ({type(error).__name__}: {error})") from error


@functools.lru_cache(maxsize=4)
def _issuer(address: str) -> _Issuer:
    """Return the issuer's metadata; cached until its keys cannot be loaded."""
    return _described(address)


def _described(address: str) -> _Issuer:
    return _parsed(_Issuer, _ask("GET", f"{address.rstrip('/')}/.well-known/openid-configuration"))


@functools.lru_cache(maxsize=4)
def _keys(address: str) -> _Keys:
    """Return the issuer's keys; a key that is not known yet is requested, so that the issuer can change its keys."""
    return _Keys(address, timeout=settings.MONAI_LABEL_AUTH_TIMEOUT)


def _ask(method: str, address: str, form: dict[str, str] | None = None) -> requests.Response:
    try:
        return requests.request(method, address, data=form, timeout=settings.MONAI_LABEL_AUTH_TIMEOUT)
    except (requests.RequestException, UnicodeError) as error:  # UnicodeError: an invalid host name
        raise _IssuerError(str(error)) from error


def _parsed(model: type[_Answer], answer: requests.Response) -> _Answer:
    try:
        answer.raise_for_status()
        return model.model_validate_json(answer.content)
    except (requests.RequestException, ValidationError) as error:
        raise _IssuerError(f"{answer.url} is not what OpenID Connect describes: {error}") from error


def _why(error: Exception) -> str:
    reasons: dict[type[Exception], str] = {
        jwt.ExpiredSignatureError: "it has expired",
        jwt.InvalidIssuerError: "another issuer made it",
        jwt.InvalidAudienceError: "it is for another client",
        jwt.InvalidSignatureError: "its signature is wrong",
    }
    return reasons.get(type(error), "it cannot be read")


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _unknown(detail: str) -> HTTPException:
    return HTTPException(401, detail, headers={"WWW-Authenticate": "Bearer"})


def _unavailable(error: _IssuerError) -> HTTPException:
    logger.error("the issuer of tokens cannot be asked: %s", error)
    return HTTPException(
        503,
        "the issuer of tokens cannot be reached, or does not answer as OpenID Connect describes; the server's log says "
        "which; check MONAI_LABEL_AUTH_REALM_URI",
    )
