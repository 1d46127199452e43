"""The registry of systems, in the order of the tables. A new system is a file with a `System`, and its line here."""

from wslpet.study.systems import cams, cams_fcn, clicks, expert, ours, rpet, unet
from wslpet.study.systems.system import System

SYSTEMS: dict[str, System] = {
    system.name: system
    for system in (
        unet.UNET,
        cams.CAMS,
        cams.CAMS_TOLD,
        cams_fcn.CAMS_FCN,
        rpet.RPET,
        ours.OURS,
        ours.SHIPPED,
        clicks.CLICK,
        clicks.SHARE,
        clicks.SUV_4,
        clicks.SUV_25,
        clicks.MTV,
        clicks.SUV_MAX,
        expert.EXPERT,
    )
}

__all__ = ["SYSTEMS"]
