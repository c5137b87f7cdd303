"""What the server answers, against the runs' own files and plain arithmetic."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file

from bench.evaluation.metrics.verification import probabilities
from bench.runs.loaded_run import TrainedRun, open_run

Png = Callable[[np.ndarray[Any, Any]], bytes]


def ask(client: Any, what: str, pictures: dict[str, bytes] | None = None, **words: Any) -> list[dict[str, Any]]:
    """Send a form and return the lines of the answer."""
    files: dict[str, Any] = {name: (None, str(value)) for name, value in words.items()}
    files |= {name: ("picture", data) for name, data in (pictures or {}).items()}
    response = client.post(f"/api/{what}", files=files)
    assert response.status_code == 200, response.text
    return [json.loads(line) for line in response.text.splitlines()]


def folders(project: Path) -> dict[str, Path]:
    return {path.parents[1].name: path for path in project.glob("runs/digits/loo/*/*/seed0")}


def methods(client: Any) -> list[str]:
    (gallery,) = client.get("/api/galleries").json()["galleries"]
    return [run["name"] for run in gallery["runs"]]


def vectors_and_labels(project: Path, method: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    folder = folders(project)[method]
    return load_file(folder / "embeddings.safetensors")["gallery"], np.load(folder / "per_query.npz")["gallery_labels"]


def opened(project: Path, method: str) -> TrainedRun:
    return open_run(folders(project)[method], torch.device("cpu"))


def image(address: str) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))))


def test_the_galleries_name_every_method_with_its_score_and_abilities(client: Any, project: Path) -> None:
    (gallery,) = client.get("/api/galleries").json()["galleries"]
    assert gallery["size"] == 160
    assert gallery["pictures"]
    assert gallery["classes"] == [str(digit) for digit in range(10)]
    runs = {run["name"]: run for run in gallery["runs"]}
    assert set(runs) == {"pixels", "autoencoder", "siamese_bce"}
    assert {name for name, run in runs.items() if run["decodes"]} == {"autoencoder"}
    assert {name for name, run in runs.items() if run["scores_pairs"]} == {"siamese_bce"}
    for name, folder in folders(project).items():
        assert runs[name]["map"] == json.loads((folder / "run.json").read_text())["scores"]["map"]


@pytest.mark.parametrize("label", [None, 3])
def test_an_item_finds_the_others_in_the_order_of_their_cosines(client: Any, project: Path, label: int | None) -> None:
    head, *found = ask(client, "search", picture=17, k=9, label="" if label is None else label)
    assert head["query"]["row"] == 17
    for line in found:
        vectors, labels = vectors_and_labels(project, methods(client)[line["run"]])
        cosines = vectors.astype(np.float64) @ vectors[17].astype(np.float64)
        cosines[17] = -9
        if label is not None:
            cosines[labels != label] = -9
        wanted = np.argsort(-cosines, kind="stable")[:9]
        similarities = [hit["similarity"] for hit in line["hits"]]
        np.testing.assert_allclose(similarities, cosines[wanted], atol=1e-5)
        assert [hit["label"] for hit in line["hits"]] == [labels[hit["row"]] for hit in line["hits"]]
        assert similarities == sorted(similarities, reverse=True)
        assert 17 not in [hit["row"] for hit in line["hits"]]
    assert head["query"]["label"] == vectors_and_labels(project, "pixels")[1][17]
    assert len(found) == 3


def test_the_picture_of_an_item_finds_the_item_itself(client: Any) -> None:
    """Upload, decoding, preparation and embedding together give the vectors that the run was scored with."""
    picture = client.get("/pictures/0/42").content
    _, *found = ask(client, "search", {"picture": picture}, k=3)
    for line in found:
        assert line["hits"][0]["row"] == 42
        assert line["hits"][0]["similarity"] == pytest.approx(1, abs=1e-5)
        assert line["embed_ms"] > 0
    assert len(found) == 3


def test_pictures_are_those_that_the_run_was_scored_on(client: Any, project: Path) -> None:
    run = opened(project, "pixels")
    vectors, _ = vectors_and_labels(project, "pixels")
    for row in (0, 99, 159):
        pixels = np.asarray(Image.open(io.BytesIO(client.get(f"/pictures/0/{row}").content)))
        np.testing.assert_allclose(run.embed(pixels[None, ..., None])[0], vectors[row], atol=1e-6)


def test_a_coloured_picture_is_its_luminance_to_a_grey_run(client: Any, png: Png) -> None:
    colour = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    grey = np.asarray(Image.fromarray(colour).convert("L"))
    answers = [ask(client, "search", {"picture": png(one)})[1:] for one in (colour, grey)]
    for coloured, plain in zip(*answers, strict=True):
        assert [hit["row"] for hit in coloured["hits"]] == [hit["row"] for hit in plain["hits"]]


def test_runs_and_number_of_results_are_chosen(client: Any, project: Path) -> None:
    head, *found = ask(client, "search", picture=0, k=50, runs="2,0")
    assert [line["run"] for line in found] == [0, 2]
    assert [len(line["hits"]) for line in found] == [50, 50]
    assert head["query"]["id"] == str(np.load(folders(project)["pixels"] / "per_query.npz")["gallery_ids"][0])


def test_a_query_is_decoded_by_the_run_that_can(client: Any, project: Path) -> None:
    _, *found = ask(client, "search", picture=5)
    run = opened(project, "autoencoder")
    vector = vectors_and_labels(project, "autoencoder")[0][5]
    for line in found:
        if methods(client)[line["run"]] != "autoencoder":
            assert line["decoded"] is None
            continue
        wanted = run.decode(vector[None])
        np.testing.assert_allclose(image(line["decoded"]).astype(int), wanted[0, ..., 0].astype(int), atol=1)
        assert line["decoded_cosine"] == pytest.approx(float(run.embed(wanted)[0] @ vector), abs=1e-4)


def test_a_pair_has_its_cosine_and_a_probability_with_its_source(client: Any, project: Path) -> None:
    picture = client.get("/pictures/0/8").content
    by_item = ask(client, "compare", first=3, last=8)
    by_file = ask(client, "compare", {"last": picture}, first=3)
    assert len(by_item) == len(by_file) == 3
    for line, other in zip(by_item, by_file, strict=True):
        name = methods(client)[line["run"]]
        vectors, _ = vectors_and_labels(project, name)
        cosine = float(vectors[3].astype(np.float64) @ vectors[8])
        assert line["cosine"] == pytest.approx(cosine, abs=1e-5)
        assert other["cosine"] == pytest.approx(cosine, abs=1e-4)
        if name == "siamese_bce":
            assert line["source"] == "method"
            assert 0 <= line["probability"] <= 1
            (turned,) = [one for one in ask(client, "compare", first=8, last=3) if one["run"] == line["run"]]
            assert turned["probability"] == pytest.approx(line["probability"], abs=1e-5)
        else:
            content = json.loads((folders(project)[name] / "run.json").read_text())
            wanted = probabilities(content["thresholds"], np.array([line["cosine"]], np.float32))
            assert wanted is not None
            assert (line["source"], line["probability"]) == ("validation", pytest.approx(float(wanted[0])))


def test_a_walk_leads_from_one_decoded_picture_to_the_other(client: Any, project: Path) -> None:
    (line,) = ask(client, "walk", first=3, last=8, steps=7)
    assert methods(client)[line["run"]] == "autoencoder"
    vectors, _ = vectors_and_labels(project, "autoencoder")
    ends = opened(project, "autoencoder").decode(vectors[[3, 8]])
    assert len(line["pictures"]) == 7
    for shown, wanted in zip((line["pictures"][0], line["pictures"][-1]), ends, strict=True):
        np.testing.assert_allclose(image(shown).astype(int), wanted[..., 0].astype(int), atol=1)


def test_the_leaderboard_is_that_of_the_results_folder(client: Any, project: Path) -> None:
    board = client.get("/api/leaderboard/0").json()["board"]
    assert board["columns"][0]["heading"] == "map"
    shown = {row["name"]: row["values"][0] for row in board["rows"]}
    for name, folder in folders(project).items():
        assert shown[name] == pytest.approx(json.loads((folder / "run.json").read_text())["scores"]["map"])
    assert [row["rank"] for row in board["rows"]] == sorted(row["rank"] for row in board["rows"])


def test_the_report_and_its_figures_are_on_the_site_under_policies_of_their_own(client: Any, project: Path) -> None:
    page = client.get("/report")
    assert page.content == (project / "runs" / "report" / "report.html").read_bytes()
    policy = page.headers["content-security-policy"]
    assert "script-src 'sha256-" in policy
    assert "script-src 'unsafe-inline'" not in policy
    for path in (project / "runs" / "report" / "figures").iterdir():
        assert client.get(f"/figures/{path.name}").content == path.read_bytes()


def test_every_answer_tells_browsers_what_it_may_do(client: Any) -> None:
    for path in ("/", "/page.js", "/health", "/api/galleries", "/pictures/0/0", "/nothing"):
        headers = client.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert headers["x-content-type-options"] == "nosniff"
    assert client.get("/health").json() == {"status": "ok", "galleries": 1, "runs": 3}
