"""Reading entities off a model: by tags of characters, or by tags of a checkpoint's tokens."""

import dataclasses
import re
from collections.abc import Sequence

import numpy as np
import torch

from klue_beam.schemas.labels import RE_TYPE_TO_ENTITY_TYPE
from klue_beam.transforms.base.codepoints import Ints
from klue_beam.transforms.models.nets.tensors import to_tensor
from klue_beam.transforms.models.text.pieces import EncodedTexts, index_chars
from klue_beam.transforms.tasks.annotator import (
    Annotator,
    ClassifierAnnotator,
    ClassifierPass,
    EncoderPass,
    Found,
    Pass,
    TaskModel,
    Work,
)
from klue_beam.transforms.tasks.entity.spans import (
    Entities,
    decode_entities,
    drop_overlaps,
    drop_unsure,
    merge_entities,
    no_entities,
    score_odds,
)


class EntityAnnotator(Annotator):
    """Reads entities off the tags of characters.

    Mentions of the types that KLUE-RE alone has are read off those of a second head.

    Args:
      model: the task's part of a model.
    """

    def __init__(self, model: TaskModel) -> None:
        self._model, self._spec = model, model.spec
        self._labels = (*model.spec.ner_types, *model.spec.mention_types)
        self._transitions = np.array(model.spec.tag_transitions) if model.spec.tag_transitions else None

    def forward(self, batch: EncoderPass) -> Entities:
        """See Annotator; gives the entities of the pass, spans in the flat array of code points."""
        model, spec, encoded = self._model, self._spec, batch.work.encoded
        chars = index_chars(encoded, batch.units, batch.inputs.n_prefix)
        where = [to_tensor(column, model.device) for column in (chars.unit, chars.token, chars.nth)]
        tags = model.probabilities("ner", model.heads["entity"](batch.hidden, *where))
        entities = decode_entities(tags, chars.unit, chars.char, spec.ner_types, self._transitions)
        entities = drop_unsure(entities, encoded.chars, spec.min_entity_score, spec.min_inside_score)
        if "entity" in model.calibration:
            worth = model.probabilities("entity", torch.from_numpy(score_odds(entities.score)))[:, 1]
            entities = dataclasses.replace(entities, score=worth.astype(np.float32))
        if spec.mention_types:
            tags = model.probabilities("mention", model.heads["mention"](batch.hidden, *where))
            mentions = decode_entities(tags, chars.unit, chars.char, spec.mention_types)
            # Learned from partial labels, they score lower than entities where they are right.
            mentions = drop_unsure(mentions, encoded.chars, spec.min_mention_score, spec.min_inside_score)
            entities = merge_entities(entities, mentions, self._labels)
        return _keep_in_core(entities, batch)

    def decode(self, kept: Sequence[Entities], work: Work) -> Found:
        """See Annotator."""
        return _decode(kept, work, self._labels)


class TokenClassifierAnnotator(ClassifierAnnotator):
    """Reads entities off a checkpoint for token classification.

    Args:
      labels: the checkpoint's labels, in model order.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        self._scheme = read_tag_scheme(labels)

    def forward(self, batch: ClassifierPass) -> Entities:
        """See ClassifierAnnotator; gives the entities of the pass, spans in the flat array of code points."""
        scheme = self._scheme
        chars = index_chars(batch.work.encoded, batch.units, batch.inputs.n_prefix)
        by_label = batch.probabilities[chars.unit, chars.token]
        tags = np.zeros((len(by_label), 1 + 2 * len(scheme.types)), dtype=np.float32)
        rows = np.arange(len(by_label))
        for label in range(len(scheme.first)):
            column = np.where(chars.nth == 0, scheme.first[label], scheme.rest[label])
            tags[rows, column] += by_label[:, label]
        return _keep_in_core(decode_entities(tags, chars.unit, chars.char, scheme.types), batch)

    def decode(self, kept: Sequence[Entities], work: Work) -> Found:
        """See ClassifierAnnotator."""
        return _decode(kept, work, self._scheme.types)


def _keep_in_core(entities: Entities, batch: Pass) -> Entities:
    """Keep the entities that begin in the part of its text that their unit decides on."""
    unit, windows = batch.index[entities.text], batch.work.windows
    return entities.take((entities.begin >= windows.core_begin[unit]) & (entities.begin < windows.core_end[unit]))


def _decode(kept: Sequence[Entities], work: Work, labels: Sequence[str]) -> Found:
    joined = entities_in_texts(work.encoded, [no_entities(labels), *kept])
    ordered = joined.take(np.lexsort((joined.begin, joined.text)))
    return Found(ordered.take(drop_overlaps(ordered)), {"ner_windowed": work.windowed()})


def entities_in_texts(encoded: EncodedTexts, parts: Sequence[Entities]) -> Entities:
    """Join entities whose spans are in the flat array of code points; give them spans in their texts.

    What joins a span's last character (a final of decomposed Hangul, a mark) goes into the span.
    """
    begin = np.concatenate([part.begin for part in parts])
    text = np.searchsorted(encoded.chars.offsets, begin, side="right") - 1
    offset = encoded.chars.offsets[text]
    return Entities(
        parts[0].labels,
        text,
        begin - offset,
        encoded.end_of_char(np.concatenate([part.end for part in parts])) - offset,
        np.concatenate([part.label for part in parts]),
        np.concatenate([part.score for part in parts]),
    )


@dataclasses.dataclass(frozen=True, slots=True)
class TagScheme:
    """How a token classifier's labels become character tags.

    Attributes:
      types: the entity types, KLUE's names where they match.
      first, rest: for each label, the column (of O, B- and I- of each type) that it means on the first character of a
        piece and on the others. Shape: (n_labels,).
    """

    types: tuple[str, ...]
    first: Ints
    rest: Ints


def read_tag_scheme(labels: Sequence[str]) -> TagScheme:
    """Read BIO, BIOES, BILOU or IO labels, prefix or suffix, of any types.

    >>> read_tag_scheme(["O", "B-PS", "I-PS", "E-PS", "S-PS"]).first.tolist()
    [0, 1, 2, 2, 1]
    >>> read_tag_scheme(["PS-B", "PS-I", "O"]).types
    ('PS',)
    """
    parsed: list[tuple[str, str]] = []
    for label in labels:
        prefixed = re.fullmatch(r"([BIESLU])[-_](.+)", label)
        suffixed = re.fullmatch(r"(.+)[-_]([BIESLU])", label)
        if label == "O":
            parsed.append(("O", ""))
        elif prefixed:
            parsed.append((prefixed[1], prefixed[2]))
        elif suffixed:
            parsed.append((suffixed[2], suffixed[1]))
        else:
            parsed.append(("I", label))
    types = tuple(dict.fromkeys(RE_TYPE_TO_ENTITY_TYPE.get(kind, kind) for mark, kind in parsed if mark != "O"))
    first, rest = [], []
    for mark, kind in parsed:
        column = 0 if mark == "O" else 1 + 2 * types.index(RE_TYPE_TO_ENTITY_TYPE.get(kind, kind))
        begins = mark in ("B", "S", "U")
        first.append(column if mark == "O" or begins else column + 1)
        rest.append(column if mark == "O" else column + 1)
    return TagScheme(types, np.array(first), np.array(rest))
