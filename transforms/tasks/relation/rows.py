"""KLUE-RE's rows as training takes them: shortened, and with other names in the place of some."""

import dataclasses
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import numpy as np

from klue_beam.transforms.tasks.entity.gold import Mention
from klue_beam.transforms.tasks.relation.gold import RelationExample


def keep_around_pair(example: RelationExample, n_chars: int) -> RelationExample:
    """Shorten a KLUE-RE row to the words from so many code points before its pair to as many after it.

    A row's label hangs on its pair, and a long sentence costs the same whether or not it helps: on KLUE-RE's training
    rows 40 code points on both sides leave 78 % of the pieces.

    >>> pair = Mention(11, 14, "PS"), Mention(6, 8, "LC")
    >>> row = RelationExample("", "어제 오전 서울에서 김하늘 씨가 말했다", *pair, "no_relation")
    >>> kept = keep_around_pair(row, 2)
    >>> kept.text, kept.text[kept.subject.begin : kept.subject.end], kept.text[kept.object.begin : kept.object.end]
    ('오전 서울에서 김하늘 씨가', '김하늘', '서울')
    """
    mentions = (example.subject, example.object)
    begin = max(0, min(mention.begin for mention in mentions) - n_chars)
    end = min(len(example.text), max(mention.end for mention in mentions) + n_chars)
    begin = example.text.rfind(" ", 0, begin) + 1
    after = example.text.find(" ", end)
    end = len(example.text) if after < 0 else after
    subject, object_ = (Mention(m.begin - begin, m.end - begin, m.type) for m in mentions)
    return dataclasses.replace(example, text=example.text[begin:end], subject=subject, object=object_)


_ANY_NAME: Final = ("PS", "DT")
"""Types of objects whose relation does not hang on which one it is."""


def swap_mentions(examples: Sequence[RelationExample], share: float, seed: int) -> list[RelationExample]:
    """Put other names of the rows in the place of some, so that a relation is learnt from what is said, not by heart.

    A name gives way to one of its type that ends like it (in a consonant or not, which the particle after it hangs on).
    An object other than a person or a date says something of the relation itself (a religion, a title): it gives way
    only to one of a row with the same relation. Rows whose two names are names of one thing stay as they are.

    Args:
      examples: KLUE-RE rows.
      share: of the mentions, each drawn by itself.
      seed: of the draw.

    Reference (replacing entities): Dai and Adel, 2020, https://aclanthology.org/2020.coling-main.343
    """
    names = defaultdict(list)
    for example in examples:
        for mention in (example.subject, example.object):
            names[_kind(example, mention)].append(example.text[mention.begin : mention.end])
    random = np.random.default_rng(seed)
    swapped = []
    for example in examples:
        for role in ("subject", "object"):
            mention = getattr(example, role)
            if random.random() < share and not example.label.endswith("alternate_names"):
                others = names[_kind(example, mention)]
                example = _put(example, role, others[random.integers(len(others))])  # noqa: PLW2901
        swapped.append(example)
    return swapped


def _kind(example: RelationExample, mention: Mention) -> tuple[str, str, bool]:
    """Tell which mentions may stand in for another: those of the same kind."""
    is_free = mention is example.subject or mention.type in _ANY_NAME
    last = ord(example.text[mention.end - 1])
    ends_in_consonant = 0xAC00 <= last <= 0xD7A3 and (last - 0xAC00) % 28 != 0
    return mention.type, "" if is_free else example.label, ends_in_consonant


def _put(example: RelationExample, role: str, name: str) -> RelationExample:
    """Put a name in the place of one of a row's mentions.

    >>> row = RelationExample("", "김하늘은 서울 사람", Mention(0, 3, "PS"), Mention(5, 7, "LC"), "per:origin")
    >>> put = _put(row, "subject", "이산")
    >>> put.text, put.subject, put.text[put.object.begin : put.object.end]
    ('이산은 서울 사람', Mention(begin=0, end=2, type='PS'), '서울')
    """
    old: Mention = getattr(example, role)
    grown = len(name) - (old.end - old.begin)

    def move(mention: Mention) -> Mention:
        if mention is old:
            return old._replace(end=old.end + grown)
        by = grown if mention.begin >= old.end else 0
        return mention._replace(begin=mention.begin + by, end=mention.end + by)

    text = example.text[: old.begin] + name + example.text[old.end :]
    return dataclasses.replace(example, text=text, subject=move(example.subject), object=move(example.object))
