"""Sentences with entity tags, and what running text has beside them: addresses, codes, brackets, honorifics, ranges.

KLUE-NER's sentences hold few of these, so a model learns little of where entities end beside them. Each variation
puts one into a sentence whose tags are known, and the tags of the new characters are known, too: an address is no
entity, a bracket is not part of one, an honorific neither, and a range of times, dates or amounts is one entity.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from transforms.formats.klue import EntityExample, mentions_of_tags

_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"
_WORDS: Final = ("news", "korea", "seoul", "kim", "info", "blog", "shop", "open", "data", "help", "park", "lee", "star")
_DOMAINS: Final = ("co.kr", "com", "go.kr", "or.kr", "net", "kr", "ac.kr", "io")
_CODES: Final = (
    "코로나19", "MP3", "USB3.0", "A4", "B2B", "5G", "4K", "HDMI2.1", "K-POP", "CO2", "PM2.5", "O2O", "VER1.2", "QR코드"
)  # fmt: skip
_BEFORE_ADDRESS: Final = ("문의", "출처:", "자료=", "▶", "전화", "E-mail:")
_AFTER_ADDRESS: Final = ("", "", "으로", "에서", "를", "로", "에", "(으)로", "입니다", "에도")
_BRACKETS: Final = ("『』", "「」", "《》", "〈〉", "()", "[]", "“”", "‘’", "<>", '""')
_HONORIFICS: Final = (
    "님",
    " 님",
    " 씨",
    " 선생님",
    " 대통령님",
    " 의원님",
    " 교수님",
    " 부장",
    " 할머니",
    " 어머님",
    " 감독님",
)
_ASIDES: Final = ("(웃음)", "ㅋㅋ", "^^", "T_T", ":)", "(사진)", "▶", "※", "①", "(1)", "- ", "[단독]", "#", "→", "…")

Variation = Callable[[EntityExample, np.random.Generator], EntityExample | None]


def vary_entities(examples: Sequence[EntityExample], seed: int, most: int = 3) -> list[EntityExample]:
    """Put one to so many things into each sentence, drawn by a seed; a sentence that has no place for them is left out.

    Args:
      examples: with tags out of NER_TAGS, or None where none is known.
      seed: of the draw.
      most: variations of a sentence.
    """
    random = np.random.default_rng(seed)
    varied = []
    for example in examples:
        changed = example
        for _ in range(1 + int(random.integers(most))):
            variation = _VARIATIONS[int(random.integers(len(_VARIATIONS)))]
            changed = variation(changed, random) or changed
        if changed is not example:
            varied.append(changed)
    return varied


def insert(example: EntityExample, at: int, text: str, tag_type: str = "") -> EntityExample:
    """Put text into a sentence, an entity of a type or none.

    >>> example = EntityExample("", "김하늘이", ("B-PS", "I-PS", "I-PS", "O"))
    >>> insert(example, 3, " 씨").tags
    ('B-PS', 'I-PS', 'I-PS', 'O', 'O', 'O')
    >>> insert(example, 0, "3일 ", "DT").tags[:4]
    ('B-DT', 'I-DT', 'O', 'B-PS')
    """
    length = len(text.rstrip()) if tag_type else 0
    tags = [f"B-{tag_type}", *[f"I-{tag_type}"] * (length - 1)][:length] + ["O"] * (len(text) - length)
    return dataclasses.replace(
        example,
        text=example.text[:at] + text + example.text[at:],
        tags=(*example.tags[:at], *tags, *example.tags[at:]),
    )


def _pick(choices: Sequence[str], random: np.random.Generator) -> str:
    return choices[int(random.integers(len(choices)))]


def _digits(count: int, random: np.random.Generator) -> str:
    return "".join(str(digit) for digit in random.integers(10, size=count))


def _word(random: np.random.Generator) -> str:
    if random.random() < 0.6:
        return _pick(_WORDS, random)
    return "".join(_LETTERS[i] for i in random.integers(len(_LETTERS), size=int(random.integers(3, 9))))


def make_address(random: np.random.Generator) -> str:
    """Make an address or a code: of a page, of mail, of a telephone, a handle, a number."""
    name, other, domain = _word(random), _word(random), _pick(_DOMAINS, random)
    year, number = 1990 + int(random.integers(35)), _digits(4, random)
    return _pick(
        (
            f"https://www.{name}.{domain}/{other}/{number}",
            f"http://{name}.{domain}",
            f"www.{name}{other}.{domain}",
            f"{name}.{domain}",
            f"{name}{number}@{other}.{domain}",
            f"{name}.{other}@gmail.com",
            f"010-{number}-{_digits(4, random)}",
            f"02-{_digits(3, random)}-{number}",
            f"02){_digits(3, random)}-{number}",
            f"1588-{number}",
            f"@{name}_{other}",
            f"@{name}{number[:2]}",
            f"#{name}",
            f"{name.upper()}-{number[:3]}",
            f"{name.capitalize()}{number[:2]}",
            f"{year}가합{number}",
            f"{name}_{other}.pdf",
            _pick(_CODES, random),
        ),
        random,
    )


def _gaps(example: EntityExample) -> list[int]:
    """List where a word begins outside of entities: what is put there stands between words."""
    return [
        i
        for i in range(len(example.text))
        if (i == 0 or example.text[i - 1] == " ")
        and example.text[i] != " "
        and not (example.tags[i] or "I-").startswith("I-")
        and (i == 0 or example.tags[i - 1] is not None)
    ]


def _add_address(example: EntityExample, random: np.random.Generator) -> EntityExample | None:
    gaps = _gaps(example)
    if not gaps:
        return None
    address = make_address(random)
    form = random.random()
    if form < 0.25 and example.text[-1] in ".!?" and example.tags[-1] == "O":
        return insert(example, len(example.text) - 1, f"({address})")
    if form < 0.4:
        return insert(
            example,
            len(example.text),
            f" {_pick(('문의', '출처:', '자료=', '▶', '전화', 'E-mail:'), random)} {address}",
        )
    at = gaps[int(random.integers(len(gaps)))]
    return insert(example, at, address + _pick(_AFTER_ADDRESS, random) + " ")


def _add_range(example: EntityExample, random: np.random.Generator) -> EntityExample | None:
    gaps = _gaps(example)
    if not gaps:
        return None
    low = int(random.integers(1, 12))
    high, minute = low + int(random.integers(1, 12)), _pick(("00", "30", "15", "45"), random)
    tilde = _pick(("~", "~", "-", "∼"), random)
    text, kind = (
        (f"{low}:{minute}{tilde}{high}:00", "TI"),
        (f"{low:02d}:{minute}", "TI"),
        (f"오후 {low}시{tilde}{high}시", "TI"),
        (f"{2000 + high}.{low}.{high}.", "DT"),
        (f"{2000 + high}-{low:02d}-{high:02d}", "DT"),
        (f"{low}월 {high}일{tilde}{high + 1}일", "DT"),
        (f"{low}{tilde}{high}명", "QT"),
        (f"{low}.{high}%", "QT"),
        (f"{low},{_digits(3, random)}원", "QT"),
    )[int(random.integers(9))]
    after = _pick((" ", " ", "까지 ", "에 ", "에는 ", ", "), random)
    at = gaps[int(random.integers(len(gaps)))]
    return insert(insert(example, at, after), at, text, kind)


def _add_brackets(example: EntityExample, random: np.random.Generator) -> EntityExample | None:
    """Put brackets around an entity, or around a word that is none."""
    spans = [(m.begin, m.end) for m in mentions_of_tags(example.tags)]
    if not spans or random.random() < 0.2:
        words = [g for g in _gaps(example) if example.tags[g] == "O"]
        ends = [(example.text + " ").index(" ", begin) for begin in words]
        spans = [(b, e) for b, e in zip(words, ends, strict=True) if set(example.tags[b:e]) == {"O"}]
    if not spans:
        return None
    begin, end = spans[int(random.integers(len(spans)))]
    opening, closing = _BRACKETS[int(random.integers(len(_BRACKETS)))]
    return insert(insert(example, end, closing), begin, opening)


def _add_honorific(example: EntityExample, random: np.random.Generator) -> EntityExample | None:
    ends = [
        m.end for m in mentions_of_tags(example.tags) if m.type == "PS" and example.tags[m.end : m.end + 1] == ("O",)
    ]
    if not ends:
        return None
    return insert(example, ends[int(random.integers(len(ends)))], _pick(_HONORIFICS, random))


def _add_aside(example: EntityExample, random: np.random.Generator) -> EntityExample | None:
    aside = _pick(_ASIDES, random)
    if random.random() < 0.5:
        return insert(example, 0, aside + _pick(("", " "), random))
    return insert(example, len(example.text), _pick(("", " "), random) + aside)


def _drop_stop(example: EntityExample, random: np.random.Generator) -> EntityExample | None:  # noqa: ARG001
    """Take the final stop away: titles and messages have none."""
    if len(example.text) < 2 or example.text[-1] != "." or example.tags[-1] != "O":
        return None
    return dataclasses.replace(example, text=example.text[:-1], tags=example.tags[:-1])


_VARIATIONS: Final[tuple[Variation, ...]] = (
    _add_address,
    _add_address,
    _add_range,
    _add_brackets,
    _add_brackets,
    _add_honorific,
    _add_aside,
    _drop_stop,
)
