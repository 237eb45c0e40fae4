"""A small character tagger that reads a sentence together with the forms of a table that stand in it.

Source of the method: gazetteer features (Chiu and Nichols, 2016, https://arxiv.org/abs/1511.08308).
"""

import collections
import dataclasses
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from klue_beam.schemas.labels import NER_TYPES
from klue_beam.transforms.tasks.entity.gold import NER_TAGS, EntityExample

FormTable = Mapping[str, Mapping[str, int]]
"""For each surface form, how often it was tagged with each fine label; a label's first two letters are its type."""

_IGNORED: Final = -100
_N_TYPES: Final = len(NER_TYPES) + 1
_N_ROLES: Final = 5
_MAX_LENGTH: Final = 10


@dataclasses.dataclass(frozen=True, slots=True)
class EncodedSentence:
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


class FormEncoder:
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

    def __call__(self, text: str) -> EncodedSentence:
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
        return EncodedSentence(chars, forms, strengths.reshape(len(text), -1))


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


class CharTagger(nn.Module):
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


def train_tagger(encoder: FormEncoder, gold: Sequence[EntityExample], epochs: int, seed: int) -> CharTagger:
    """Train a tagger on gold sentences; the same seed on the same machine gives the same weights.

    Args:
      encoder: of a corpus that holds the sentences.
      gold: sentences, no tag None.
      epochs: passes over them.
      seed: of weights, order and dropout.

    Raises:
      ValueError: if a tag is None.
    """
    encoded = [encoder(example.text) for example in gold]
    tags = [np.array([NER_TAGS.index(tag) for tag in example.tags], np.int64) for example in gold]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        rng = np.random.default_rng(seed)
        tagger = CharTagger(encoder.n_chars, encoder.n_forms)
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


def _batches(encoded: Sequence[EncodedSentence], size: int, rng: np.random.Generator) -> list[npt.NDArray[np.int64]]:
    """Batch sentences of like length, in an order drawn anew."""
    noisy_lengths = np.array([len(sentence.chars) for sentence in encoded]) + rng.uniform(0, 8, len(encoded))
    order = np.argsort(noisy_lengths)
    batches = [order[begin : begin + size] for begin in range(0, len(order), size)]
    return [batches[index] for index in rng.permutation(len(batches))]


def _padded(batch: Sequence[EncodedSentence]) -> tuple[Tensor, Tensor, Tensor]:
    def pad(arrays: Iterable[npt.NDArray[np.int64] | npt.NDArray[np.float32]]) -> Tensor:
        return nn.utils.rnn.pad_sequence([torch.from_numpy(array) for array in arrays], batch_first=True)

    return pad(x.chars for x in batch), pad(x.forms for x in batch), pad(x.strengths for x in batch)


@torch.inference_mode()
def tag_probabilities(
    taggers: Sequence[CharTagger], encoder: FormEncoder, texts: Sequence[str]
) -> Iterator[npt.NDArray[np.float64]]:
    """Give each sentence's tag probabilities, the taggers' mean. Shape: (n_chars, n_tags)."""
    for text in texts:
        inputs = _padded([encoder(text)])
        yield torch.stack([tagger(*inputs)[0].double().softmax(-1) for tagger in taggers]).mean(0).numpy()
