"""Routes `/` (redirect to the annotation page) and `/docs` (API documentation), without the internet.

MONAI Label shows Swagger UI at `/` and ReDoc at `/docs`, and has a browser load both from a content delivery network.
"""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles

# Swagger UI's own files, as a package has them.
ASSETS = ("fastapi_offline", "static")

router = APIRouter(include_in_schema=False)


def routes() -> list[BaseRoute]:
    """To be put before MONAI Label's of the same addresses."""
    return [*router.routes, Mount("/docs/assets", StaticFiles(packages=[ASSETS]), name="docs")]


# Addresses are relative, as a proxy may serve all of this below a path of its own.
@router.api_route("/", methods=["GET", "HEAD"])
def page() -> RedirectResponse:
    """The annotation page."""
    return RedirectResponse("wslpet/")


@router.api_route("/docs", methods=["GET", "HEAD"])
def requests() -> HTMLResponse:
    """Every request, to read about and to try."""
    return get_swagger_ui_html(
        openapi_url="openapi.json",
        title="WSL-PET: requests",
        swagger_js_url="docs/assets/swagger-ui-bundle.js",
        swagger_css_url="docs/assets/swagger-ui.css",
        swagger_favicon_url="favicon.ico",
        swagger_ui_parameters={"defaultModelsExpandDepth": -1},
    )
