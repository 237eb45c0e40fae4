"""What a model in this process finds in texts, without a pipeline."""

from collections.abc import Sequence
from typing import Any

from klue_beam.transforms.models.checkpoints.multitask import MultiTaskModel
from klue_beam.transforms.models.engine.engine import MultiTaskEngine
from klue_beam.transforms.models.text.pieces import TextTokenizer
from klue_beam.transforms.training.forward import device_of


def make_engine(model: MultiTaskModel, tokenizer: TextTokenizer, tasks: Sequence[str]) -> MultiTaskEngine:
    """Give the engine of annotate for some tasks of a model, which goes into evaluation mode."""
    return MultiTaskEngine(model, tokenizer, tasks, token_budget=4096, device=device_of(model))


def find(model: MultiTaskModel, tokenizer: TextTokenizer, task: str, texts: Sequence[str]) -> Any:
    """Give what a task finds in texts."""
    return make_engine(model, tokenizer, [task]).annotate(texts).found[task]
