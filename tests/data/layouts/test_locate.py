"""A user's path finds its plugin, or the likeliest path that exists."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.contract import DataPlace, UsageError
from bench.data.layouts.locate import loader_for_path, own_path


def test_each_kind_of_path_finds_its_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "train_image_info.json").touch()
    (tmp_path / "DF.CSV").touch()
    assert loader_for_path(str(tmp_path / "images")) == ("folder", {"path": str(tmp_path / "images")})
    assert loader_for_path(str(tmp_path / "shop")) == ("manifest", {"path": str(tmp_path / "shop")})
    shop = str(tmp_path / "shop" / "train_image_info.json")
    assert loader_for_path(shop) == ("manifest", {"path": str(tmp_path / "shop")})
    assert loader_for_path(str(tmp_path / "DF.CSV")) == ("manifest", {"path": str(tmp_path / "DF.CSV")})
    monkeypatch.setenv("HOME", str(tmp_path))
    assert loader_for_path("~/images") == ("folder", {"path": str(tmp_path / "images")})


def test_a_path_where_nothing_is_names_the_likeliest_neighbour(tmp_path: Path) -> None:
    (tmp_path / "cats-dogs").mkdir()
    with pytest.raises(UsageError, match=r"no such file or folder; did you mean 'cats-dogs'\?$"):
        loader_for_path(str(tmp_path / "cat-dogs"))
    with pytest.raises(UsageError, match=r"did you mean 'cats-dogs'\? \(.*cat_dogs does not exist\)"):
        loader_for_path(str(tmp_path / "cat_dogs" / "train"))
    (tmp_path / "file.txt").touch()
    with pytest.raises(UsageError, match=r"file\.txt is not a folder"):
        loader_for_path(str(tmp_path / "file.txt" / "train"))


def test_an_archive_and_other_files_are_refused_with_what_to_give(tmp_path: Path) -> None:
    (tmp_path / "images.zip").touch()
    (tmp_path / "cat.jpg").touch()
    with pytest.raises(UsageError, match="an archive; unpack it and give the folder"):
        loader_for_path(str(tmp_path / "images.zip"))
    with pytest.raises(UsageError, match="give a folder of class folders, or a CSV or Parquet file"):
        loader_for_path(str(tmp_path / "cat.jpg"))


def test_a_relative_path_is_also_looked_for_under_the_data_root(
    tmp_path: Path, place: DataPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "root"
    (root / "images").mkdir(parents=True)
    assert own_path("images", place) == root / "images"
    (tmp_path / "images").mkdir()
    assert own_path("images", place) == Path("images")
    assert own_path("images", replace(place, root=None)) == Path("images")
    with pytest.raises(UsageError, match="needs a path"):
        own_path("", place)
