"""Encoders of transformers: their configuration, their tokenizer, and new ones."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModel, AutoTokenizer

from klue_beam.transforms.models.text.pieces import TextTokenizer


def build_encoder(config: Any) -> Any:
    """Build an encoder with random fp32 weights, without the pooler that no head reads."""
    try:
        return AutoModel.from_config(config, add_pooling_layer=False, dtype=torch.float32)
    except TypeError:  # families that have no pooler do not know the argument
        return AutoModel.from_config(config, dtype=torch.float32)


def load_config(task: str, folder: Path) -> Any:
    """Read a checkpoint's config.json.

    Raises:
      ValueError: if transformers does not know the model.
    """
    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(
            f"`{task}_model` must have a config.json of a model that transformers knows, got {error} "
            "Save the checkpoint again with save_pretrained."
        ) from error


def load_tokenizer(task: str, folder: Path) -> TextTokenizer:
    """Read a checkpoint's tokenizer.

    Raises:
      ValueError: if there is none, or not a fast one.
    """
    try:
        return TextTokenizer(AutoTokenizer.from_pretrained(folder, trust_remote_code=False))
    except Exception as error:  # the tokenizers library raises bare ones
        raise ValueError(
            f"`{task}_model` must have a fast tokenizer beside its weights, got none in {folder}: {error} "
            "Save the tokenizer there with save_pretrained, so that it has a tokenizer.json."
        ) from error
