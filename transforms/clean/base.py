"""What a cleaner is: it changes texts, or drops them with a reason.

The object is registered in klue_beam.schemas.registry.CLEANERS, or by a package of one's own as an entry point
`klue_beam.cleaners`.
"""

import abc
import types
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import pyarrow as pa

DOCUMENT_LEVEL = "document"
SENTENCE_LEVEL = "sentence"

OptionValue = str | int | float | bool


class CleanerError(RuntimeError):
    """A cleaner gave something that is no answer."""


class Cleaned(NamedTuple):
    """A cleaner's answer for a batch.

    Attributes:
      texts: the texts as they are now, or None where none was changed. Strings without nulls. Shape: (n,).
      reasons: why a row is dropped, null where it stays; None where all stay. Few different ones, since they are
        counted: a kind of fault, not the text's own words. Shape: (n,).
    """

    texts: pa.Array | None = None
    reasons: pa.Array | None = None


class Cleaner(abc.ABC):
    """Changes or drops documents before they are split, or drops sentences after.

    Attributes:
      level: DOCUMENT_LEVEL or SENTENCE_LEVEL. Sentences can be dropped, not changed: each is a slice of its document.
      options: the names of its options with their defaults, whose types the values have.
      version: of whatever its answers depend on; to be raised with every change of them.
    """

    level: ClassVar[str] = DOCUMENT_LEVEL
    options: ClassVar[Mapping[str, OptionValue]] = types.MappingProxyType({})
    version: ClassVar[str] = "1"

    @abc.abstractmethod
    def clean(self, rows: pa.RecordBatch, options: Mapping[str, Any]) -> Cleaned:
        """Answer for a batch of rows of DOCUMENT, or of SENTENCE.

        The answer for a row depends on that row and the options alone, never on the rows beside it: how records are
        gathered into batches must not show in the data.

        Args:
          rows: the batch; `text` is never blank.
          options: a value for each of `options`.
        """


class Drop(NamedTuple):
    """The answer of a TextCleaner that drops a text, and why."""

    reason: str


class TextCleaner(Cleaner):
    """A cleaner that looks at one text at a time: `clean_text` gives the text, changed or not, or a Drop."""

    @abc.abstractmethod
    def clean_text(self, text: str, options: Mapping[str, Any]) -> "str | Drop":
        """Answer for one text."""

    def clean(self, rows: pa.RecordBatch, options: Mapping[str, Any]) -> Cleaned:
        """Answer for each text of a batch."""
        texts: Sequence[str] = rows.column("text").to_pylist()
        answers = [self.clean_text(text, options) for text in texts]
        kept = [text if isinstance(answer, Drop) else answer for text, answer in zip(texts, answers, strict=True)]
        reasons = [answer.reason if isinstance(answer, Drop) else None for answer in answers]
        return Cleaned(None if kept == texts else pa.array(kept, pa.string()), pa.array(reasons, pa.string()))
