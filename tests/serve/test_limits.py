"""Limits of time and memory, with small ones in this process; how the command starts and stops."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fake_runs import fake_result
from PIL import Image
from programs import COMMAND, run_simbench

from bench.contract import DataError, ImageShape, SimbenchError
from bench.runs.loaded_run import open_run
from bench.runs.store import RunRecord, all_runs
from bench.search.preparation import Preparation

pytest.importorskip("starlette")
uvicorn = pytest.importorskip("uvicorn")
httpx = pytest.importorskip("httpx")

from bench.serve import running  # noqa: E402
from bench.serve.application import Site, _unless_gone, build  # noqa: E402
from bench.serve.decoders import Decoders  # noqa: E402
from bench.serve.limits import POLICY_HEADERS, Limits, RefusalError, whole_number  # noqa: E402
from bench.serve.shared_gallery import SharedGallery, choose_records, open_galleries  # noqa: E402

pytestmark = [pytest.mark.faults, pytest.mark.slow]

EIGHT = Preparation(ImageShape(8, 8, 1))
HEAD = (
    b"POST /api/search HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 5000\r\n\r\n"
)


def decode(limits: Limits, work: Callable[[Decoders], Awaitable[Any]]) -> Any:
    """Do something with one decoding process."""

    async def whole() -> Any:
        decoders = Decoders(1, limits)
        try:
            return await work(decoders)
        finally:
            await decoders.stop()

    return asyncio.run(whole())


@pytest.fixture(scope="module")
def gallery(project: Path) -> SharedGallery:
    records = [one for one in all_runs(project / "runs") if one.result.method == "pixels"]
    (found,) = open_galleries(
        records, lambda one: open_run(one.folder, torch.device("cpu")), None, lambda items, **_: items, lambda _: None
    )
    return found


@contextmanager
def serving(site: Site) -> Iterator[tuple[str, int]]:
    """Serve from a thread of this process."""
    listening = running.listen("127.0.0.1", 0)
    config = uvicorn.Config(build(site), http=running._ImpatientProtocol, log_config=None, lifespan="on", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield listening.getsockname()[:2]
    finally:
        server.should_exit = True
        thread.join(timeout=30)


def everything(opened: socket.socket) -> bytes:
    got = b""
    while part := opened.recv(65536):
        got += part
    return got


def test_a_body_that_drips_gets_408_and_leaves_room_for_others(gallery: SharedGallery, tmp_path: Path) -> None:
    limits = Limits(upload_seconds=1.5, uploads=2, wait_seconds=0.2)
    with serving(Site([gallery], tmp_path, limits=limits)) as where:
        slow = [socket.create_connection(where, timeout=20) for _ in range(2)]
        for one in slow:
            one.sendall(HEAD + b"--x\r\n")
        time.sleep(0.2)
        address = f"http://{where[0]}:{where[1]}/api/search"
        busy = httpx.post(address, files={"picture": (None, "1")})
        assert (busy.status_code, busy.json()["error"]) == (503, "the server is busy; try again")
        for one in slow:
            assert everything(one).startswith(b"HTTP/1.1 408 ")
            one.close()
        assert httpx.post(address, files={"picture": (None, "1")}).status_code == 200


def test_a_connection_that_asks_nothing_is_closed(
    gallery: SharedGallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "_HEADER_SECONDS", 0.3)
    with serving(Site([gallery], tmp_path)) as where, socket.create_connection(where, timeout=20) as opened:
        opened.sendall(b"GET / HTTP/1.1\r\nHost")
        assert everything(opened) == b""


def test_a_run_that_fails_says_so_in_its_line_and_the_others_answer(
    gallery: SharedGallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (good,) = gallery.contestants
    bad = replace(good, name="bad", vectors=good.vectors[:, :3])  # of another dimension than what it embeds to
    site = Site([replace(gallery, contestants=(bad, good))], tmp_path)
    buffer = io.BytesIO()
    Image.new("L", (8, 8), 90).save(buffer, "PNG")
    with serving(site) as where:
        answer = httpx.post(f"http://{where[0]}:{where[1]}/api/search", files={"picture": ("x", buffer.getvalue())})
    _, first, second = map(json.loads, answer.text.splitlines())
    assert first == {"run": 0, "error": "this run failed; the server's terminal says why"}
    assert len(second["hits"]) == 8


def test_a_gallery_without_pictures_is_searched_by_its_vectors(gallery: SharedGallery, tmp_path: Path) -> None:
    with serving(Site([gallery], tmp_path)) as where:
        address = f"http://{where[0]}:{where[1]}"
        assert httpx.get(f"{address}/pictures/0/1").status_code == 404
        assert httpx.get(f"{address}/api/leaderboard/0").json() == {"board": None}
        assert "simbench report" in httpx.get(f"{address}/report").json()["error"]
        head, line = map(
            json.loads, httpx.post(f"{address}/api/search", files={"picture": (None, "1")}).text.splitlines()
        )
    assert head["query"]["seen"] is None
    assert len(line["hits"]) == 8


def test_a_picture_waits_for_a_decoder_no_longer_than_the_limit(gallery: SharedGallery, tmp_path: Path) -> None:
    decoders = Decoders(0, Limits(decoder_wait_seconds=0.01))
    with pytest.raises(RefusalError, match="too many pictures wait") as refusal:
        asyncio.run(decoders.prepare(b"anything", EIGHT))
    assert refusal.value.status == 503


def asked(app: Any, path: str, **how: Any) -> Any:
    """Ask an application in this process, without a server or its start."""

    async def whole() -> Any:
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.request(how.pop("method", "GET"), path, **how)

    return asyncio.run(whole())


def test_every_answer_has_the_policy_headers_errors_included(
    gallery: SharedGallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def app(**limits: Any) -> Any:
        return build(Site([gallery], tmp_path, limits=Limits(**limits)))

    async def never(*_: Any) -> None:
        await asyncio.sleep(60)

    form = {"picture": (None, "1")}
    answered = [
        asked(app(), "/nowhere"),
        asked(app(), "/api/search"),
        asked(app(), "/api/search", method="POST", files={"picture": ("x", b"x" * 3000)}),
        asked(app(picture_bytes=100), "/api/search", method="POST", files={"picture": ("x", b"x" * 300_000)}),
        asked(app(), "/api/search", method="POST", files={"k": (None, "3")}),
    ]
    monkeypatch.setattr(asyncio.Semaphore, "acquire", never)
    answered.append(asked(app(wait_seconds=0.01), "/api/search", method="POST", files=form))
    assert answered[-1].headers["retry-after"] == "5"
    monkeypatch.setattr("bench.serve.answers.picture", lambda *_: 1 / 0)
    answered.append(asked(app(), "/pictures/0/1"))
    assert [one.status_code for one in answered] == [404, 405, 422, 413, 400, 503, 500]
    for one in answered:
        assert {name: one.headers[name] for name in POLICY_HEADERS} == POLICY_HEADERS


def test_what_the_server_itself_refuses_has_the_policy_headers_too(
    gallery: SharedGallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(Site([gallery], tmp_path)) as address:
        for request, most, status in ((b"nonsense\r\n\r\n", None, b"400"), (b"GET / HTTP/1.1\r\n\r\n", 0, b"503")):
            made = running._ImpatientProtocol.__init__

            def limited(self: Any, *args: Any, most: int | None = most, **kwargs: Any) -> None:
                made(self, *args, **kwargs)  # noqa: B023 - at once
                self._most = most

            with monkeypatch.context() as patched, socket.socket() as opened:
                patched.setattr(running._ImpatientProtocol, "__init__", limited)
                opened.connect(address)
                opened.sendall(request.replace(b"1.1\r\n", b"1.1\r\nHost: localhost\r\n"))
                got = everything(opened).lower()
            assert got.split(b" ")[1] == status
            for name, value in POLICY_HEADERS.items():
                assert f"{name}: {value}".lower().encode() in got


def test_answers_are_json_though_a_score_is_no_number(
    gallery: SharedGallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.serve.answers._cosine", lambda _: float("nan"))
    result = gallery.contestants[0].result
    assert result is not None
    monkeypatch.setitem(result.scores, "map", float("inf"))

    def strict(text: str) -> Any:
        return json.loads(text, parse_constant=pytest.fail)

    app = build(Site([gallery], tmp_path))
    assert strict(asked(app, "/api/galleries").text)["galleries"][0]["runs"][0]["map"] is None
    found = asked(app, "/api/search", method="POST", files={"picture": (None, "1")})
    lines = [strict(line) for line in found.text.splitlines()]
    assert lines[1]["hits"][0]["similarity"] is None


def test_a_client_that_hung_up_ends_its_work_and_others_go_on() -> None:
    ended: list[str] = []

    class Gone:
        async def receive(self) -> dict[str, str]:
            return {"type": "http.disconnect"}

    class There:
        async def receive(self) -> dict[str, str]:
            await asyncio.sleep(60)
            return {"type": "http.disconnect"}

    async def work() -> str:
        try:
            await asyncio.sleep(0.05)
        except asyncio.CancelledError:
            ended.append("decoding")
            raise
        return "a picture"

    with pytest.raises(RefusalError, match="hung up"):
        asyncio.run(_unless_gone(Gone(), work()))  # type: ignore[arg-type] # all that is asked of it
    assert ended == ["decoding"]
    assert asyncio.run(_unless_gone(There(), work())) == "a picture"  # type: ignore[arg-type] # as above


def test_a_picture_that_takes_too_long_ends_its_process_and_the_next_gets_another() -> None:
    async def twice(decoders: Decoders) -> list[str]:
        said = []
        for _ in range(2):
            with pytest.raises(RefusalError) as refusal:
                await decoders.prepare(b"anything", EIGHT)
            said.append(str(refusal.value))
        return said

    assert decode(Limits(decode_seconds=1e-6), twice) == ["the picture takes too long to decode"] * 2


def test_a_picture_that_kills_its_process_is_refused_and_the_next_is_decoded(png: Callable[[Any], bytes]) -> None:
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)

    async def killed(decoders: Decoders) -> Any:
        process = await decoders._all[0].start()
        os.kill(process.pid, signal.SIGSTOP)  # in the middle of its work, as far as anybody can tell
        asked = asyncio.create_task(decoders.prepare(png(pixels), EIGHT))
        await asyncio.sleep(0.2)
        os.kill(process.pid, signal.SIGKILL)
        with pytest.raises(RefusalError, match="crashed"):
            await asked
        return await decoders.prepare(png(pixels), EIGHT)

    np.testing.assert_array_equal(decode(Limits(), killed)[..., 0], pixels)


def test_a_process_that_died_while_it_was_idle_is_replaced_before_the_next_picture(png: Callable[[Any], bytes]) -> None:
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)

    async def killed(decoders: Decoders) -> Any:
        process = await decoders._all[0].start()
        os.kill(process.pid, signal.SIGKILL)
        await process.wait()
        return await decoders.prepare(png(pixels), EIGHT)

    np.testing.assert_array_equal(decode(Limits(), killed)[..., 0], pixels)


@pytest.mark.skipif(os.uname().sysname != "Linux", reason="only Linux limits a process's address space")
def test_a_picture_that_needs_more_memory_than_allowed_is_refused() -> None:
    buffer = io.BytesIO()
    Image.new("RGBA", (6000, 6000)).save(buffer, "PNG")  # 144 MB decoded, several times that in between

    async def greedy(decoders: Decoders) -> str:
        with pytest.raises(RefusalError) as refusal:
            await decoders.prepare(buffer.getvalue(), EIGHT)
        return str(refusal.value)

    assert "too much memory" in decode(Limits(decoder_bytes=400_000_000), greedy)


@pytest.mark.parametrize("text", ["", "-1", "1.0", "10", "٣", "1e0", "+1", "0" * 10, "1\n"])
def test_what_is_no_small_whole_number_is_refused(text: str) -> None:
    assert whole_number("7", "it", below=10) == 7
    with pytest.raises(RefusalError, match="it must be a whole number from 0 to 9"):
        whole_number(text, "it", below=10)


def test_limits_are_above_zero() -> None:
    with pytest.raises(DataError, match="picture_bytes must be above 0"):
        Limits(picture_bytes=0)


def test_one_run_of_each_method_is_served_the_lowest_seed(project: Path) -> None:
    records = all_runs(project / "runs")
    later = [replace(one, result=replace(one.result, seed=1)) for one in records]
    failed = [RunRecord(one.folder, fake_result(one.result.spec, key="x", reason="it broke")) for one in records]
    chosen = choose_records([*failed, *later, *records])
    assert {(one.result.method, one.result.seed) for one in chosen} == {
        ("pixels", 0),
        ("autoencoder", 0),
        ("siamese_bce", 0),
    }


def test_a_taken_port_is_said_in_one_line() -> None:
    with running.listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SimbenchError, match=f"cannot listen on 127.0.0.1 port {port}: .*; give another --port"):
            running.listen("127.0.0.1", port)


def test_loopback_is_told_from_what_others_reach() -> None:
    assert all(map(running.is_loopback, ("127.0.0.1", "127.9.9.9", "::1", "localhost")))
    assert not any(map(running.is_loopback, ("0.0.0.0", "::", "192.168.1.2", "example.org")))


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_the_command_stops_when_it_is_told_to_even_with_an_upload_under_way(
    start: Callable[..., Any], sent: signal.Signals
) -> None:
    running_now = start("--no-images", before="import bench.serve.running; bench.serve.running._STOP_SECONDS = 1")
    host, port = running_now.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as opened:
        opened.sendall(HEAD + b"--x\r\n")
        time.sleep(0.3)
        running_now.process.send_signal(sent)
        assert everything(opened).startswith(b"HTTP/1.1 503 ")
        assert running_now.process.wait(timeout=60) == 0
    said = running_now.process.stderr.read_text(encoding="utf-8")
    assert said.endswith("stopped\n")
    assert "Traceback" not in said


def serve_in(folder: Path, before: str) -> subprocess.CompletedProcess[str]:
    return run_simbench(["serve", "--port", "0"], folder, code=f"{before}\n{COMMAND}", timeout=120)


def test_without_runs_the_command_says_what_to_do(tmp_path: Path) -> None:
    done = serve_in(tmp_path, "")
    assert done.returncode == 1
    assert done.stderr.startswith("simbench: no finished runs with weights in runs; start with: simbench run")


@pytest.mark.parametrize("missing", ["starlette", "uvicorn", "python_multipart"])
def test_without_the_extra_the_command_says_how_to_get_it(tmp_path: Path, missing: str) -> None:
    done = serve_in(tmp_path, f"import sys; sys.modules[{missing!r}] = None")
    assert done.returncode == 1
    assert "pip install 'simbench-retrieval[serve]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1
