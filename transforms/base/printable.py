"""Text from files made harmless for a terminal: an id, a file's name or a sentence must not steer it."""

from typing import Any, Final

REPLACED: Final = "\ufffd"
"""Stands for a character that a terminal must not get, where there is no picture of it."""

_KEPT: Final = frozenset("\n\t")
_PICTURES: Final = {**{code: chr(0x2400 + code) for code in range(0x20)}, 0x0A: "\u23ce", 0x09: " ", 0x7F: "\u2421"}
_HARMLESS: Final = frozenset("\u00a0\u2002\u2003\u2009\u3000\u200c\u200d")
"""Spaces, and what joins the parts of an emoji, which `str.isprintable` does not know."""


def show(text: object) -> str:
    r"""Write text for a terminal, its control characters as escapes.

    >>> show("a\x1b[2Jb")
    'a\\x1b[2Jb'
    """
    return "".join(
        character if character.isprintable() or character in _KEPT else ascii(character)[1:-1]
        for character in str(text)
    )


def show_in_place(value: Any) -> Any:
    r"""Write text for a terminal, one character for each, so that offsets into it hold.

    Control characters become their pictures, a line break the sign of the return key, a tab a space, others (marks that
    turn the direction of writing, surrogates, characters that no standard has) the replacement character.

    Args:
      value: a string; or a list or a dict of values as JSON has them, of which all strings are written so.

    >>> show_in_place({"text": "a\x1b[2J\nb"})
    {'text': 'a␛[2J⏎b'}
    """
    if isinstance(value, str):
        return value if value.isprintable() else "".join(map(_show_character, value))
    if isinstance(value, dict):
        return {show_in_place(name): show_in_place(item) for name, item in value.items()}
    if isinstance(value, list):
        return [show_in_place(item) for item in value]
    return value


def show_lines(text: str) -> str:
    r"""Write text of several lines for a terminal, as `show_in_place`, its line breaks kept.

    >>> show_lines("a\x1b[2J\nb")
    'a␛[2J\nb'
    """
    return text if text.isprintable() else "\n".join(map(show_in_place, text.split("\n")))


def _show_character(character: str) -> str:
    if character.isprintable() or character in _HARMLESS:
        return character
    return _PICTURES.get(ord(character), REPLACED)
