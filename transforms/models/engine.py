"""Running a multi-task model over texts: one tokenisation, one encoder pass, every head on the same hidden states."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor

from schemas.labels import ENTITY_TYPES
from transforms.codepoints import Bools, Eojeols, Ints, ranges
from transforms.models.batching import Windows, count_max_pieces, cut_windows, pack_by_length
from transforms.models.multitask import MultiTaskModel, to_tensor
from transforms.models.pieces import (
    EncodedTexts,
    PaddedInputs,
    TextTokenizer,
    Units,
    index_chars,
    index_eojeols,
    pad_units,
    tokens_of_chars,
)
from transforms.tasks.dependency import Arcs, decode_heads
from transforms.tasks.entity import Entities, decode_entities, drop_overlaps, drop_unsure, merge_entities, no_entities
from transforms.tasks.relation import Relations, decode_relations, list_candidate_pairs, marker_type
from transforms.tasks.topic import Floats, Topics, decode_topics

PLAIN_SENTENCE: Final = "오늘은 날씨가 좋다."
"""What a model that failed on every sentence is tried on, to tell a broken model from broken sentences."""

MODEL_ERRORS: Final = (RuntimeError, ValueError, IndexError, FloatingPointError)
"""What a model raises on a sentence that it cannot take."""


@dataclasses.dataclass(frozen=True, slots=True)
class Annotations:
    """What an engine found in a batch of texts.

    Attributes:
      topics, entities, relations, arcs: by task; None where the task was not asked for.
      eojeols: the eojeols that arcs speak of; None without arcs.
      flags: by flag name (schemas.labels.FLAGS), the texts that carry it. Shape of each: (n_texts,), bool.
      failures: by text, the reason for each on which the model failed.
    """

    topics: Topics | None = None
    entities: Entities | None = None
    relations: Relations | None = None
    arcs: Arcs | None = None
    eojeols: Eojeols | None = None
    flags: Mapping[str, Bools] = dataclasses.field(default_factory=dict)
    failures: Mapping[int, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(slots=True)
class _Found:
    """What the forward passes gave, batch after batch, in the order of the batches."""

    topic: list[tuple[Ints, Floats]] = dataclasses.field(default_factory=list)
    entities: list[tuple[Ints, Entities]] = dataclasses.field(default_factory=list)
    pairs: list[tuple[Ints, Ints, Floats]] = dataclasses.field(default_factory=list)
    pairs_cut: list[Ints] = dataclasses.field(default_factory=list)
    arcs: list[tuple[Ints, Ints, Ints, Floats]] = dataclasses.field(default_factory=list)
    n_entities: int = 0

    def add(self, more: "_Found") -> None:
        """Append what further batches gave."""
        for name in ("topic", "entities", "pairs", "pairs_cut", "arcs"):
            getattr(self, name).extend(getattr(more, name))
        self.n_entities = more.n_entities


class MultiTaskEngine:
    """A multi-task model that annotates texts.

    Args:
      model, tokenizer: as `load_model` gives them.
      tasks: which of the model's tasks to run.
      token_budget: at most so many tokens, padding included, in one forward pass.
      max_pairs: at most so many candidate pairs of a sentence (of each window of a long one) are scored for relations.
      device: where the model runs.
    """

    def __init__(
        self,
        model: MultiTaskModel,
        tokenizer: TextTokenizer,
        tasks: Sequence[str],
        *,
        token_budget: int,
        max_pairs: int,
        device: torch.device | None = None,
    ) -> None:
        self.device = device if device is not None else torch.device("cpu")
        self.model = model.to(self.device).eval()
        self.tokenizer = tokenizer
        self.tasks = tuple(tasks)
        self.token_budget, self.max_pairs = token_budget, max_pairs
        spec = model.spec
        self.entity_labels = (*spec.ner_types, *spec.mention_types)
        self.max_pieces = count_max_pieces(model.encoder, tokenizer)

    def annotate(self, texts: Sequence[str], entities: Entities | None = None) -> Annotations:
        """Annotate texts with the engine's tasks.

        Args:
          texts: sentences.
          entities: what relations are sought between; None to take what this engine's own `ner` finds.

        Returns:
          What was found, texts in the order given.

        Raises:
          ValueError: if relations are sought and there is neither `ner` nor `entities`.
          RuntimeError: if the model fails on every text, and on a plain sentence too.
        """
        if "re" in self.tasks and "ner" not in self.tasks and entities is None:
            raise ValueError("Relations need entities, got none. Run `ner` before `re`.")
        encoded = self.tokenizer.encode(texts)
        windows = cut_windows(encoded, self.max_pieces)
        lengths = windows.units.end - windows.units.begin + self.tokenizer.n_special
        found = _Found()

        def forward(index: Ints) -> None:
            fresh = _Found(n_entities=found.n_entities)
            self._forward(encoded, windows, index, entities, fresh)
            found.add(fresh)

        with torch.inference_mode():
            failed_units = run_packed(np.arange(len(lengths)), lengths, self.token_budget, forward, self._try_plain)
        failures = {int(windows.units.text[unit]): reason for unit, reason in failed_units.items()}
        return self._assemble(encoded, windows, entities, found, failures)

    def _try_plain(self) -> None:
        encoded = self.tokenizer.encode([PLAIN_SENTENCE])
        given = None if "ner" in self.tasks else no_entities(self.entity_labels)
        self._forward(encoded, cut_windows(encoded, self.max_pieces), np.zeros(1, dtype=np.int64), given, _Found())

    def _forward(
        self, encoded: EncodedTexts, windows: Windows, index: Ints, entities: Entities | None, found: _Found
    ) -> None:
        units = windows.units.take(index)
        inputs = pad_units(encoded, units, self.tokenizer)
        mask = to_tensor(inputs.mask, self.device)
        hidden, lower = self.model(to_tensor(inputs.input_ids, self.device), mask)
        if "tc" in self.tasks:
            found.topic.append((index, self._probabilities("tc", self.model.topic(hidden, mask))))
        if "ner" in self.tasks:
            self._find_entities(encoded, windows, index, units, inputs, hidden, found)
        if "re" in self.tasks:
            if entities is None:
                unit, here = found.entities[-1]
                first_entity = found.n_entities - len(here)
            else:
                unit, here, chosen = _entities_of_units(encoded, windows, index, entities)
                first_entity = 0
            pairs = list_candidate_pairs(here, unit, self.max_pairs)
            found.pairs_cut.append(windows.units.text[index[pairs.cut]])
            where = self._index_pairs(encoded, units, inputs, unit, here, pairs.subject, pairs.object)
            numbers = np.arange(len(here)) if entities is None else chosen
            found.pairs.append(
                (
                    first_entity + numbers[pairs.subject],
                    first_entity + numbers[pairs.object],
                    self._score_pairs(lower, mask, where),
                )
            )
        if "dp" in self.tasks:
            self._parse(encoded, windows, index, inputs, hidden, found)

    def _find_entities(
        self,
        encoded: EncodedTexts,
        windows: Windows,
        index: Ints,
        units: Units,
        inputs: PaddedInputs,
        hidden: Tensor,
        found: _Found,
    ) -> None:
        spec = self.model.spec
        chars = index_chars(encoded, units, inputs.n_prefix)
        where = [to_tensor(column, self.device) for column in (chars.unit, chars.token, chars.nth)]
        tags = self._probabilities("ner", self.model.entity(hidden, *where))
        entities = decode_entities(tags, chars.unit, chars.char, spec.ner_types)
        entities = drop_unsure(entities, encoded.chars, spec.min_entity_score, spec.min_inside_score)
        if spec.mention_types:
            tags = self._probabilities("mention", self.model.mention(hidden, *where))
            mentions = decode_entities(tags, chars.unit, chars.char, spec.mention_types)
            # Learned from partial labels, they score low where they are right: only the rule on words is for them.
            mentions = drop_unsure(mentions, encoded.chars, 0.0, spec.min_inside_score)
            entities = merge_entities(entities, mentions, self.entity_labels)
        unit = index[entities.text]
        entities = entities.take(
            (entities.begin >= windows.core_begin[unit]) & (entities.begin < windows.core_end[unit])
        )
        found.entities.append((entities.text, entities))
        found.n_entities += len(entities)

    def _index_pairs(
        self,
        encoded: EncodedTexts,
        units: Units,
        inputs: PaddedInputs,
        unit: Ints,
        entities: Entities,
        subject: Ints,
        object_: Ints,
    ) -> Ints:
        """Say where pairs of entities (spans in the flat array of code points) stand, as RelationHead reads it."""
        first = tokens_of_chars(encoded, units, unit, entities.begin, inputs.n_prefix)
        last = tokens_of_chars(encoded, units, unit, entities.end - 1, inputs.n_prefix)
        markers = np.array([ENTITY_TYPES.index(marker_type(label)) for label in entities.labels], dtype=np.int64)
        marker = markers[entities.label]
        columns = (unit[subject], first[subject], last[subject], first[object_], last[object_])
        return np.stack((*columns, marker[subject], marker[object_]), 1)

    def _score_pairs(self, lower: Tensor, mask: Tensor, pairs: Ints) -> Floats:
        """Score pairs, packed by the length of what they see. Shape: (n_pairs, n_relations)."""
        probabilities = np.zeros((len(pairs), len(self.model.spec.relations)), dtype=np.float32)
        first, last = self.model.relation.find_windows(torch.from_numpy(pairs), lower.shape[1])
        for index in pack_by_length((last - first).numpy() + 2, self.token_budget):
            logits = self.model.relation(lower, mask, to_tensor(pairs[index], self.device))
            probabilities[index] = self._probabilities("re", logits)
        return probabilities

    def _parse(
        self, encoded: EncodedTexts, windows: Windows, index: Ints, inputs: PaddedInputs, hidden: Tensor, found: _Found
    ) -> None:
        whole = np.flatnonzero(~windows.is_window[index])
        text = windows.units.text[index[whole]]
        where = index_eojeols(encoded, text, inputs.n_prefix)
        if not where.n_eojeols.any():
            return
        arcs, dependents, candidates = self.model.dependency(
            hidden[to_tensor(whole, self.device)],
            to_tensor(where.first, self.device),
            to_tensor(where.last, self.device),
            to_tensor(where.n_eojeols, self.device),
        )
        log_arcs = torch.log_softmax(self._calibrated("arc", arcs), -1)
        heads = decode_heads(log_arcs.cpu().numpy(), where.n_eojeols)
        chosen = to_tensor(heads, self.device)
        labels = self._probabilities("deprel", self.model.dependency.score_labels(dependents, candidates, chosen))
        row, column = np.nonzero(np.arange(heads.shape[1]) < where.n_eojeols[:, None])
        arc_score = log_arcs.gather(2, chosen.unsqueeze(-1)).squeeze(-1).exp().cpu().numpy()
        require_finite(arc_score[row, column])
        eojeol = encoded.eojeols.offsets[text[row]] + column
        label = labels.argmax(-1)[row, column]
        found.arcs.append((eojeol, heads[row, column], label, (arc_score * labels.max(-1))[row, column]))

    def _calibrated(self, name: str, logits: Tensor) -> Tensor:
        logits = logits.float()
        calibration = self.model.spec.calibration.get(name)
        if calibration is None:
            return logits
        logits = logits / calibration.temperature
        return logits + torch.tensor(calibration.bias, device=logits.device) if calibration.bias else logits

    def _probabilities(self, name: str, logits: Tensor) -> Floats:
        probabilities: Floats = torch.softmax(self._calibrated(name, logits), -1).cpu().numpy()
        return require_finite(probabilities)

    def _assemble(
        self,
        encoded: EncodedTexts,
        windows: Windows,
        given: Entities | None,
        found: _Found,
        failures: dict[int, str],
    ) -> Annotations:
        """Bring what the batches gave into the order of the texts; those that failed get nothing."""
        n_texts = len(encoded.texts)
        failed = np.zeros(n_texts, dtype=bool)
        failed[list(failures)] = True
        windowed = windows.texts_in_windows(n_texts)
        flags = {f"{task}_failed": failed for task in self.tasks}
        flags |= {f"{task}_windowed": windowed for task in self.tasks if task != "dp"}
        topics = self._assemble_topics(windows, found, failed) if "tc" in self.tasks else None
        entities, relations, arcs = None, None, None
        between, place = given, np.arange(len(given) if given is not None else 0)
        if "ner" in self.tasks:
            entities, found_place = self._assemble_entities(encoded, found, failed)
            between, place = (entities, found_place) if given is None else (given, place)
        if "re" in self.tasks and between is not None:
            relations, flags["re_pairs_cut"] = self._assemble_relations(between, place, found, failed)
        if "dp" in self.tasks:
            flags["dp_skipped_too_long"] = windowed
            arcs = self._assemble_arcs(found, encoded.eojeols, failed)
        return Annotations(topics, entities, relations, arcs, encoded.eojeols, flags, failures)

    def _assemble_topics(self, windows: Windows, found: _Found, failed: Bools) -> Topics:
        labels = self.model.spec.topics
        index = np.concatenate([np.zeros(0, dtype=np.int64), *(part[0] for part in found.topic)])
        probabilities = np.concatenate([np.zeros((0, len(labels)), np.float32), *(part[1] for part in found.topic)])
        weight = np.maximum(windows.core_end - windows.core_begin, 1)[index].astype(np.float32)
        topics = decode_topics(probabilities, windows.units.text[index], weight, len(failed), labels)
        return Topics(labels, np.where(failed, -1, topics.label), topics.score)

    def _assemble_entities(self, encoded: EncodedTexts, found: _Found, failed: Bools) -> tuple[Entities, Ints]:
        """Give the entities in the order of the texts, and where each found one went (-1 for one left out)."""
        joined = entities_in_texts(encoded, [no_entities(self.entity_labels), *(part for _, part in found.entities)])
        order = np.lexsort((joined.begin, joined.text))
        ordered = joined.take(order)
        keep = drop_overlaps(ordered) & ~failed[ordered.text]
        place = np.full(len(order), -1, dtype=np.int64)
        place[order[keep]] = np.arange(int(keep.sum()))
        return ordered.take(keep), place

    def _assemble_relations(
        self, entities: Entities, place: Ints, found: _Found, failed: Bools
    ) -> tuple[Relations, Bools]:
        """Give the relations between `entities`, and which texts had pairs left out.

        Args:
          entities: in the order of the texts.
          place: the number in `entities` of each entity that pairs speak of, -1 for one left out. Shape: (n_found,).
          found: the scored pairs.
          failed: Shape: (n_texts,).
        """
        labels = self.model.spec.relations
        none = np.zeros(0, dtype=np.int64)
        subject = place[np.concatenate([none, *(part[0] for part in found.pairs)])]
        object_ = place[np.concatenate([none, *(part[1] for part in found.pairs)])]
        scores = np.concatenate([np.zeros((0, len(labels)), np.float32), *(part[2] for part in found.pairs)])
        cut = np.zeros(len(failed), dtype=bool)
        cut[np.concatenate([none, *found.pairs_cut])] = True
        kept = (subject >= 0) & (object_ >= 0)
        subject, object_, scores = subject[kept], object_[kept], scores[kept]
        text = entities.text[subject]
        alive = ~failed[text]
        text, subject, object_, scores = text[alive], subject[alive], object_[alive], scores[alive]
        first = entities.offsets(len(failed))[text]
        return decode_relations(scores, text, subject - first, object_ - first, labels), cut & ~failed

    def _assemble_arcs(self, found: _Found, eojeols: Eojeols, failed: Bools) -> Arcs:
        none = np.zeros(0, dtype=np.int64)
        columns = [np.concatenate([none, *(part[i] for part in found.arcs)]) for i in range(3)]
        score = np.concatenate([np.zeros(0, np.float32), *(part[3] for part in found.arcs)]).astype(np.float32)
        order = np.argsort(columns[0], kind="stable")
        text = np.searchsorted(eojeols.offsets, columns[0][order], side="right") - 1
        order = order[~failed[text]]
        eojeol, head, label = (column[order] for column in columns)
        return Arcs(self.model.spec.deprels, eojeol, head, label, score[order])


def run_packed(
    units: Ints, lengths: Ints, token_budget: int, forward: Callable[[Ints], None], try_plain: Callable[[], None]
) -> dict[int, str]:
    """Run units in batches of like length; a batch that fails is cut in two until the units that fail are alone.

    Args:
      units: numbers of the units. Shape: (n_units,).
      lengths: tokens of each. Shape: (n_units,).
      token_budget: at most so many tokens, padding included, in a batch.
      forward: runs some of the units; it must leave nothing behind where it raises.
      try_plain: runs a plain sentence.

    Returns:
      The units that failed, each with its reason.

    Raises:
      RuntimeError: if every unit failed and the plain sentence fails too: then the model is broken, not the text.
    """
    failures: dict[int, str] = {}
    for index in pack_by_length(lengths, token_budget):
        failures.update(_run_halving(units[index], forward))
    if failures and len(failures) == len(units):
        try:
            try_plain()
        except MODEL_ERRORS as error:
            raise RuntimeError(
                f"The model must work on a plain sentence, got {type(error).__name__}: {error} It failed on all "
                f"{len(units)} of a batch, too. Check its files, or give another model."
            ) from error
    return failures


def _run_halving(index: Ints, forward: Callable[[Ints], None]) -> dict[int, str]:
    try:
        forward(index)
    except MODEL_ERRORS as error:
        if len(index) == 1:
            return {int(index[0]): f"{type(error).__name__}: {error}"}
        first, second = np.array_split(index, 2)
        return _run_halving(first, forward) | _run_halving(second, forward)
    return {}


def require_finite(scores: Floats) -> Floats:
    """Refuse scores that are no numbers: they would choose labels that mean nothing.

    Raises:
      FloatingPointError: if one is infinite or NaN.
    """
    if not np.isfinite(scores).all():
        raise FloatingPointError("the model's scores are not finite")
    return scores


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


def _entities_of_units(
    encoded: EncodedTexts, windows: Windows, index: Ints, entities: Entities
) -> tuple[Ints, Entities, Ints]:
    """Pick the given entities that the batch's units decide on, with spans in the flat array of code points.

    Returns:
      The unit (of the batch) of each picked entity, ascending; the picked entities; their numbers.
    """
    offset = encoded.chars.offsets[entities.text]
    begin, end = entities.begin + offset, entities.end + offset
    low = np.searchsorted(begin, windows.core_begin[index])
    high = np.searchsorted(begin, windows.core_end[index])
    unit, number = ranges(low, high)
    picked = Entities(entities.labels, unit, begin[number], end[number], entities.label[number], entities.score[number])
    return unit, picked, number
