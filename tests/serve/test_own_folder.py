"""A folder of one's own on the page: what is added or removed is seen, and nobody who asks meanwhile loses anything."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from programs import Program, run_simbench

from bench.contract import DataError, Workplace
from bench.runs.untrained import UntrainedMethod
from bench.search.fitted_on_folder import open_untrained

pytest.importorskip("starlette")
httpx = pytest.importorskip("httpx")

from bench.serve.application import Site, build  # noqa: E402
from bench.serve.own_folder import OwnFolder  # noqa: E402

CPU = torch.device("cpu")


def no_bar(items: Iterable[Any], *, total: int, what: str) -> Iterable[Any]:
    return items


def at_once(work: Callable[[], Any]) -> Any:
    return work()


def put(root: Path, *numbers: int) -> None:
    root.mkdir(exist_ok=True)
    for number in numbers:
        pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"{number}.png")


@pytest.fixture
def folder(tmp_path: Path) -> OwnFolder:
    """Ten pictures, 10.png to 19.png, searched by pixels of 8x8 without a run."""
    root = tmp_path / "shoes"
    put(root, *range(10, 20))
    place = Workplace(tmp_path / "cache", CPU, 1, no_bar, lambda line: None, cache=tmp_path / "cache")
    method = UntrainedMethod.of("pixels", {"size": 8}, CPU)
    return OwnFolder(root, open_untrained(root, method, tmp_path / "cache", place), place)


def test_a_look_finds_what_was_added_and_removed_and_nothing_where_nothing_was(folder: OwnFolder) -> None:
    first = folder.open()
    assert folder.renewed(first, at_once) is None
    put(folder.root, 5)
    (folder.root / "10.png").unlink()
    second = folder.renewed(first, at_once)
    assert second is not None
    assert second.ids.tolist() == ["5.png", *(f"{number}.png" for number in range(11, 20))]
    assert second.version != first.version
    assert folder.renewed(second, at_once) is None


def test_a_row_of_a_former_version_stands_for_the_same_picture(folder: OwnFolder) -> None:
    first = folder.open()
    put(folder.root, 5)
    (folder.root / "10.png").unlink()
    second = folder.renewed(first, at_once)
    assert second is not None
    assert [second.row_in(row, first.version) for row in range(11)] == [None, *range(1, 10), None]
    assert second.row_in(0, "") == second.row_in(0, second.version) == 0
    assert second.row_in(0, "unknown") is None


def test_pictures_are_embedded_a_few_at_a_time_where_others_wait(folder: OwnFolder) -> None:
    first, turns = folder.open(), []
    put(folder.root, *range(100, 140))

    def counted(work: Callable[[], Any]) -> Any:
        found = work()
        turns.append(len(found))
        return found

    assert folder.renewed(first, counted) is not None
    assert turns == [16, 16, 8]


def test_a_folder_that_loses_all_pictures_is_refused_once(folder: OwnFolder) -> None:
    first = folder.open()
    for path in folder.root.iterdir():
        path.unlink()
    with pytest.raises(DataError, match="no picture in it can be read"):
        folder.renewed(first, at_once)
    assert folder.renewed(first, at_once) is None


@asynccontextmanager
async def served(folder: OwnFolder, tmp_path: Path) -> AsyncIterator[tuple[Any, Site]]:
    """The site of a folder that is looked at every 20 ms, and a client of it."""
    site = Site([folder.open()], tmp_path, folder=folder, every=0.02)
    app = build(site)
    inner: Any = app._app  # type: ignore[attr-defined]  # the guard has no lifespan of its own
    async with (
        inner.router.lifespan_context(inner),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client,
    ):
        yield client, site


async def found(client: Any, picture: str, **words: str) -> list[dict[str, Any]]:
    fields = {"picture": picture, "k": "3", **words}
    response = await client.post("/api/search", files={name: (None, text) for name, text in fields.items()})
    assert response.status_code == 200, response.text
    query, *answers = [json.loads(line) for line in response.text.splitlines()]
    return [query["query"], *answers]


async def until_size(client: Any, size: int) -> dict[str, Any]:
    async with asyncio.timeout(20):
        while True:
            (gallery,) = (await client.get("/api/galleries")).json()["galleries"]
            if gallery["size"] == size:
                return dict(gallery)
            await asyncio.sleep(0.01)


def test_the_server_sees_a_change_and_answers_all_the_while(folder: OwnFolder, tmp_path: Path) -> None:
    async def asked() -> None:
        async with served(folder, tmp_path) as (client, _):
            before = await until_size(client, 10)
            assert before["own"] is True
            assert before["classes"] == []
            questions = [asyncio.create_task(found(client, f"4@{before['version']}")) for _ in range(30)]
            put(folder.root, *range(5))
            await until_size(client, 15)
            for query, answer in await asyncio.gather(*questions):
                assert query["id"] == "14.png"
                assert answer["hits"]
                assert all(hit["id"] != "14.png" and hit["label"] is None for hit in answer["hits"])
            query, _ = await found(client, f"4@{before['version']}")
            assert (query["id"], query["row"], query["size"]) == ("14.png", 9, 15)
            old, new = [
                (await client.get(f"/pictures/0/{row}?v={version}")).content
                for row, version in ((4, before["version"]), (9, query["version"]))
            ]
            assert old == new
            (folder.root / "14.png").unlink()
            await until_size(client, 14)
            gone = await client.post("/api/search", files={"picture": (None, f"4@{before['version']}")})
            assert (gone.status_code, gone.json()["error"]) == (410, "this picture is not in the gallery any more")

    asyncio.run(asked())


def test_a_folder_that_is_gone_is_served_as_it_was(
    folder: OwnFolder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def asked() -> None:
        async with served(folder, tmp_path) as (client, _):
            before = await until_size(client, 10)
            folder.root.rename(tmp_path / "elsewhere")
            async with asyncio.timeout(20):
                while "looked at again" not in caplog.text:
                    await asyncio.sleep(0.01)
            query, answer = await found(client, f"4@{before['version']}")
            assert query["seen"] is None
            assert len(answer["hits"]) == 3
            assert caplog.text.count("looked at again") == 1
            assert (await client.get("/pictures/0/4")).status_code == 404
            (tmp_path / "elsewhere").rename(folder.root)
            put(folder.root, 5)
            await until_size(client, 11)

    asyncio.run(asked())


def test_nothing_below_a_threshold_is_found_and_the_nearest_is_told(folder: OwnFolder, tmp_path: Path) -> None:
    async def asked() -> None:
        async with served(folder, tmp_path) as (client, _):
            _, whole = await found(client, "4")
            second = whole["hits"][1]["similarity"]
            _, some = await found(client, "4", threshold=f"{second:.9f}"[:9])
            assert some["hits"] == whole["hits"][:2]
            _, none = await found(client, "4", threshold="1")
            assert (none["hits"], none["nearest"]) == ([], whole["hits"][0])
            assert (await found(client, "4", threshold=""))[1]["hits"] == whole["hits"]
            for wrong in ("1.1", "-2", "nan", "1e-1", "\u0660.5", "0.5 ", "../x"):
                form = {"picture": (None, "4"), "threshold": (None, wrong)}
                refused = await client.post("/api/search", files=form)
                assert (refused.status_code, refused.json()["error"]) == (
                    400,
                    "threshold must be a similarity from -1 to 1, such as 0.8",
                )

    asyncio.run(asked())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--gallery", "shoes", "--run", "a", "--run", "b"), "give one --run, or none"),
        (("--gallery", "shoes", "--run", "a", "-m", "pixels"), "not both"),
        (("--gallery", "shoes", "--no-images"), "leave them out with --gallery"),
        (("-m", "pixels"), "give --gallery DIR"),
        (("--gallery", "shoes", "-m", "triplet"), "triplet needs training: simbench run -m triplet"),
        (("--gallery", "boots"), "boots: no such folder"),
    ],
)
def test_what_cannot_be_served_says_why(folder: OwnFolder, words: tuple[str, ...], said: str) -> None:
    done = run_simbench(["serve", "--port", "0", *words], folder.root.parent)
    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_serves_a_folder_without_a_run_and_stops(folder: OwnFolder) -> None:
    started = Program(["serve", "--gallery", "shoes", "-m", "pixels", "--port", "0"], folder.root.parent)
    found = re.match(r"search page: (http://\S+)/ ", started.first_line())
    assert found, started.stderr.read_text(encoding="utf-8")
    answer = httpx.post(f"{found[1]}/api/search", files={"picture": (None, "2"), "k": (None, "1")}, timeout=60)
    assert answer.text.count("\n") == 2
    started.terminate()
    assert started.wait(timeout=60) == 0
    assert "Traceback" not in started.stderr.read_text(encoding="utf-8")
