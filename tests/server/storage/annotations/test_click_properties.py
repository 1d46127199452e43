"""Whatever a viewer sends is a click or a refusal; whatever was recorded is read back, a torn line is not."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from wslpet.core.errors import InputError
from wslpet.core.seeds import Seed
from wslpet.core.volume import Volume
from wslpet.server.http.request_models import BatchOptions, SampleOptions, parsed, parsed_infer
from wslpet.server.storage.annotations.clicks import clicks_in, place
from wslpet.server.storage.annotations.seed_log import SeedLog

CLASSES = ("lung", "oesophagus")
quick = settings(deadline=None, max_examples=200)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
keys = st.sampled_from(
    [*CLASSES, "background", "foreground", "label", "contour", "result_extension", "label_info", "device"]
) | st.text(max_size=12)
numbers = st.floats(-1e4, 1e4, allow_nan=False)


@quick
@given(st.dictionaries(keys, json_values, max_size=6))
def test_any_request_gives_a_click_or_is_refused(request):
    for check in (
        lambda r: parsed_infer(r, CLASSES),
        lambda r: parsed(BatchOptions, "batch infer", r),
        lambda r: parsed(SampleOptions, "activelearning", r),
    ):
        try:
            check(request)
        except InputError as error:
            assert len(str(error)) < 1000
    try:
        clicks = clicks_in(request, CLASSES)
    except InputError:
        return
    if clicks is not None:
        assert clicks.cancer_type in CLASSES and clicks.lesions
        assert len(clicks.contours) == len(clicks.lesions)
        for index in (*clicks.lesions, *clicks.background):
            assert len(index) == 3 and np.isfinite(index).all()


@quick
@given(st.tuples(numbers, numbers, numbers))
def test_a_click_is_inside_or_refused(index):
    volume = Volume(np.ones((9, 7, 11), np.float32), np.diag([-3.0, 5, 2, 1]))
    inside = all(-0.5 <= v <= n - 0.5 for v, n in zip(index, volume.shape, strict=True))
    try:
        seed = place("lung", list(index), volume, "ann")
    except InputError:
        assert not inside
    else:
        assert inside
        assert np.allclose(volume.to_index(np.array(seed.position)), index, atol=1e-6)


images = st.text(min_size=1, max_size=10)
records = st.lists(st.tuples(images, st.sampled_from(CLASSES), st.tuples(numbers, numbers, numbers)), max_size=6)


@quick
@given(records, st.integers(0, 5000))
def test_a_truncated_log_keeps_all_complete_records(recorded, cut):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "seeds.jsonl"
        log, ends = SeedLog(path), []
        for image, cancer_type, position in recorded:
            log.append(image, Seed(cancer_type, position))
            ends.append(path.stat().st_size)
        content = path.read_bytes() if path.exists() else b""
        path.write_bytes(content[:cut])
        whole = [record for record, end in zip(recorded, ends, strict=True) if end <= cut]
        again = SeedLog(path)
        # A new record goes behind the last whole one.
        again.append("new", Seed("lung", (1, 2, 3)))
        for name in {image for image, *_ in recorded} | {"new"}:
            told = [(t, p) for image, t, p in whole if image == name]
            told += [("lung", (1, 2, 3))] if name == "new" else []
            assert [(seed.cancer_type, seed.position) for seed in SeedLog(path).get(name)] == told
