"""Where the server asks who somebody is: users look, annotators save, administrators train; the page asks, too."""

import pytest
import requests
from playwright.sync_api import expect

from tests.browser.page.annotator import click_on
from tests.helpers.app_server import Server
from tests.helpers.needs import needs_chromium
from tests.helpers.oidc_issuer import PASSWORD, Issuer
from tests.helpers.synthetic import write_scan


@pytest.fixture(scope="module")
def issuer():
    with Issuer() as issuer:
        yield issuer


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    studies = tmp_path_factory.mktemp("studies")
    return {name: write_scan(studies, name) for name in ("case0", "case1")}


@pytest.fixture(scope="module")
def server(issuer, scans, tmp_path_factory):
    studies = scans["case0"].path.parent
    settings = {"MONAI_LABEL_AUTH_ENABLE": "true", "MONAI_LABEL_AUTH_REALM_URI": issuer.url}
    server = Server(studies, tmp_path_factory.mktemp("scratch"), settings=settings).start("/openapi.json")
    yield server
    server.stop()


SAVE = {"cancer_type": "lung", "position": [-75, 30, 110], "annotator": "somebody else"}


@pytest.mark.parametrize(
    ("method", "path", "body", "allowed"),
    [
        ("GET", "configuration", None, {"user", "annotator", "admin"}),
        ("GET", "status", None, {"user", "annotator", "admin"}),
        ("GET", "cohort", None, {"user", "annotator", "admin"}),
        ("GET", "images/case0", None, {"user", "annotator", "admin"}),
        ("GET", "images/case0/mips", None, {"user", "annotator", "admin"}),
        ("GET", "images/case0/mips/30", None, {"user", "annotator", "admin"}),
        ("GET", "images/case0/slices/axial/3", None, {"user", "annotator", "admin"}),
        ("GET", "images/case0/thumbnail", None, {"user", "annotator", "admin"}),
        ("GET", "images/case0/annotations", None, {"user", "annotator", "admin"}),
        ("GET", "annotations.csv", None, {"user", "annotator", "admin"}),
        ("GET", "lesions.csv", None, {"user", "annotator", "admin"}),
        ("GET", "masks.zip", None, {"user", "annotator", "admin"}),
        ("GET", "radiomics", None, {"user", "annotator", "admin"}),
        ("GET", "radiomics.csv", None, {"user", "annotator", "admin"}),
        ("GET", "patients.csv", None, {"user", "annotator", "admin"}),
        ("GET", "training", None, {"user", "annotator", "admin"}),
        ("POST", "next", {"strategy": "first"}, {"user", "annotator", "admin"}),
        ("POST", "images/case0/delineation", SAVE, {"user", "annotator", "admin"}),
        ("POST", "images/case0/annotations", SAVE, {"annotator", "admin"}),
        ("POST", "images/case0/annotations/withdraw", {"time": "never"}, {"annotator", "admin"}),
        ("POST", "training", {}, {"admin"}),
        ("DELETE", "training", None, {"admin"}),
        ("POST", "training/decision", {"run": "none", "use": True}, {"admin"}),
    ],
)
def test_roles(server, issuer, method, path, body, allowed):
    def status(headers):
        url = f"{server.url}/wslpet/api/{path}"
        return requests.request(method, url, json=body, headers=headers, timeout=60).status_code

    assert status({}) == 401
    for name in ("user", "annotator", "admin"):
        refused = status({"Authorization": f"Bearer {issuer.token(name, f'monailabel-{name}')}"}) == 403
        assert refused == (name not in allowed), name


def test_a_table_is_an_annotators(server, issuer):
    for name, status in (("user", 403), ("annotator", 400)):
        answer = requests.post(
            f"{server.url}/wslpet/api/annotations.csv",
            files={"file": ("table.csv", b"")},
            headers={"Authorization": f"Bearer {issuer.token(name, f'monailabel-{name}')}"},
            timeout=60,
        )
        assert answer.status_code == status


@needs_chromium
def test_the_page_asks_who_it_is_and_annotates_under_the_account(server, scans, issuer, browser):
    page = browser.new_page()
    page.goto(f"{server.url}/wslpet/")
    page.locator("#login[open]").wait_for(timeout=60_000)
    page.locator("#login input[name=username]").fill("annotator")
    page.locator("#login input[name=password]").fill("wrong")
    page.keyboard.press("Enter")
    page.locator("#login-trouble", has_text="not accepted").wait_for(timeout=60_000)
    page.locator("#login input[name=password]").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.locator("body[data-ready]").wait_for(timeout=60_000)
    expect(page.locator("#who")).to_have_text("annotator")
    expect(page.locator("#train")).to_be_hidden()
    image = page.locator("#annotate").get_attribute("data-drawn")
    x, _, z = scans[image].click
    click_on(page, "coronal", x, z)
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    page.wait_for_function("image => document.querySelector('#annotate').dataset.drawn !== image", arg=image)
    page.wait_for_function("() => !Number(document.body.dataset.saving ?? 0)")
    headers = {"Authorization": f"Bearer {issuer.token('user', 'monailabel-user')}"}
    history = requests.get(f"{server.url}/wslpet/api/images/{image}/annotations", headers=headers, timeout=60).json()
    assert history[-1]["user"] == "annotator"
