"""Universal Dependencies treebanks of Korean, turned into the shape of KLUE-DP: eojeols and head-final arcs.

KLUE-DP's words are the space-separated eojeols and all its arcs point right, to a later word. UD splits punctuation
off and lets function words, auxiliaries and second halves of names hang on the word before them. Here punctuation is
merged back and such arcs are turned around; the labels stay UD's, another scheme than KLUE-DP's.

References: Nivre et al., 2020, "Universal Dependencies v2"; Chun et al., 2018, "Building Universal Dependency
Treebanks in Korean" (Kaist and GSD); Park et al., 2021, https://arxiv.org/abs/2105.09680 (KLUE-DP).
"""

import collections
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from klue_beam.transforms.tasks.dependency.gold import DependencyExample
from klue_beam.transforms.tasks.gold import read_text

TURNED_DEPRELS: Final = frozenset(
    ["appos", "aux", "case", "clf", "compound", "conj", "cop", "fixed", "flat", "goeswith", "list", "mark"]
)
"""UD relations (without subtype) whose dependent stands after its head in UD, and is the head in a head-final tree."""

DROP_REASONS: Final = ("split_word", "not_a_tree", "left_arc")
"""Why a sentence is left out: parts of one eojeol hang on different words, the arcs have a loop or another number of
roots than one, an arc points left after turning."""

_OPENING: Final = frozenset("([{<〈《「『【")
_CLOSING: Final = frozenset(".,?!:;)]}>〉》」』】…·%")
_QUOTES: Final = str.maketrans("`´‘’“”", "''''\"\"")


class Token(NamedTuple):
    """A treebank's token. `head` is 1-based, 0 the root; `glued` says that no space stands before it."""

    form: str
    head: int
    deprel: str
    is_punct: bool
    glued: bool


@dataclasses.dataclass(frozen=True, slots=True)
class HeadFinalTreebank:
    """Head-final sentences, and how many were left out for each of DROP_REASONS."""

    examples: tuple[DependencyExample, ...]
    dropped: Mapping[str, int]


def read_head_final(path: str) -> list[DependencyExample]:
    """Read a treebank as head-final sentences of eojeols; what cannot be turned is left out.

    Args:
      path: a CoNLL-U file (head and relation in columns 7 and 8) or one in the Kaist layout (6 and 7; tagged morphemes
        in 10), plain or compressed.

    Returns:
      Sentences with one root and arcs that point right, `deprels` being UD's without subtype.

    Raises:
      ValueError: on a malformed line, with its path and line.
    """
    return list(load_head_final(path).examples)


def load_head_final(path: str) -> HeadFinalTreebank:
    """Read a treebank as `read_head_final` does, and count what is left out.

    Raises:
      ValueError: on a malformed line, with its path and line.
    """
    examples = []
    dropped: collections.Counter[str] = collections.Counter(dict.fromkeys(DROP_REASONS, 0))
    for number, tokens in enumerate(_sentences(path)):
        words = merge_words(tokens)
        if words is None:
            dropped["split_word"] += 1
        elif not _is_tree(words[1]):
            dropped["not_a_tree"] += 1
        elif (arcs := turn_head_final(words[1], words[2])) is None:
            dropped["left_arc"] += 1
        else:
            examples.append(DependencyExample(f"{path.rsplit('/', 1)[-1]}:{number}", words[0], *arcs))
    return HeadFinalTreebank(tuple(examples), dict(dropped))


def merge_words(tokens: Sequence[Token]) -> tuple[tuple[str, ...], tuple[int, ...], tuple[str, ...]] | None:
    """Merge tokens without a space between them into eojeols.

    Returns:
      Forms, heads (1-based over eojeols) and deprels; None if parts of one eojeol hang on different words.

    >>> merge_words([Token("간다", 0, "root", False, False), Token(".", 1, "punct", True, True)])
    (('간다.',), (0,), ('root',))
    """
    word_of, count = [], 0
    for index, token in enumerate(tokens):
        count += index == 0 or not token.glued
        word_of.append(count)
    forms = [""] * count
    arcs: list[set[tuple[int, str]]] = [set() for _ in range(count)]
    marks: list[set[tuple[int, str]]] = [set() for _ in range(count)]
    for token, word in zip(tokens, word_of, strict=True):
        forms[word - 1] += token.form
        head = word_of[token.head - 1] if token.head else 0
        if head != word or token.head == 0:
            (marks if token.is_punct else arcs)[word - 1].add((head, token.deprel.split(":")[0]))
    # A word of punctuation alone (a dash between spaces) keeps its punct arc.
    chosen = [arc or mark for arc, mark in zip(arcs, marks, strict=True)]
    if any(len(arc) != 1 for arc in chosen):
        return None
    heads, deprels = zip(*(arc.pop() for arc in chosen), strict=True)
    return tuple(forms), heads, deprels


def turn_head_final(heads: Sequence[int], deprels: Sequence[str]) -> tuple[tuple[int, ...], tuple[str, ...]] | None:
    """Turn a tree's function words, auxiliaries and chains so that every arc points right.

    A head with such dependents to its right becomes the dependent of the first, the first of the second, and the last
    takes the head's own place; the label goes along with the arc that is turned.

    Args:
      heads: a tree, 1-based, 0 the root.
      deprels: UD relations.

    Returns:
      Heads and deprels; None if another arc points left.

    >>> turn_head_final([3, 3, 0, 3], ["nsubj", "obj", "root", "aux"])
    ((3, 3, 4, 0), ('nsubj', 'obj', 'aux', 'root'))
    """
    turned: list[list[int]] = [[] for _ in range(len(heads) + 1)]
    for word, (head, deprel) in enumerate(zip(heads, deprels, strict=True), 1):
        if 0 < head < word:
            if deprel not in TURNED_DEPRELS:
                return None
            turned[head].append(word)
    # A phrase's new head is the end of its chain. Chains point right only, so the last words are settled first.
    phrase_head = list(range(len(heads) + 1))
    for word in range(len(heads), 0, -1):
        if turned[word]:
            phrase_head[word] = phrase_head[turned[word][-1]]
    new_heads, new_deprels = [0] * len(heads), [""] * len(heads)
    for word, (head, deprel) in enumerate(zip(heads, deprels, strict=True), 1):
        chain = [word, *(phrase_head[dependent] for dependent in turned[word])]
        for link, following, dependent in zip(chain, chain[1:], turned[word], strict=False):
            new_heads[link - 1], new_deprels[link - 1] = following, deprels[dependent - 1]
        if head == 0 or head > word:
            new_heads[phrase_head[word] - 1], new_deprels[phrase_head[word] - 1] = head, deprel
    if any(0 < head <= word for word, head in enumerate(new_heads, 1)):
        return None
    return tuple(new_heads), tuple(new_deprels)


def _is_tree(heads: Sequence[int]) -> bool:
    """Tell whether there is one root, and every word leads to it."""
    if heads.count(0) != 1:
        return False
    for start in range(1, len(heads) + 1):
        word, steps = start, 0
        while word and steps <= len(heads):
            word, steps = heads[word - 1], steps + 1
        if word:
            return False
    return True


def _sentences(path: str) -> Iterator[list[Token]]:
    lines = read_text(path).split("\n")
    rows: list[list[str]] = []
    for number, line in enumerate([*lines, ""], 1):
        columns = line.split("\t")
        if len(columns) == 10:
            if not (columns[0] == str(len(rows) + 1) and (columns[5].isdecimal() or columns[6].isdecimal())):
                raise ValueError(
                    f"{path}, line {number}: a token must have its index (from 1) in column 1 and its head in column 7 "
                    f"(Kaist: 6), got {line[:80]!r}. Correct it."
                )
            rows.append(columns)
        elif line.strip() and not line.startswith("#"):
            raise ValueError(
                f"{path}, line {number}: a token must have 10 columns between tabs, got {line[:80]!r}. Correct it."
            )
        elif rows:
            is_conllu = all(row[6].isdecimal() for row in rows)
            heads = [int(row[6 if is_conllu else 5]) for row in rows]
            if max(heads) > len(rows):
                raise ValueError(
                    f"{path}, line {number}: a head must be a token of the sentence, got {max(heads)}. Correct it."
                )
            glued = _glued_by_column(rows) if is_conllu else _glued_by_rule(rows)
            yield [
                Token(row[1], head, row[7 if is_conllu else 6], row[3] == "PUNCT", glue)
                for row, head, glue in zip(rows, heads, glued, strict=True)
            ]
            rows = []


def _glued_by_column(rows: Sequence[Sequence[str]]) -> list[bool]:
    return [False, *("SpaceAfter=No" in row[9].split("|") for row in rows[:-1])]


def _glued_by_rule(rows: Sequence[Sequence[str]]) -> list[bool]:
    """Say where Kaist's lost spacing had no space: by the kind of mark, and before particles and suffixes."""
    glued, opens_next = [], False
    open_quotes: set[str] = set()
    for index, row in enumerate(rows):
        form, first_tag = row[1], row[9].split("+")[0].rsplit("/", 1)[-1]
        is_punct = row[3] == "PUNCT"
        after_punct = index > 0 and rows[index - 1][3] == "PUNCT"
        glue, opens = opens_next, False
        if is_punct:
            quote = form.translate(_QUOTES)
            if form in _OPENING:
                glue, opens = True, True
            elif form in _CLOSING:
                glue = True
            elif quote in ("'", '"'):
                opens = quote not in open_quotes
                open_quotes ^= {quote}
                glue = glue or not opens
        elif after_punct and first_tag[:1] in ("j", "x", "e"):
            glue = True
        glued.append(glue)
        opens_next = opens
    return glued
