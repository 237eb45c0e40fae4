"""Candidate boundaries, and what the boundary model sees of each.

A candidate is described by a row of small integers (its columns); a feature is a set of columns, hashed together with
the kind of the candidate. The hash is linear in the columns, so that all features of all candidates of a batch are one
matrix product. Its values stay below 2**53, which keeps float64 exact whatever the order of summation.

Reference: Weinberger et al., 2009, "Feature Hashing for Large Scale Multitask Learning",
https://arxiv.org/abs/0902.2206; multiply-shift hashing: Dietzfelbinger et al., 1997, J. Algorithms 25(1).
"""

import dataclasses
from typing import Final

import numpy as np
import numpy.typing as npt

from klue_beam.transforms.base.codepoints import Bools, Ints

Floats = npt.NDArray[np.float64]

HASH_BITS: Final = 20

_WINDOWS: Final = (("L", 6), ("R", 5), ("T", 3))
_LEFT, _RIGHT, _TAIL = (tuple(f"{side}{n}" for n in range(1, size + 1)) for side, size in _WINDOWS)
COLUMNS: Final = (
    *_LEFT,  # the characters before the tail, backwards
    *_RIGHT,  # the characters after the gap
    *_TAIL,  # the characters of the tail, backwards
    "J1", "J2",  # final consonants of L1 and L2
    "CL1", "CL2", "CL3", "CR1", "CR2", "CR3",  # classes
    "G",  # the gap: nothing, a space, a line end, a blank line
    "TL",  # length of the tail
    "EL",  # length of the last word
    "RL",  # length of the next word
    "LP",  # the character that the word before the last one ends in
    "RE",  # the character that the next word ends in
    "LB",  # how the line begins: a bullet, a digit, …
    "I",  # the mark that encloses the candidate
    "IO", "IC",  # how far its opening and its closing mark are
    "A1", "A2",  # what stands after the closing mark
    "OB",  # what stands before the bracket or quotation that closes here
    "SEQ",  # whether a list number follows that counts on
    "P",  # how the document's sentences end
    "SP",  # how the document speaks: politely, plainly, familiarly
    "DE", "DB",  # how far the end and the beginning of the document are
    "S1", "S2",  # how far the sure ends before and after are
    "LL",  # length of the line that ends here, against the longest one
    "MARKED",  # whether the document's sentences end in marks
    "KIND",
)  # fmt: skip

COLUMN: Final = {name: at for at, name in enumerate(COLUMNS)}

FEATURES: Final = tuple(
    tuple(line.split())
    for line in """
KIND
G
L1
L2 L1
L3 L2 L1
L4 L3 L2 L1
L5 L4 L3 L2 L1
L6 L5 L4 L3 L2 L1
L2
L3 L2
J1 CL2
J1 J2
L1 J2
L1 J2 CL3
R1
R1 R2
R1 R2 R3
R1 R2 R3 R4
R1 R2 R3 R4 R5
L1 R1
L2 L1 R1
L1 R1 R2
L2 L1 R1 R2
L2 L1 R1 R2 R3
L3 L2 L1 R1 R2
J2 L1 R1 R2
T1
T1 T2
T1 T2 T3
T1 TL
T1 T2 L1
T1 T2 L1 L2
T1 R1
T1 T2 R1 R2
T1 L1 R1
T1 CL1 CR1
CL3 CL2 CL1 CR1
CL2 CL1 CR1 CR2
CL1 CR1 CR2 CR3
CL2 CL1 T1 T2 CR1 G
EL CL1 T1
EL L1
EL L2 L1 G
RL R1
RL R1 R2
RL RE
RL RE L1
RE R1 R2
LP L1
LP L2 L1
LP EL L1 J2
LB G
LB R1
LB G LL
OB T1
OB L1
OB R1 R2
OB T1 L1 J2
SEQ
SEQ L1
LP R1
G L1
G T1
G R1 R2
G P
G LL
G LL CL1 T1
G LL EL
G LL J2 L1
I
I T1
I L1
I R1 T1
I IO IC
I IC A1
I A1 A2
I A1 T1
P
P L1
P L1 J2
P L2 L1
P R1
P T1
P T1 L1
P G CR1
SP L1
SP L2 L1
SP J2 L1 R1
DE
DE L1
DE T1
DB CL1 T1
S1 S2
S1 L1
S2 L1
S2 L2 L1
S1 S2 P
S1 S2 L1
S2 R1 R2
""".strip().splitlines()
)


def _multipliers() -> Floats:
    """Give the matrix of the linear hash: 31 random bits where a feature has a column, by splitmix64 from seed 0."""
    state, rows = 0, {name: row for row, name in enumerate((*COLUMNS, "ONE"))}
    matrix = np.zeros((len(rows), len(FEATURES)))
    for column, names in enumerate(FEATURES):
        for name in ("ONE", "KIND", *(name for name in names if name != "KIND")):
            state = (state + 0x9E3779B97F4A7C15) % 2**64
            mixed = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
            mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB % 2**64
            matrix[rows[name], column] = (mixed ^ (mixed >> 31)) >> 33
    return matrix


_MULTIPLIERS: Final = _multipliers()
_SPREAD: Final = np.uint64(0x9E3779B97F4A7C15)


@dataclasses.dataclass(frozen=True, slots=True)
class Candidates:
    """Where a sentence can end, and what is seen there.

    Attributes:
      cut: position in the batch's code points. Shape: (n_candidates,).
      columns: by COLUMNS, and a last column of ones. Shape: (n_candidates, n_columns + 1).
    """

    cut: Ints
    columns: Ints

    def column(self, name: str) -> Ints:
        """Give one column, by its name in COLUMNS. Shape: (n_candidates,)."""
        return self.columns[:, COLUMN[name]]

    def where(self, chosen: Bools) -> "Candidates":
        """Give some of the candidates."""
        return Candidates(self.cut[chosen], self.columns[chosen])

    def hashed(self) -> npt.NDArray[np.int64]:
        """Give the features' places in the table of weights. Shape: (n_candidates, n_features)."""
        keys = (self.columns.astype(np.float64) @ _MULTIPLIERS).astype(np.int64).view(np.uint64)
        return ((keys * _SPREAD) >> np.uint64(64 - HASH_BITS)).view(np.int64)
