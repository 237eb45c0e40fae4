"""Running a multi-task model over texts: one tokenisation, one encoder pass, every head on the same hidden states."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor

from schemas.labels import ENTITY_TYPES
from transforms.codepoints import Bools, Eojeols, Ints, ranges
from transforms.models.batching import Windows, cut_windows, pack_by_length
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
from transforms.tasks.entity import Entities, decode_entities, drop_overlaps, merge_entities, no_entities
from transforms.tasks.relation import MARKER_TYPES, Relations, decode_relations, list_candidate_pairs
from transforms.tasks.topic import Floats, Topics, decode_topics

MARKER_OF_TYPE: Final = np.array([ENTITY_TYPES.index(MARKER_TYPES.get(name, name)) for name in ENTITY_TYPES])


@dataclasses.dataclass(frozen=True, slots=True)
class Annotations:
    """What an engine found in a batch of texts.

    Attributes:
      topics, entities, relations, arcs: by task; None where the task was not asked for.
      eojeols: the eojeols that arcs speak of; None without arcs.
      flags: by flag name (schemas.labels.FLAGS), the texts that carry it. Shape of each: (n_texts,), bool.
      failures: by task, the reason for each text on which the model failed.
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


class MultiTaskEngine:
    """A multi-task model that annotates texts.

    Args:
      model, tokenizer: as `load_model` gives them.
      tasks: which of the model's tasks to run.
      token_budget: at most so many tokens, padding included, in one forward pass.
      max_pairs: at most so many candidate pairs of a sentence are scored for relations.
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
        self.max_pieces = model.encoder.config.max_position_embeddings - tokenizer.n_special
        if model.encoder.config.model_type in ("roberta", "xlm-roberta"):  # their positions begin after padding's
            self.max_pieces -= tokenizer.pad_id + 1

    def annotate(self, texts: Sequence[str], entities: Entities | None = None) -> Annotations:
        """Annotate texts with the engine's tasks.

        Args:
          texts: sentences.
          entities: what relations are sought between; None to take what this engine's own `ner` finds.

        Returns:
          What was found, texts in the order given.
        """
        encoded = self.tokenizer.encode(texts)
        windows = cut_windows(encoded, self.max_pieces)
        lengths = windows.units.end - windows.units.begin + self.tokenizer.n_special
        found = _Found()
        failures: dict[int, str] = {}
        with torch.inference_mode():
            for index in pack_by_length(lengths, self.token_budget):
                self._run(encoded, windows, index, entities, found, failures)
        if len(failures) == len(texts) and texts:
            raise RuntimeError(f"The model failed on every one of {len(texts)} sentences: {failures[0]}")
        return self._assemble(encoded, windows, entities, found, failures)

    def _run(
        self,
        encoded: EncodedTexts,
        windows: Windows,
        index: Ints,
        entities: Entities | None,
        found: _Found,
        failures: dict[int, str],
    ) -> None:
        def forward(part: Ints) -> None:
            fresh = _Found(n_entities=found.n_entities)
            self._forward(encoded, windows, part, entities, fresh)
            for name in ("topic", "entities", "pairs", "pairs_cut", "arcs"):
                getattr(found, name).extend(getattr(fresh, name))
            found.n_entities = fresh.n_entities

        for unit, reason in run_halving(index, forward):
            failures[int(windows.units.text[unit])] = reason

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
        if spec.mention_types:
            tags = self._probabilities("mention", self.model.mention(hidden, *where))
            mentions = decode_entities(tags, chars.unit, chars.char, spec.mention_types)
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
        last = np.minimum(np.maximum(first, last), inputs.input_ids.shape[1] - 1)
        types = np.array([ENTITY_TYPES.index(label) for label in entities.labels], dtype=np.int64)
        marker = MARKER_OF_TYPE[types[entities.label]]
        columns = (unit[subject], first[subject], last[subject], first[object_], last[object_])
        return np.stack((*columns, marker[subject], marker[object_]), 1)

    def _score_pairs(self, lower: Tensor, mask: Tensor, pairs: Ints) -> Floats:
        """Score pairs, so many at a time that they stay within the token budget. Shape: (n_pairs, n_relations)."""
        at_once = max(1, self.token_budget // lower.shape[1])
        parts = [
            self._probabilities("re", self.model.relation(lower, mask, to_tensor(pairs[i : i + at_once], self.device)))
            for i in range(0, len(pairs), at_once)
        ]
        return np.concatenate([np.zeros((0, len(self.model.spec.relations)), dtype=np.float32), *parts])

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
        arc_score = log_arcs.gather(2, chosen.unsqueeze(-1)).squeeze(-1).exp().cpu().numpy()
        row, column = np.nonzero(np.arange(heads.shape[1]) < where.n_eojeols[:, None])
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
        return probabilities

    def _assemble(
        self,
        encoded: EncodedTexts,
        windows: Windows,
        given: Entities | None,
        found: _Found,
        failures: dict[int, str],
    ) -> Annotations:
        """Bring what the batches gave into the order of the texts."""
        n_texts = len(encoded.texts)
        failed = np.zeros(n_texts, dtype=bool)
        failed[list(failures)] = True
        windowed = np.zeros(n_texts, dtype=bool)
        windowed[windows.units.text[windows.is_window]] = True
        flags = {f"{task}_failed": failed for task in self.tasks}
        flags |= {f"{task}_windowed": windowed for task in self.tasks if task != "dp"}
        topics = self._assemble_topics(windows, found, failed) if "tc" in self.tasks else None
        entities, place = given, np.arange(0)
        if "ner" in self.tasks:
            entities, place = self._assemble_entities(encoded, found, failed)
        relations = None
        if "re" in self.tasks:
            relations, flags["re_pairs_cut"] = self._assemble_relations(entities, place, given, found, n_texts, failed)
        arcs = None
        if "dp" in self.tasks:
            flags["dp_skipped_too_long"] = windowed
            arcs = self._assemble_arcs(found, encoded.eojeols, failed)
        return Annotations(
            topics, entities if "ner" in self.tasks else None, relations, arcs, encoded.eojeols, flags, failures
        )

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
        self, entities: Entities | None, place: Ints, given: Entities | None, found: _Found, n_texts: int, failed: Bools
    ) -> tuple[Relations, Bools]:
        labels = self.model.spec.relations
        none = np.zeros(0, dtype=np.int64)
        subject = np.concatenate([none, *(part[0] for part in found.pairs)])
        object_ = np.concatenate([none, *(part[1] for part in found.pairs)])
        scores = np.concatenate([np.zeros((0, len(labels)), np.float32), *(part[2] for part in found.pairs)])
        if given is None:
            subject, object_ = place[subject], place[object_]
        kept = (subject >= 0) & (object_ >= 0)
        subject, object_, scores = subject[kept], object_[kept], scores[kept]
        cut = np.zeros(n_texts, dtype=bool)
        cut[np.concatenate([none, *found.pairs_cut])] = True
        if entities is None:  # no text, no entity
            return decode_relations(scores, none, none, none, labels), cut
        text = entities.text[subject]
        alive = ~failed[text]
        text, subject, object_, scores = text[alive], subject[alive], object_[alive], scores[alive]
        first = entities.offsets(n_texts)[text]
        return decode_relations(scores, text, subject - first, object_ - first, labels), cut

    def _assemble_arcs(self, found: _Found, eojeols: Eojeols, failed: Bools) -> Arcs:
        none = np.zeros(0, dtype=np.int64)
        columns = [np.concatenate([none, *(part[i] for part in found.arcs)]) for i in range(3)]
        score = np.concatenate([np.zeros(0, np.float32), *(part[3] for part in found.arcs)]).astype(np.float32)
        order = np.argsort(columns[0], kind="stable")
        text = np.searchsorted(eojeols.offsets, columns[0][order], side="right") - 1
        order = order[~failed[text]]
        eojeol, head, label = (column[order] for column in columns)
        return Arcs(self.model.spec.deprels, eojeol, head, label, score[order])


def run_halving(index: Ints, forward: Callable[[Ints], None]) -> list[tuple[int, str]]:
    """Run a batch; one that fails is cut in two until the units that fail are alone.

    Args:
      index: numbers of the batch's units.
      forward: runs some of them; it must leave nothing behind where it raises.

    Returns:
      The units that failed, each with its reason.
    """
    try:
        forward(index)
    except (RuntimeError, ValueError, IndexError, FloatingPointError) as error:
        if len(index) == 1:
            return [(int(index[0]), f"{type(error).__name__}: {error}")]
        return [failure for half in np.array_split(index, 2) for failure in run_halving(half, forward)]
    return []


def entities_in_texts(encoded: EncodedTexts, parts: Sequence[Entities]) -> Entities:
    """Join entities whose spans are in the flat array of code points; give them spans in their texts."""
    begin = np.concatenate([part.begin for part in parts])
    text = np.searchsorted(encoded.chars.offsets, begin, side="right") - 1
    offset = encoded.chars.offsets[text]
    return Entities(
        parts[0].labels,
        text,
        begin - offset,
        np.concatenate([part.end for part in parts]) - offset,
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
