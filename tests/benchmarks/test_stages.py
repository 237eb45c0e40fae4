"""Stages, the models' share of a whole run, and what a run costs."""

import re

import pytest

from benchmarks import cost, stages
from benchmarks.engine_parts import EngineWatch
from benchmarks.timing import time_call
from benchmarks.whole_run import models_of
from klue_beam.schemas.config import ModelConfig
from klue_beam.transforms.models.engine.loading import load_engines
from klue_beam.transforms.models.engine.resolving import resolve_models
from tests.tiny_models import SENTENCES


def test_stages_and_overhead(texts: str, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert stages.main(["--input", texts, "--sentences", "12", "--model", model, "--command"]) == 0
    out = capsys.readouterr().out
    for stage in ("read", "split", "tokenise", "forward", "decode", "write"):
        assert re.search(rf"^{stage} +[\d,]+ +[\d.]+ +[\d.]+ +[\d,]+ +[\d,.]+", out, re.MULTILINE), stage
    assert re.search(r"slowest: \w+; \w+ is [\d.]+ times as fast", out)
    assert re.search(r"share of tokenise \+ forward in the time of the whole run: [\d.]+%", out)
    assert re.search(r"ratio of the whole run's speed to the bare models': [\d.]+ \([\d.]+ by CPU", out)
    assert re.search(r"padding: [\d.]+% of the tokens", out)
    assert re.search(
        r"ratio of the command's speed \([\d.]+ sentences/s after its first shard\) to the bare models'", out
    )


def test_stages_of_four_checkpoints(texts: str, capsys: pytest.CaptureFixture[str]) -> None:
    call = ["--input", texts, "--sentences", "4", "--model", "checkpoints", "--size", "mini"]
    assert stages.main(call) == 0
    out = capsys.readouterr().out
    assert "at most 2 pairs a sentence" in out
    assert re.search(r"ratio of the whole run's speed to the bare models': [\d.]+", out)


def test_a_watch_sees_tokenizer_and_model_and_repeats_the_calls(model: str) -> None:
    (engine,) = load_engines(resolve_models(ModelConfig(models=models_of(model))))
    before = engine.annotate(SENTENCES)
    watch = EngineWatch([engine], keep_calls=True)
    found, spent = time_call(lambda: engine.annotate(SENTENCES))
    assert found.found["tc"].label.tolist() == before.found["tc"].label.tolist()
    assert watch.tokenise.wall > 0
    assert watch.forward.wall > 0
    assert watch.tokenise.wall + watch.forward.wall < spent.wall
    called = {method.__qualname__ for method, _, _ in watch.calls}
    assert {"MultiTaskModel.forward", "SentenceHead.forward", "RelationHead.score"} <= called
    n_calls, forward = len(watch.calls), watch.forward
    assert watch.replay().wall > 0
    lengths = engine.tokenizer.encode(SENTENCES).pieces.lengths + engine.tokenizer.n_special
    padded = sum(args[0].numel() for method, args, _ in watch.calls if method.__qualname__ == "MultiTaskModel.forward")
    assert watch.padding_share() == pytest.approx(1 - lengths.sum() / padded)
    assert (len(watch.calls), watch.forward) == (n_calls, forward)
    watch.clear()
    with pytest.raises(RuntimeError, match="got no call to repeat"):
        watch.replay()


def test_cost_of_two_models(texts: str, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cost.main(["--input", texts, "--sentences", "12", "--model", model, model]) == 0
    out = capsys.readouterr().out
    assert re.search(r"one thread, \S+ with(out)? bf16", out)
    assert "sentences/core-hour" in out
    assert "core-hours/TB" in out
    assert re.search(r"is [\d.]+ times as fast as ", out)


@pytest.mark.parametrize("command", [stages, cost])
def test_an_input_that_is_not_there_is_refused(command, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--input", "/no/such.jsonl", "--model", model]) == 2
    assert "Each input must match at least one file" in capsys.readouterr().err
