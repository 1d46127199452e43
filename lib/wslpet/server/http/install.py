"""Install the app's routes and exception handlers in MONAI Label's server.

MONAI Label answers every exception of an app with status 500, and its routes cannot be configured. When the server
loads the app, `install` therefore adds exception handlers, and puts the app's routes before those of MONAI Label.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Sequence
from typing import TextIO

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from monailabel.interfaces.exception import (
    ImageNotFoundException,
    LabelNotFoundException,
    MONAILabelError,
    MONAILabelException,
)
from starlette.routing import BaseRoute

from wslpet.core.errors import InputError
from wslpet.server.errors import disk_refused, status_of
from wslpet.server.http import authentication, framework_routes, request_guard
from wslpet.server.http import routes as viewer_routes
from wslpet.server.http.closed_routes import closed_routes, describe_open_routes, is_open

logger = logging.getLogger(__name__)

# Output for the reason why the server does not start; None for standard error, which `wslpet serve` writes to the log.
terminal: TextIO | None = None


def install(added: Sequence[BaseRoute] = (), open_routes: bool = False) -> bool:
    """Install routes, handlers and middleware in the running server; called each time the app is loaded.

    Parameters
    ----------
    added : further routes of the app, whose paths MONAI Label does not have.
    open_routes : whether MONAI Label's routes that no client calls stay open.

    Returns
    -------
    whether there is a running server; there is none in a training process or a test.
    """
    module = sys.modules.get("monailabel.app")
    if module is None:
        return False
    server: FastAPI = module.app
    server.add_exception_handler(InputError, _refused)
    server.add_exception_handler(MONAILabelException, _refused_by_monailabel)
    server.add_exception_handler(json.JSONDecodeError, _not_json)
    server.add_exception_handler(RecursionError, _nested)
    server.add_exception_handler(OSError, _disk)
    authentication.install(server)
    request_guard.guard(server)
    checked = [*viewer_routes.router.routes, *framework_routes.router.routes]
    others = [route for route in server.router.routes if not getattr(route, "wslpet", False)]
    closed = [] if open_routes else closed_routes([*checked, *others])
    own = [*(route for route in checked if open_routes or is_open(route)), *added, *closed]
    for route in own:
        route.wslpet = True  # type: ignore[attr-defined]
    server.router.routes[:] = [*own, *others]
    server.openapi_schema = None
    describe_open_routes(server, closed)
    # Exception handlers take effect when the middleware stack is built; it was built before the app was loaded.
    server.middleware_stack = server.build_middleware_stack()
    return True


def end_if_starting(error: InputError) -> None:
    """End a server that is starting, with one sentence on why; do nothing if it runs already, or there is no server.

    If the error were raised, MONAI Label and uvicorn would print a traceback of two screens instead.
    """
    module = sys.modules.get("monailabel.app")
    if module is None or any(getattr(route, "wslpet", False) for route in module.app.router.routes):
        return
    logging.shutdown()
    print(f"The server does not start: {error}", file=terminal or sys.stderr, flush=True)
    os._exit(2)


async def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, InputError)
    return JSONResponse({"detail": str(error)}, status_of(error))


async def _refused_by_monailabel(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, MONAILabelException)
    missing = isinstance(error, ImageNotFoundException | LabelNotFoundException)
    status = 404 if missing or error.error == MONAILabelError.INVALID_INPUT else 400
    return JSONResponse({"detail": error.msg}, status)


async def _disk(request: Request, error: Exception) -> JSONResponse:
    refusal = disk_refused(error)
    if refusal is None:
        logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return JSONResponse({"detail": "the server failed to read or write a file; its log says which"}, 500)
    return JSONResponse({"detail": str(refusal)}, status_of(refusal))


async def _nested(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": "the request holds JSON that is nested too deeply; send plain lists"}, 400)


async def _not_json(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": f"the request holds text that is not JSON ({error})"}, 400)
