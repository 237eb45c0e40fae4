"""Checkpoints with random weights for each task: how fast a model runs does not depend on what it has learnt.

They have the tokenizer of the embedded model `small`, so that Korean text becomes as many tokens as in a real model.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
from transformers import (
    AutoModel,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    BertConfig,
)

from klue_beam.schemas.labels import NER_TYPES, RELATIONS, TOPICS
from klue_beam.transforms.models.checkpoints.checkpoint import save_model
from klue_beam.transforms.models.checkpoints.folders import EMBEDDED_DIR
from klue_beam.transforms.models.checkpoints.multitask import MultiTaskModel
from klue_beam.transforms.models.checkpoints.spec import ModelSpec
from klue_beam.transforms.models.nets.encoders import build_encoder
from klue_beam.transforms.models.text.pieces import TextTokenizer
from klue_beam.transforms.tasks.entity.tagging import bio_tags

MARKERS: Final = ("<subj>", "</subj>", "<obj>", "</obj>")
"""The relation checkpoint knows the marks of KLUE-baseline as tokens, as one that is trained with them does."""

MOST_UNKNOWN: Final = 0.01
POSITIONS: Final = 512


class EncoderSize(NamedTuple):
    """The shape of a BERT encoder."""

    layers: int
    hidden: int
    heads: int
    intermediate: int


SIZES: Final[Mapping[str, EncoderSize]] = {
    "mini": EncoderSize(2, 32, 2, 64),
    "small": EncoderSize(12, 384, 12, 1536),
    "base": EncoderSize(12, 768, 12, 3072),
}
"""`mini` is for trying a command; `small` is the embedded model's encoder; `base` is BERT's and KLUE-BERT's."""


class Checkpoints(NamedTuple):
    """Folders of checkpoints.

    Attributes:
      models: by task, as `--{task}_model` takes them.
      parser_encoder: an encoder of the `dp` model's size, without a head, as `AutoModel` takes it.
    """

    models: Mapping[str, str]
    parser_encoder: str


def load_tokenizer() -> Any:
    """Give the tokenizer of the embedded `small`, with the relation marks as tokens."""
    tokenizer = AutoTokenizer.from_pretrained(EMBEDDED_DIR / "small")
    tokenizer.add_special_tokens({"additional_special_tokens": list(MARKERS)})
    return tokenizer


def require_known(tokenizer: Any, texts: Sequence[str]) -> float:
    """Give the share of tokens that the vocabulary does not know.

    Raises:
      ValueError: if it is 1 % or more: such text is no test of a model.
    """
    ids = [token for row in tokenizer(list(texts), add_special_tokens=False)["input_ids"] for token in row]
    share = ids.count(tokenizer.unk_token_id) / max(1, len(ids))
    if share >= MOST_UNKNOWN:
        raise ValueError(
            f"Under {MOST_UNKNOWN:.0%} of the tokens must be unknown to the vocabulary, got {share:.1%}. "
            "Give an input in Korean."
        )
    return share


def make_checkpoints(folder: Path, size: EncoderSize) -> Checkpoints:
    """Write a random checkpoint for each task.

    Args:
      folder: where to; made if absent.
      size: the shape of each of the four encoders.
    """
    torch.manual_seed(0)
    tokenizer = load_tokenizer()
    models = {}
    for task, labels, auto in (
        ("tc", TOPICS, AutoModelForSequenceClassification),
        ("ner", bio_tags(NER_TYPES), AutoModelForTokenClassification),
        ("re", RELATIONS, AutoModelForSequenceClassification),
    ):
        config = _config(tokenizer, size, id2label=dict(enumerate(labels)),
                         label2id={label: i for i, label in enumerate(labels)})  # fmt: skip
        auto.from_config(config).save_pretrained(folder / task)
        tokenizer.save_pretrained(folder / task)
        models[task] = str(folder / task)
    config = _config(tokenizer, size)
    parser = MultiTaskModel(ModelSpec(name="random", tasks=("dp",)), build_encoder(config))
    save_model(parser, TextTokenizer(tokenizer), folder / "dp")
    AutoModel.from_config(config).save_pretrained(folder / "dp_encoder")
    tokenizer.save_pretrained(folder / "dp_encoder")
    models["dp"] = str(folder / "dp")
    return Checkpoints(models, str(folder / "dp_encoder"))


def _config(tokenizer: Any, size: EncoderSize, **labels: Any) -> BertConfig:
    return BertConfig(
        vocab_size=len(tokenizer),
        num_hidden_layers=size.layers,
        hidden_size=size.hidden,
        num_attention_heads=size.heads,
        intermediate_size=size.intermediate,
        max_position_embeddings=POSITIONS,
        pad_token_id=tokenizer.pad_token_id,
        **labels,
    )
