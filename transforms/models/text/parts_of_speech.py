"""Parts of speech of eojeols, for parsers that read them beside the pieces."""

import importlib
from typing import Any, Final

import numpy as np

from klue_beam.transforms.base.codepoints import Ints
from klue_beam.transforms.models.text.pieces import EncodedTexts

POS_TAGS: Final = (
    *("NNG", "NNP", "NNB", "NP", "NR", "VV", "VA", "VX", "VCP", "VCN", "MMA", "MMD", "MMN", "MAG", "MAJ", "JC", "IC"),
    *("JKS", "JKC", "JKG", "JKO", "JKB", "JKV", "JKQ", "JX", "EP", "EF", "EC", "ETN", "ETM", "XPN", "XSN", "XSV"),
    *("XSA", "XR", "SF", "SP", "SS", "SE", "SO", "SL", "SH", "SW", "SN", "NA"),
)
"""Those of KLUE-DP, in the order of KLUE-baseline's embedding, whose last row is that of the root and of padding."""

_OTHER_NAMES: Final = {"NNBC": "NNB", "MM": "MMD", "SSO": "SS", "SSC": "SS", "SC": "SP", "SY": "SW"}
"""What MeCab-ko calls them. It does not tell the three kinds of determiners apart: MMD is the commonest."""

_UNKNOWN: Final = POS_TAGS.index("NA")


class PosTagger:
    """Tags eojeols with the part of speech of their last morpheme, by MeCab-ko.

    KLUE-DP's own tags were set by people. On the trees of its development file MeCab-ko gives 94 % of them.
    """

    def __init__(self) -> None:
        self._parse: Any = importlib.import_module("mecab").MeCab().parse
        numbers = {tag: number for number, tag in enumerate(POS_TAGS)}
        self._numbers = numbers | {theirs: numbers[ours] for theirs, ours in _OTHER_NAMES.items()}

    def tag(self, encoded: EncodedTexts, text: Ints) -> Ints:
        """Tag the eojeols of some texts.

        Args:
          encoded: the texts.
          text: numbers of those to tag. Shape: (batch_size,).

        Returns:
          Numbers in POS_TAGS, padded with `len(POS_TAGS)`. Shape: (batch_size, n_eojeols).
        """
        offsets = encoded.eojeols.offsets
        tags = np.full((len(text), int((offsets[text + 1] - offsets[text]).max(initial=0))), len(POS_TAGS))
        for row, number in enumerate(text.tolist()):
            here = slice(offsets[number], offsets[number + 1])
            tags[row, : offsets[number + 1] - offsets[number]] = self._tag_text(
                encoded.texts[number], encoded.eojeols.begin[here], encoded.eojeols.end[here]
            )
        return tags

    def _tag_text(self, text: str, begin: Ints, end: Ints) -> Ints:
        morphemes = self._parse(text)
        names = [morpheme.feature.pos.rpartition("+")[2] for morpheme in morphemes]
        # One of no meaning stands before all eojeols, for those without a morpheme.
        starts = np.array([-1, *(morpheme.span.start for morpheme in morphemes)])
        numbers = np.array([_UNKNOWN, *(self._numbers.get(name, _UNKNOWN) for name in names)])
        last = np.searchsorted(starts, end) - 1
        return np.where(starts[last] >= begin, numbers[last], _UNKNOWN)
