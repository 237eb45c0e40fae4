"""Writing markers around a pair of entities, as checkpoints that classify relations read them."""

from typing import Final

import numpy as np

from klue_beam.schemas.labels import RE_TYPE_TO_ENTITY_TYPE
from klue_beam.transforms.models.text.pieces import EncodedTexts, TextTokenizer, replace_pieces
from klue_beam.transforms.tasks.entity.spans import Entities
from klue_beam.transforms.tasks.relation.pairs import marker_type

KLUE_RE_TYPE: Final = {ours: theirs for theirs, ours in RE_TYPE_TO_ENTITY_TYPE.items()}

_HANGUL = ("가", "힣")
_WORD_MARK = "\u2581"
"""What SentencePiece writes before the first piece of a word."""

_REST_MARK = "##"
"""What WordPiece writes before every other piece."""

_END_MARKERS = ("</subj>", "</obj>")


def mark_pair(text: str, entities: Entities, subject: int, object_: int, markers: str) -> tuple[str, tuple[int, int]]:
    """Write markers around two entities of a sentence.

    Args:
      text: the sentence.
      entities: its entities among others.
      subject, object_: numbers of the two.
      markers: one of RE_MARKERS.

    Returns:
      The marked text, and the half-open code points in it that hold both marked entities.
    """
    around = []
    for number, role in ((subject, 0), (object_, 1)):
        label = entities.labels[int(entities.label[number])]
        kind = KLUE_RE_TYPE[marker_type(label)]
        before, after = {
            "klue": (("<subj>", "</subj>"), ("<obj>", "</obj>")),
            "typed": ((f"<S:{kind}>", f"</S:{kind}>"), (f"<O:{kind}>", f"</O:{kind}>")),
            "punctuation": ((f"@ * {kind} * ", " @"), (f"# ^ {kind} ^ ", " #")),
        }[markers][role]
        around.append((int(entities.begin[number]), int(entities.end[number]), before, after))
    (b1, e1, before1, after1), (b2, e2, before2, after2) = sorted(around)
    middle = before1 + text[b1:e1] + after1 + text[e1:b2] + before2 + text[b2:e2] + after2
    return text[:b1] + middle + text[e2:], (b1, b1 + len(middle))


def rejoin_words(encoded: EncodedTexts, tokenizer: TextTokenizer) -> EncodedTexts:
    """Read what follows an end marker inside a word as the rest of that word, as KLUE-baseline does.

    A marker stands for itself, so a tokenizer takes the particle behind it (`</subj>이`) for a word of its own.
    KLUE-baseline puts WordPiece's `##` before such a piece if it begins with a Hangul syllable, and takes away
    SentencePiece's mark of a new word; pieces of other tokenizers stay.

    Args:
      encoded: marked texts, of mark_pair with the markers `klue`.
      tokenizer: the checkpoint's.

    Reference: KLUE-baseline, https://github.com/KLUE-benchmark/KLUE-baseline (its data processor of KLUE-RE).
    """
    id_of, name_of = tokenizer.tokenizer.convert_tokens_to_ids, tokenizer.tokenizer.convert_ids_to_tokens
    markers = {marker: id_of(marker) for marker in _END_MARKERS}
    kind = type(tokenizer.tokenizer.backend_tokenizer.model).__name__
    if kind not in ("WordPiece", "Unigram") or tokenizer.tokenizer.unk_token_id in markers.values():
        return encoded
    ids, offsets = encoded.pieces.ids.copy(), encoded.pieces.offsets
    keep = np.ones(len(ids), dtype=bool)
    for text, begin, end in zip(encoded.texts, offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        for marker, marker_id in markers.items():
            behind = text[text.index(marker) + len(marker) :]
            here = begin + np.flatnonzero(ids[begin:end] == marker_id)[:1] + 1
            if not behind or behind[0] == " " or not len(here) or here[0] == end:
                continue
            token = name_of(int(ids[here[0]]))
            if kind == "Unigram" and token == _WORD_MARK:
                keep[here[0]] = False
            elif kind == "Unigram" and token.startswith(_WORD_MARK):
                ids[here[0]] = id_of(token.removeprefix(_WORD_MARK))
            elif kind == "WordPiece" and _HANGUL[0] <= token[0] <= _HANGUL[1]:
                ids[here[0]] = id_of(_REST_MARK + token)
    return replace_pieces(encoded, ids, keep)
