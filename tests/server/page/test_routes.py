"""The page's API, without a browser."""

import base64
import codecs
import csv
import gzip
import io
import json
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import nibabel as nib
import numpy as np
import pytest
import requests
from scipy.ndimage import gaussian_filter

from tests.helpers.app_server import Server
from tests.helpers.synthetic import ORIENTATIONS, write_scan
from wslpet.io.readers import read_volume
from wslpet.method.normal.atlas import Atlas, save_atlas
from wslpet.method.normal.reference import load_reference
from wslpet.method.normal.unusual import unusual_uptake
from wslpet.method.projection.mip import project
from wslpet.server.tasks.normal_uptake import FILE


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    studies = tmp_path_factory.mktemp("studies")
    (studies / "broken.nii.gz").write_bytes(b"no scan")
    for number in range(2):
        write_scan(studies, f"waiting{number}")
    write_faint(studies / "faint.nii.gz")
    return {name: write_scan(studies, name, name) for name in ORIENTATIONS}


FAINT, AIR = [-80.0, -60.0, 100.0], [-8.0, -8.0, 236.0]


def write_faint(path):
    """A body of SUV 1 with a lesion, a spot of SUV 1.4 at `FAINT`, and air above it at `AIR`; off-origin, in LPS."""
    affine = np.diag([-4.0, -4, 4, 1])
    place = np.indices((40, 36, 60)).T @ affine[:3, :3]
    array = np.where(((place - FAINT) ** 2).sum(-1) < 12**2, 1.4, 1.0).T
    array[5:9, 5:9, 35:39] = 8
    array = gaussian_filter(array, 0.64)
    array *= 1 + 0.03 * np.random.default_rng(0).standard_normal(array.shape)
    array[:, :, 45:] = 0
    nib.save(nib.Nifti1Image(array.astype(np.float32), affine), path)


@pytest.fixture(scope="module")
def server(scans, tmp_path_factory):
    server = Server(scans["ras"].path.parent, tmp_path_factory.mktemp("scratch")).start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def ask(server):
    def ask(path, method="GET", status=200, **body):
        answer = requests.request(method, f"{server.url}/wslpet/api/{path}", timeout=60, **body)
        assert answer.status_code == status, answer.text
        return answer

    return ask


def saving(scan, cancer_type="lung", annotator="Ann", **more):
    own = {"id": uuid.uuid4().hex, "cancer_type": cancer_type, "position": scan.centre.tolist()}
    return {**own, "annotator": annotator, **more}


def numbers(answer, *shapes):
    found, flat = [], np.frombuffer(answer.content, "<u2")
    for shape in shapes:
        found.append(flat[: np.prod(shape)].reshape(shape))
        flat = flat[np.prod(shape) :]
    assert not flat.size
    return found


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_mips_and_slices_are_those_of_the_scan_in_ras(scans, ask, name):
    ras = read_volume(scans[name].path).to_ras()
    patient = ask(f"images/{name}").json()
    assert tuple(patient["shape"]) == ras.shape
    np.testing.assert_allclose(patient["affine"], ras.affine)
    x, y, z = ras.shape
    coronal, coronal_depth, sagittal, sagittal_depth = numbers(
        ask(f"images/{name}/mips"), (x, z), (x, z), (y, z), (y, z)
    )
    step = patient["suv_step"]
    for view, mip, depth in zip(project(ras), (coronal, sagittal), (coronal_depth, sagittal_depth), strict=True):
        np.testing.assert_allclose(mip * step, view.mip, atol=step)
        np.testing.assert_array_equal(depth, view.depth)
    (slice_,) = numbers(ask(f"images/{name}/slices/axial/{z // 3}"), (x, y))
    np.testing.assert_allclose(slice_ * step, ras.array[:, :, z // 3], atol=step)


@pytest.mark.parametrize("name", ["anisotropic", "oblique"])
def test_the_turned_mip_at_a_right_angle_is_the_sagittal_one(scans, ask, name):
    ras = read_volume(scans[name].path).to_ras()
    flat = np.frombuffer(ask(f"images/{name}/mips/90").content, "<u2").reshape(3, -1, ras.shape[2])
    mip, xs, ys = flat
    seen = mip > 0
    step = ask(f"images/{name}").json()["suv_step"]
    values = ras.array[xs, ys, np.broadcast_to(np.arange(ras.shape[2]), xs.shape)]
    np.testing.assert_allclose(mip[seen] * step, values[seen], atol=step)
    _, sagittal = project(ras)
    np.testing.assert_allclose(mip.max(axis=0) * step, sagittal.mip.max(axis=0), atol=step)


@pytest.mark.parametrize("of_site", [False, True])
def test_unusual_uptake_is_above_that_of_phantoms_or_of_the_site(scans, server, ask, of_site):
    shipped, file = load_reference(), server.studies / ".wslpet" / FILE
    if of_site:  # where everything is usual
        save_atlas(Atlas(np.full_like(shipped.atlas.quantiles, 1e3), 12), file)
    try:
        found = ask("images/anisotropic/unusual").json()
    finally:
        file.unlink(missing_ok=True)
    assert (found["people"], found["of_site"]) == (12 if of_site else shipped.atlas.people, of_site)
    ras = read_volume(scans["anisotropic"].path).to_ras()
    expected = unusual_uptake(project(ras))
    for view, values in expected.items():
        cells = np.frombuffer(base64.b64decode(found["maps"][view]["cells"]), np.uint8).reshape(values.shape)
        assert not cells.any() if of_site else (cells > 0).sum() == (values > 1 / 510).sum() > 0


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_a_preview_records_nothing_and_the_saved_click_has_its_position(scans, server, ask, name):
    scan = scans[name]
    position = scan.centre.tolist()
    tried = ask(f"images/{name}/delineation", "POST", json={"position": position, "cancer_type": "lung"}).json()
    assert np.linalg.norm(np.array(tried["centroid"]) - scan.centre) < 6
    assert server.seeds(name) == []
    start, shape = np.array(tried["mask"]["start"]), tried["mask"]["shape"]
    ras = read_volume(scan.path).to_ras()
    assert ((start >= 0) & (start + shape <= ras.shape)).all()
    save = {"cancer_type": "lung", "position": position, "annotator": "Ann"}
    saved = ask(f"images/{name}/annotations", "POST", 201, json=save).json()
    (seed,) = server.seeds(name)
    np.testing.assert_allclose(seed["position"], position, atol=0.01)
    np.testing.assert_allclose(read_volume(scan.path).to_world(np.array(seed["index"])), position, atol=0.01)
    assert saved["history"] == [{**saved["annotation"], "counts": True}]
    answer = server.click(name, "lung", seed["index"], output="json").json()["lesions"][0]
    assert tried["volume_ml"] == pytest.approx(answer["volume_ml"], rel=1e-9)
    ask(f"images/{name}/annotations/withdraw", "POST", json={"time": server.seeds(name)[-1]["time"]})


def test_a_withdrawal_restores_the_annotation_before_and_deletes_nothing(server, scans, ask):
    url = "images/ras/annotations"
    times = [
        ask(url, "POST", 201, json=saving(scans["ras"], kind, who)).json()["annotation"]["time"]
        for kind, who in (("lung", "Ann"), ("oesophagus", "Bob"))
    ]
    refused = ask(f"{url}/withdraw", "POST", 409, json={"time": times[0], "annotator": "Ann"}).json()["detail"]
    assert "superseded by Bob" in refused and "nothing was undone" in refused
    history = ask(f"{url}/withdraw", "POST", json={"time": times[1], "annotator": "Bob"}).json()
    assert [(said["user"], said["kind"], said["counts"]) for said in history[-3:]] == [
        ("Ann", "seed", True), ("Bob", "seed", False), ("Bob", "withdrawn", False),
    ]  # fmt: skip
    assert server.seeds("ras")[-1]["user"] == "Ann"


def test_next_excludes_and_gives_each_browser_its_own(ask):
    def next_(client, *exclude):
        return ask("next", "POST", json={"strategy": "first", "client": client, "exclude": exclude}).json()["image"]

    mine = next_("a")
    theirs = next_("b")
    assert mine != theirs
    assert next_("a", mine) not in (mine, theirs)


def test_annotations_are_exported_and_imported_as_csv(server, scans, ask):
    ask("images/lps/annotations", "POST", 201, json=saving(scans["lps"]))
    x, y, z = scans["lps"].centre + np.array([4, 5, 6])
    table = ask("annotations.csv").content
    again = ask("annotations.csv", "POST", files={"file": ("table.csv", table)}).json()
    assert again["recorded"] == 0 and again["known"] == len(table.splitlines()) - 1
    lines = ["image,cancer_type,x,y,z", f"lps,oesophagus,{x},{y},{z}", "nobody,lung,1,1,1", "ras,liver,1,1,1"]
    rows = "\n".join([*lines, "ras,lung,9000,0,0", "ras,lung,a,b,c", "ras,lung,-160,120,-250"])
    told = ask("annotations.csv?annotator=Eve", "POST", files={"file": ("table.csv", rows)}).json()
    assert (told["recorded"], told["superseded"], len(told["refused"])) == (1, 1, 5)
    said = ("not in the datastore", "'liver' is not one of", "outside", "not three numbers", "nothing stands out")
    for number, words in enumerate(said):
        assert told["refused"][number].startswith(f"row {number + 3}: ") and words in told["refused"][number]
    seed = server.seeds("lps")[-1]
    assert (seed["user"], seed["cancer_type"]) == ("Eve", "oesophagus")
    np.testing.assert_allclose(seed["position"], (x, y, z), atol=0.01)
    assert b"seed,lps,lung" in ask("annotations.csv?history=true").content


def test_a_name_that_is_a_formula_is_text_in_the_table_and_comes_back(server, scans, ask):
    name = '=HYPERLINK("http://evil.example")'
    ask("images/anisotropic/annotations", "POST", 201, json=saving(scans["anisotropic"], annotator=name))
    table = ask("annotations.csv").content
    (row,) = (row for row in csv.DictReader(io.StringIO(table.decode())) if row["image"] == "anisotropic")
    assert row["user"] == f"'{name}"
    assert float(row["x"]) == pytest.approx(scans["anisotropic"].centre[0], abs=1)
    assert ask("annotations.csv", "POST", files={"file": ("table.csv", table)}).json()["recorded"] == 0
    assert server.seeds("anisotropic")[-1]["user"] == name


def test_a_table_saved_by_excel_is_imported(server, scans, ask):
    x, y, z = (f"{v:.1f}".replace(".", ",") for v in scans["permuted"].centre)
    rows = f"image;cancer_type;x;y;z;user;time\r\npermuted;lung;{x};{y};{z};'=anna;\r\n".encode("utf-8-sig")
    told = ask("annotations.csv", "POST", files={"file": ("excel.csv", rows)}).json()
    assert (told["recorded"], told["refused"]) == (1, [])
    seed = server.seeds("permuted")[-1]
    np.testing.assert_allclose(seed["position"], scans["permuted"].centre, atol=0.1)
    assert seed["user"] == "=anna"
    assert b",'=anna," in ask("annotations.csv").content  # no formula in a spreadsheet
    assert (
        ask("annotations.csv", "POST", files={"file": ("excel.csv", ask("annotations.csv").content)}).json()["recorded"]
        == 0
    )


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_clicks_are_the_same_after_a_way_through_any_table(server, scans, ask, separator):
    content = ask("annotations.csv", params={"separator": separator}).content
    header = separator.join(("image", "cancer_type", "x"))
    assert content.decode("utf-8-sig").startswith(header)
    assert content.startswith(codecs.BOM_UTF8) is (separator == ";")
    told = ask("annotations.csv", "POST", files={"file": ("clicks.csv", content)}).json()
    assert (told["recorded"], told["superseded"], told["refused"]) == (0, 0, []) and told["known"] > 0


def test_an_annotation_that_comes_many_times_at_once_is_recorded_once(server, scans, ask):
    seen = len(ask("images/anisotropic/annotations").json())
    body = saving(scans["anisotropic"], id="one of its own", seen=seen)
    before = len(server.seeds("anisotropic"))
    arrived = threading.Barrier(8)

    def send(_):
        arrived.wait(30)
        return ask("images/anisotropic/annotations", "POST", 201, json=body).json()

    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(send, range(8)))
    assert len(server.seeds("anisotropic")) == before + 1
    assert sorted(one["known"] for one in told) == [False] + [True] * 7
    assert len({one["annotation"]["time"] for one in told}) == 1
    assert not any(one["meanwhile"] for one in told)
    again = ask("images/anisotropic/annotations", "POST", 201, json={**body, "seen": 99}).json()
    assert again["known"] and len(server.seeds("anisotropic")) == before + 1
    moved = {**body, "cancer_type": "oesophagus"}
    assert "send a new id" in ask("images/anisotropic/annotations", "POST", 409, json=moved).json()["detail"]
    assert len(server.seeds("anisotropic")) == before + 1


def test_a_click_in_air_is_refused_and_one_on_plain_background_is_asked_about(server, ask):
    click = {"cancer_type": "lung", "annotator": "Ann"}
    for position, words in ((AIR, "nothing stands out within 15 mm of [2, 2, 59] (SUV 0.0)"), (FAINT, "hardly stands")):
        body = {**click, "position": position}
        assert words in ask("images/faint/annotations", "POST", 400, json=body).json()["detail"]
    where = {"position": AIR, "cancer_type": "lung"}
    assert "nothing stands out" in ask("images/faint/delineation", "POST", 400, json=where).json()["detail"]
    tried = ask("images/faint/delineation", "POST", json={"position": FAINT, "cancer_type": "lung"}).json()
    assert "hardly stands out" in tried["doubt"]
    ask("images/faint/annotations", "POST", 400, json={**click, "position": AIR, "sure": True})
    assert server.seeds("faint") == []
    ask("images/faint/annotations", "POST", 201, json={**click, "position": FAINT, "sure": True})
    # It is there; what a viewer or a table sends on top of it is judged as ever.
    for index, words in (([2, 2, 59], "nothing stands out"), ([20, 15, 25], "hardly stands out")):
        refused = server.click("faint", "lung", index)
        assert refused.status_code == 400 and words in refused.json()["detail"]
    assert [seed["position"] for seed in server.seeds("faint")] == [pytest.approx(FAINT, abs=0.01)]


def test_a_deleted_annotation_leaves_the_patient_to_be_annotated_and_stays_in_the_history(server, scans, ask):
    for who in ("Ann", "Bob"):
        ask("images/oblique/annotations", "POST", 201, json=saving(scans["oblique"], annotator=who))
    seeds = server.seeds("oblique")
    assert len(seeds) > 1
    history = ask(
        "images/oblique/annotations/withdraw", "POST", json={"time": seeds[-1]["time"], "annotator": "Eve", "all": True}
    ).json()
    assert server.seeds("oblique") == []
    kinds = [said["kind"] for said in history[-2 - len(seeds) :]]
    assert kinds == ["seed"] * 2 + ["withdrawn"] * len(seeds)
    assert history[-1]["user"] == "Eve" and not any(said["counts"] for said in history)
    rows = {row["image"]: row for row in ask("cohort").json()["rows"]}
    assert rows["oblique"]["state"] == "unannotated" and rows["oblique"]["annotation"] is None
    assert rows["oblique"]["annotations"] == len(history)


def test_a_deleted_annotation_takes_its_final_label_along(server, scans, ask):
    scan = scans["ras"]
    inside = nib.Nifti1Image(scan.truth().astype(np.uint8), scan.affine)
    submitted = requests.put(
        f"{server.url}/datastore/label",
        params={"image": "ras", "tag": "final"},
        files={"label": ("y.nii.gz", gzip.compress(inside.to_bytes()))},
        data={"params": json.dumps({"label_info": [{"name": "lung", "idx": 1}]})},
        timeout=60,
    )
    assert submitted.ok, submitted.text
    label = server.studies / "labels" / "final" / "ras.nii.gz"
    assert label.exists()
    time = server.seeds("ras")[-1]["time"]
    ask("images/ras/annotations/withdraw", "POST", json={"time": time, "annotator": "Eve", "all": True})
    assert not label.exists() and list((server.studies / ".wslpet" / "superseded").glob("*-final/ras.nii.gz"))
    rows = {row["image"]: row for row in ask("cohort").json()["rows"]}
    assert rows["ras"]["state"] == "unannotated"


@pytest.mark.parametrize(
    ("path", "method", "body", "status", "words"),
    [
        ("images/nobody", "GET", None, 404, "not in the datastore"),
        ("images/broken", "GET", None, 400, "cannot be read"),
        ("images/broken/thumbnail", "GET", None, 400, "cannot be read"),
        ("images/ras/slices/axial/9999", "GET", None, 400, "there are 0 to"),
        ("images/ras/prediction", "GET", None, 400, "no weights yet"),
        ("images/ras/delineation", "POST", {"position": [9e5, 0, 0], "cancer_type": "lung"}, 400, "outside"),
        ("images/ras/annotations", "POST", {"cancer_type": "liver", "position": [0, 0, 0]}, 400, "unknown cancer type"),
        ("images/ras/annotations", "POST", {"cancer_type": "lung"}, 400, "click on the tumour"),
        ("images/ras/annotations", "POST", {"cancer_type": "lung", "position": [1, 2]}, 422, ""),
        ("next", "POST", {"strategy": "magic"}, 404, "does not exist"),
        ("training", "POST", {}, 400, "training needs"),
    ],
)
def test_bad_requests_are_refused_with_a_sentence(server, ask, path, method, body, status, words):
    before = len(server.seeds("ras"))
    answer = ask(path, method, status, json=body)
    assert words in str(answer.json()["detail"])
    assert len(server.seeds("ras")) == before


def test_an_unreadable_image_says_why_in_the_cohort(ask):
    ask("images/broken/thumbnail", status=400)
    rows = {row["image"]: row for row in ask("cohort").json()["rows"]}
    assert rows["broken"]["state"] == "unreadable" and "cannot be read" in rows["broken"]["reason"]


def test_the_page_is_served_and_its_security_policy_allows_no_other_host(server):
    answer = requests.get(f"{server.url}/wslpet", timeout=30)
    assert answer.url.endswith("/wslpet/") and "<title>WSL-PET</title>" in answer.text
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]


def test_the_api_is_documented(server):
    paths = requests.get(f"{server.url}/openapi.json", timeout=30).json()["paths"]
    own = {path: json.dumps(said) for path, said in paths.items() if path.startswith("/wslpet/api/")}
    assert len(own) > 12
    assert all("summary" in said for said in own.values())
