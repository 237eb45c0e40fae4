"""Plain text to learn from: the sentences of documents."""

import glob
import json
from collections.abc import Iterator

import smart_open

from transforms.split import load_splitter


def read_texts(pattern: str) -> Iterator[str]:
    """Read the documents of plain text files (one a line) or .jsonl files (the field `text`), compressed or not.

    Args:
      pattern: a path or a glob.

    Raises:
      ValueError: if no file is there, or a line of a .jsonl file is no object with a string `text`.
    """
    paths = sorted(glob.glob(pattern))
    if not paths:
        raise ValueError(f"Text to learn from must be a file or a glob that matches some, got {pattern!r}. Check it.")
    for path in paths:
        is_jsonl = ".jsonl" in path.rsplit("/", 1)[-1]
        with smart_open.open(path, encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield _text_of(line, path, number) if is_jsonl else line.rstrip("\n")


def _text_of(line: str, path: str, number: int) -> str:
    try:
        return str.__str__(json.loads(line)["text"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"A line must be a JSON object with a string `text`, got {type(error).__name__}: {error} at "
            f"{path}:{number}. Correct it or leave it out."
        ) from error


def read_sentences(pattern: str) -> list[str]:
    """Read the distinct sentences of documents, in order; see `read_texts`."""
    split = load_splitter("fast")
    return list(dict.fromkeys(text[begin:end] for text in read_texts(pattern) for begin, end in split(text)))
