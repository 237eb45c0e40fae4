"""The graph on a Beam runner in this process gives what the local driver gives."""

import json
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from klue_beam.beam_pipelines.commands import annotate as annotate_command
from klue_beam.beam_pipelines.graphs.dataset import build
from klue_beam.schemas.config import AnnotateConfig
from klue_beam.schemas.shard import Receipt
from klue_beam.transforms.plan.plan import load_plan
from klue_beam.transforms.plan.receipts import load_receipts
from tests.beam_pipelines.conftest import Corpus
from tests.engines.corpus import check_same, hash_files


def test_the_graph_on_a_named_runner_writes_the_same_files(corpus: Corpus, undisturbed: Path, tmp_path: Path) -> None:
    dataset = tmp_path / "out"
    assert annotate_command.main(corpus.arguments(dataset, "--runner", "FnApiRunner")) == 0
    check_same(dataset, undisturbed)


def test_shards_that_are_complete_do_no_harm(undisturbed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan, before = load_plan(str(undisturbed)), hash_files(undisturbed)
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        receipts = build(
            pipeline, plan.shards, AnnotateConfig.from_dict(plan.config), plan.config_hash, str(undisturbed)
        )
        _ = receipts | beam.Map(print)
    assert capsys.readouterr().out == ""
    assert hash_files(undisturbed) == before


def test_the_graph_gives_the_receipts_of_what_it_committed(corpus: Corpus, undisturbed: Path, tmp_path: Path) -> None:
    dataset = tmp_path / "out"
    arguments = ["--input", str(corpus.stream), "--output", str(dataset), *corpus.options, "--runner", "FnApiRunner"]
    assert annotate_command.main(arguments) == 0
    (dataset / "_SUCCESS").unlink()
    stored = load_receipts(str(dataset))
    last = stored[-1]
    for path in (f"_receipts/part-{last.shard_id:06d}-{last.segment:06d}.json", last.data.path):
        (dataset / path).unlink()
    plan = load_plan(str(dataset))
    given = tmp_path / "given"
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        receipts = build(pipeline, plan.shards, AnnotateConfig.from_dict(plan.config), plan.config_hash, str(dataset))
        _ = receipts | beam.Map(lambda text: given.write_text(text, encoding="utf-8"))
    assert Receipt.from_json(given.read_text(encoding="utf-8")) == last == load_receipts(str(dataset))[-1]
    assert json.loads(given.read_text(encoding="utf-8"))["last_of_shard"]
