"""Learning the relation between two marked mentions."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from klue_beam.schemas.labels import ENTITY_TYPES, NO_RELATION
from klue_beam.transforms.base.codepoints import Ints
from klue_beam.transforms.models.nets.tensors import to_tensor
from klue_beam.transforms.tasks.calibration import fit_calibration, fit_threshold
from klue_beam.transforms.tasks.entity.learn import list_chars, score_tags
from klue_beam.transforms.tasks.entity.tagging import bio_tags
from klue_beam.transforms.tasks.learning import Fit, LearnBatch, Output, whole_units
from klue_beam.transforms.tasks.relation.gold import RelationExample
from klue_beam.transforms.tasks.relation.states import TokenStates, flatten_states, join_states, locate_pairs
from klue_beam.transforms.tasks.spec import Calibration

UNKNOWN_MENTION_WEIGHT: Final = 0.1
"""How much "no mention here" counts where KLUE-RE says nothing: it marks two mentions of a sentence, not all."""


class RelationObjective:
    """The relation between the two marked mentions, and the mentions of types that only KLUE-RE has.

    Args:
      name: what the recipe calls it.
      examples: KLUE-RE's rows.
      relations: the label set.
      mention_types: those that the model's head of mentions finds.
    """

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

    def known(self) -> bytes:
        """See Objective: the mentions and their relations."""
        return repr([(example.subject, example.object, example.label) for example in self.examples]).encode()

    def outputs(self, batch: LearnBatch) -> dict[str, Output]:
        """See Objective: re, and mention where the model has that head."""
        examples = [self.examples[i] for i in batch.index]
        states = batch.states
        tokens = flatten_states(states.lower, states.mask)
        flat = join_states([(np.arange(len(examples)), batch.inputs.mask.sum(1), tokens)], len(examples), tokens)
        head: Any = batch.heads["relation"]
        logits = head(flat.states, to_tensor(_locate_pairs(batch, flat, examples), batch.device)).float()
        labels = to_tensor(self.labels[batch.index], batch.device)
        outputs = {"re": Output(logits, labels, label_smoothing=0.1)}
        if "mention" in batch.heads:
            chars = list_chars(batch)
            known = self._mention_tags(examples, batch.encoded.chars.offsets)
            tags, weights = (to_tensor(column[chars.char], batch.device) for column in known)
            outputs["mention"] = Output(score_tags(batch, "mention", chars), tags, weights, weight=0.5)
        return outputs

    def _mention_tags(self, examples: Sequence[RelationExample], offsets: Ints) -> tuple[Ints, npt.NDArray[np.float32]]:
        tags = np.zeros(offsets[-1], dtype=np.int64)
        weights = np.full(offsets[-1], UNKNOWN_MENTION_WEIGHT, dtype=np.float32)
        for offset, example in zip(offsets[:-1], examples, strict=True):
            for mention in (example.subject, example.object):
                weights[offset + mention.begin : offset + mention.end] = 1.0
                if f"B-{mention.type}" in self.tag_ids:
                    tags[offset + mention.begin : offset + mention.end] = self.tag_ids[f"I-{mention.type}"]
                    tags[offset + mention.begin] = self.tag_ids[f"B-{mention.type}"]
        return tags, weights


def _locate_pairs(batch: LearnBatch, states: TokenStates, examples: Sequence[RelationExample]) -> Ints:
    """Say where the pair of each text stands. Shape: (B, 8)."""
    mentions = [(example.subject, example.object) for example in examples]
    bounds = np.array([[bound for m in pair for bound in (m.begin, m.end - 1)] for pair in mentions])
    types = np.array([[ENTITY_TYPES.index(m.type) for m in pair] for pair in mentions])
    chars = batch.encoded.chars.offsets[:-1, None] + bounds
    units, n_prefix = whole_units(batch.encoded), batch.inputs.n_prefix
    return locate_pairs(batch.encoded, units, n_prefix, states, np.arange(len(examples)), chars, types)


def fit_relations(fit: Fit, objective: RelationObjective, relations: Sequence[str]) -> dict[str, Calibration]:
    """Fit temperature, shares of the relations, and how readily no_relation is chosen.

    What is said of mentions is left alone: their labels are partial, so that a likelihood means little.
    """
    logits, labels = fit.collect(objective)["re"]
    fitted = fit_calibration(logits, labels, with_prior=True)
    return {"re": fit_threshold(logits, labels, fitted, list(relations).index(NO_RELATION))}
