"""Where a newcomer lands: `/` and `/docs`, on a computer without the internet."""

from __future__ import annotations

import re
from urllib.parse import urljoin, urlsplit

import pytest
import requests


def test_the_root_leads_to_the_annotation_page(clinic):
    answer = requests.get(f"{clinic.server.url}/", timeout=30)
    assert answer.ok
    assert answer.url == f"{clinic.server.url}/wslpet/"
    assert 'src="main.js"' in answer.text


@pytest.mark.parametrize("path", ["/", "/docs", "/wslpet/"])
def test_pages_load_nothing_from_other_hosts(clinic, path):
    page = requests.get(f"{clinic.server.url}{path}", timeout=30)
    loaded = re.findall(r"""(?:src|href)="([^"]+)"|url: '([^']+)'""", page.text)
    addresses = [urljoin(page.url, one or other) for one, other in loaded]
    assert addresses
    for address in addresses:
        assert urlsplit(address).netloc == urlsplit(clinic.server.url).netloc
        assert requests.get(address, timeout=30).ok, address


def test_the_docs_can_show_the_description_that_the_server_gives(clinic):
    """Swagger UI before 5.0 refuses OpenAPI 3.1."""
    described = requests.get(f"{clinic.server.url}/openapi.json", timeout=30).json()
    script = requests.get(f"{clinic.server.url}/docs/assets/swagger-ui-bundle.js", timeout=30).text
    assert described["openapi"].startswith("3.1")
    assert "OAS31" in script
    assert "/infer/{model}" in described["paths"]
