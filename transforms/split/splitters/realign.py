"""Find the sentences that a foreign splitter gave back in the text that it was given."""

from collections.abc import Sequence

import numpy as np

from klue_beam.transforms.base.codepoints import Ints, is_white_space
from klue_beam.transforms.split.splitters.spans import codes_of


def locate_sentences(text: str, sentences: Sequence[str]) -> Ints | None:
    """Find where to cut a text so that the pieces are the sentences given, up to white space.

    Args:
      text: the source.
      sentences: what a splitter made of it; white space may have been lost or put in.

    Returns:
      Where each sentence but the first begins in the text, ascending; None if the sentences differ from the text in
      more than white space: a character lost, added, changed or moved, or a span given twice.

    >>> locate_sentences("밥을  먹었다. 맛있었다.", ["밥을 먹었다.", "맛있었다."]).tolist()
    [9]
    >>> locate_sentences("밥을 먹었다.", ["밥을 먹었다"]) is None
    True
    """
    codes = codes_of(text)
    solid = np.flatnonzero(~is_white_space(codes))
    found = codes_of("".join(sentences))
    solid_found = ~is_white_space(found)
    if not np.array_equal(codes[solid], found[solid_found]):
        return None
    ends = np.cumsum([len(sentence) for sentence in sentences], dtype=np.int64)
    counts = np.append(0, np.cumsum(solid_found))[ends]
    inside = np.unique(counts[(counts > 0) & (counts < len(solid))])
    return solid[inside]
