"""Train the boundary model of `fast`: a logistic model over hashed features, fitted by AdaGrad.

Reference: Duchi et al., 2011, "Adaptive Subgradient Methods", https://jmlr.org/papers/v12/duchi11a.html
"""

import argparse
import dataclasses
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from klue_beam.transforms.base.codepoints import Bools, is_white_space
from klue_beam.transforms.split.splitters.bare_endings import PAIR_BITS, Endings, pairs
from klue_beam.transforms.split.splitters.candidates import BARE, MOODY, N_KINDS, propose
from klue_beam.transforms.split.splitters.corpora import training_documents
from klue_beam.transforms.split.splitters.features import HASH_BITS, Candidates
from klue_beam.transforms.split.splitters.kiwi import kiwi_splitter
from klue_beam.transforms.split.splitters.kss import kss_splitter
from klue_beam.transforms.split.splitters.layout import BULLET, DIGIT, N_IDS, lay_out
from klue_beam.transforms.split.splitters.model import WEIGHTS_FILE, BoundaryModel
from klue_beam.transforms.split.splitters.silver import TrainingDocument
from klue_beam.transforms.split.splitters.simple import newline_splitter
from klue_beam.transforms.split.splitters.spans import codes_of

BARE_SHARE: Final = 0.002
"""A character can end a sentence without a mark if at least this share of the words that end in it do."""

BARE_COUNT: Final = 5
"""… and if it did so this often."""

PAIR_SHARE: Final = 0.01
"""Two characters can do so if at least this share of the words that end in them do …"""

PAIR_COUNT: Final = 8
"""… or if they were seen less often than this."""

EPOCHS: Final = 2
RATE: Final = 0.05
LEANS: Final = ((1.75, -0.5), (2.5, 2.0))
"""The biases, without and with a mark, in documents whose sentences mostly lack marks and in those that have them. They
favour a boundary, since the teachers miss more of them than they invent; but where a writer marks his ends, an end
without a mark must be the surer. Chosen on the KSS test set and on the gold splits in
tests/transforms/split/splitters/gold."""

_BATCH_CHARS: Final = 100_000
_STEP: Final = 256
_SNAPSHOT: Final = 50
"""The averaged weights are a mean over every so many steps."""
_log = logging.getLogger(__name__)

Floats32 = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True, slots=True)
class Examples:
    """Labelled candidates.

    Attributes:
      places: the features' places in the table of weights. Shape: (n_examples, n_features), int32.
      target: how sure the teachers are that a sentence ends there, 0 to 1. Shape: (n_examples,).
    """

    places: npt.NDArray[np.int32]
    target: Floats32


def _batches(documents: Sequence[TrainingDocument]) -> Iterator[list[TrainingDocument]]:
    batch: list[TrainingDocument] = []
    size = 0
    for document in documents:
        batch.append(document)
        size += len(document.text)
        if size >= _BATCH_CHARS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _labelled(batch: list[TrainingDocument], endings: Endings) -> tuple[Candidates, Floats32, Bools]:
    """Give the candidates of a batch, how sure the teachers are of each, and whether one of them is to be believed."""
    codes = codes_of("".join(document.text for document in batch))
    begins = np.append(0, np.cumsum([len(document.text) for document in batch]))
    candidates = propose(lay_out(codes, is_white_space(codes), begins), endings)
    first, mean, trusted, lines, unknown = (np.zeros(len(codes) + 1, dtype=np.float32) for _ in range(5))
    for document, begin in zip(batch, begins.tolist(), strict=False):
        first[begin + document.ends[0]] = 1
        for ends in document.ends:
            mean[begin + ends] += 1 / len(document.ends)
        span = slice(begin, begin + len(document.text))
        trusted[span] = len(document.ends) == 1
        lines[span] = document.trust_lines
        unknown[begin + document.unknown] = 1
    cut = candidates.cut
    kind = candidates.column("KIND") % N_KINDS
    at_line_end = candidates.column("G") > 1
    target = np.where((kind == BARE) | (kind == MOODY), mean[cut], first[cut])
    target = np.where(at_line_end & (lines[cut] > 0), 1, target)
    doubtful = (unknown[cut] > 0) | (at_line_end & (lines[cut] == 0) & (trusted[cut] == 0))
    return candidates, target.astype(np.float32), ~doubtful | (target == 1)


def find_endings(documents: Sequence[TrainingDocument]) -> Endings:
    """Find what sentences without a mark end in often enough to be looked at."""
    seen, ended = np.zeros((2, N_IDS))
    seen_pairs, ended_pairs = np.zeros((2, 1 << PAIR_BITS))
    for batch in _batches(documents):
        candidates, target, known = _labelled(batch, Endings.any())
        before_marker = np.isin(candidates.column("CR1"), (BULLET, DIGIT))
        bare = (candidates.column("KIND") == BARE) & known & ~before_marker
        last, target = candidates.column("L1")[bare], target[bare]
        pair = pairs(candidates.column("L2")[bare], last)
        seen += np.bincount(last, minlength=N_IDS)
        ended += np.bincount(last, target, minlength=N_IDS)
        seen_pairs += np.bincount(pair, minlength=len(seen_pairs))
        ended_pairs += np.bincount(pair, target, minlength=len(seen_pairs))
    return Endings(
        (ended >= BARE_COUNT) & (ended >= BARE_SHARE * seen),
        (seen_pairs < PAIR_COUNT) | (ended_pairs >= PAIR_SHARE * seen_pairs),
    )


def make_examples(documents: Sequence[TrainingDocument], endings: Endings) -> Examples:
    """Turn documents into labelled candidates."""
    places, targets = [], []
    for batch in _batches(documents):
        candidates, target, known = _labelled(batch, endings)
        places.append(candidates.hashed()[known].astype(np.int32))
        targets.append(target[known])
    return Examples(np.concatenate(places), np.concatenate(targets))


def fit(examples: Examples, epochs: int = EPOCHS, rate: float = RATE, seed: int = 1) -> Floats32:
    """Fit weights by AdaGrad on the logistic loss, averaged over the last epoch. Shape: (2**HASH_BITS,)."""
    rng = np.random.default_rng(seed)
    weights, total = np.zeros((2, 2**HASH_BITS), dtype=np.float32)
    squares = np.full(2**HASH_BITS, 1e-2, dtype=np.float32)
    taken = 0
    for epoch in range(epochs):
        order = rng.permutation(len(examples.target))
        for step, begin in enumerate(range(0, len(order), _STEP)):
            rows = order[begin : begin + _STEP]
            places = examples.places[rows]
            score = weights[places].sum(axis=1)
            error = 1 / (1 + np.exp(-score)) - examples.target[rows]
            flat, slope = places.ravel(), np.repeat(error, places.shape[1])
            np.add.at(squares, flat, slope * slope)
            np.subtract.at(weights, flat, rate * slope / np.sqrt(squares[flat]))
            if epoch == epochs - 1 and step % _SNAPSHOT == 0:
                total += weights
                taken += 1
    return total / np.float32(taken)


def train_splitter(data: Path, output: Path = WEIGHTS_FILE, cache: Path | None = None) -> BoundaryModel:
    """Train the boundary model and store it; the same data and versions give the same file.

    Args:
      data: the data folder, with `text`, `klue/train` and `ud`.
      output: where the weights go.
      cache: a folder to keep what the teachers, kss and Kiwi, made of the texts; without it they work each time.
    """
    # The teachers leave what they fail on to a plain splitter, so that training does not need its own result.
    plain = newline_splitter()
    documents = training_documents(data, kss_splitter(plain), kiwi_splitter(plain), cache)
    endings = find_endings(documents)
    examples = make_examples(documents, endings)
    _log.info("%d documents, %d candidates", len(documents), len(examples.target))
    model = BoundaryModel(fit(examples), np.array(LEANS, dtype=np.float32), endings)
    model.save(output)
    return model


def main() -> None:
    """Run `python -m klue_beam.transforms.split.splitters.training --data FOLDER [--output FILE] [--cache FOLDER]`."""
    parser = argparse.ArgumentParser(description="Train the boundary model of the splitter `fast`.")
    parser.add_argument("--data", type=Path, required=True, help="the data folder, with text, klue/train and ud")
    parser.add_argument("--output", type=Path, default=WEIGHTS_FILE, help="where the weights go")
    parser.add_argument("--cache", type=Path, help="a folder to keep the teachers' work in")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    if arguments.cache:
        arguments.cache.mkdir(parents=True, exist_ok=True)
    train_splitter(arguments.data, arguments.output, arguments.cache)


if __name__ == "__main__":
    main()
