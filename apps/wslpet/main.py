"""MONAI Label's app folder: `monailabel start_server --app apps/wslpet --studies FOLDER_OR_DICOMWEB_URL`.

MONAI Label looks in this file for a subclass of its own app class. The app itself is in the package `wslpet`.
"""

from wslpet.server.app import WSLPETApp

__all__ = ["WSLPETApp"]
