"""How a model is trained: the numbers of a run, apart from the loop, so that the command's help needs no torch."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Final

from klue_beam.schemas.config import require
from klue_beam.schemas.options import option

MAX_EPOCHS: Final = 10_000


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """How to train.

    Attributes:
      epochs: passes over each objective's examples, by name; a fraction takes a part of them.
      batch_tokens: padded tokens in a batch.
      encoder_rate, head_rate: peak learning rates of the encoder's top layer and of the heads.
      layer_decay: each layer's rate is that of the layer above times this.
      frozen_layers: so many bottom layers, and the embeddings, keep their weights; -1 trains everything.
      warmup_share: share of the steps with a rising rate; it falls linearly after.
      weight_decay: as in AdamW.
      piece_dropout: share of the pieces that the model does not get to see: it reads the mask token, or the unknown
        one, in their place. A teacher sees them.
      max_pieces: longer examples are left out (and counted).
      bf16: run forward and backward under bf16 autocast.
      seed: of order and dropout.
      checkpoint_steps: steps between checkpoints.
    """

    epochs: Mapping[str, float]
    batch_tokens: int = option(1400, "padded tokens in a batch")
    encoder_rate: float = option(1e-4, "peak learning rate of the encoder's top layer")
    head_rate: float = option(1e-3, "peak learning rate of the heads")
    layer_decay: float = option(0.95, "each layer's rate is that of the layer above times this")
    frozen_layers: int = option(
        0, "so many bottom layers, and the embeddings, keep their weights; -1 trains everything"
    )
    warmup_share: float = option(0.06, "share of the steps with a rising rate; it falls linearly after")
    weight_decay: float = option(0.01, "as in AdamW")
    piece_dropout: float = option(0.0, "share of the pieces that are hidden from the model in each step")
    max_pieces: int = option(200, "longer examples are left out, and counted")
    bf16: bool = False
    seed: int = option(1, "of the order and of dropout")
    checkpoint_steps: int = option(200, "steps between checkpoints")

    def __post_init__(self) -> None:
        for name in ("batch_tokens", "max_pieces", "checkpoint_steps"):
            value = getattr(self, name)
            require(value >= 1, f"`{name}` must be at least 1", value, "Leave it out for the default.")
        for name in ("encoder_rate", "head_rate", "layer_decay"):
            value = getattr(self, name)
            require(0 < value < math.inf, f"`{name}` must be above 0", value, "Leave it out for the default.")
        require(
            0 <= self.weight_decay < math.inf,
            "`weight_decay` must be at least 0",
            self.weight_decay,
            "Leave it out for the default.",
        )
        require(
            0 <= self.warmup_share <= 1,
            "`warmup_share` must be from 0 to 1",
            self.warmup_share,
            "Leave it out for the default.",
        )
        require(
            0 <= self.piece_dropout < 1,
            "`piece_dropout` must be at least 0 and below 1",
            self.piece_dropout,
            "Leave it out for the default.",
        )
        for name, value in self.epochs.items():
            require(
                0 < value <= MAX_EPOCHS,
                f"`epochs` of {name} must be above 0 and at most {MAX_EPOCHS:,}",
                value,
                "Give how often its rows are learnt, or leave the data set out.",
            )
