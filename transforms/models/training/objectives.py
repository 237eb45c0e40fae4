"""What each task asks of the model in training: its examples, and what the model says of a batch beside the labels."""

import dataclasses
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from schemas.labels import ENTITY_TYPES
from transforms.codepoints import Ints
from transforms.formats.klue import DependencyExample, EntityExample, RelationExample, TopicExample
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
)
from transforms.models.relating import TokenStates, flatten_states, join_states, locate_pairs
from transforms.models.spec import bio_tags

IGNORE: Final = -100
"""The label that a loss leaves out."""

TITLE_TYPE: Final = "CV"
"""Positions, occupations, kinships (`대통령`, `선생님`, `부모`), for a model whose mention types have it: KLUE-RE calls
them POH where they are a person's title. The letters are those of the 150 kinds of KLUE-NER's corpus."""

UNKNOWN_MENTION_WEIGHT: Final = 0.1
"""How much "no mention here" counts where KLUE-RE says nothing: it marks two mentions of a sentence, not all."""


@dataclasses.dataclass(frozen=True, slots=True)
class Output:
    """What the model says of the items of a batch (texts, characters, pairs, eojeols), and what is true.

    Attributes:
      logits: Shape: (n_items, n_classes), float32.
      labels: IGNORE where nothing is known. Shape: (n_items,).
      item_weights: how much each item counts; None for all alike. Shape: (n_items,).
      weight: how much this output counts in the loss.
      label_smoothing: of its cross entropy.
      is_padded: whether an item without a label is padding, and none that a teacher could label.
    """

    logits: Tensor
    labels: Tensor
    item_weights: Tensor | None = None
    weight: float = 1.0
    label_smoothing: float = 0.0
    is_padded: bool = False

    def loss(self) -> Tensor:
        """Give the weighted mean cross entropy; 0 where nothing is known."""
        each = functional.cross_entropy(
            self.logits, self.labels, ignore_index=IGNORE, label_smoothing=self.label_smoothing, reduction="none"
        )
        weights = (self.labels != IGNORE).to(each.dtype)
        if self.item_weights is not None:
            weights = weights * self.item_weights
        return self.weight * (each * weights).sum() / weights.sum().clamp(min=1e-6)


class States(NamedTuple):
    """What an encoder makes of a padded batch.

    Attributes:
      hidden: the last states. Shape: (B, L, H).
      lower: those below the layers that run again for pairs. Shape: (B, L, H).
      mask: 1 for a token. Shape: (B, L).
    """

    hidden: Tensor
    lower: Tensor
    mask: Tensor


class Tree(NamedTuple):
    """A text's arcs, one an eojeol.

    Attributes:
      heads: 1-based, 0 for the root. Shape: (n_eojeols,).
      labels: numbers of deprels. Shape: (n_eojeols,).
    """

    heads: Ints
    labels: Ints


class Objective(Protocol):
    """A data set with what the model is asked of it."""

    @property
    def name(self) -> str:
        """What the progress display and the recipe call it."""
        ...

    @property
    def texts(self) -> Sequence[str]:
        """The text of each example."""
        ...

    def known(self) -> bytes:
        """Give all that is known of the texts: a run goes on only with the same."""
        ...

    def outputs(
        self, model: MultiTaskModel, states: States, encoded: EncodedTexts, inputs: PaddedInputs, index: Ints
    ) -> dict[str, Output]:
        """Run the heads on a batch.

        Args:
          model: whose heads.
          states: what its encoder made of the batch.
          encoded, inputs: the batch's texts, one unit each.
          index: which examples these are. Shape: (batch_size,).

        Returns:
          The outputs by name, as ModelSpec's calibration names them.
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


def run_encoder(model: MultiTaskModel, inputs: PaddedInputs) -> States:
    """Run a model's encoder on a batch."""
    device = device_of(model)
    mask = to_tensor(inputs.mask, device)
    hidden, lower = model(to_tensor(inputs.input_ids, device), mask)
    return States(hidden, lower, mask)


def device_of(model: nn.Module) -> torch.device:
    """Tell where a model's weights are."""
    return next(model.parameters()).device


class TopicObjective:
    """The topic, with label smoothing since headlines are ambiguous.

    Args:
      name: what the recipe calls it.
      examples: texts with their topics.
      topics: the model's.
      even: learn scores to which the shares of the examples' topics are still to be added, so that the model holds all
        topics for alike likely (Menon et al., 2021, https://arxiv.org/abs/2007.07314).
    """

    def __init__(
        self, name: str, examples: Sequence[TopicExample], topics: Sequence[str], *, even: bool = False
    ) -> None:
        self.name = name
        self.texts = [example.text for example in examples]
        self.labels = np.array([topics.index(example.label) for example in examples])
        counts = np.bincount(self.labels, minlength=len(topics)) + 1.0
        shares = counts / counts.sum() if even else np.full(len(topics), 1 / len(topics))
        self.log_shares = np.log(shares * len(topics)).astype(np.float32)

    def known(self) -> bytes:
        """See Objective: the topics, and their shares where they count."""
        return self.labels.tobytes() + (self.log_shares.tobytes() if self.log_shares.any() else b"")

    def outputs(
        self,
        model: MultiTaskModel,
        states: States,
        encoded: EncodedTexts,  # noqa: ARG002 - the same call for every objective
        inputs: PaddedInputs,  # noqa: ARG002
        index: Ints,
    ) -> dict[str, Output]:
        """See Objective: tc."""
        logits = model.topic(states.hidden, states.mask).float()
        logits = logits + to_tensor(self.log_shares, logits.device)
        return {"tc": Output(logits, to_tensor(self.labels[index], logits.device), label_smoothing=0.05)}


class EntityObjective:
    """The tag of each character; one of None is left out."""

    def __init__(self, name: str, examples: Sequence[EntityExample], types: Sequence[str]) -> None:
        self.name = name
        self.texts = [example.text for example in examples]
        tag_ids = {tag: i for i, tag in enumerate(bio_tags(types))}
        self.tags = [np.array([IGNORE if tag is None else tag_ids[tag] for tag in e.tags]) for e in examples]

    def known(self) -> bytes:
        """See Objective: the tags."""
        return b"".join(tags.tobytes() for tags in self.tags)

    def outputs(
        self, model: MultiTaskModel, states: States, encoded: EncodedTexts, inputs: PaddedInputs, index: Ints
    ) -> dict[str, Output]:
        """See Objective: ner, white space left out."""
        chars = index_chars(encoded, whole_units(encoded), inputs.n_prefix)
        labels = np.concatenate([self.tags[i] for i in index])[chars.char]
        return {"ner": Output(tag_logits(model.entity, states.hidden, chars), to_tensor(labels, device_of(model)))}


def tag_logits(head: nn.Module, hidden: Tensor, chars: CharIndex) -> Tensor:
    """Score the tags of the listed code points. Shape: (n_chars, n_tags)."""
    where = [to_tensor(column, hidden.device) for column in (chars.unit, chars.token, chars.nth)]
    logits: Tensor = head(hidden, *where)
    return logits.float()


class RelationObjective:
    """The relation between the two marked mentions, and the mentions of types that only KLUE-RE has."""

    def __init__(
        self,
        name: str,
        examples: Sequence[RelationExample],
        relations: Sequence[str],
        mention_types: Sequence[str],
    ) -> None:
        self.name = name
        self.examples = examples
        self.texts = [example.text for example in examples]
        self.labels = np.array([relations.index(example.label) for example in examples])
        self.tag_ids = {tag: i for i, tag in enumerate(bio_tags(mention_types))}
        titles = (row.text[row.object.begin : row.object.end] for row in examples if row.label == "per:title")
        self._titles = frozenset(titles) if f"B-{TITLE_TYPE}" in self.tag_ids else frozenset()

    def known(self) -> bytes:
        """See Objective: the mentions and their relations."""
        return repr([(example.subject, example.object, example.label) for example in self.examples]).encode()

    def outputs(
        self, model: MultiTaskModel, states: States, encoded: EncodedTexts, inputs: PaddedInputs, index: Ints
    ) -> dict[str, Output]:
        """See Objective: re, and mention where the model has that head."""
        device = device_of(model)
        units = whole_units(encoded)
        batch = [self.examples[i] for i in index]
        lengths = inputs.mask.sum(1)
        tokens = flatten_states(states.lower, states.mask)
        flat = join_states([(np.arange(len(batch)), lengths, tokens)], len(batch), tokens)
        pairs = _locate_pairs(encoded, units, inputs.n_prefix, flat, batch)
        logits = model.relation(flat.states, to_tensor(pairs, device)).float()
        outputs = {"re": Output(logits, to_tensor(self.labels[index], device), label_smoothing=0.1)}
        if model.spec.mention_types and "ner" in model.spec.tasks:
            chars = index_chars(encoded, units, inputs.n_prefix)
            tags, weights = (to_tensor(a[chars.char], device) for a in self._mention_tags(batch, encoded.chars.offsets))
            outputs["mention"] = Output(tag_logits(model.mention, states.hidden, chars), tags, weights, weight=0.5)
        return outputs

    def _mention_tags(self, batch: Sequence[RelationExample], offsets: Ints) -> tuple[Ints, npt.NDArray[np.float32]]:
        tags = np.zeros(offsets[-1], dtype=np.int64)
        weights = np.full(offsets[-1], UNKNOWN_MENTION_WEIGHT, dtype=np.float32)
        for offset, example in zip(offsets[:-1], batch, strict=True):
            for mention in (example.subject, example.object):
                weights[offset + mention.begin : offset + mention.end] = 1.0
                is_title = mention.type == "POH" and example.text[mention.begin : mention.end] in self._titles
                type_ = TITLE_TYPE if is_title else mention.type
                if f"B-{type_}" in self.tag_ids:
                    tags[offset + mention.begin : offset + mention.end] = self.tag_ids[f"I-{type_}"]
                    tags[offset + mention.begin] = self.tag_ids[f"B-{type_}"]
        return tags, weights


def _locate_pairs(
    encoded: EncodedTexts, units: Units, n_prefix: int, states: TokenStates, examples: Sequence[RelationExample]
) -> Ints:
    """Say where the pair of each text stands. Shape: (batch_size, 8)."""
    mentions = [(example.subject, example.object) for example in examples]
    bounds = np.array([[bound for m in pair for bound in (m.begin, m.end - 1)] for pair in mentions])
    types = np.array([[ENTITY_TYPES.index(m.type) for m in pair] for pair in mentions])
    chars = encoded.chars.offsets[:-1, None] + bounds
    return locate_pairs(encoded, units, n_prefix, states, np.arange(len(examples)), chars, types)


class DependencyObjective:
    """Heads, and labels given the gold heads.

    Args:
      name: what the recipe calls it.
      examples: trees over white-space-separated words.
      deprels: the label set.
      head: a head of its own for a treebank with another scheme; None for the model's.

    Raises:
      ValueError: on a tree whose forms are not the eojeols of its text, or with a word that is its own head.
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
        for example in examples:
            if example.text.split() != list(example.forms) or any(
                head == number for number, head in enumerate(example.heads, 1)
            ):
                raise ValueError(
                    f"A tree must be over white-space-separated words, none its own head, got {example.guid}: "
                    f"{example.text[:40]!r}. Leave the sentence out."
                )
        if unknown := sorted({deprel for example in examples for deprel in example.deprels} - set(deprels)):
            raise ValueError(
                f"A tree's deprels must be out of {', '.join(deprels)}, got {unknown[0]!r}. Correct the file, or give "
                "it as `dp_aux`, which has labels of its own."
            )
        numbers = {deprel: number for number, deprel in enumerate(deprels)}
        self.trees = [Tree(np.array(e.heads), np.array([numbers[deprel] for deprel in e.deprels])) for e in examples]
        self.head = head

    def known(self) -> bytes:
        """See Objective: the trees."""
        return b"".join(column.tobytes() for tree in self.trees for column in tree)

    def outputs(
        self, model: MultiTaskModel, states: States, encoded: EncodedTexts, inputs: PaddedInputs, index: Ints
    ) -> dict[str, Output]:
        """See Objective: arc and deprel."""
        parser = self.head if self.head is not None else model.dependency
        return tree_outputs(parser, states.hidden, encoded, inputs, [self.trees[i] for i in index])


def tree_outputs(
    parser: DependencyHead,
    hidden: Tensor,
    encoded: EncodedTexts,
    inputs: PaddedInputs,
    trees: Sequence[Tree],
) -> dict[str, Output]:
    """Score the arcs of a batch, and the labels of the arcs that it has.

    Args:
      parser: scores them.
      hidden: the last states. Shape: (B, L, H).
      encoded, inputs: the batch's texts, one unit each.
      trees: of each text; an empty one where there is none, which is left out.
    """
    where = index_eojeols(encoded, np.arange(len(trees)), inputs.n_prefix)
    arcs, dependents, candidates = parser(
        hidden, *(to_tensor(column, hidden.device) for column in (where.first, where.last, where.n_eojeols))
    )
    heads, labels = zip(*trees, strict=True)
    gold, known = (to_tensor(_pad(rows, where.first.shape[1]), hidden.device) for rows in (heads, labels))
    label_logits = parser.score_labels(dependents, candidates, gold.clamp(min=0))
    return {
        "arc": Output(arcs.float().flatten(0, 1), gold.flatten(), is_padded=True),
        "deprel": Output(label_logits.float().flatten(0, 1), known.flatten(), is_padded=True),
    }


def _pad(rows: Sequence[Ints], width: int) -> Ints:
    padded = np.full((len(rows), width), IGNORE, dtype=np.int64)
    for i, row in enumerate(rows):
        padded[i, : len(row)] = row
    return padded


def run_objective(
    objective: Objective, model: MultiTaskModel, tokenizer: TextTokenizer, index: Ints
) -> dict[str, Output]:
    """Tokenise a batch of an objective's examples and run it. Shape of index: (batch_size,)."""
    encoded, inputs = encode_batch([objective.texts[i] for i in index], tokenizer)
    return objective.outputs(model, run_encoder(model, inputs), encoded, inputs, index)


def total_loss(outputs: dict[str, Output]) -> Tensor:
    """Sum the losses of a batch's outputs."""
    return torch.stack([output.loss() for output in outputs.values()]).sum()
