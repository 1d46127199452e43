"""The page's functions that need no browser, run by Node."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import wslpet.server.page
from wslpet.core.volume import Volume
from wslpet.method.projection.rotated import rotated_mips

STATIC = Path(wslpet.server.page.__file__).parent / "static"
NODE = shutil.which("node")
# What the page takes from the browser.
BROWSER = """
const kept = new Map();
globalThis.localStorage = { getItem: (key) => kept.get(key) ?? null, setItem: (key, text) => kept.set(key, text) };
globalThis.sessionStorage = globalThis.localStorage;
globalThis.addEventListener = () => {};
globalThis.document = { baseURI: "http://here/wslpet/", querySelector: () => null };
globalThis.location = { href: "http://here/wslpet/", hash: "", search: "" };
"""
AFFINE = [[4.0, 0.3, 0.0, -120.0], [-0.3, 4.0, 0.0, 35.5], [0.0, 0.0, -3.0, 900.0], [0.0, 0.0, 0.0, 1.0]]

pytestmark = pytest.mark.skipif(NODE is None, reason="no Node here: apt-get install nodejs")


Run = Callable[[str, str], Any]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run a function body, which sees a module's exports as `m`; returns what it returns."""
    # A copy, so that a package.json can say that the files are modules: Node goes by that, not by the page's HTML.
    folder = tmp_path_factory.mktemp("page")
    shutil.copytree(STATIC, folder, dirs_exist_ok=True)
    (folder / "package.json").write_text('{"type": "module"}')

    def run(module: str, body: str) -> Any:
        script = f"""{BROWSER}
const m = await import({json.dumps((folder / module).as_uri())});
const answer = await (async () => {{ {body} }})();
console.log(JSON.stringify(answer ?? null));
process.exit(0);
"""
        arguments = [str(NODE), "--input-type=module", "-e", script]
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def test_a_voxel_and_its_position(run: Run) -> None:
    voxel = [12, 7.5, 30]
    there = run("views/geometry.js", f"return m.toWorld({AFFINE}, {voxel})")
    assert np.allclose(there, (np.array(AFFINE) @ [*voxel, 1])[:3])
    assert np.allclose(run("views/geometry.js", f"return m.toVoxel({AFFINE}, {there})"), voxel)


def test_the_letters_at_the_ends_of_a_rotated_view(run: Run) -> None:
    angles = {0: "R L", 30: "RA LP", 45: "RA LP", 60: "AR PL", 90: "A P", 180: "L R", 270: "P A", 345: "RP LA"}
    letters = run("views/geometry.js", f"return {list(angles)}.map((degrees) => m.ends(degrees).join(' '))")
    assert letters == list(angles.values())


@pytest.mark.parametrize("spacing", [(4.0, 4.0, 3.0), (4.0, 5.0, 3.0), (5.0, 2.5, 3.0)])
@pytest.mark.parametrize("degrees", [0, 40, 90, 200])
def test_a_voxel_lies_where_the_server_s_rotated_mip_shows_it(
    run: Run, spacing: tuple[float, ...], degrees: int
) -> None:
    seen = rotated_mips(Volume(np.ones((31, 24, 2), dtype=np.float32), np.diag([*spacing, 1.0])), [degrees])[0]
    patient = json.dumps({"shape": [31, 24, 2], "spacing": spacing})
    columns = [(0, 0), (21, 5), (30, 23), (3, 20)]
    grid = run(
        "views/geometry.js",
        f"""const grid = m.rotated({patient}, {degrees}, {len(seen.mip)});
        const u = {json.dumps(columns)}.map(([x, y]) => grid.across(x + 0.5, y + 0.5));
        return {{ u, spacing: grid.spacing }};""",
    )
    assert grid["spacing"] == list(seen.spacing)
    for u, column in zip(grid["u"], columns, strict=True):
        assert abs(u - (seen.bins[column] + 0.5)) <= 0.5 + 1e-6


def test_a_position_in_words(run: Run) -> None:
    assert run("views/geometry.js", "return m.inWords([48.2, -39, 655])") == "R 48 · P 39 · S 655 mm"


def test_a_lesion_s_voxels_and_outlines(run: Run) -> None:
    inside = np.zeros((3, 4, 2), dtype=np.uint8)
    inside[1, 1:3, 0] = 1
    bits = json.dumps(np.packbits(inside).tobytes().hex())
    found = run(
        "views/lesion.js",
        f"""const bits = btoa(String.fromCharCode(...Buffer.from({bits}, "hex")));
        const lesion = m.decoded({{ start: [10, 20, 30], shape: [3, 4, 2], bits }});
        return {{
          inside: [...lesion.inside],
          coronal: m.silhouette(lesion, 1),
          sagittal: m.silhouette(lesion, 0),
          slice: m.section(lesion, 2, 30),
          above: m.section(lesion, 2, 31),
          beyond: m.section(lesion, 2, 40),
          coronalSlice: m.section(lesion, 1, 21),
          sagittalSlice: m.section(lesion, 0, 11),
          beside: m.section(lesion, 1, 20),
        }};""",
    )
    assert found["inside"] == inside.ravel().tolist()
    assert found["above"] == found["beyond"] == found["beside"] == []
    for view, first, last in (
        ("coronal", (11, 30), (12, 31)),
        ("sagittal", (21, 30), (23, 31)),
        ("slice", (11, 21), (12, 23)),
        ("coronalSlice", (11, 30), (12, 31)),
        ("sagittalSlice", (21, 30), (23, 31)),
    ):
        (loop,) = found[view]
        assert np.min(loop, axis=0).tolist() == list(first)
        assert np.max(loop, axis=0).tolist() == list(last)


def test_two_separate_parts_are_two_outlines(run: Run) -> None:
    loops = run(
        "views/lesion.js",
        "return m.section({ start: [0, 0, 0], shape: [5, 1, 1], inside: [1, 1, 0, 0, 1] }, 2, 0)",
    )
    assert len(loops) == 2


def test_drafts_are_kept_by_image(run: Run) -> None:
    found = run(
        "common/drafts.js",
        """m.keepDraft({ image: "a", type: "lung" });
        m.keepDraft({ image: "b", type: "lung", skipped: true });
        m.keepDraft({ image: "a", type: "oesophagus" });
        const open = m.openDraft(), b = m.draftOf("b");
        m.dropDraft("a");
        return { open, b, a: m.draftOf("a"), left: m.openDraft() };""",
    )
    assert found["open"] == {"image": "a", "type": "oesophagus"}
    assert found["b"] == {"image": "b", "type": "lung", "skipped": True}
    assert found["a"] is None
    assert found["left"] is None  # the other one was skipped


def sent(run: Run, status: int, answer: Any) -> Any:
    """An annotation added to the outbox of a server that answers so: events, requests, and what waits then."""
    return run(
        "common/outbox.js",
        f"""const requests = [], events = [];
        globalThis.fetch = async (url, options) => {{
          requests.push({{ url: String(url), body: JSON.parse(options.body) }});
          return new Response(JSON.stringify({json.dumps(answer)}), {{ status: {status} }});
        }};
        const outbox = new m.Outbox();
        for (const name of ["saved", "refused", "delayed"]) outbox.addEventListener(name, () => events.push(name));
        outbox.add({{ id: "one", image: "case 1", title: "1", cancer_type: "lung", position: [1, 2, 3], seen: 0 }});
        await new Promise((resolve) => setTimeout(resolve, 100));
        return {{ requests, events, waiting: outbox.waiting }};""",
    )


def test_a_saved_annotation_leaves_the_outbox(run: Run) -> None:
    found = sent(run, 200, {"history": []})
    assert found["events"] == ["saved"]
    assert found["waiting"] == []
    (request,) = found["requests"]
    assert request["body"]["id"] == "one"
    assert request["url"].endswith("/annotations")


def test_a_refused_annotation_leaves_the_outbox(run: Run) -> None:
    found = sent(run, 422, {"detail": "outside the scan"})
    assert found["events"] == ["refused"]
    assert found["waiting"] == []


def test_an_annotation_stays_while_the_server_fails(run: Run) -> None:
    found = sent(run, 503, {"detail": "starting"})
    assert found["events"] == ["delayed"]
    assert [entry["id"] for entry in found["waiting"]] == ["one"]


def test_a_desk_is_changed_into_new_ones(run: Run) -> None:
    found = run(
        "annotation/desk.js",
        """const desk = m.added(m.empty(), [1, 1, 1], [2, 2, 2], [3, 3, 3]);
        const grown = m.contoured(m.contoured(desk, [1], { by: 1 }), [1], { by: 1 });
        return {
          kept: desk.seeds.map((seed) => seed.contour.step),
          grown: grown.seeds.map((seed) => seed.contour.step),
          method: m.contoured(grown, [1], { method: "41 %" }).seeds[1].contour,
          primary: m.primary(desk, [2]).seeds.map((seed) => seed.position[0]),
          removed: m.removed(m.cut(desk, [9, 9, 9]), [0, 1]),
          none: m.removed(m.cut(desk, [9, 9, 9]), [0, 1, 2]),
          same: m.sameLesions(desk, m.typed(desk, "lung")),
          other: m.sameLesions(desk, grown),
          old: m.deskOf({ cancer_type: "lung", position: [4, 5, 6] }),
        };""",
    )
    assert found["kept"] == [0, 0, 0] and found["grown"] == [0, 2, 0]
    assert found["method"] == {"method": "41 %", "step": 0}
    assert found["primary"] == [3, 1, 2]
    assert [seed["position"][0] for seed in found["removed"]["seeds"]] == [3]
    assert found["removed"]["background"] == [[9, 9, 9]] and found["none"]["background"] == []
    assert (found["same"], found["other"]) == (True, False)
    assert found["old"]["type"] == "lung" and found["old"]["seeds"][0]["position"] == [4, 5, 6]


def test_patients_are_sorted_as_people_count(run: Run) -> None:
    found = run(
        "cohort/order.js",
        """const row = (title, mtv_ml, state) =>
          ({ image: title, title, mtv_ml, state, annotation: null, reason: "", lesions: null });
        const rows = [row("case 10", 5, "annotated"), row("case 9", null, "unannotated")];
        rows.push(row("case 1", 70, "disagreement"));
        const names = (some) => some.map(({ title }) => title.split(" ")[1]);
        return {
          name: names(m.sorted(rows, "name")),
          burden: names(m.sorted(rows, "burden (MTV)")),
          disagreement: names(m.sorted(rows, "disagreement")),
          filtered: names(m.filtered(rows, { state: "", search: "CASE 10" })),
        };""",
    )
    assert found["name"] == ["1", "9", "10"]
    assert found["burden"] == ["1", "10", "9"]
    assert found["disagreement"] == ["1", "10", "9"]
    assert found["filtered"] == ["10"]


def test_sides_of_a_turning_patient(run: Run) -> None:
    found = run(
        "views/turning.js",
        """const order = m.order(45);
        const view = { mip: new Uint16Array([1, 2, 3, 4, 5, 6]), size: [3, 2], spacing: [2, 3] };
        Object.assign(view, { lift: (u, v) => [u, v], across: (x) => x });
        const behind = m.mirrored(view);
        return {
          order, mip: [...behind.mip], lifted: behind.lift(0, 1), across: behind.across(0.5, 0),
          around: [m.around(-15), m.around(360)],
        };""",
    )
    assert found["order"][:2] == [0, 90] and sorted(found["order"]) == [0, 45, 90, 135]
    assert found["mip"] == [5, 6, 3, 4, 1, 2]
    assert found["lifted"] == [2, 1] and found["across"] == 2.5
    assert found["around"] == [345, 0]


@pytest.mark.parametrize("size", [(1022, 695), (1580, 1010), (611, 470), (804, 700), (374, 490)])
def test_pictures_fill_the_room_without_overlap(run: Run, size: tuple[int, int]) -> None:
    mm = "{ coronal: [450, 1000], sagittal: [260, 1000], body: [450, 260] }"
    places = run("views/layout.js", f"return m.arranged([{size[0]}, {size[1]}], {mm})")
    taken = np.zeros((size[1] + 1, size[0] + 1), dtype=int)
    for left, top, width, height in places.values():
        taken[top : top + height, left : left + width] += 1
        assert left + width <= size[0] and top + height <= size[1]
    assert len(places) == 5 and taken.max() == 1
    assert taken.mean() > 0.75
