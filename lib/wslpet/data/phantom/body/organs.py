"""Organs of the plain body, in the order of painting."""

from __future__ import annotations

from wslpet.data.phantom.body.head import head_and_neck
from wslpet.data.phantom.body.tissue import skeleton, soft_tissue
from wslpet.data.phantom.body.trunk import abdomen, chest

# From the outside in: an organ covers what was painted before it.
PLAIN_ORGANS = (soft_tissue, skeleton, chest, abdomen, head_and_neck)
