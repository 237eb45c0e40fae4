"""Running a multi-task model over texts: one tokenisation, one encoder pass, every head on the same hidden states."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor

from klue_beam.schemas.labels import ENTITY_TYPES
from klue_beam.transforms.base.codepoints import Bools, Eojeols, Ints, ranges
from klue_beam.transforms.models.checkpoints.multitask import MultiTaskModel
from klue_beam.transforms.models.engine.running import TokenBudget, run_packed
from klue_beam.transforms.models.nets.tensors import to_tensor
from klue_beam.transforms.models.text.batching import BATCH_COST_TOKENS, Windows, count_max_pieces, cut_windows
from klue_beam.transforms.models.text.parts_of_speech import PosTagger
from klue_beam.transforms.models.text.pieces import (
    EncodedTexts,
    PaddedInputs,
    TextTokenizer,
    Units,
    index_chars,
    index_eojeols,
    pad_units,
)
from klue_beam.transforms.tasks.columns import Probabilities
from klue_beam.transforms.tasks.dependency.head_final import decode_head_final
from klue_beam.transforms.tasks.dependency.trees import Arcs, decode_heads
from klue_beam.transforms.tasks.entity.spans import (
    Entities,
    decode_entities,
    drop_overlaps,
    drop_unsure,
    merge_entities,
    no_entities,
    score_odds,
)
from klue_beam.transforms.tasks.relation.pairs import Relations, decode_relations, list_candidate_pairs, marker_type
from klue_beam.transforms.tasks.relation.states import flatten_states, join_states, locate_pairs
from klue_beam.transforms.tasks.topic.topics import Topics, decode_topics

PLAIN_SENTENCE: Final = "오늘은 날씨가 좋다."
"""What a model that failed on every sentence is tried on, to tell a broken model from broken sentences."""


def encode_plain(tokenizer: TextTokenizer, max_pieces: int) -> dict[str, Tensor]:
    """Give what an encoder takes for PLAIN_SENTENCE, cut to so many pieces."""
    encoded = tokenizer.encode([PLAIN_SENTENCE])
    inputs = pad_units(encoded, cut_windows(encoded, max_pieces).units.take(np.zeros(1, dtype=np.int64)), tokenizer)
    return {"input_ids": torch.from_numpy(inputs.input_ids), "attention_mask": torch.from_numpy(inputs.mask)}


@dataclasses.dataclass(frozen=True, slots=True)
class Annotations:
    """What an engine found in a batch of texts.

    Attributes:
      topics, entities, relations, arcs: by task; None where the task was not asked for.
      eojeols: the eojeols that arcs speak of; None without arcs.
      flags: by flag name (FLAGS), the texts that carry it. Shape of each: (n_texts,), bool.
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

    topic: list[tuple[Ints, Probabilities]] = dataclasses.field(default_factory=list)
    entities: list[Entities] = dataclasses.field(default_factory=list)
    states: list[tuple[Ints, Ints, Tensor]] = dataclasses.field(default_factory=list)
    arcs: list[tuple[Ints, Ints, Ints, Probabilities]] = dataclasses.field(default_factory=list)

    def add(self, more: "_Found") -> None:
        """Append what further batches gave."""
        for field in dataclasses.fields(self):
            getattr(self, field.name).extend(getattr(more, field.name))


@dataclasses.dataclass(frozen=True, slots=True)
class _Pairs:
    """The pairs of entities that were scored.

    Attributes:
      subject, object: numbers of entities among all of the batch. Shape: (n_pairs,).
      probabilities: Shape: (n_pairs, n_relations).
      cut: texts that had more pairs than the bound. Shape: (n_cut,).
    """

    subject: Ints
    object: Ints
    probabilities: Probabilities
    cut: Ints


class MultiTaskEngine:
    """A multi-task model that annotates texts.

    Args:
      model, tokenizer: as `load_model` gives them.
      tasks: which of the model's tasks to run.
      token_budget: at most so many tokens, padding included, in one forward pass; fewer from then on once that many did
        not fit the device's memory.
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
        self.budget = TokenBudget(token_budget, BATCH_COST_TOKENS[self.device.type])
        self.max_pairs = max_pairs
        spec = model.spec
        self.entity_labels = (*spec.of["ner"].ner_types, *spec.of["ner"].mention_types)
        transitions = spec.of["ner"].tag_transitions
        self._transitions = np.array(transitions) if transitions else None
        self.max_pieces = count_max_pieces(model.encoder, tokenizer)
        reads_tags = "dp" in self.tasks and getattr(model.dependency, "reads_tags", False)
        self._tagger = PosTagger() if reads_tags else None

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
            fresh = _Found()
            self._forward(encoded, windows, index, fresh)
            found.add(fresh)

        own: Entities | None = None
        pairs: _Pairs | None = None
        with torch.inference_mode():
            failed_units = run_packed(np.arange(len(lengths)), lengths, self.budget, forward, self._try_plain)
            failures = {int(windows.units.text[unit]): reason for unit, reason in failed_units.items()}
            if "ner" in self.tasks:
                own = self._assemble_entities(encoded, found.entities)
            between = entities if entities is not None else own
            if "re" in self.tasks and between is not None:
                pairs = self._relate(encoded, windows, found.states, between, failures)
        return self._assemble(encoded, windows, found, own, between, pairs, failures)

    def _try_plain(self) -> None:
        encoded = self.tokenizer.encode([PLAIN_SENTENCE])
        self._forward(encoded, cut_windows(encoded, self.max_pieces), np.zeros(1, dtype=np.int64), _Found())

    def _try_plain_pair(self) -> None:
        """Ask for the relation between the first two words of a plain sentence."""
        encoded = self.tokenizer.encode([PLAIN_SENTENCE])
        windows, found = cut_windows(encoded, self.max_pieces), _Found()
        self._forward(encoded, windows, np.zeros(1, dtype=np.int64), found)
        none = np.zeros(2, dtype=np.int64)
        begin, end = encoded.eojeols.begin[:2], encoded.eojeols.end[:2]
        words = Entities(("PS",), none, begin, end, none, np.ones(2, np.float32))
        where, states = self._locate(encoded, windows, found.states, none[:1], words, none[:1], none[:1] + 1)
        self._score_pairs(self.model.relation.project(states), where)

    def _forward(self, encoded: EncodedTexts, windows: Windows, index: Ints, found: _Found) -> None:
        units = windows.units.take(index)
        inputs = pad_units(encoded, units, self.tokenizer)
        mask = to_tensor(inputs.mask, self.device)
        hidden, lower = self.model(to_tensor(inputs.input_ids, self.device), mask)
        if "tc" in self.tasks:
            found.topic.append((index, self._probabilities("tc", self.model.topic(hidden, mask))))
        if "ner" in self.tasks:
            self._find_entities(encoded, windows, index, units, inputs, hidden, found)
        if "re" in self.tasks:
            found.states.append((index, inputs.mask.sum(1), flatten_states(lower, mask)))
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
        spec, calibration = self.model.spec.of["ner"], self.model.spec.calibration
        chars = index_chars(encoded, units, inputs.n_prefix)
        where = [to_tensor(column, self.device) for column in (chars.unit, chars.token, chars.nth)]
        tags = self._probabilities("ner", self.model.entity(hidden, *where))
        entities = decode_entities(tags, chars.unit, chars.char, spec.ner_types, self._transitions)
        entities = drop_unsure(entities, encoded.chars, spec.min_entity_score, spec.min_inside_score)
        if "entity" in calibration:
            worth = self._probabilities("entity", torch.from_numpy(score_odds(entities.score)))[:, 1]
            entities = dataclasses.replace(entities, score=worth.astype(np.float32))
        if spec.mention_types:
            tags = self._probabilities("mention", self.model.mention(hidden, *where))
            mentions = decode_entities(tags, chars.unit, chars.char, spec.mention_types)
            # Learned from partial labels, they score lower than entities where they are right.
            mentions = drop_unsure(mentions, encoded.chars, spec.min_mention_score, spec.min_inside_score)
            entities = merge_entities(entities, mentions, self.entity_labels)
        unit = index[entities.text]
        entities = entities.take(
            (entities.begin >= windows.core_begin[unit]) & (entities.begin < windows.core_end[unit])
        )
        found.entities.append(entities)

    def _relate(
        self,
        encoded: EncodedTexts,
        windows: Windows,
        states: list[tuple[Ints, Ints, Tensor]],
        entities: Entities,
        failures: dict[int, str],
    ) -> _Pairs:
        """Score the pairs of entities of all texts together; a text with a pair that fails joins `failures`.

        Args:
          encoded, windows: the texts.
          states: what `_forward` kept, batch after batch.
          entities: what relations are sought between, spans in their texts.
          failures: the texts that failed so far, with their reasons.
        """
        unit, here, number = _entities_of_units(encoded, windows, entities)
        alive = ~np.isin(windows.units.text[unit], list(failures))
        unit, here, number = unit[alive], here.take(alive), number[alive]
        pairs = list_candidate_pairs(here, unit, self.max_pairs)
        probabilities = np.zeros((len(pairs.subject), len(self.model.spec.of["re"].relations)), dtype=np.float32)
        if len(pairs.subject):
            where, kept = self._locate(encoded, windows, states, unit, here, pairs.subject, pairs.object)
            shared = self.model.relation.project(kept)

            def score(index: Ints) -> None:
                probabilities[index] = self._score_pairs(shared, where[index])

            low, high = self.model.relation.find_windows(torch.from_numpy(where))
            lengths = (high - low).numpy() + 2
            failed = run_packed(np.arange(len(where)), lengths, self.budget, score, self._try_plain_pair)
            texts = windows.units.text[unit[pairs.subject]]
            failures.update({int(texts[pair]): reason for pair, reason in failed.items()})
        cut = windows.units.text[pairs.cut]
        return _Pairs(number[pairs.subject], number[pairs.object], probabilities, cut)

    def _locate(
        self,
        encoded: EncodedTexts,
        windows: Windows,
        states: list[tuple[Ints, Ints, Tensor]],
        unit: Ints,
        entities: Entities,
        subject: Ints,
        object_: Ints,
    ) -> tuple[Ints, Tensor]:
        """Say where pairs of entities (spans in the flat array of code points) stand, among which states."""
        unit = unit[subject]
        kept = join_states(states, len(windows.units), self.model.relation.markers.weight).take(np.unique(unit))
        markers = np.array([ENTITY_TYPES.index(marker_type(label)) for label in entities.labels], dtype=np.int64)
        spans = [bound[side] for side in (subject, object_) for bound in (entities.begin, entities.end - 1)]
        types = np.stack([markers[entities.label[side]] for side in (subject, object_)], 1)
        n_prefix = len(self.tokenizer.prefix)
        where = locate_pairs(encoded, windows.units, n_prefix, kept, unit, np.stack(spans, 1), types)
        return where, kept.states

    def _score_pairs(self, shared: tuple[Tensor, ...], where: Ints) -> Probabilities:
        """Score pairs in one pass. Shape: (n_pairs, n_relations)."""
        return self._probabilities("re", self.model.relation.score(shared, to_tensor(where, self.device)))

    def _parse(
        self, encoded: EncodedTexts, windows: Windows, index: Ints, inputs: PaddedInputs, hidden: Tensor, found: _Found
    ) -> None:
        whole = np.flatnonzero(~windows.is_window[index])
        text = windows.units.text[index[whole]]
        where = index_eojeols(encoded, text, inputs.n_prefix)
        if not where.n_eojeols.any():
            return
        columns = [where.first, where.last, where.n_eojeols]
        if self._tagger is not None:
            columns.append(self._tagger.tag(encoded, text))
        arcs, dependents, candidates = self.model.dependency(
            hidden[to_tensor(whole, self.device)], *(to_tensor(column, self.device) for column in columns)
        )
        log_arcs = torch.log_softmax(self._calibrated("arc", arcs), -1)
        decode = decode_head_final if self.model.spec.of["dp"].head_final else decode_heads
        heads = decode(log_arcs.cpu().numpy(), where.n_eojeols)
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

    def _probabilities(self, name: str, logits: Tensor) -> Probabilities:
        probabilities: Probabilities = torch.softmax(self._calibrated(name, logits), -1).cpu().numpy()
        return require_finite(probabilities)

    def _assemble(
        self,
        encoded: EncodedTexts,
        windows: Windows,
        found: _Found,
        own: Entities | None,
        between: Entities | None,
        pairs: _Pairs | None,
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
        entities = own.take(~failed[own.text]) if own is not None else None
        relations, arcs = None, None
        if pairs is not None and between is not None:
            relations, flags["re_pairs_cut"] = self._assemble_relations(between, pairs, failed)
        if "dp" in self.tasks:
            flags["dp_skipped_too_long"] = windowed
            arcs = self._assemble_arcs(found, encoded.eojeols, failed)
        return Annotations(topics, entities, relations, arcs, encoded.eojeols, flags, failures)

    def _assemble_topics(self, windows: Windows, found: _Found, failed: Bools) -> Topics:
        labels = self.model.spec.of["tc"].topics
        index = np.concatenate([np.zeros(0, dtype=np.int64), *(part[0] for part in found.topic)])
        probabilities = np.concatenate([np.zeros((0, len(labels)), np.float32), *(part[1] for part in found.topic)])
        weight = np.maximum(windows.core_end - windows.core_begin, 1)[index].astype(np.float32)
        topics = decode_topics(probabilities, windows.units.text[index], weight, len(failed), labels)
        return Topics(labels, np.where(failed, -1, topics.label), topics.score)

    def _assemble_entities(self, encoded: EncodedTexts, found: list[Entities]) -> Entities:
        """Give the entities in the order of the texts, with spans in them."""
        joined = entities_in_texts(encoded, [no_entities(self.entity_labels), *found])
        ordered = joined.take(np.lexsort((joined.begin, joined.text)))
        return ordered.take(drop_overlaps(ordered))

    def _assemble_relations(self, entities: Entities, pairs: _Pairs, failed: Bools) -> tuple[Relations, Bools]:
        """Give the relations between `entities`, and which texts had pairs left out. Shape of failed: (n_texts,)."""
        cut = np.zeros(len(failed), dtype=bool)
        cut[pairs.cut] = True
        text = entities.text[pairs.subject]
        alive = ~failed[text]
        text, subject, object_ = text[alive], pairs.subject[alive], pairs.object[alive]
        first = entities.offsets(len(failed))[text]
        labels = self.model.spec.of["re"].relations
        relations = decode_relations(pairs.probabilities[alive], text, subject - first, object_ - first, labels)
        return relations, cut & ~failed

    def _assemble_arcs(self, found: _Found, eojeols: Eojeols, failed: Bools) -> Arcs:
        none = np.zeros(0, dtype=np.int64)
        columns = [np.concatenate([none, *(part[i] for part in found.arcs)]) for i in range(3)]
        score = np.concatenate([np.zeros(0, np.float32), *(part[3] for part in found.arcs)]).astype(np.float32)
        order = np.argsort(columns[0], kind="stable")
        text = np.searchsorted(eojeols.offsets, columns[0][order], side="right") - 1
        order = order[~failed[text]]
        eojeol, head, label = (column[order] for column in columns)
        return Arcs(self.model.spec.of["dp"].deprels, eojeol, head, label, score[order])


def require_finite(scores: Probabilities) -> Probabilities:
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
