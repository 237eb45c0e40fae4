"""Sentences with their dependency trees: KLUE-DP's files, CoNLL-U, and JSON lines."""

import dataclasses
from collections.abc import Sequence

from klue_beam.transforms.tasks.gold import blocks, is_json, read_json, read_text, show_row
from klue_beam.transforms.tasks.records import Record, check_string, shorten, take_guid, take_list


@dataclasses.dataclass(frozen=True, slots=True)
class DependencyExample:
    """A parsed sentence: for each eojeol its form, its head (1-based, 0 is the root) and its deprel."""

    guid: str
    forms: tuple[str, ...]
    heads: tuple[int, ...]
    deprels: tuple[str, ...]

    @property
    def text(self) -> str:
        """Give the sentence: its eojeols, joined by one space."""
        return " ".join(self.forms)


def read_dependencies(path: str) -> list[DependencyExample]:
    r"""Read sentences with their trees, in one of three forms.

    - KLUE-DP: lines of index, form, lemma, part of speech, head and deprel between tabs.
    - CoNLL-U, ten columns between tabs, its words being eojeols: no multiword tokens, no empty nodes, no
      SpaceAfter=No. A file whose first line of columns has ten, or whose name says .conllu, is one.
    - JSON (a list, or one object a line) with `tokens`, `heads` (1-based, 0 is the root) and `deprels`.

    Raises:
      ValueError: on a malformed line or a head outside the sentence, with its path and line (the row of a JSON list).
      OSError: if it cannot be read.
    """
    text = read_text(path)
    if is_json(text):
        return read_json(path, text, _tree_of_record)
    return _read_conllu(path, text) if _is_conllu(path, text) else _read_klue(path, text)


def _is_conllu(path: str, text: str) -> bool:
    first = next((line for line in text.split("\n") if line.strip() and not line.startswith("#")), "")
    return first.count("\t") == 9 or ".conllu" in path.lower()


def _read_klue(path: str, text: str) -> list[DependencyExample]:
    examples = []
    for guid, first_line, rows in blocks(text):
        for number, row in enumerate(rows, first_line):
            if (
                len(row) != 6
                or row[0] != str(number - first_line + 1)
                or not row[1]
                or not (row[4].isdecimal() and int(row[4]) <= len(rows))
                or not row[5]
            ):
                raise ValueError(
                    f"{path}, line {number}: a KLUE-DP line must be index (from 1), form, lemma, part of speech, head "
                    f"(0 to the sentence's length) and deprel between tabs, got {show_row(row)}. Correct it, or give "
                    "CoNLL-U or JSON lines."
                )
        forms, heads, deprels = (tuple(row[column] for row in rows) for column in (1, 4, 5))
        examples.append(DependencyExample(guid, forms, tuple(map(int, heads)), deprels))
    return examples


def _read_conllu(path: str, text: str) -> list[DependencyExample]:
    examples: list[DependencyExample] = []
    guid, rows = "", list[tuple[int, list[str]]]()
    for number, line in enumerate([*text.split("\n"), ""], 1):
        if line.startswith("#"):
            name, _, value = line[1:].partition("=")
            guid = value.strip() if name.strip() == "sent_id" else guid
        elif line.strip():
            rows.append((number, line.split("\t")))
        elif rows:
            examples.append(_tree_of_words(path, guid or f"sentence-{len(examples)}", rows))
            guid, rows = "", []
    return examples


def _tree_of_words(path: str, guid: str, rows: Sequence[tuple[int, list[str]]]) -> DependencyExample:
    for index, (number, row) in enumerate(rows, 1):
        if (
            len(row) != 10
            or row[0] != str(index)
            or row[1].split() != [row[1]]
            or not (row[6].isdecimal() and int(row[6]) <= len(rows))
            or row[7] in ("", "_")
        ):
            raise ValueError(
                f"{path}, line {number}: a word of CoNLL-U must be ten columns between tabs: its number in the "
                "sentence (no ranges, no empty nodes), its form without spaces, …, its head (0 to the sentence's "
                f"length) and its deprel, …, got {show_row(row)}. Correct it, or leave the sentence out."
            )
        if index < len(rows) and "SpaceAfter=No" in row[9].split("|"):
            raise ValueError(
                f"{path}, line {number}: a word must be a whole eojeol, with a space after it, got {row[1]!r} with "
                "SpaceAfter=No. Merge it with the word after it, or leave the sentence out."
            )
    words = [row for _, row in rows]
    return DependencyExample(
        guid,
        tuple(row[1] for row in words),
        tuple(int(row[6]) for row in words),
        tuple(row[7] for row in words),
    )


def _tree_of_record(record: Record, guid: str) -> DependencyExample:
    tokens, heads, deprels = (take_list(record, name) for name in ("tokens", "heads", "deprels"))
    if not tokens or not len(tokens) == len(heads) == len(deprels):
        raise ValueError(
            "`tokens`, `heads` and `deprels` must have one entry for each eojeol, got "
            f"{len(tokens)}, {len(heads)} and {len(deprels)}."
        )
    for token in tokens:
        if check_string(token, "tokens").split() != [token]:
            raise ValueError(f"`tokens` must be eojeols, strings without white space, got {shorten(token)}.")
    for head in heads:
        if not isinstance(head, int) or isinstance(head, bool) or not 0 <= head <= len(tokens):
            raise ValueError(f"`heads` must be from 0, the root, to {len(tokens)}, got {shorten(head)}.")
    for deprel in deprels:
        if not check_string(deprel, "deprels"):
            raise ValueError("`deprels` must be labels, got ''.")
    return DependencyExample(take_guid(record, guid), tuple(tokens), tuple(heads), tuple(deprels))
