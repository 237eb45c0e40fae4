"""Learning the tag of each character."""

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from klue_beam.transforms.models.nets.tensors import to_tensor
from klue_beam.transforms.models.text.pieces import CharIndex, index_chars
from klue_beam.transforms.tasks.entity.gold import EntityExample
from klue_beam.transforms.tasks.entity.tagging import bio_tags
from klue_beam.transforms.tasks.learning import IGNORE, LearnBatch, Output, unlabelled, whole_units


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

    def outputs(self, batch: LearnBatch) -> dict[str, Output]:
        """See Objective: ner, white space left out."""
        chars = list_chars(batch)
        labels = np.concatenate([self.tags[i] for i in batch.index])[chars.char]
        return {"ner": Output(score_tags(batch, "entity", chars), to_tensor(labels, batch.device))}


def list_chars(batch: LearnBatch) -> CharIndex:
    """List the code points of a batch that are no white space."""
    return index_chars(batch.encoded, whole_units(batch.encoded), batch.inputs.n_prefix)


def score_tags(batch: LearnBatch, head: str, chars: CharIndex) -> Tensor:
    """Score the tags of the listed code points. Shape: (n_chars, n_tags)."""
    where = [to_tensor(column, batch.device) for column in (chars.unit, chars.token, chars.nth)]
    logits: Tensor = batch.heads[head](batch.states.hidden, *where)
    return logits.float()


def unlabelled_tags(batch: LearnBatch) -> Mapping[str, Output]:
    """Give the outputs of texts of which no tag is known: ner, and mention where the model has that head."""
    chars = list_chars(batch)
    heads = {"ner": "entity", "mention": "mention"}
    return {name: unlabelled(score_tags(batch, head, chars)) for name, head in heads.items() if head in batch.heads}
