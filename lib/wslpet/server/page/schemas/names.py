"""Names, places and readers in the page's requests."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import unquote

from fastapi import Depends, Header, Query
from fastapi import Path as InPath
from monailabel.config import settings
from pydantic import Field

from wslpet.server.http.authentication import AnyUser


def _named(
    image: Annotated[
        str, InPath(description="an image's name, percent-encoded twice where it holds / or %", max_length=900)
    ],
) -> str:
    """What an address calls an image: servers and proxies decode once, and a name with / would be a path then."""
    return unquote(image)


def _reading(
    user: AnyUser,
    wslpet_reader: Annotated[
        str, Header(description="who reads, percent-encoded, where the server does not know accounts", max_length=900)
    ] = "",
) -> str:
    """The account, or the name that the page gives; "" of a program that gives none."""
    return user.username if settings.MONAI_LABEL_AUTH_ENABLE else unquote(wslpet_reader)[:100]


Image = Annotated[str, Depends(_named)]
# Whose view it is: the readings of others are hidden from a reader who is to read blind.
Reader = Annotated[str, Depends(_reading)]
Finite = Annotated[float, Field(allow_inf_nan=False, ge=-1e6, le=1e6)]
Position = tuple[Finite, Finite, Finite]
Name = Annotated[str, Field(max_length=100)]
Plane = Literal["sagittal", "coronal", "axial"]
# With a semicolon, numbers have a decimal comma: what Excel expects where the comma is the decimal sign.
Separator = Annotated[Literal[",", ";", "\t"], Query(description="between the columns; with ; a decimal comma")]
State = Literal["annotated", "unannotated", "disagreement", "unreadable"]
