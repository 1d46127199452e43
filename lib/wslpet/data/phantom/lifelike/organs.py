"""Organs of the lifelike body, in the order of painting."""

from __future__ import annotations

from wslpet.data.phantom.lifelike.abdomen import digestive_tract, liver_and_spleen
from wslpet.data.phantom.lifelike.bones import skeleton
from wslpet.data.phantom.lifelike.head import head_and_neck
from wslpet.data.phantom.lifelike.pelvis import kidneys, pelvis
from wslpet.data.phantom.lifelike.thorax import chest
from wslpet.data.phantom.lifelike.tissue import soft_tissue, vessels

# From the outside in: an organ covers what was painted before it.
LIFELIKE_ORGANS = (
    soft_tissue,
    skeleton,
    chest,
    digestive_tract,
    liver_and_spleen,
    kidneys,
    vessels,
    pelvis,
    head_and_neck,
)
