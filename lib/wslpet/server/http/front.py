"""Routes `/` (redirect to the annotation page) and `/docs` (API documentation), without the internet.

MONAI Label shows Swagger UI at `/` and ReDoc at `/docs`, and the browser loads both from a content delivery network.
"""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles

# Package and folder with Swagger UI's files.
ASSETS = ("fastapi_offline", "static")

router = APIRouter(include_in_schema=False)


def routes() -> list[BaseRoute]:
    """Routes of this module. They must come before MONAI Label's routes of the same paths."""
    return [*router.routes, Mount("/docs/assets", StaticFiles(packages=[ASSETS]), name="docs")]


# URLs are relative, since a proxy may serve the server below a path.
@router.api_route("/", methods=["GET", "HEAD"])
def page() -> RedirectResponse:
    """Redirect to the annotation page."""
    return RedirectResponse("wslpet/")


@router.api_route("/docs", methods=["GET", "HEAD"])
def requests() -> HTMLResponse:
    """Documentation of all requests, which can be tried there."""
    return get_swagger_ui_html(
        openapi_url="openapi.json",
        title="WSL-PET: requests",
        swagger_js_url="docs/assets/swagger-ui-bundle.js",
        swagger_css_url="docs/assets/swagger-ui.css",
        swagger_favicon_url="favicon.ico",
        swagger_ui_parameters={"defaultModelsExpandDepth": -1},
    )
