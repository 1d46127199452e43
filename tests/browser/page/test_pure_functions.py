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

STATIC = Path(wslpet.server.page.__file__).parent / "static"
NODE = shutil.which("node")
# What the page takes from the browser.
BROWSER = """
const kept = new Map();
globalThis.localStorage = { getItem: (key) => kept.get(key) ?? null, setItem: (key, text) => kept.set(key, text) };
globalThis.sessionStorage = globalThis.localStorage;
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


@pytest.mark.parametrize(
    ("degrees", "letters"), [(0, ["R", "L"]), (90, ["A", "P"]), (180, ["L", "R"]), (30, ["RA", "LP"])]
)
def test_the_letters_at_the_ends_of_a_view(run: Run, degrees: int, letters: list[str]) -> None:
    found = run("views/geometry.js", f"return m.ends({degrees})")
    assert sorted(found) == sorted(letters)


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
        "annotation/drafts.js",
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
