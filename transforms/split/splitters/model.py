"""The boundary model of `fast`, as it is stored."""

import dataclasses
import hashlib
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from klue_beam.transforms.base.codepoints import Bools
from klue_beam.transforms.split.splitters.features import Candidates
from klue_beam.transforms.split.splitters.layout import N_IDS

WEIGHTS_FILE: Final = Path(__file__).with_name("fast.npz")


@dataclasses.dataclass(frozen=True, slots=True)
class BoundaryModel:
    """A logistic model over hashed features.

    Attributes:
      weights: one a place of the hash table. Shape: (2**HASH_BITS,), float32.
      bias: added to every score.
      is_bare_ending: which ids can end a sentence without any mark. Shape: (N_IDS,), bool.
    """

    weights: npt.NDArray[np.float32]
    bias: float
    is_bare_ending: Bools

    def scores(self, candidates: Candidates) -> npt.NDArray[np.float32]:
        """Give the log odds that a sentence ends at each candidate. Shape: (n_candidates,), float32."""
        return self.weights.take(candidates.hashed()).sum(axis=1, dtype=np.float32) + np.float32(self.bias)

    def save(self, path: Path) -> None:
        """Store the model: weights as int8 with one scale, without pickle."""
        scale = float(np.abs(self.weights).max()) / 127
        quantised = np.rint(self.weights / scale).astype(np.int8)
        endings = np.flatnonzero(self.is_bare_ending).astype(np.int32)
        np.savez_compressed(path, weights=quantised, scale=scale, bias=self.bias, endings=endings)

    @classmethod
    def load(cls, path: Path = WEIGHTS_FILE) -> "BoundaryModel":
        """Read a model that `save` stored."""
        with np.load(path, allow_pickle=False) as stored:
            is_bare_ending = np.zeros(N_IDS, dtype=bool)
            is_bare_ending[stored["endings"]] = True
            weights = stored["weights"].astype(np.float32) * np.float32(stored["scale"])
            return cls(weights, float(stored["bias"]), is_bare_ending)


def model_version(path: Path = WEIGHTS_FILE) -> str:
    """Name the stored weights by their hash."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]
