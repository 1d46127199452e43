"""What the page's API of tables gives."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class RadiomicsState(BaseModel):
    """How far the job of the features is."""

    state: Literal["none", "running", "done", "stopped"]
    done: int = Field(description="images")
    total: int
    lesions: int = Field(description="measured so far")
    failed: dict[str, str] = Field(description="image → why it has no row")
