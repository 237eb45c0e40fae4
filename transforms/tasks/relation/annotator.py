"""Reading relations off a model: by a head over pairs of entities, or by a checkpoint that reads marked sentences."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from klue_beam.schemas.labels import ENTITY_TYPES
from klue_beam.transforms.base.codepoints import Bools, Ints, ranges
from klue_beam.transforms.models.nets.tensors import to_tensor
from klue_beam.transforms.models.text.batching import Windows
from klue_beam.transforms.models.text.pieces import EncodedTexts, TextTokenizer, Units
from klue_beam.transforms.tasks.annotator import (
    Annotator,
    ClassifierAnnotator,
    ClassifierPass,
    EncoderPass,
    Found,
    TaskModel,
    Work,
)
from klue_beam.transforms.tasks.columns import Probabilities
from klue_beam.transforms.tasks.entity.spans import Entities
from klue_beam.transforms.tasks.relation.marking import mark_pair, rejoin_words
from klue_beam.transforms.tasks.relation.pairs import (
    CandidatePairs,
    decode_relations,
    list_candidate_pairs,
    marker_type,
)
from klue_beam.transforms.tasks.relation.states import flatten_states, join_states, locate_pairs

States = tuple[Ints, Ints, Tensor]
"""What is kept of a pass: its units, their tokens, and these tokens' states below the pair layers. Shapes: (B,), (B,),
(n_tokens, H)."""


class RelationAnnotator(Annotator):
    """Scores pairs of entities when the encoder has run, from the states that it left.

    Args:
      model: the task's part of a model.
    """

    def __init__(self, model: TaskModel) -> None:
        self._model, self._head = model, model.heads["relation"]

    def forward(self, batch: EncoderPass) -> States:
        """See Annotator."""
        return batch.index, batch.inputs.mask.sum(1), flatten_states(batch.lower, batch.mask)

    def decode(self, kept: Sequence[States], work: Work) -> Found:
        """See Annotator; a text with a pair that fails joins the work's failures."""
        entities: Entities = work.found["ner"]
        windows, labels = work.windows, self._model.spec.relations
        unit, here, number = _entities_of_units(work.encoded, windows, entities)
        alive = ~np.isin(work.owner[unit], list(work.failures))
        unit, here, number = unit[alive], here.take(alive), number[alive]
        pairs = list_candidate_pairs(here, unit, self._model.options["max_pairs"])
        probabilities = np.zeros((len(pairs.subject), len(labels)), dtype=np.float32)
        if len(pairs.subject):
            where, states = self._locate(work, kept, unit, here, pairs.subject, pairs.object)
            shared = self._head.project(states)

            def score(index: Ints) -> None:
                probabilities[index] = self._score(shared, where[index])

            low, high = self._head.find_windows(torch.from_numpy(where))
            work.run_items(work.owner[unit[pairs.subject]], (high - low).numpy() + 2, score, self._try_plain)
        failed = work.failed()
        cut = np.zeros(work.n_texts, dtype=bool)
        cut[work.owner[pairs.cut]] = True
        subject, object_ = number[pairs.subject], number[pairs.object]
        text = entities.text[subject]
        alive = ~failed[text]
        first = entities.offsets(work.n_texts)[text]
        relations = decode_relations(
            probabilities[alive], text[alive], (subject - first)[alive], (object_ - first)[alive], labels
        )
        return Found(relations, {"re_windowed": work.windowed(), "re_pairs_cut": cut & ~failed})

    def _try_plain(self, work: Work, batch: EncoderPass) -> None:
        """Ask for the relation between the first two words of a plain sentence."""
        none = np.zeros(2, dtype=np.int64)
        begin, end = work.encoded.eojeols.begin[:2], work.encoded.eojeols.end[:2]
        words = Entities(("PS",), none, begin, end, none, np.ones(2, np.float32))
        where, states = self._locate(work, [self.forward(batch)], none[:1], words, none[:1], none[:1] + 1)
        self._score(self._head.project(states), where)

    def _locate(
        self, work: Work, kept: Sequence[States], unit: Ints, entities: Entities, subject: Ints, object_: Ints
    ) -> tuple[Ints, Tensor]:
        """Say where pairs of entities (spans in the flat array of code points) stand, among which states."""
        units, unit = work.windows.units, unit[subject]
        states = join_states(kept, len(units), self._head.markers.weight).take(np.unique(unit))
        markers = np.array([ENTITY_TYPES.index(marker_type(label)) for label in entities.labels], dtype=np.int64)
        spans = [bound[side] for side in (subject, object_) for bound in (entities.begin, entities.end - 1)]
        types = np.stack([markers[entities.label[side]] for side in (subject, object_)], 1)
        where = locate_pairs(work.encoded, units, work.n_prefix, states, unit, np.stack(spans, 1), types)
        return where, states.states

    def _score(self, shared: tuple[Tensor, ...], where: Ints) -> Probabilities:
        """Score pairs in one pass. Shape: (n_pairs, n_relations)."""
        return self._model.probabilities("re", self._head.score(shared, to_tensor(where, self._model.device)))


def _entities_of_units(encoded: EncodedTexts, windows: Windows, entities: Entities) -> tuple[Ints, Entities, Ints]:
    """Give each entity to the unit that decides on it, with spans in the flat array of code points.

    Returns:
      The unit of each entity, ascending; the entities; their numbers.
    """
    offset = encoded.chars.offsets[entities.text]
    begin, end = entities.begin + offset, entities.end + offset
    low = np.searchsorted(begin, windows.core_begin)
    high = np.searchsorted(begin, windows.core_end)
    unit, number = ranges(low, high)
    picked = Entities(entities.labels, unit, begin[number], end[number], entities.label[number], entities.score[number])
    return unit, picked, number


@dataclasses.dataclass(slots=True)
class _MarkedWork(Work):
    """Sentences with two entities marked in each, one a pair.

    Attributes:
      pairs: the pairs.
      fits: whether the classifier can see both entities of the pair. Shape: (n_pairs,).
    """

    pairs: CandidatePairs = dataclasses.field(kw_only=True)
    fits: Bools = dataclasses.field(kw_only=True)


class MarkedSentenceAnnotator(ClassifierAnnotator):
    """Reads relations off a checkpoint that classifies sentences with two entities marked.

    Args:
      labels: the checkpoint's labels, in model order.
      options: the task's.
    """

    def __init__(self, labels: Sequence[str], options: Mapping[str, Any]) -> None:
        self._labels, self._markers, self._max_pairs = labels, options["re_markers"], options["max_pairs"]

    def lay_out(
        self, texts: Sequence[str], found: Mapping[str, Any], tokenizer: TextTokenizer, max_pieces: int
    ) -> Work:
        """See ClassifierAnnotator: one unit a pair, the whole marked text or the window around the pair."""
        entities: Entities = found["ner"]
        pairs = list_candidate_pairs(entities, entities.text, self._max_pairs)
        text = entities.text[pairs.subject]
        marked = [
            mark_pair(texts[t], entities, int(s), int(o), self._markers)
            for t, s, o in zip(text.tolist(), pairs.subject, pairs.object, strict=True)
        ]
        encoded = tokenizer.encode([text for text, _ in marked])
        if self._markers == "klue":
            encoded = rejoin_words(encoded, tokenizer)
        units, fits = _cut_around_pairs(encoded, [span for _, span in marked], max_pieces)
        chars = encoded.chars.offsets
        windows = Windows(units, chars[:-1], chars[1:], units.end - units.begin < encoded.pieces.lengths)
        n_prefix = len(tokenizer.prefix)
        return _MarkedWork(len(texts), encoded, windows, text, n_prefix, found, {}, pairs=pairs, fits=fits)

    def list_units(self, work: Work) -> Ints:
        """See ClassifierAnnotator: the pairs that fit."""
        return np.flatnonzero(_as_marked(work).fits)

    def forward(self, batch: ClassifierPass) -> tuple[Ints, Probabilities]:
        """See ClassifierAnnotator."""
        return batch.index, batch.probabilities

    def decode(self, kept: Sequence[tuple[Ints, Probabilities]], work: Work) -> Found:
        """See ClassifierAnnotator."""
        marked = _as_marked(work)
        entities: Entities = work.found["ner"]
        pairs, text, failed = marked.pairs, work.owner, work.failed()
        probabilities = np.zeros((len(text), len(self._labels)), dtype=np.float32)
        for index, scores in kept:
            probabilities[index] = scores
        windowed, cut = np.zeros(work.n_texts, dtype=bool), np.zeros(work.n_texts, dtype=bool)
        windowed[text[work.windows.is_window]] = True
        cut[pairs.cut] = True
        alive = marked.fits & ~failed[text]
        first = entities.offsets(work.n_texts)[text]
        relations = decode_relations(
            probabilities[alive],
            text[alive],
            (pairs.subject - first)[alive],
            (pairs.object - first)[alive],
            self._labels,
        )
        return Found(relations, {"re_windowed": windowed, "re_pairs_cut": cut & ~failed})


def _as_marked(work: Work) -> _MarkedWork:
    if not isinstance(work, _MarkedWork):
        raise TypeError(f"What is decoded must be what was laid out, got {type(work).__name__}.")
    return work


def _cut_around_pairs(encoded: EncodedTexts, spans: Sequence[tuple[int, int]], max_pieces: int) -> tuple[Units, Bools]:
    """Take each marked text whole, or the window around its pair; False where the pair does not fit one."""
    offsets = encoded.pieces.offsets
    chars = encoded.chars.offsets[:-1]
    piece = encoded.pieces.piece_of_char
    span = np.array(spans, dtype=np.int64).reshape(-1, 2)
    low, high = np.maximum(piece[chars + span[:, 0]], offsets[:-1]), piece[chars + span[:, 1] - 1] + 1
    middle = (low + high) // 2
    begin = np.clip(middle - max_pieces // 2, offsets[:-1], np.maximum(offsets[1:] - max_pieces, offsets[:-1]))
    end = np.minimum(begin + max_pieces, offsets[1:])
    return Units(np.arange(len(span)), begin, end), high - low <= max_pieces
