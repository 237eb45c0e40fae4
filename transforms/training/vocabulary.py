"""Cutting a vocabulary down to what given texts use: most of a multilingual encoder's weights are rows never read.

A piece is kept if the texts use it, if it is special, or if it is a single character, so that any other text still
has pieces. What is kept leads to the very segmentation of before, by how each model of a vocabulary works:

- Unigram takes the best-scored path. What is left on offer is a part of what was, with the best path in it. The score
  of an unknown character hangs on the lowest score of all, so the piece that has it stays.
- WordPiece takes the longest piece again and again. Where a word is unknown, the pieces before the place that nothing
  fits stay too; without them shorter ones could lead past it.
- BPE merges by rank. Each merge that led to a kept piece stays, with its parts.

Reference: Abdaoui et al., 2020, "Load What You Need: Smaller Versions of Multilingual BERT",
https://arxiv.org/abs/2010.05609
"""

import copy
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
from tokenizers import Tokenizer, pre_tokenizers
from torch import nn
from transformers import PreTrainedTokenizerFast

from klue_beam.schemas.config import require
from klue_beam.transforms.models.text.pieces import TextTokenizer

TOKENIZER_MODELS: Final = ("Unigram", "WordPiece", "BPE")
_BATCH_TEXTS: Final = 1000
_BYTE_FALLBACK_PIECES: Final = frozenset(f"<0x{byte:02X}>" for byte in range(256))


def cut_vocabulary(
    encoder: Any, tokenizer: TextTokenizer, texts: Iterable[str], *, min_count: int = 1, keep_single: bool = True
) -> tuple[Any, TextTokenizer]:
    """Cut an encoder's vocabulary down to the pieces that texts use.

    Special and added tokens, those that the encoder's configuration names, and byte pieces are always kept. Pieces
    keep their order, and get ids from 0. On the texts, with a `min_count` of 1, the pieces and spans stay what they
    were, and the encoder's states with them.

    Args:
      encoder: a Hugging Face encoder without a language-model head; it is left as it is.
      tokenizer: its tokenizer, with a Unigram, WordPiece or BPE model; left as it is, too.
      texts: what the encoder is for, without lone surrogates; gone through once, in batches.
      min_count: a piece must occur so often in them; what a rarer one stood for is cut into other pieces.
      keep_single: keep pieces of one character, used or not; without them a new character is unknown.

    Returns:
      A copy of the encoder with the rows of the kept pieces, and a tokenizer of its own.

    Raises:
      ValueError: if the tokenizer has another model, the texts use no piece, or the encoder lacks rows for the pieces.
    """
    require(min_count >= 1, "`min_count` must be at least 1", min_count, "Leave it out for the default of 1.")
    backend = tokenizer.tokenizer.backend_tokenizer
    layout = json.loads(backend.to_str())
    _check(backend, layout, encoder)
    kept = _find_used(backend, layout, texts, min_count) | _find_fixed(layout, keep_single)
    kept |= {piece for number in _ids_named(encoder) if (piece := backend.id_to_token(number)) is not None}
    kept |= set(tokenizer.tokenizer.all_special_tokens)
    if layout["model"]["type"] == "BPE":
        kept = _add_parts(kept, layout["model"])
    cut = _cut_tokenizer(layout, kept)
    old_ids = [backend.token_to_id(cut.id_to_token(number)) for number in range(cut.get_vocab_size())]
    return _cut_encoder(encoder, old_ids), _wrap(cut, tokenizer.tokenizer)


def _check(backend: Tokenizer, layout: dict[str, Any], encoder: Any) -> None:
    require(
        layout["model"]["type"] in TOKENIZER_MODELS,
        f"A vocabulary that is cut must be of {', '.join(TOKENIZER_MODELS)}",
        layout["model"]["type"],
        "Train with the whole vocabulary, or from another base.",
    )
    n_rows, highest = encoder.get_input_embeddings().num_embeddings, max(backend.get_vocab().values())
    require(
        highest < n_rows,
        f"An encoder must have a row for each piece of its tokenizer (highest id {highest})",
        f"{n_rows} rows",
        "Give the tokenizer that the encoder was trained with.",
    )


def find_characters(backend: Tokenizer, texts: Iterable[str]) -> set[str]:
    """List the characters of texts as a tokenizer's model meets them: normalised, with the marks of words.

    >>> from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
    >>> backend = Tokenizer(models.Unigram())
    >>> backend.normalizer, backend.pre_tokenizer = normalizers.NFKC(), pre_tokenizers.Metaspace()
    >>> sorted(find_characters(backend, ["Ⅱ 부"]))
    ['I', '▁', '부']
    """
    found: set[str] = set()
    for text in texts:
        normal = backend.normalizer.normalize_str(text) if backend.normalizer is not None else text
        words = backend.pre_tokenizer.pre_tokenize_str(normal) if backend.pre_tokenizer is not None else [(normal, ())]
        found.update(*(word for word, _ in words))
    return found


def _find_used(backend: Tokenizer, layout: dict[str, Any], texts: Iterable[str], min_count: int) -> set[str]:
    """Give the pieces that occur often enough, and those that unknown words rest on."""
    counts = np.zeros(max(backend.get_vocab().values()) + 1, dtype=np.int64)
    is_word_piece = layout["model"]["type"] == "WordPiece"
    unknown_id = backend.token_to_id(layout["model"]["unk_token"]) if is_word_piece else None
    with_unknown: list[str] = []
    n_texts, rest = 0, iter(texts)
    while batch := list(itertools.islice(rest, _BATCH_TEXTS)):
        n_texts += len(batch)
        ids = [encoding.ids for encoding in backend.encode_batch_fast(batch, add_special_tokens=False)]
        counts += np.bincount(np.fromiter(itertools.chain(*ids), dtype=np.int64), minlength=len(counts))
        with_unknown += [text for text, own in zip(batch, ids, strict=True) if unknown_id in own]
    used = {str(backend.id_to_token(int(number))) for number in np.flatnonzero(counts >= min_count)}
    require(
        not used <= {token["content"] for token in layout["added_tokens"]},
        f"`texts` must use some piece, special tokens aside, at least {min_count} times (`min_count`)",
        f"{n_texts} texts without one",
        "Give more texts of the kind that the model is for.",
    )
    return used | _find_under_unknown(backend, layout, with_unknown)


def _find_under_unknown(backend: Tokenizer, layout: dict[str, Any], texts: Sequence[str]) -> set[str]:
    """Give the pieces that WordPiece passes in the words that it then gives up.

    A vocabulary with all their characters shows them: up to the place where nothing fitted it takes the same pieces.
    """
    if not texts:
        return set()
    model = layout["model"]
    prefix, characters = model["continuing_subword_prefix"], sorted(find_characters(backend, texts))
    pieces = dict.fromkeys([*_pieces(model), *characters, *(prefix + character for character in characters)])
    vocab = {piece: number for number, piece in enumerate(pieces)}
    probe = Tokenizer.from_str(json.dumps({**layout, "model": {**model, "vocab": vocab}}))
    encodings = probe.encode_batch(list(texts), add_special_tokens=False)
    return set().union(*(encoding.tokens for encoding in encodings)) & set(model["vocab"])


def _find_fixed(layout: dict[str, Any], keep_single: bool) -> set[str]:
    """Give what is kept whatever the texts are."""
    model = layout["model"]
    fixed = {token["content"] for token in layout["added_tokens"]} | _processor_tokens(layout)
    pieces = _pieces(model)
    if keep_single:
        prefix, suffix = model.get("continuing_subword_prefix") or "", model.get("end_of_word_suffix") or ""
        fixed |= {piece for piece in pieces if len(piece.removeprefix(prefix).removesuffix(suffix)) == 1}
    if model.get("byte_fallback"):
        fixed |= _BYTE_FALLBACK_PIECES
    if any(stage["type"] == "ByteLevel" for name in ("normalizer", "pre_tokenizer") for stage in _stages(layout[name])):
        fixed |= set(pre_tokenizers.ByteLevel.alphabet())
    if model["type"] == "Unigram":
        fixed.add(min(model["vocab"], key=lambda entry: entry[1])[0])
        if model["unk_id"] is not None:
            fixed.add(pieces[model["unk_id"]])
    elif model["unk_token"] is not None:
        fixed.add(model["unk_token"])
    return fixed


def _pieces(model: Mapping[str, Any]) -> list[str]:
    """List a model's pieces by id."""
    if model["type"] == "Unigram":
        return [piece for piece, _ in model["vocab"]]
    return sorted(model["vocab"], key=model["vocab"].__getitem__)


def _stages(part: Mapping[str, Any] | None) -> Iterator[Any]:
    """Give a normaliser, pre-tokenizer or post-processor and all that it is made of."""
    if part is not None:
        yield part
        for name in ("normalizers", "pretokenizers", "processors"):
            for inner in part.get(name, ()):
                yield from _stages(inner)


def _processor_tokens(layout: dict[str, Any]) -> set[str]:
    tokens: set[str] = set()
    for stage in _stages(layout["post_processor"]):
        tokens.update(*(special["tokens"] for special in stage.get("special_tokens", {}).values()))
        tokens.update(stage[name][0] for name in ("cls", "sep") if name in stage)
    return tokens


def _ids_named(encoder: Any) -> set[int]:
    """Give the ids that an encoder's configuration and embeddings mean something by."""
    values = [value for name, value in encoder.config.to_dict().items() if name.endswith("_token_id")]
    ids = {number for value in values for number in (value if isinstance(value, list) else [value])}
    ids.add(encoder.get_input_embeddings().padding_idx)
    for name, module in encoder.named_modules():
        # RoBERTa and its kin count positions from the id of padding, which must stay: so do the ids before it.
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
            ids.update(range(module.padding_idx + 1))
    return {number for number in ids if number is not None and number >= 0}


def _add_parts(kept: set[str], model: Mapping[str, Any]) -> set[str]:
    """Add what the kept pieces are merged from, down to characters."""
    skipped = len(model["continuing_subword_prefix"] or "")
    parts: dict[str, set[str]] = {}
    for left, right in model["merges"]:
        parts.setdefault(left + right[skipped:], set()).update((left, right))
    closed, waiting = set(kept), list(kept)
    while waiting:
        fresh = parts.get(waiting.pop(), set()) - closed
        closed |= fresh
        waiting += fresh
    return closed


def _cut_tokenizer(layout: dict[str, Any], kept: set[str]) -> Tokenizer:
    """Write a tokenizer anew with the pieces that are kept; ids count from 0, added tokens outside the model last."""
    model, pieces = layout["model"], _pieces(layout["model"])
    ids = {piece: number for number, piece in enumerate(piece for piece in pieces if piece in kept)}
    cut: dict[str, Any] = {**model, "vocab": ids}
    if model["type"] == "Unigram":
        cut["vocab"] = [entry for entry in model["vocab"] if entry[0] in kept]
        cut["unk_id"] = None if model["unk_id"] is None else ids[pieces[model["unk_id"]]]
    if model["type"] == "BPE":
        skipped = len(model["continuing_subword_prefix"] or "")
        cut["merges"] = [
            [left, right]
            for left, right in model["merges"]
            if left in ids and right in ids and left + right[skipped:] in ids
        ]
    for token in layout["added_tokens"]:
        token["id"] = ids.setdefault(token["content"], len(ids))
    for stage in _stages(layout["post_processor"]):
        for special in stage.get("special_tokens", {}).values():
            special["ids"] = [ids[token] for token in special["tokens"]]
        for name in ("cls", "sep"):
            if name in stage:
                stage[name] = [stage[name][0], ids[stage[name][0]]]
    return Tokenizer.from_str(json.dumps({**layout, "model": cut}))


def _cut_encoder(encoder: Any, old_ids: Sequence[int]) -> Any:
    """Copy an encoder with some rows of its word embeddings; the ids in its configuration follow them."""
    new_ids: dict[int | None, int] = {old: new for new, old in enumerate(old_ids)}
    whole = encoder.get_input_embeddings().weight
    rows = nn.Parameter(whole.detach()[list(old_ids)].clone(), requires_grad=whole.requires_grad)
    copied = copy.deepcopy(encoder, {id(whole): rows})
    embeddings = copied.get_input_embeddings()
    embeddings.num_embeddings = len(old_ids)
    embeddings.padding_idx = new_ids.get(embeddings.padding_idx)
    copied.config.vocab_size = len(old_ids)
    for name, value in copied.config.to_dict().items():
        if name.endswith("_token_id"):
            # An id that names no piece, as some configurations have by default, means nothing.
            new = [new_ids[n] for n in value if n in new_ids] if isinstance(value, list) else new_ids.get(value)
            setattr(copied.config, name, new)
    return copied


def _wrap(cut: Tokenizer, original: Any) -> TextTokenizer:
    return TextTokenizer(
        PreTrainedTokenizerFast(
            tokenizer_object=cut,
            **original.special_tokens_map,
            extra_special_tokens=list(original.extra_special_tokens),
            model_max_length=original.model_max_length,
            model_input_names=original.model_input_names,
            padding_side=original.padding_side,
            truncation_side=original.truncation_side,
            clean_up_tokenization_spaces=original.clean_up_tokenization_spaces,
        )
    )
