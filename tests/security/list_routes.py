"""Prints what a server with accounts answers, as JSON: [method, path] of each route, ["MOUNT", path] of a folder."""

import json
import sys

from monailabel.app import app
from monailabel.config import settings
from monailabel.interfaces.utils.app import app_instance

settings.MONAI_LABEL_APP_DIR, settings.MONAI_LABEL_STUDIES = sys.argv[1:]
settings.MONAI_LABEL_APP_CONF = {"use_pretrained_model": "false", "wait_for_scans": "true", "open_routes": "true"}
app_instance()


def walk(routes):
    for route in routes:
        inner = getattr(route, "original_router", None)
        if inner is not None:
            prefix = route.include_context.prefix
            yield from ([method, prefix + path] for method, path in walk(inner.routes))
        elif not hasattr(route, "methods"):
            yield ["MOUNT", route.path]
        else:
            yield from ([method, route.path] for method in route.methods)


print("ROUTES", json.dumps(list(walk(app.routes))))
