"""Nearly gold entity tags for sentences without labels, from a table of entity forms and some gold sentences.

The table says how often a form was tagged with which fine label in the corpus that the sentences come from. Where a
form stands, how sure it is there and what it excludes depends on its neighbours, so a small character tagger learns it
from the gold sentences: it reads the characters, the table's matches at each, and how often each matched form was
an entity. Its sure entities become tags, its doubtful ones None, which a loss leaves out.

Sources of the method: gazetteer features (Chiu and Nichols, 2016, https://arxiv.org/abs/1511.08308); leaving out
what weak labels cannot tell (Mengge et al., 2020, "Coarse-to-Fine Pre-training for Named Entity Recognition").
"""

import collections
import dataclasses
import json
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import smart_open
import torch
from torch import Tensor, nn
from torch.nn import functional

from schemas.labels import NER_TYPES
from transforms.formats.klue import NER_TAGS, EntityExample, mentions_of_tags

FormTable = Mapping[str, Mapping[str, int]]
"""For each surface form, how often it was tagged with each fine label; a label's first two letters are its type."""

SURE_ENTITY: Final = 0.8
SURE_UNKNOWN_ENTITY: Final = 0.9
SURE_OUTSIDE: Final = 0.95
"""An entity is sure if each of its characters' tags has this probability (the second where its form does not stand in
the table with its type), a character outside if O has. Learnt from 4,000 of KLUE-NER's first 5,000 sentences and
measured on the other 1,000: 92.9 % of the entities tagged are right, 78.9 % of the gold ones are tagged, 1.8 % have a
character tagged O, 5.3 % of all characters are left out, 0.24 % of those tagged O are in an entity."""

_IGNORED: Final = -100
_N_TYPES: Final = len(NER_TYPES) + 1
_N_ROLES: Final = 5
_MAX_LENGTH: Final = 10


@dataclasses.dataclass(frozen=True, slots=True)
class WeakLabelQuality:
    """How weak tags compare with gold ones, as shares from 0 to 1.

    Attributes:
      precision, recall: of the entities tagged, spans and types exact.
      missed: gold entities with at least one character tagged O.
      ignored: characters tagged None.
      outside_error: characters tagged O that are in a gold entity, of all tagged O.
    """

    precision: float
    recall: float
    missed: float
    ignored: float
    outside_error: float


def read_form_table(path: str) -> dict[str, dict[str, int]]:
    """Read a table with the tab-separated columns form, label and train_freq.

    Raises:
      ValueError: on a malformed line, with its path and line.
    """
    table: dict[str, dict[str, int]] = {}
    for number, line in _lines(path):
        columns = line.split("\t")
        if number == 1 and columns[:1] == ["form"]:
            continue
        if len(columns) != 3 or not columns[0] or not columns[2].isdecimal():
            raise ValueError(f"{path}, line {number}: a line must be form, label and frequency, got {line[:80]!r}.")
        labels = table.setdefault(columns[0], {})
        labels[columns[1]] = labels.get(columns[1], 0) + int(columns[2])
    return table


def read_raw_sentences(path: str, known: Iterable[EntityExample] = ()) -> list[str]:
    """Read a table with the tab-separated columns guid and sentence, without sentences that are known.

    Args:
      path: the table.
      known: sentences to leave out (those with gold tags, those of a test set), by guid or text. Texts are compared
        without white space and in compatibility form (NFKC), since copies of a corpus differ in both.

    Returns:
      The other sentences, each text once.

    Raises:
      ValueError: on a malformed line, with its path and line.
    """
    examples = list(known)
    guids, seen = {example.guid for example in examples}, {_folded(example.text) for example in examples}
    sentences = []
    for number, line in _lines(path):
        columns = line.split("\t")
        if len(columns) != 2 or not columns[1].strip():
            raise ValueError(f"{path}, line {number}: a line must be guid and sentence, got {line[:80]!r}.")
        folded = _folded(columns[1])
        if columns[0] not in guids and folded not in seen:
            sentences.append(columns[1])
        seen.add(folded)
    return sentences


def label_weakly(
    texts: Sequence[str],
    table: FormTable,
    gold: Sequence[EntityExample],
    *,
    members: int = 2,
    epochs: int = 12,
    seed: int = 0,
) -> list[EntityExample]:
    """Tag sentences from the form table and what gold sentences teach of it.

    Args:
      texts: sentences of the corpus that the table was counted on.
      table: forms with their labels and frequencies.
      gold: sentences of the same corpus with gold tags, none of which is None.
      members: character taggers to train, of different seeds; their probabilities are averaged.
      epochs: passes over `gold` in training each.
      seed: of the first tagger.

    Returns:
      One example a text, in order, named `weak-0`, `weak-1`, …; tags are NER_TAGS, or None where the tag is doubtful.

    Raises:
      ValueError: if there is no gold sentence, no tagger or no epoch, or a text is empty.
    """
    for name, value in (("gold", len(gold)), ("members", members), ("epochs", epochs)):
        if value < 1:
            raise ValueError(f"`{name}` must be at least 1, got {value}. Give gold sentences, a tagger, an epoch.")
    if not all(texts):
        raise ValueError("`texts` must each hold a character, got an empty one. Leave it out.")
    encoder = _Encoder(table, [*(example.text for example in gold), *texts])
    taggers = [_train_tagger(encoder, gold, epochs, seed + member) for member in range(members)]
    examples = []
    for index, (text, probabilities) in enumerate(zip(texts, _probabilities(taggers, encoder, texts), strict=True)):
        examples.append(EntityExample(f"weak-{index}", text, _sure_tags(text, probabilities, table)))
    return examples


def measure_quality(labelled: Sequence[EntityExample], gold: Sequence[EntityExample]) -> WeakLabelQuality:
    """Compare weak tags with gold ones of the same sentences, in the same order."""
    correct = tagged = entities = missed = ignored = characters = outside = wrong_outside = 0
    for weak, true in zip(labelled, gold, strict=True):
        mentions = set(mentions_of_tags(true.tags))
        found = set(mentions_of_tags(weak.tags))
        correct, tagged, entities = correct + len(found & mentions), tagged + len(found), entities + len(mentions)
        missed += sum("O" in weak.tags[mention.begin : mention.end] for mention in mentions)
        ignored, characters = ignored + weak.tags.count(None), characters + len(weak.tags)
        outside += weak.tags.count("O")
        wrong_outside += sum(tag == "O" != other for tag, other in zip(weak.tags, true.tags, strict=True))
    return WeakLabelQuality(
        correct / max(tagged, 1),
        correct / max(entities, 1),
        missed / max(entities, 1),
        ignored / max(characters, 1),
        wrong_outside / max(outside, 1),
    )


def save_entities(path: Path, examples: Iterable[EntityExample]) -> None:
    """Write examples as JSON lines, so that a training run that resumes reads the very same tags."""
    lines = (json.dumps(dataclasses.asdict(example), ensure_ascii=False) for example in examples)
    partial = path.with_name(path.name + ".partial")
    partial.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    partial.replace(path)


def load_entities(path: Path) -> list[EntityExample]:
    """Read back what `save_entities` wrote.

    Raises:
      ValueError: on a line that is no such example, with its path and line.
    """
    examples = []
    for number, line in _lines(str(path)):
        try:
            row = json.loads(line)
            examples.append(EntityExample(row["guid"], row["text"], tuple(row["tags"])))
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(f"{path}, line {number}: no example of entity tags, got {line[:80]!r}.") from error
    return examples


def _lines(path: str) -> Iterator[tuple[int, str]]:
    with smart_open.open(path, "rb") as file:
        lines = file.read().decode("utf-8").split("\n")
    return ((number, line.removesuffix("\r")) for number, line in enumerate(lines, 1) if line.strip())


def _folded(text: str) -> str:
    return "".join(unicodedata.normalize("NFKC", text).split())


@dataclasses.dataclass(frozen=True, slots=True)
class _Encoded:
    """A sentence as the tagger reads it.

    Attributes:
      chars: character ids. Shape: (n_chars,), int64.
      forms: fine label and role of the longest match that covers the character. Shape: (n_chars,), int64.
      strengths: by type (NER_TYPES, other) and role, how often a form matched here was an entity of the type.
        Shape: (n_chars, _N_TYPES * _N_ROLES), float32.
    """

    chars: npt.NDArray[np.int64]
    forms: npt.NDArray[np.int64]
    strengths: npt.NDArray[np.float32]


class _Encoder:
    """Turns sentences into what the tagger reads; counts how often each form occurs in `corpus` at all."""

    def __init__(self, table: FormTable, corpus: Sequence[str]) -> None:
        self._prefixes = {form[:end] for form in table for end in range(1, len(form) + 1)}
        self._table = table
        occurrences: collections.Counter[str] = collections.Counter()
        chars: collections.Counter[str] = collections.Counter()
        for text in corpus:
            occurrences.update(text[begin:end] for begin, end in self._matches(text))
            chars.update(_char_key(char) for char in text)
        frequent = sorted(char for char, count in chars.items() if count >= 3)
        self._char_ids = {char: index for index, char in enumerate(frequent, 2)}
        labels = sorted({label for counts in table.values() for label in counts})
        self._label_ids = {label: index for index, label in enumerate(labels)}
        self._strengths = {form: _type_shares(counts, occurrences[form]) for form, counts in table.items()}
        self._best_labels = {form: max(counts, key=counts.__getitem__) for form, counts in table.items()}
        self.n_chars = len(frequent) + 2
        self.n_forms = 3 * len(labels) + 1

    def _matches(self, text: str) -> list[tuple[int, int]]:
        """Give every place where a form of the table stands, nested ones too."""
        found = []
        for begin in range(len(text)):
            end = begin + 1
            while end <= len(text) and text[begin:end] in self._prefixes:
                if text[begin:end] in self._table:
                    found.append((begin, end))
                end += 1
        return found

    def __call__(self, text: str) -> _Encoded:
        """Encode a sentence."""
        chars = np.array([self._char_ids.get(_char_key(char), 1) for char in text], np.int64)
        forms = np.zeros(len(text), np.int64)
        strengths = np.zeros((len(text), _N_TYPES, _N_ROLES), np.float32)
        for begin, end in sorted(self._matches(text), key=lambda span: (span[0] - span[1], span[0])):
            form = text[begin:end]
            shares = self._strengths[form]
            length = (shares > 0) * min(end - begin, _MAX_LENGTH) / _MAX_LENGTH
            roles = ((begin, begin + 1), (end - 1, end), (begin + 1, end - 1), (begin + 1, end))
            for role, (first, last) in enumerate(roles):
                np.maximum(strengths[first:last, :, role], shares, out=strengths[first:last, :, role])
            np.maximum(strengths[begin:end, :, 4], length, out=strengths[begin:end, :, 4])
            if not forms[begin:end].any():
                first_id = 1 + 3 * self._label_ids[self._best_labels[form]]
                forms[begin:end] = first_id + 1
                forms[end - 1] = first_id + 2
                forms[begin] = first_id
        return _Encoded(chars, forms, strengths.reshape(len(text), -1))


def _char_key(char: str) -> str:
    """Fold compatibility forms of one character: ㅋ as a letter and as a conjoining initial are one."""
    folded = unicodedata.normalize("NFKC", char)
    return folded if len(folded) == 1 else char


def _type_shares(counts: Mapping[str, int], occurrences: int) -> npt.NDArray[np.float32]:
    shares = np.zeros(_N_TYPES, np.float32)
    total = max(occurrences, sum(counts.values()))
    for label, count in counts.items():
        index = NER_TYPES.index(label[:2]) if label[:2] in NER_TYPES else len(NER_TYPES)
        shares[index] += count / total
    return shares


class _CharTagger(nn.Module):
    """Two convolutions and a bidirectional GRU over characters and their matches."""

    def __init__(self, n_chars: int, n_forms: int, size: int = 128, dropout: float = 0.3) -> None:
        super().__init__()
        self.chars = nn.Embedding(n_chars, 64, padding_idx=0)
        self.forms = nn.Embedding(n_forms, 32)
        self.project = nn.Linear(64 + 32 + _N_TYPES * _N_ROLES, size)
        self.convolutions = nn.ModuleList(nn.Conv1d(size, size, 5, padding=2 * d, dilation=d) for d in (1, 2))
        self.norms = nn.ModuleList(nn.LayerNorm(size) for _ in (1, 2))
        self.recurrent = nn.GRU(size, size // 2, batch_first=True, bidirectional=True)
        self.output = nn.Linear(size, len(NER_TAGS))
        self.dropout = nn.Dropout(dropout)

    def forward(self, chars: Tensor, forms: Tensor, strengths: Tensor) -> Tensor:
        """Give tag logits. Shape: (batch_size, n_chars, n_tags)."""
        read = torch.cat([self.chars(chars), self.forms(forms), strengths], -1)
        states = self.project(self.dropout(read))
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            change = torch.relu(convolution(states.transpose(1, 2)).transpose(1, 2))
            states = norm(states + self.dropout(change))
        logits: Tensor = self.output(self.dropout(states + self.recurrent(states)[0]))
        return logits


def _train_tagger(encoder: _Encoder, gold: Sequence[EntityExample], epochs: int, seed: int) -> _CharTagger:
    encoded = [encoder(example.text) for example in gold]
    tags = [np.array([NER_TAGS.index(tag) for tag in example.tags], np.int64) for example in gold]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        rng = np.random.default_rng(seed)
        tagger = _CharTagger(encoder.n_chars, encoder.n_forms)
        optimizer = torch.optim.AdamW(tagger.parameters(), weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, 3e-3, total_steps=epochs * len(_batches(encoded, 32, rng))
        )
        for _ in range(epochs):
            for batch in _batches(encoded, 32, rng):
                logits = tagger(*_padded([encoded[index] for index in batch]))
                target = nn.utils.rnn.pad_sequence(
                    [torch.from_numpy(tags[index]) for index in batch], batch_first=True, padding_value=_IGNORED
                )
                loss = functional.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=_IGNORED)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
    return tagger.eval()


def _batches(encoded: Sequence[_Encoded], size: int, rng: np.random.Generator) -> list[npt.NDArray[np.int64]]:
    """Batch sentences of like length, in an order drawn anew."""
    noisy_lengths = np.array([len(sentence.chars) for sentence in encoded]) + rng.uniform(0, 8, len(encoded))
    order = np.argsort(noisy_lengths)
    batches = [order[begin : begin + size] for begin in range(0, len(order), size)]
    return [batches[index] for index in rng.permutation(len(batches))]


def _padded(batch: Sequence[_Encoded]) -> tuple[Tensor, Tensor, Tensor]:
    def pad(arrays: Iterable[npt.NDArray[np.int64] | npt.NDArray[np.float32]]) -> Tensor:
        return nn.utils.rnn.pad_sequence([torch.from_numpy(array) for array in arrays], batch_first=True)

    return pad(x.chars for x in batch), pad(x.forms for x in batch), pad(x.strengths for x in batch)


@torch.inference_mode()
def _probabilities(
    taggers: Sequence[_CharTagger], encoder: _Encoder, texts: Sequence[str]
) -> Iterator[npt.NDArray[np.float64]]:
    """Give each sentence's tag probabilities, the taggers' mean. Shape: (n_chars, n_tags)."""
    for text in texts:
        inputs = _padded([encoder(text)])
        yield torch.stack([tagger(*inputs)[0].double().softmax(-1) for tagger in taggers]).mean(0).numpy()


def _sure_tags(text: str, probabilities: npt.NDArray[np.float64], table: FormTable) -> tuple[str | None, ...]:
    """Take the best entities, and turn all that is doubtful into None."""
    tags: list[str | None] = ["O" if p >= SURE_OUTSIDE else None for p in probabilities[:, 0]]
    for begin, end, entity_type in mentions_of_tags(_best_tags(probabilities)):
        first, inside = NER_TAGS.index(f"B-{entity_type}"), NER_TAGS.index(f"I-{entity_type}")
        sureness = min([probabilities[begin, first], *probabilities[begin + 1 : end, inside]])
        if end < len(text):
            sureness = min(sureness, 1 - probabilities[end, inside])
        known = any(label.startswith(entity_type) for label in table.get(text[begin:end], ()))
        sure = sureness >= (SURE_ENTITY if known else SURE_UNKNOWN_ENTITY)
        tags[begin:end] = [NER_TAGS[first], *[NER_TAGS[inside]] * (end - begin - 1)] if sure else [None] * (end - begin)
    return tuple(tags)


def _best_tags(probabilities: npt.NDArray[np.float64]) -> list[str]:
    """Find the likeliest tags in which every I- goes on with an entity of its type (Viterbi)."""
    allowed = np.array([[tag[0] != "I" or before in (tag, f"B-{tag[2:]}") for tag in NER_TAGS] for before in NER_TAGS])
    steps = np.where(allowed, 0.0, -np.inf)
    scores = np.log(probabilities + 1e-12)
    best = scores[0] + steps[0]
    previous = []
    for score in scores[1:]:
        paths = best[:, None] + steps
        previous.append(paths.argmax(0))
        best = paths.max(0) + score
    path = [int(best.argmax())]
    for came_from in reversed(previous):
        path.append(int(came_from[path[-1]]))
    return [NER_TAGS[index] for index in reversed(path)]
