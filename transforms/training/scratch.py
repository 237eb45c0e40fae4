"""Starting without a base: a tokenizer trained on texts, and a BERT encoder with random weights for it."""

from collections.abc import Sequence
from typing import Any, Final

import torch
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import BertConfig, PreTrainedTokenizerFast

from klue_beam.schemas.config import require
from klue_beam.transforms.models.nets.encoders import build_encoder
from klue_beam.transforms.models.text.pieces import TextTokenizer
from klue_beam.transforms.training.vocabulary import find_characters

SPECIAL_TOKENS: Final = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
_BEGIN, _PAD, _END, _UNKNOWN, _MASK = SPECIAL_TOKENS


def start_from_scratch(
    texts: Sequence[str],
    *,
    vocab_size: int = 16_000,
    layers: int = 6,
    hidden_size: int = 384,
    heads: int = 12,
    max_positions: int = 512,
    seed: int = 1,
) -> tuple[Any, TextTokenizer]:
    """Make an encoder that knows nothing yet: `train_tokenizer`, and `build_random_encoder` for it.

    The tokenizer may come out a little different each time. A run that is to be resumed or repeated keeps the first
    one, and builds the encoder for that.

    Args:
      texts: as for `train_tokenizer`, and so is `vocab_size`.
      vocab_size: pieces, special tokens included.
      layers: as for `build_random_encoder`, and so are `hidden_size`, `heads`, `max_positions` and `seed`.
      hidden_size: width of the states.
      heads: attention heads.
      max_positions: tokens that the encoder reads at once.
      seed: of the weights.

    Raises:
      ValueError: as those two.
    """
    _check_sizes(layers, hidden_size, heads, max_positions)  # before the tokenizer's minutes
    tokenizer = train_tokenizer(texts, vocab_size=vocab_size, max_positions=max_positions)
    encoder = build_random_encoder(
        tokenizer, layers=layers, hidden_size=hidden_size, heads=heads, max_positions=max_positions, seed=seed
    )
    return encoder, tokenizer


def train_tokenizer(texts: Sequence[str], *, vocab_size: int = 16_000, max_positions: int = 512) -> TextTokenizer:
    """Train a Unigram tokenizer: NFKC, any white space as one space, words with a mark before them.

    The library's trainer is not deterministic: from the same texts it may give somewhat other pieces, scores and ids
    each time. Save the tokenizer with what is trained on it.

    Reference: Kudo, 2018, "Subword Regularization", https://arxiv.org/abs/1804.10959

    Args:
      texts: what the pieces are taken from, without lone surrogates.
      vocab_size: pieces, SPECIAL_TOKENS included; fewer if the texts give no more. Every character of the texts is one.
      max_positions: tokens of the encoder that it is for, special ones included.

    Returns:
      A tokenizer that puts `<s>` before a text and `</s>` behind it.

    Raises:
      ValueError: if the texts hold nothing, or `vocab_size` has no room for their characters.
    """
    require(
        any(not text.isspace() for text in texts if text),
        "`texts` must hold at least one that is not blank",
        f"{len(texts)} texts",
        "Give texts of the kind that the model is for.",
    )
    backend = Tokenizer(models.Unigram())
    backend.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(r"\s+"), " ")])
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    needed = len(find_characters(backend, texts)) + len(SPECIAL_TOKENS)
    require(
        vocab_size >= needed,
        f"`vocab_size` must have room for the characters of the texts and the special tokens, {needed} here",
        vocab_size,
        "Raise it, or leave out texts with rare characters.",
    )
    trainer = trainers.UnigramTrainer(
        vocab_size=vocab_size, special_tokens=list(SPECIAL_TOKENS), unk_token=_UNKNOWN, show_progress=False
    )
    backend.train_from_iterator(texts, trainer)
    backend.post_processor = processors.TemplateProcessing(
        single=f"{_BEGIN} $A {_END}",
        pair=f"{_BEGIN} $A {_END} $B {_END}",
        special_tokens=[(token, backend.token_to_id(token)) for token in (_BEGIN, _END)],
    )
    return TextTokenizer(
        PreTrainedTokenizerFast(
            tokenizer_object=backend,
            bos_token=_BEGIN,
            cls_token=_BEGIN,
            pad_token=_PAD,
            eos_token=_END,
            sep_token=_END,
            unk_token=_UNKNOWN,
            mask_token=_MASK,
            model_max_length=max_positions,
        )
    )


def build_random_encoder(
    tokenizer: TextTokenizer,
    *,
    layers: int = 6,
    hidden_size: int = 384,
    heads: int = 12,
    max_positions: int = 512,
    seed: int = 1,
) -> Any:
    """Build a BERT encoder with random weights for a tokenizer; the same seed and sizes give the same weights.

    The global random state stays as it was.

    Reference: Devlin et al., 2019, "BERT", https://arxiv.org/abs/1810.04805

    Args:
      tokenizer: gives the number of pieces and the ids of special tokens.
      layers: at least 1.
      hidden_size: width of the states, a multiple of `heads`; feed-forward layers are four times as wide.
      heads: attention heads.
      max_positions: tokens that the encoder reads at once, special ones included.
      seed: of the weights.

    Raises:
      ValueError: if a size is out of range.
    """
    _check_sizes(layers, hidden_size, heads, max_positions)
    special = tokenizer.tokenizer
    config = BertConfig(
        vocab_size=len(special),
        hidden_size=hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * hidden_size,
        max_position_embeddings=max_positions,
        pad_token_id=tokenizer.pad_id,
        bos_token_id=special.bos_token_id,
        eos_token_id=special.eos_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_encoder(config)


def _check_sizes(layers: int, hidden_size: int, heads: int, max_positions: int) -> None:
    for name, value, least in (("layers", layers, 1), ("heads", heads, 1), ("max_positions", max_positions, 8)):
        require(value >= least, f"`{name}` must be at least {least}", value, "Leave it out for the default.")
    require(
        hidden_size >= heads and hidden_size % heads == 0,
        f"`hidden_size` must be a multiple of `heads`, {heads}",
        hidden_size,
        "Change one of them; 384 and 12 go together.",
    )
