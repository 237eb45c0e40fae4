"""Bring texts into Unicode's composed form, NFC, in which Hangul syllables are one code point each."""

import unicodedata
from collections.abc import Mapping
from typing import Any, Final

import pyarrow as pa

from klue_beam.transforms.clean.base import Cleaned, Cleaner


class ComposeTexts(Cleaner):
    """Text that came from macOS file names or old web pages often has its syllables in parts."""

    version = f"unicode-{unicodedata.unidata_version}"

    def clean(self, rows: pa.RecordBatch, options: Mapping[str, Any]) -> Cleaned:  # noqa: ARG002  it has no options
        r"""Compose the texts that are not composed.

        >>> rows = pa.record_batch({"text": ["\u1112\u1161\u11ab글"]})
        >>> ComposeTexts().clean(rows, {}).texts.to_pylist()
        ['한글']
        """
        texts = rows.column("text").to_pylist()
        if all(unicodedata.is_normalized("NFC", text) for text in texts):
            return Cleaned()
        return Cleaned(pa.array([unicodedata.normalize("NFC", text) for text in texts], pa.string()))


CLEANER: Final = ComposeTexts()
