"""Close the routes of MONAI Label that no client calls: they answer 404, unless `--conf open_routes true` is given.

`OPEN` lists the routes that clients call, according to their source code: OHIF's extension in MONAI Label
(`MonaiLabelClient.js`, links of its panel), 3D Slicer's modules MONAILabel (`monailabel.client`) and MONAILabelReviewer
(`MonaiServerREST.py`), and `wslpet demo`. The routes of the annotation page are always open. A route that a later
version of MONAI Label adds is closed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fastapi import APIRouter, FastAPI, Request
from starlette.routing import BaseRoute

from wslpet.server.errors import UnknownName

# Client → methods and paths that it calls.
_CALLED = {
    "browsers": "GET / /docs /openapi.json /favicon.ico\nHEAD / /docs /openapi.json",
    "OHIF": """
        GET /info/ /train/ /logs/ /ohif/{path:path} /proxy/dicom/{address:path}
        POST /infer/{model} /activelearning/{strategy} /train/ /proxy/dicom/{address:path}
        PUT /datastore/label
        DELETE /train/
    """,
    "3D Slicer": """
        GET /auth/ /auth/token/valid /info/ /train/ /datastore/ /datastore/image /datastore/label /session/{session_id}
        POST /auth/token /infer/{model} /activelearning/{strategy} /train/ /train/{model}
        PUT /session/ /datastore/ /datastore/image /datastore/label /datastore/updatelabelinfo
        DELETE /train/ /session/{session_id} /datastore/label
    """,
    "wslpet demo": "GET /datastore/image/info",
}
OPEN = frozenset(
    (line.split()[0], path)
    for lines in _CALLED.values()
    for line in lines.strip().splitlines()
    for path in line.split()[1:]
)


def is_open(route: BaseRoute) -> bool:
    """Whether clients call every method of a route."""
    return all(called in OPEN for called in _answered([route]))


def closed_routes(routes: Iterable[BaseRoute]) -> list[BaseRoute]:
    """Make a route that answers 404, with the reason, for each method and path of `routes` that no client calls."""
    router = APIRouter(include_in_schema=False)
    for method, path in sorted(set(_answered(routes)) - OPEN):
        router.add_api_route(path, _refuse, methods=[method])
    return list(router.routes)


def describe_open_routes(server: FastAPI, closed: Iterable[BaseRoute]) -> None:
    """Remove closed routes from the server's OpenAPI schema."""
    hidden = list(_answered(closed))

    def described() -> dict[str, object]:
        if server.openapi_schema is None:
            paths = FastAPI.openapi(server)["paths"]
            for method, path in hidden:
                paths.get(path, {}).pop(method.lower(), None)
            for path in [path for path, methods in paths.items() if not methods]:
                del paths[path]
        assert server.openapi_schema is not None
        return server.openapi_schema

    server.openapi = described  # type: ignore[method-assign]


def _answered(routes: Iterable[BaseRoute], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield method and path of each route, also of included routers; mounted folders of files are skipped."""
    for route in routes:
        included = getattr(route, "original_router", None)
        if included is not None:
            yield from _answered(included.routes, prefix + route.include_context.prefix)  # type: ignore[attr-defined]
        else:
            for method in getattr(route, "methods", None) or ():
                yield method, prefix + route.path  # type: ignore[attr-defined]


def _refuse(request: Request) -> None:
    raise UnknownName(
        f"{request.method} {request.url.path} is closed, as neither the page nor OHIF nor 3D Slicer calls it; to open "
        "all routes of MONAI Label, start the server with --conf open_routes true"
    )
