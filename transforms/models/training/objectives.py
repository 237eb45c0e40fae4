"""What each task asks of the model in training: its examples, and the loss of a batch of them."""

from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from schemas.labels import ENTITY_TYPES
from transforms.codepoints import Ints
from transforms.formats.klue import DependencyExample, EntityExample, Mention, RelationExample, TopicExample
from transforms.models.heads import DependencyHead
from transforms.models.multitask import MultiTaskModel, to_tensor
from transforms.models.pieces import (
    CharIndex,
    EncodedTexts,
    PaddedInputs,
    TextTokenizer,
    Units,
    index_chars,
    index_eojeols,
    pad_units,
    tokens_of_chars,
)
from transforms.models.spec import bio_tags

IGNORE: Final = -100
"""The label that a loss leaves out."""

UNKNOWN_MENTION_WEIGHT: Final = 0.1
"""How much "no mention here" counts where KLUE-RE says nothing: it marks two mentions of a sentence, not all."""


class Objective(Protocol):
    """A data set with its loss.

    Attributes:
      name: what the progress display and the recipe call it.
      texts: the text of each example.
    """

    name: str
    texts: Sequence[str]

    def loss(self, model: MultiTaskModel, encoded: EncodedTexts, inputs: PaddedInputs, index: Ints) -> Tensor:
        """Give the mean loss of a batch.

        Args:
          model: the model in training.
          encoded, inputs: the batch's texts, one unit each.
          index: which examples these are. Shape: (batch_size,).
        """
        ...


def whole_units(encoded: EncodedTexts) -> Units:
    """Take each text as one unit."""
    offsets = encoded.pieces.offsets
    return Units(np.arange(len(encoded.texts)), offsets[:-1], offsets[1:])


def encode_batch(texts: Sequence[str], tokenizer: TextTokenizer) -> tuple[EncodedTexts, PaddedInputs]:
    """Tokenise texts and lay them out, one unit each."""
    encoded = tokenizer.encode(texts)
    return encoded, pad_units(encoded, whole_units(encoded), tokenizer)


def device_of(model: nn.Module) -> torch.device:
    """Tell where a model's weights are."""
    return next(model.parameters()).device


class TopicObjective:
    """Cross entropy of the topic, with label smoothing since headlines are ambiguous."""

    def __init__(self, name: str, examples: Sequence[TopicExample], topics: Sequence[str]) -> None:
        self.name = name
        self.texts = [example.text for example in examples]
        self.labels = np.array([topics.index(example.label) for example in examples])

    def loss(self, model: MultiTaskModel, encoded: EncodedTexts, inputs: PaddedInputs, index: Ints) -> Tensor:
        """See Objective."""
        device = device_of(model)
        mask = to_tensor(inputs.mask, device)
        hidden, _ = model(to_tensor(inputs.input_ids, device), mask)
        logits = model.topic(hidden, mask)
        return functional.cross_entropy(logits.float(), to_tensor(self.labels[index], device), label_smoothing=0.05)


class EntityObjective:
    """Cross entropy of each character's tag; a tag of None is left out."""

    def __init__(self, name: str, examples: Sequence[EntityExample], types: Sequence[str]) -> None:
        self.name = name
        self.texts = [example.text for example in examples]
        tag_ids = {tag: i for i, tag in enumerate(bio_tags(types))}
        self.tags = [np.array([IGNORE if tag is None else tag_ids[tag] for tag in e.tags]) for e in examples]

    def loss(self, model: MultiTaskModel, encoded: EncodedTexts, inputs: PaddedInputs, index: Ints) -> Tensor:
        """See Objective."""
        device = device_of(model)
        hidden, _ = model(to_tensor(inputs.input_ids, device), to_tensor(inputs.mask, device))
        chars = index_chars(encoded, whole_units(encoded), inputs.n_prefix)
        labels = np.concatenate([self.tags[i] for i in index])[chars.char]
        logits = tag_logits(model.entity, hidden, chars)
        return functional.cross_entropy(logits.float(), to_tensor(labels, device), ignore_index=IGNORE)


def tag_logits(head: nn.Module, hidden: Tensor, chars: CharIndex) -> Tensor:
    """Score the tags of the listed code points. Shape: (n_chars, n_tags)."""
    device = hidden.device
    logits: Tensor = head(
        hidden, to_tensor(chars.unit, device), to_tensor(chars.token, device), to_tensor(chars.nth, device)
    )
    return logits


def index_pairs(
    encoded: EncodedTexts,
    inputs: PaddedInputs,
    units: Units,
    unit: Ints,
    subjects: Sequence[Mention],
    objects: Sequence[Mention],
) -> npt.NDArray[np.int64]:
    """Say where the pairs of mentions stand, as RelationHead reads it.

    Args:
      encoded, inputs, units: the batch.
      unit: which unit each pair is in. Shape: (n_pairs,).
      subjects, objects: the mentions, in code points of their text.

    Returns:
      Shape: (n_pairs, 7).
    """
    columns: list[Ints] = [unit]
    text = units.text[unit]
    for mentions in (subjects, objects):
        for char in (
            np.array([mention.begin for mention in mentions], dtype=np.int64),
            np.array([mention.end - 1 for mention in mentions], dtype=np.int64),
        ):
            columns.append(tokens_of_chars(encoded, units, unit, encoded.chars.offsets[text] + char, inputs.n_prefix))
    for mentions in (subjects, objects):
        columns.append(np.array([ENTITY_TYPES.index(mention.type) for mention in mentions], dtype=np.int64))
    return np.stack(columns, 1)


class RelationObjective:
    """Cross entropy of the relation between the two marked mentions, and of the mention types that only KLUE-RE has."""

    def __init__(
        self,
        name: str,
        examples: Sequence[RelationExample],
        model_spec_relations: Sequence[str],
        mention_types: Sequence[str],
    ) -> None:
        self.name = name
        self.examples = examples
        self.texts = [example.text for example in examples]
        self.labels = np.array([model_spec_relations.index(example.label) for example in examples])
        self.tag_ids = {tag: i for i, tag in enumerate(bio_tags(mention_types))}

    def loss(self, model: MultiTaskModel, encoded: EncodedTexts, inputs: PaddedInputs, index: Ints) -> Tensor:
        """See Objective."""
        device = device_of(model)
        mask = to_tensor(inputs.mask, device)
        hidden, lower = model(to_tensor(inputs.input_ids, device), mask)
        units = whole_units(encoded)
        batch = [self.examples[i] for i in index]
        pairs = index_pairs(
            encoded, inputs, units, np.arange(len(batch)), [e.subject for e in batch], [e.object for e in batch]
        )
        logits = model.relation(lower, mask, to_tensor(pairs, device))
        labels = to_tensor(self.labels[index], device)
        loss = functional.cross_entropy(logits.float(), labels, label_smoothing=0.1)
        if not hasattr(model, "mention"):
            return loss
        chars = index_chars(encoded, units, inputs.n_prefix)
        tags, weights = self._mention_tags(batch, encoded.chars.offsets)
        each = functional.cross_entropy(
            tag_logits(model.mention, hidden, chars).float(), to_tensor(tags[chars.char], device), reduction="none"
        )
        weight = to_tensor(weights[chars.char], device)
        return loss + 0.5 * (each * weight).sum() / weight.sum()

    def _mention_tags(self, batch: Sequence[RelationExample], offsets: Ints) -> tuple[Ints, npt.NDArray[np.float32]]:
        tags = np.zeros(offsets[-1], dtype=np.int64)
        weights = np.full(offsets[-1], UNKNOWN_MENTION_WEIGHT, dtype=np.float32)
        for offset, example in zip(offsets, batch, strict=False):
            for mention in (example.subject, example.object):
                weights[offset + mention.begin : offset + mention.end] = 1.0
                if f"B-{mention.type}" in self.tag_ids:
                    tags[offset + mention.begin : offset + mention.end] = self.tag_ids[f"I-{mention.type}"]
                    tags[offset + mention.begin] = self.tag_ids[f"B-{mention.type}"]
        return tags, weights


class DependencyObjective:
    """Cross entropy of heads and of labels given the gold heads.

    Args:
      name: what the recipe calls it.
      examples: trees over white-space-separated words.
      deprels: the label set.
      head: a head of its own for a treebank with another scheme; None for the model's.
    """

    def __init__(
        self,
        name: str,
        examples: Sequence[DependencyExample],
        deprels: Sequence[str],
        head: DependencyHead | None = None,
    ) -> None:
        self.name = name
        self.texts = [example.text for example in examples]
        self.heads = [np.array(example.heads) for example in examples]
        self.labels = [np.array([deprels.index(deprel) for deprel in example.deprels]) for example in examples]
        self.head = head

    def loss(self, model: MultiTaskModel, encoded: EncodedTexts, inputs: PaddedInputs, index: Ints) -> Tensor:
        """See Objective."""
        device = device_of(model)
        hidden, _ = model(to_tensor(inputs.input_ids, device), to_tensor(inputs.mask, device))
        where = index_eojeols(encoded, np.arange(len(index)), inputs.n_prefix)
        heads = _pad([self.heads[i] for i in index])
        labels = to_tensor(_pad([self.labels[i] for i in index]), device)
        parser = self.head if self.head is not None else model.dependency
        arcs, dependents, candidates = parser(
            hidden, to_tensor(where.first, device), to_tensor(where.last, device), to_tensor(where.n_eojeols, device)
        )
        gold = to_tensor(heads, device)
        arc_loss = functional.cross_entropy(arcs.float().flatten(0, 1), gold.flatten(), ignore_index=IGNORE)
        label_logits = parser.score_labels(dependents, candidates, gold.clamp(min=0))
        return arc_loss + functional.cross_entropy(
            label_logits.float().flatten(0, 1), labels.flatten(), ignore_index=IGNORE
        )


def _pad(rows: Sequence[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
    padded = np.full((len(rows), max(len(row) for row in rows)), IGNORE, dtype=np.int64)
    for i, row in enumerate(rows):
        padded[i, : len(row)] = row
    return padded
