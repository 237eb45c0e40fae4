"""Plain texts to make a vocabulary of, or to learn from."""

from collections.abc import Sequence
from typing import Final

from klue_beam.schemas.config import AnnotateConfig, ReadConfig
from klue_beam.transforms.plan.plan import make_plan
from klue_beam.transforms.read.shards import read_shard
from klue_beam.transforms.split.sentences import load_splitter

_PLACE_AND_REASON: Final = ("source", "record_index", "reason")


def read_texts(inputs: Sequence[str], config: ReadConfig) -> list[str]:
    """List the texts of files, as `annotate` would read them; blank ones are left out.

    Args:
      inputs: paths, globs and folders, plain or compressed, see `find_sources`.
      config: their format, and what a text is.

    Raises:
      ValueError: if an input matches nothing, or a record gives no text: its file, number and reason are named.
      ShardReadError, OSError: if a file cannot be read.
    """
    texts: list[str] = []
    for shard in make_plan(inputs, AnnotateConfig(read=config)).shards:
        for chunk in read_shard(shard, config):
            if chunk.rejects.num_rows:
                source, record, reason = (chunk.rejects[name][0].as_py() for name in _PLACE_AND_REASON)
                where = "the end" if record is None else f"record {record}"
                raise ValueError(
                    f"Each record must give a text, got at {where} of {source!r}: {reason}. Mend the file, or leave "
                    "the record out."
                )
            texts += chunk.rows.column("text").to_pylist()
    return texts


def split_texts(texts: Sequence[str]) -> list[str]:
    """List the distinct sentences of texts, in order."""
    split = load_splitter("fast")
    return list(dict.fromkeys(text[begin:end] for text in texts for begin, end in split(text)))
