"""A device whose memory is too small for a batch, and for a sentence."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from klue_beam.transforms.models.checkpoints.checkpoint import load_model
from klue_beam.transforms.models.engine.engine import Annotations, MultiTaskEngine
from tests.tiny_models import SENTENCES, tiny_checkpoint

TASKS = ("tc", "ner", "dp")


class SmallMemory(nn.Module):
    """An encoder on a device that has room for so many tokens, padding included."""

    def __init__(self, encoder: Any, room: int) -> None:
        super().__init__()
        self.encoder, self.config, self.room = encoder, encoder.config, room
        self.asked: list[int] = []

    def forward(self, input_ids: Tensor, **options: Any) -> Any:
        self.asked.append(input_ids.numel())
        if input_ids.numel() > self.room:
            raise torch.OutOfMemoryError(f"no room for {input_ids.numel()} tokens")
        return self.encoder(input_ids=input_ids, **options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("tiny") / "model")


def make_engine(folder: Path, room: int) -> tuple[MultiTaskEngine, SmallMemory]:
    model, tokenizer = load_model(folder)
    memory = SmallMemory(model.encoder, room)
    model.encoder = memory
    return MultiTaskEngine(model, tokenizer, TASKS, token_budget=4096), memory


def count_tokens(folder: Path) -> list[int]:
    _, tokenizer = load_model(folder)
    return [len(tokenizer.encode([text]).pieces.ids) + tokenizer.n_special for text in SENTENCES]


def labels(found: Annotations) -> Sequence[Any]:
    topics, entities, arcs = (found.found[task] for task in TASKS)
    return [
        topics.label.tolist(),
        *(column.tolist() for column in (entities.text, entities.begin, entities.end, entities.label)),
        *(column.tolist() for column in (arcs.eojeol, arcs.head, arcs.label)),
    ]


def test_a_batch_that_does_not_fit_is_run_in_smaller_ones_and_the_size_is_remembered(folder: Path) -> None:
    """Nothing is lost, and what was too much once is not tried again, in later calls neither."""
    room = max(count_tokens(folder)) * 2
    free, _ = make_engine(folder, 10**9)
    engine, memory = make_engine(folder, room)
    found = engine.annotate(SENTENCES)
    assert found.failures == {}
    assert labels(found) == labels(free.annotate(SENTENCES))
    assert max(memory.asked) > room
    assert engine.budget.tokens <= room
    memory.asked.clear()
    engine.annotate(SENTENCES)
    assert max(memory.asked) <= room


def test_a_sentence_that_does_not_fit_alone_fails_as_a_row(folder: Path) -> None:
    """The others are annotated, and the budget of later batches is not that sentence's fault."""
    lengths = count_tokens(folder)
    longest = max(range(len(lengths)), key=lengths.__getitem__)
    assert sorted(lengths)[-2] < lengths[longest]
    engine, _ = make_engine(folder, lengths[longest] - 1)
    found = engine.annotate(SENTENCES)
    assert found.failures == {longest: f"OutOfMemoryError: no room for {lengths[longest]} tokens"}
    free, _ = make_engine(folder, 10**9)
    expected = free.annotate(SENTENCES)
    theirs = expected.found["tc"].label.tolist()
    theirs[longest] = -1
    assert found.found["tc"].label.tolist() == theirs
    budget = engine.budget.tokens
    engine.annotate([SENTENCES[longest], SENTENCES[longest - 1]])
    assert 0 < engine.budget.tokens <= budget


def test_a_device_without_room_for_anything_stops_the_run(folder: Path) -> None:
    engine, _ = make_engine(folder, 3)
    with pytest.raises(RuntimeError, match=r"must work on a plain sentence, got OutOfMemoryError: no room for"):
        engine.annotate(SENTENCES)
