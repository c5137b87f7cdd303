"""bench.toml and the command line together."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.config import height_and_width, load_config, options_for, seconds
from bench.contract import UsageError


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "bench.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_file_then_set_then_flags_win(tmp_path: Path) -> None:
    path = written(tmp_path, "[run]\nprotocol = 'loo'\nseeds = [1, 2]\nepochs = 3\n[methods.arcface]\nmargin = 0.4\n")
    config = load_config(path, overrides=["run.protocol=database"], flags={"epochs": 5.0, "budget": None})
    assert (config.settings.protocol, config.settings.seeds, config.settings.epochs) == ("database", (1, 2), 5.0)
    assert config.methods["arcface"]["margin"] == 0.4


def test_a_budget_on_the_command_line_replaces_the_epochs_of_the_file(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, "[run]\nepochs = 3\n"), flags={"budget": "90s"})
    assert (config.settings.epochs, config.settings.budget) == (None, "90s")


@pytest.mark.parametrize(("text", "said"), [("run = 1", "[run] must be"), ("methods = 3", "[methods] holds sections")])
def test_a_value_where_a_section_belongs_is_told(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_config(written(tmp_path, text))
    assert said in str(caught.value)


def test_every_mistake_is_told_at_once_with_the_nearest_name(tmp_path: Path) -> None:
    text = "[rnu]\n[run]\nprotocl = 'loo'\n[methods.arcfase]\n[methods.arcface]\nmargni = 1\n[datasets.digits]\nx = 1\n"
    with pytest.raises(UsageError) as caught:
        load_config(written(tmp_path, text))
    lines = str(caught.value).splitlines()
    assert len(lines) == 5
    for wanted in ("did you mean 'run'", "did you mean 'protocol'", "did you mean 'arcface'", "did you mean 'margin'"):
        assert any(wanted in line for line in lines), wanted
    assert all(line.startswith(str(tmp_path)) for line in lines)


@pytest.mark.parametrize("text", ["[run", "run = = 1", "\x00"])
def test_a_file_that_is_not_toml_is_told_in_one_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match="not valid TOML"):
        load_config(written(tmp_path, text))


def test_a_missing_configuration_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read the configuration"):
        load_config(tmp_path / "none.toml")


@pytest.mark.parametrize("word", ["protocol=loo", "run.protocol", ".=1", "run.=1"])
def test_a_malformed_set_word_is_told(word: str) -> None:
    with pytest.raises(UsageError, match=r"--set takes SECTION\.NAME=VALUE"):
        load_config(None, overrides=[word])


@pytest.mark.parametrize(
    "line",
    [
        "seeds = [-1]",
        "seeds = [1000000000000000000]",
        "ks = [0]",
        "threads = 0",
        "limit = 0",
        "budget = 'soon'",
        "image_size = '0'",
    ],
)
def test_a_setting_out_of_range_is_told(tmp_path: Path, line: str) -> None:
    with pytest.raises(UsageError):
        load_config(written(tmp_path, f"[run]\n{line}\n"))


def test_options_go_to_every_method_that_has_them_or_to_the_one_named() -> None:
    shares = options_for(["embedding_dim=32", "arcface.margin=0.4"], ["arcface", "random", "pixels"])
    assert shares == {
        "arcface": {"embedding_dim": "32", "margin": "0.4"},
        "random": {"embedding_dim": "32"},
        "pixels": {},
    }


@pytest.mark.parametrize(
    ("word", "complaint"),
    [("margni=1", "did you mean 'margin'"), ("margin", "-o takes"), ("pixels.center=1", "not among those to run")],
)
def test_a_wrong_option_word_is_told(word: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        options_for([word], ["arcface"])


@pytest.mark.parametrize(("text", "value"), [("90", 90), ("90s", 90), ("5m", 300), ("1.5h", 5400)])
def test_durations_are_read(text: str, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "0", "5d", "-3s", "m"])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a duration"):
        seconds(text)


def test_image_sizes_are_height_by_width() -> None:
    assert (height_and_width("64"), height_and_width("64x48")) == ((64, 64), (64, 48))


@pytest.mark.parametrize(
    "text", ["a = " + "[" * 100_000, "[run]\nepochs = " + "[" * 5000 + "]" * 5000, "[run]\nepochs = " + "9" * 10_000]
)
def test_toml_that_is_deep_or_long_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "bench.toml").write_text(text)
    with pytest.raises(UsageError, match="not valid TOML") as told:
        load_config(tmp_path / "bench.toml")
    assert len(str(told.value).splitlines()) == 1


def test_a_duration_without_end_is_none() -> None:
    with pytest.raises(ValueError, match="expected a duration"):
        seconds("9" * 5000)


def test_a_zero_byte_in_a_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bench.toml").write_text('[run]\nruns = "a\\u0000b"\n', encoding="utf-8")
    with pytest.raises(UsageError, match=r"bench\.toml is not valid TOML: a zero byte in a text"):
        load_config(tmp_path / "bench.toml")


def test_a_backslash_and_x00_written_out_is_no_zero_byte(tmp_path: Path) -> None:
    (tmp_path / "bench.toml").write_text("[run]\nruns = 'a\\x00b'\n", encoding="utf-8")
    assert load_config(tmp_path / "bench.toml").settings.runs == "a\\x00b"
