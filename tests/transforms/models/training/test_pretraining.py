"""Pre-training: what is hidden, passages, resuming to the bit, and that it learns."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertConfig

from tests.tiny_models import SENTENCES, tiny_tokenizer
from transforms.models.checkpoint import build_encoder
from transforms.models.pieces import TextTokenizer
from transforms.models.training.corpus import Corpus, Source, build_corpus, word_starts
from transforms.models.training.pretraining import (
    MaskedLanguageModel,
    PretrainConfig,
    Pretrainer,
    choose_hidden,
    lay_out,
    plan_round,
    read_targets,
    without_dropout,
)

CONFIG = PretrainConfig(
    passes={"lines": 2.0}, rounds=2, batch_tokens=200, accumulate=2, rate=3e-3, warmup_steps=2, evaluate_steps=5
)


@pytest.fixture(scope="module")
def tokenizer() -> TextTokenizer:
    return TextTokenizer(tiny_tokenizer())


@pytest.fixture(scope="module")
def corpus(tokenizer: TextTokenizer) -> Corpus:
    lines = [sentence for sentence in SENTENCES for _ in range(10)]
    documents = ["\n".join(SENTENCES[i:] + SENTENCES[:i]) for i in range(6)]
    sources = [Source("lines", lines, False), Source("documents", documents, True)]
    return build_corpus(sources, tokenizer, max_positions=64, held_out_share=0.1)


def make_encoder(tokenizer: TextTokenizer) -> torch.nn.Module:
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=len(tokenizer.tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        pad_token_id=tokenizer.pad_id,
    )
    encoder = build_encoder(config)
    without_dropout(encoder)
    return encoder


def make_run(tokenizer: TextTokenizer, corpus: Corpus, folder: Path, config: PretrainConfig = CONFIG) -> Pretrainer:
    targets = read_targets(make_encoder(tokenizer), tokenizer, corpus, {"lines": True}, folder)
    model = MaskedLanguageModel(make_encoder(tokenizer), targets.shape[1])
    return Pretrainer(model, tokenizer, corpus, config, folder, targets)


def test_passages_hold_the_texts_and_fit_the_encoder(tokenizer: TextTokenizer, corpus: Corpus, tmp_path: Path) -> None:
    assert corpus.lengths.max() <= 64 - tokenizer.n_special
    documents = corpus.source == corpus.names.index("documents")
    assert corpus.lengths[documents].max() > 64 // 4
    single = [corpus.ids[b:e] for b, e in zip(corpus.offsets[:-1], corpus.offsets[1:], strict=True)]
    whole = tokenizer.encode([SENTENCES[0]]).pieces.ids
    assert np.array_equal(single[0], whole[: 64 // 4 - tokenizer.n_special])
    corpus.save(tmp_path)
    again = Corpus.load(tmp_path)
    assert again.names == corpus.names
    assert np.array_equal(again.ids, corpus.ids)


def test_whole_groups_are_hidden_and_the_share_is_right() -> None:
    random = np.random.default_rng(3)
    sizes = random.integers(1, 5, 4000)
    groups = np.repeat(np.arange(4000), sizes)
    offsets = np.concatenate([[0], np.cumsum(sizes.reshape(100, 40).sum(1))])
    hidden = choose_hidden(groups, offsets, 0.2, random)
    assert all(len(set(hidden[groups == group])) == 1 for group in range(200))
    assert 0.18 < hidden.mean() < 0.22


def test_a_batch_hides_words_and_says_where(tokenizer: TextTokenizer, corpus: Corpus) -> None:
    passages = np.flatnonzero(corpus.lengths > 8)[:20]
    starts = word_starts(tokenizer)
    batch = lay_out(corpus, passages, tokenizer, starts, 0.3, np.random.default_rng(1))
    told = batch.input_ids.copy()
    told.reshape(-1)[batch.positions] = batch.labels
    for row, passage in enumerate(passages):
        ids = corpus.ids[corpus.offsets[passage] : corpus.offsets[passage + 1]]
        assert np.array_equal(told[row][batch.mask[row]], [*tokenizer.prefix, *ids, *tokenizer.suffix])
    changed = batch.input_ids.reshape(-1)[batch.positions]
    assert 0.6 < (changed == tokenizer.hidden_id).mean() < 1
    assert not np.isin(batch.labels, [*tokenizer.prefix, *tokenizer.suffix]).any()


def test_parts_of_a_source_come_in_turn(tokenizer: TextTokenizer, corpus: Corpus) -> None:
    config = dataclasses.replace(CONFIG, passes={"lines": 0.5, "documents": 1.0})
    rounds = [np.concatenate(plan_round(corpus, config, number, tokenizer.n_special)) for number in (0, 1)]
    lines = [set(one[corpus.source[one] == 0]) for one in rounds]
    assert not lines[0] & lines[1]
    assert not corpus.held_out[rounds[0]].any()


def test_a_run_learns_and_goes_on_to_the_bit(tokenizer: TextTokenizer, corpus: Corpus, tmp_path: Path) -> None:
    whole = make_run(tokenizer, corpus, tmp_path / "whole")
    before = whole.evaluate()["lines"]
    assert whole.run()
    assert whole.evaluate()["lines"] < before - 0.5
    parts = make_run(tokenizer, corpus, tmp_path / "parts")
    assert not parts.run(stop_after=7)
    parts = make_run(tokenizer, corpus, tmp_path / "parts")
    parts.resume()
    assert parts.step == 7
    assert parts.run()
    for name, weight in whole.model.state_dict().items():
        assert torch.equal(weight, parts.model.state_dict()[name]), name


def test_a_branch_goes_on_from_another_run(tokenizer: TextTokenizer, corpus: Corpus, tmp_path: Path) -> None:
    level = make_run(tokenizer, corpus, tmp_path / "level", dataclasses.replace(CONFIG, decay_share=0.0))
    assert level.run()
    branch = make_run(tokenizer, corpus, tmp_path / "branch", dataclasses.replace(CONFIG, rounds=3))
    branch.resume(tmp_path / "level" / "pretraining_state.pt")
    assert branch.step == level.n_steps < branch.n_steps
    assert branch.run()
    other = make_run(tokenizer, corpus, tmp_path / "other", dataclasses.replace(CONFIG, seed=2))
    with pytest.raises(ValueError, match="must go on with"):
        other.resume(tmp_path / "level" / "pretraining_state.pt")


def test_targets_are_standard_and_of_short_passages_of_the_named_sources(
    tokenizer: TextTokenizer, corpus: Corpus, tmp_path: Path
) -> None:
    targets = read_targets(make_encoder(tokenizer), tokenizer, corpus, None, tmp_path, max_pieces=20)
    known = ~np.isnan(targets[:, 0])
    assert np.array_equal(known, corpus.lengths <= 20)
    assert np.abs(targets[known].astype(np.float32).mean(0)).max() < 0.05
    again = read_targets(make_encoder(tokenizer), tokenizer, corpus, {"lines": True}, tmp_path)
    assert not np.isnan(again[corpus.source == 0]).any()
