"""Builders of annotated chunks that the tests of the sink share."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest

from klue_beam.schemas.dropped import DROPPED
from klue_beam.schemas.registry import TASKS
from klue_beam.schemas.reject import REJECT
from klue_beam.schemas.shard import Chunk, ChunkKey, Shard, SourceRange, Tally
from klue_beam.transforms.tasks.output import annotated_schema


class Annotated:
    """Makes rows, rejects and chunks of annotated sentences that keep the output contract."""

    SOURCE = "뉴스.txt"
    SCHEMA = annotated_schema(TASKS)
    SHARD = Shard(3, (SourceRange(SOURCE, 1000, "1", 0, 1000, 0),))

    @staticmethod
    def tree(text: str) -> list[dict[str, Any]]:
        """Give a head-final chain over the eojeols of a text."""
        words, arcs, begin = text.split(), [], 0
        for number, word in enumerate(words, 1):
            begin = text.index(word, begin)
            head = number + 1 if number < len(words) else 0
            arcs.append(
                {
                    "index": number,
                    "form": word,
                    "begin": begin,
                    "end": begin + len(word),
                    "head": head,
                    "deprel": "VP" if head == 0 else "NP_SBJ",
                    "score": 0.5,
                }
            )
            begin += len(word)
        return arcs

    @classmethod
    def row(cls, record: int, text: str, sentence: int = 0, begin: int = 0, **changes: Any) -> dict[str, Any]:
        """Give a row whose first and last eojeols are its entities, related to each other."""
        arcs = cls.tree(text)
        ends = arcs[:1] + arcs[1:][-1:]
        entities = [
            {"label": "PS", "begin": arc["begin"], "end": arc["end"], "text": arc["form"], "score": 0.75}
            for arc in ends
        ]
        row = {
            "doc_id": f"문서-{record}",
            "source": cls.SOURCE,
            "record_index": record,
            "sentence_index": sentence,
            "begin": begin,
            "end": begin + len(text),
            "text": text,
            "topic": {"label": "사회", "score": 0.25},
            "entities": entities,
            "relations": [{"label": "per:colleagues", "subject": 0, "object": 1, "score": 0.5}] * (len(entities) // 2),
            "dependencies": arcs,
            "flags": [],
        }
        return {**row, **changes}

    @classmethod
    def reject(cls, record: int | None, stage: str = "read", **changes: Any) -> dict[str, Any]:
        """Give a reject row."""
        row = {
            "source": cls.SOURCE,
            "record_index": record,
            "byte_begin": 0,
            "stage": stage,
            "reason": "no JSON: line 1",
            "raw": b"{\xff",
            "raw_bytes": 2,
        }
        return {**row, **changes}

    @classmethod
    def chunk(
        cls,
        rows: Sequence[dict[str, Any]] = (),
        rejects: Sequence[dict[str, Any]] = (),
        *,
        batch: int = 0,
        last: bool = True,
        records: tuple[int, int] | None = None,
        schema: pa.Schema | None = None,
        dropped: Sequence[dict[str, Any]] = (),
        shard: Shard | None = None,
        key: dict[str, Any] | None = None,
        tally: dict[str, Any] | None = None,
    ) -> Chunk:
        """Give a chunk that accounts for the records of its rows and rejects, or for a wider range with blanks."""
        documents = {row["record_index"] for row in (*rows, *dropped)}
        rejected = {row["record_index"] for row in rejects if row["stage"] == "read"} - {None}
        seen = documents | rejected
        first, end = records if records is not None else (min(seen, default=0), max(seen, default=-1) + 1)
        fields = {
            "range_index": 0,
            "first_record": first,
            "end_record": end,
            "begin": first * 10,
            "end": end * 10,
            "documents": len(documents),
            "blanks": end - first - len(documents) - len(rejected),
            "input_sha256": "0" * 64 if last else "",
        }
        keys = {"segment": 0, "batch": batch, "last_of_segment": last, "last_of_shard": last}
        return Chunk(
            shard or cls.SHARD,
            ChunkKey(**{**keys, **(key or {})}),
            pa.RecordBatch.from_pylist(list(rows), schema=schema or cls.SCHEMA),
            pa.RecordBatch.from_pylist(list(rejects), schema=REJECT),
            pa.RecordBatch.from_pylist(list(dropped), schema=DROPPED),
            (Tally(**{**fields, **(tally or {})}),),
        )


@pytest.fixture(scope="session")
def annotated() -> type[Annotated]:
    """The builders of annotated chunks."""
    return Annotated
