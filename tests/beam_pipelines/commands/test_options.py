"""Options become a configuration, or a message that says what to do."""

import argparse
from pathlib import Path

import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from hypothesis import given
from hypothesis import strategies as st

from klue_beam.beam_pipelines.commands.annotation_run import list_tasks
from klue_beam.beam_pipelines.commands.beam import AnnotateOptions
from klue_beam.beam_pipelines.commands.inputs import infer_format
from klue_beam.beam_pipelines.commands.options import parse_tasks, to_config
from klue_beam.beam_pipelines.commands.values import parse_size_bytes
from klue_beam.schemas.config import AnnotateConfig
from klue_beam.schemas.registry import TASKS
from tests.tiny_models import tiny_checkpoint


@given(st.integers(0, 2**40))
def test_a_size_without_a_unit_is_bytes(n_bytes: int) -> None:
    assert parse_size_bytes(str(n_bytes)) == n_bytes


@pytest.mark.parametrize(
    ("text", "n_bytes"),
    [("8MiB", 8 << 20), ("64 KiB", 64 << 10), ("1.5GiB", 3 << 29), ("2MB", 2_000_000), ("3kB", 3000), ("7B", 7)],
)
def test_a_size_may_have_a_unit(text: str, n_bytes: int) -> None:
    assert parse_size_bytes(text) == n_bytes


@pytest.mark.parametrize("text", ["8M", "-1", "1e6", "", "MiB", "8 MiB 2"])
def test_another_size_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="as in 512KiB, 8MiB, 1GB, got"):
        parse_size_bytes(text)


@given(st.lists(st.sampled_from(tuple(TASKS)), min_size=1))
def test_tasks_come_in_their_order_once_each(asked: list[str]) -> None:
    if "re" in asked and "ner" not in asked:
        with pytest.raises(ValueError, match=r"`--tasks` with re must have ner too, whose column it reads, got"):
            parse_tasks(",".join(asked))
    else:
        assert parse_tasks(", ".join(asked)) == tuple(task for task in TASKS if task in asked)


@pytest.mark.parametrize("text", ["", "tc,ne", "all", ","])
def test_what_is_no_list_of_tasks_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="`--tasks` must be a list out of tc,ner,re,dp, got"):
        parse_tasks(text)


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    for name in ("a.jsonl", "b.jsonl.xz", "c.NDJSON.gz", "_hidden.txt"):
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def test_the_suffix_tells_the_format_behind_that_of_the_compression(dump: Path) -> None:
    assert infer_format([str(dump)]) == "jsonl"
    assert infer_format([str(dump / "*.xz"), str(dump / "a.jsonl")]) == "jsonl"


def test_several_formats_are_refused_with_an_example_of_each(dump: Path) -> None:
    (dump / "d.txt").write_bytes(b"")
    with pytest.raises(
        ValueError, match=r"must have one format, got .*a\.jsonl \(jsonl\), .*d\.txt \(text\).*folder of"
    ):
        infer_format([str(dump)])


def test_a_suffix_that_tells_nothing_asks_for_the_option(dump: Path) -> None:
    (dump / "dump").write_bytes(b"")
    with pytest.raises(ValueError, match=r"`--input_format` must be given where .* got .*dump'\. Name one of text, js"):
        infer_format([str(dump / "dump")])


def test_an_input_that_matches_nothing_is_named(dump: Path) -> None:
    with pytest.raises(ValueError, match=r"must match at least one file, got '.*/none\*'\. Check the path"):
        infer_format([str(dump), str(dump / "none*")])


def test_the_defaults_are_those_of_the_configuration() -> None:
    assert to_config(AnnotateOptions([]), "text", TASKS) == AnnotateConfig()


def test_options_reach_the_configuration() -> None:
    flags = ["--model", "m", "--ner_model", "other", "--shard_bytes", "1MiB", "--keep_metadata"]
    config = to_config(AnnotateOptions([*flags, "--splitter", "none", "--max_pairs", "3"]), "jsonl", ["ner", "dp"])
    assert config.model.tasks == ("ner", "dp")
    assert config.model.models == {"ner": "other", "dp": "m"}
    assert config.model.max_pairs == 3
    assert (config.read.shard_bytes, config.read.keep_metadata, config.read.input_format) == (1 << 20, True, "jsonl")
    assert config.splitter == "none"


def test_a_model_for_a_task_that_was_not_asked_for_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`--re_model` must go with the task re, got 'tc'\. Add re to --tasks"):
        to_config(AnnotateOptions(["--re_model", "m"]), "text", ["tc"])


def test_beam_shows_the_options_and_none_of_them_clashes_with_its_own() -> None:
    options = PipelineOptions(["--output", "out", "--job_name", "j"]).get_all_options()
    assert (options["output"], options["job_name"]) == ("out", "j")


def test_the_tasks_are_those_of_the_model_and_those_with_a_model_of_their_own(tmp_path: Path) -> None:
    tiny_checkpoint(tmp_path / "model", tasks=("ner", "re"))
    options = ["--model", str(tmp_path / "model")]
    assert list_tasks(AnnotateOptions(options)) == ("ner", "re")
    assert list_tasks(AnnotateOptions([*options, "--tc_model", "small"])) == ("tc", "ner", "re")
    assert list_tasks(AnnotateOptions([])) == tuple(TASKS)
