"""The boundary model of `fast`, as it is stored."""

import dataclasses
import hashlib
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from klue_beam.transforms.split.splitters.bare_endings import Endings
from klue_beam.transforms.split.splitters.candidates import BARE, MOODY
from klue_beam.transforms.split.splitters.features import Candidates
from klue_beam.transforms.split.splitters.layout import N_IDS

WEIGHTS_FILE: Final = Path(__file__).with_name("fast.npz")


@dataclasses.dataclass(frozen=True, slots=True)
class BoundaryModel:
    """A logistic model over hashed features.

    Attributes:
      weights: one a place of the hash table. Shape: (2**HASH_BITS,), float32.
      biases: added to the scores, by whether the sentence would end in a mark, and whether the document's sentences do.
        Shape: (2, 2), float32.
      endings: what sentences end in that have no mark.
    """

    weights: npt.NDArray[np.float32]
    biases: npt.NDArray[np.float32]
    endings: Endings

    def scores(self, candidates: Candidates) -> npt.NDArray[np.float32]:
        """Give the log odds that a sentence ends at each candidate. Shape: (n_candidates,), float32."""
        kind = candidates.column("KIND")
        has_mark = (kind != BARE) & (kind != MOODY)
        bias = self.biases[has_mark.astype(np.int64), candidates.column("MARKED")]
        return self.weights.take(candidates.hashed()).sum(axis=1, dtype=np.float32) + bias

    def save(self, path: Path) -> None:
        """Store the model: weights as int8 with one scale, without pickle."""
        scale = float(np.abs(self.weights).max()) / 127
        quantised = np.rint(self.weights / scale).astype(np.int8)
        np.savez_compressed(
            path,
            weights=quantised,
            scale=scale,
            biases=self.biases,
            endings=np.flatnonzero(self.endings.last).astype(np.int32),
            pairs=np.packbits(self.endings.pair),
        )

    @classmethod
    def load(cls, path: Path = WEIGHTS_FILE) -> "BoundaryModel":
        """Read a model that `save` stored."""
        with np.load(path, allow_pickle=False) as stored:
            last = np.zeros(N_IDS, dtype=bool)
            last[stored["endings"]] = True
            weights = stored["weights"].astype(np.float32) * np.float32(stored["scale"])
            endings = Endings(last, np.unpackbits(stored["pairs"]).astype(bool))
            return cls(weights, stored["biases"].astype(np.float32), endings)


def model_version(path: Path = WEIGHTS_FILE) -> str:
    """Name the stored weights by their hash."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]
