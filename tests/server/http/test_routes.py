"""Who waits for whom at `POST /infer/`, with an app in the place of the real one that answers when it is told."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from monailabel.endpoints.user.auth import DEFAULT_USER
from monailabel.interfaces.tasks.infer_v2 import InferType
from starlette.concurrency import run_in_threadpool

from wslpet.core.limits import CORES
from wslpet.server.http import routes as http_routes
from wslpet.server.http.fifo_semaphore import FifoSemaphore

# More than all threads that the server has for requests.
MANY = 60


class Task:
    type = InferType.SEGMENTATION


class App:
    """Images "at hand", and "far" ones, which `image_path` waits for; "slow" ones are answered when released."""

    def __init__(self) -> None:
        self._infers = {"wslpet": Task()}
        self.settings = self
        self.classes = ("lung",)
        self.released = threading.Event()
        self.fetched: set[str] = set()
        self.fetching = 0
        self.asked: list[str] = []

    def datastore(self):
        return self

    def is_at_hand(self, image):
        return not image.startswith("far") or image in self.fetched

    def image_path(self, image):
        self.fetching += 1
        assert self.released.wait(30)
        self.fetched.add(image)

    def answer(self, request):
        assert self.is_at_hand(request["image"])
        self.asked.append(request["image"])
        if request["image"].startswith("slow"):
            assert self.released.wait(30)
        return b"mask", {"image": request["image"]}


@pytest.fixture
def app(monkeypatch):
    app = App()
    monkeypatch.setattr(http_routes, "app_instance", lambda: app)
    yield app
    app.released.set()


async def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


def ask(image):
    return asyncio.create_task(http_routes.infer("wslpet", DEFAULT_USER, image, params="{}"))


def test_a_request_that_waits_for_a_pacs_does_not_block_others(app):
    async def viewers():
        far = [ask(f"far{n}") for n in range(CORES + 1)]
        await until(lambda: app.fetching == len(far))
        near = await asyncio.wait_for(ask("near"), 20)
        assert app.asked == ["near"]
        app.released.set()
        return [near, *await asyncio.gather(*far)]

    answers = asyncio.run(viewers())
    assert all(b"mask" in answer.body for answer in answers)
    assert sorted(app.asked) == [*(f"far{n}" for n in range(CORES + 1)), "near"]


@pytest.mark.parametrize("places", [1, CORES])
def test_waiting_requests_hold_no_thread_and_are_answered_in_order(app, monkeypatch, places):
    monkeypatch.setattr(http_routes, "processors", FifoSemaphore(places))

    async def viewers():
        many = [ask(f"slow{n}") for n in range(MANY)]
        await until(lambda: len(app.asked) == places)
        assert await asyncio.wait_for(run_in_threadpool(lambda: "answered"), 20) == "answered"
        assert len(app.asked) == places
        app.released.set()
        return await asyncio.gather(*many)

    assert len(asyncio.run(viewers())) == MANY
    if places == 1:
        assert app.asked == [f"slow{n}" for n in range(MANY)]


def test_each_mask_has_a_name_of_its_own(app):
    async def viewers():
        return [await ask("near") for _ in range(2)]

    one, other = (answer.body.split(b"filename=")[1].split(b'"')[1] for answer in asyncio.run(viewers()))
    assert one != other
    assert one.endswith(b".nii.gz")
