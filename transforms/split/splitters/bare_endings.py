"""What words can end in where a sentence ends without any mark; words that end in something else are not looked at."""

import dataclasses
from typing import Final

import numpy as np

from klue_beam.transforms.base.codepoints import Bools, Ints
from klue_beam.transforms.split.splitters.layout import N_IDS

PAIR_BITS: Final = 18


def pairs(before: Ints, last: Ints) -> Ints:
    """Give the places of the last two characters of words in a table of 2**PAIR_BITS; some share a place."""
    return (before * 0x9E35 + last) & ((1 << PAIR_BITS) - 1)


@dataclasses.dataclass(frozen=True, slots=True)
class Endings:
    """What words can end in where a sentence ends without any mark.

    Attributes:
      last: by id, whether sentences end in it. Shape: (N_IDS,).
      pair: by place (`pairs`), whether they end in those two, if in the last of them. Shape: (2**PAIR_BITS,).
    """

    last: Bools
    pair: Bools

    @classmethod
    def any(cls) -> "Endings":
        """Let every word end a sentence."""
        return cls(np.ones(N_IDS, dtype=bool), np.ones(1 << PAIR_BITS, dtype=bool))

    def where(self, ids: Ints, past: Ints) -> Bools:
        """Tell of words whether a sentence can end in them, by where they end."""
        last = ids[past - 1]
        found = self.last[last]
        at = found.nonzero()[0]
        found[at] = self.pair[pairs(ids[past[at] - 2], last[at])]
        return found
