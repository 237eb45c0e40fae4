"""klue-beam against its peers: all sides do the same work, and the ratio is printed."""

import re

import numpy as np
import pytest

from benchmarks import peers
from benchmarks.beam_handlers import load_handler_class
from benchmarks.peer_sides import Outcome
from benchmarks.peer_work import Work, prepare_work
from benchmarks.random_checkpoints import load_tokenizer, require_known
from benchmarks.samples import sample_sentences
from benchmarks.timing import Spent
from tests.tiny_models import SENTENCES


@pytest.fixture(scope="module")
def work(texts: str, model: str) -> Work:
    return prepare_work(sample_sentences(texts, 12), model, "fp32")


def test_four_checkpoints_against_all_peers(texts: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert peers.main(["--input", texts, "--sentences", "8", "--model", "checkpoints", "--peer_size", "mini"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"klue-beam, checkpoints, fp32 is [\d.]+ times as fast as transformers\.pipeline", out)
    assert re.search(r"klue-beam, checkpoints, fp32, on Beam is [\d.]+ times as fast as Beam RunInference", out)
    assert "8 sentences" in out
    assert "the same on every side" in out
    assert re.search(r"klue-beam, checkpoints, fp32 is [\d.]+ times as fast as datatrove", out)


def test_a_multi_task_model_against_pipelines(texts: str, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    call = ["--input", texts, "--sentences", "8", "--model", model, "--peer_size", "mini", "--against", "pipeline"]
    assert peers.main([*call, "--rounds", "2"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"fp32 is [\d.]+ times as fast as transformers\.pipeline", out)
    assert "RunInference" not in out


def test_peers_are_asked_about_the_pairs_of_the_model(work: Work) -> None:
    plain = [re.sub(r"</?(subj|obj)>", "", marked) for marked in work.marked]
    texts, counts = np.unique(plain, return_counts=True)
    assert set(texts) <= set(work.texts)
    assert len(plain) > 0
    assert all(count <= 2 * work.texts.count(text) for text, count in zip(texts, counts, strict=True))
    assert all(text.count("<subj>") == text.count("</obj>") == 1 for text in work.marked)


def test_a_model_that_is_not_there_is_refused(texts: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert peers.main(["--input", texts, "--sentences", "2", "--model", "/no/such", "--peer_size", "mini"]) == 2
    assert "A model must be an embedded name" in capsys.readouterr().err


def test_text_that_the_vocabulary_does_not_know_is_refused() -> None:
    tokenizer = load_tokenizer()
    assert require_known(tokenizer, SENTENCES) < 0.01
    with pytest.raises(ValueError, match=r"Under 1% of the tokens must be unknown to the vocabulary, got \d+\.\d%\."):
        require_known(tokenizer, ["ᚠᚢᚦ ᚨᚱᚲ ᚷᚹᚺ"])


def test_a_side_that_leaves_something_out_is_not_compared(work: Work) -> None:
    second = Spent(1.0, 1.0)
    sentences = work.rows.num_rows
    sides = [(name, lambda: Outcome(second, second, sentences)) for name in ("ours", "theirs")]
    with pytest.raises(RuntimeError, match=r"theirs must give \d+ results, got \d+\. The ratio means nothing"):
        peers.require_whole(work, sides, peers.run_sides(sides, 1), 1)


def test_the_quickest_round_counts() -> None:
    seconds = iter([3.0, 2.0, 4.0])
    side = ("ours", lambda: Outcome(Spent(0.0, 0.0), Spent(9.0, next(seconds)), 1))
    (best,) = peers.run_sides([side], 3)
    assert best.spent.cpu == 2.0


def test_the_handler_is_that_of_beam() -> None:
    handler = load_handler_class()(task="text-classification", device="CPU", min_batch_size=2, max_batch_size=3)
    assert type(handler).__module__ == "apache_beam.ml.inference.huggingface_inference"
    assert handler.batch_elements_kwargs() == {"min_batch_size": 2, "max_batch_size": 3}
