"""Drop documents, or sentences, that are too short to say much.

The KLUE authors kept only sentences of at least 200 characters of their web and news corpora.
Reference: Park et al., 2021, section 2.3, https://arxiv.org/abs/2105.09680
"""

import types
from collections.abc import Mapping
from typing import Any, ClassVar, Final

import pyarrow as pa
import pyarrow.compute as pc

from klue_beam.transforms.clean.base import DOCUMENT_LEVEL, SENTENCE_LEVEL, Cleaned, Cleaner, OptionValue


class DropShort(Cleaner):
    """Drops what has fewer code points than `characters`, white space around it not counted."""

    options: ClassVar[Mapping[str, OptionValue]] = types.MappingProxyType({"characters": 200})

    def clean(self, rows: pa.RecordBatch, options: Mapping[str, Any]) -> Cleaned:
        """Give the reason for each text that is too short.

        >>> rows = pa.record_batch({"text": ["눈이 왔다.", "눈."]})
        >>> DropShort().clean(rows, {"characters": 3}).reasons.to_pylist()
        [None, 'fewer than 3 characters']
        """
        length = pc.utf8_length(pc.utf8_trim_whitespace(rows.column("text")))
        reason = pa.scalar(f"fewer than {options['characters']} characters", pa.string())
        return Cleaned(None, pc.if_else(pc.less(length, options["characters"]), reason, pa.scalar(None, pa.string())))


class DropShortDocuments(DropShort):
    """Drops short documents."""

    level = DOCUMENT_LEVEL


class DropShortSentences(DropShort):
    """Drops short sentences."""

    level = SENTENCE_LEVEL


DOCUMENTS: Final = DropShortDocuments()
SENTENCES: Final = DropShortSentences()
