"""Text to measure with: documents and sentences out of any input that `klue-beam annotate` takes."""

import argparse
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from klue_beam.beam_pipelines.commands.inputs import infer_format
from klue_beam.schemas.config import MIB, AnnotateConfig, ReadConfig
from klue_beam.schemas.document import DOCUMENT
from klue_beam.schemas.shard import Chunk
from klue_beam.transforms.plan.plan import make_plan
from klue_beam.transforms.read.shards import read_shard
from klue_beam.transforms.split.sentences import load_splitter, split_sentences

MOST_BYTES: Final = 16 * MIB
"""A sample is drawn from so much text at the beginning of the input."""

SENTENCES_IN_A_DOCUMENT: Final = 20
MOST_ORDERS_IN_VAIN: Final = 100


def add_input_arguments(parser: argparse.ArgumentParser, sentences: int) -> None:
    """Add the options that say what is measured on."""
    parser.add_argument(
        "--input",
        required=True,
        metavar="PATH",
        help="a file, or a folder of files of one format, that `klue-beam annotate` reads, compressed or not.",
    )
    parser.add_argument(
        "--sentences",
        type=int,
        default=sentences,
        metavar="N",
        help="how many sentences of it are annotated: whole documents drawn at random, the same ones at each call, cut "
        "by the splitter `fast`. Fewer are quicker, more are steadier (default: %(default)s).",
    )


def read_chunks(path: str) -> Iterator[Chunk]:
    """Read an input as `klue-beam annotate` does.

    Raises:
      ValueError: if the path matches no file, or files of several formats.
    """
    config = AnnotateConfig(read=ReadConfig(input_format=infer_format([path])))
    for shard in make_plan([path], config).shards:
        yield from read_shard(shard, config.read)


def read_documents(path: str, most_bytes: int = MOST_BYTES) -> pa.RecordBatch:
    """Read an input's documents, up to the chunk with which their text reaches a size. A batch of DOCUMENT."""
    batches, size = [pa.RecordBatch.from_pylist([], schema=DOCUMENT)], 0
    for chunk in read_chunks(path):
        batches.append(chunk.rows)
        size += count_bytes(chunk.rows)
        if size >= most_bytes:
            break
    return pa.concat_batches(batches)


def sample_documents(path: str, n_sentences: int, seed: int = 0) -> pa.RecordBatch:
    """Draw whole documents until they hold so many sentences.

    Args:
      path: the input.
      n_sentences: more come where the last document has more; fewer where the input has fewer.
      seed: another one draws other documents.

    Returns:
      A batch of DOCUMENT.

    Raises:
      ValueError: if the input has no text.
    """
    documents = read_documents(path)
    if not documents.num_rows:
        raise ValueError(f"`--input` must hold text, got none in {path}. Give another file.")
    order = np.random.default_rng(seed).permutation(documents.num_rows)
    splitter, n = load_splitter("fast"), max(1, n_sentences // SENTENCES_IN_A_DOCUMENT)
    while True:
        chosen = documents.take(pa.array(order[:n]))
        counts = np.bincount(splitter.split_batch(chosen.column("text")).row, minlength=chosen.num_rows)
        enough = int(np.searchsorted(np.cumsum(counts), n_sentences)) + 1
        if enough <= chosen.num_rows or n >= documents.num_rows:
            return chosen.slice(0, enough)
        n *= 2


def sample_sentences(path: str, n_sentences: int, seed: int = 0) -> pa.RecordBatch:
    """Draw documents and give their first `n_sentences` sentences. A batch of SENTENCE; errors of sample_documents."""
    documents = sample_documents(path, n_sentences, seed)
    return split_sentences(documents, load_splitter("fast")).slice(0, n_sentences)


def count_characters(rows: pa.RecordBatch) -> int:
    """Count the code points of a batch's texts."""
    return int(pc.sum(pc.utf8_length(rows.column("text"))).as_py() or 0)


def count_bytes(rows: pa.RecordBatch) -> int:
    """Count the UTF-8 bytes of a batch's texts."""
    return int(pc.sum(pc.binary_length(rows.column("text"))).as_py() or 0)


def write_jsonl(texts: Iterable[str], path: Path) -> Path:
    """Write texts as records with a field `text`; gives the path."""
    with path.open("w", encoding="utf-8") as file:
        for text in texts:
            file.write(_record(text))
    return path


def _record(text: str) -> str:
    return json.dumps({"text": text}, ensure_ascii=False) + "\n"


def write_distinct(path: str, size_bytes: int, target: Path, seed: int = 0) -> Path:
    """Write a .jsonl file of any size whose documents are distinct: the input's sentences in ever new orders.

    A smaller file of the same seed is the beginning of a larger one.

    Args:
      path: the input whose sentences are shuffled.
      size_bytes: of the file; the last document may pass it.
      target: where to.
      seed: another one gives other documents.

    Raises:
      ValueError: if the input has no text, or too few sentences for so many documents.
    """
    rows = split_sentences(read_documents(path), load_splitter("fast"))
    sentences: list[str] = pc.unique(rows.column("text")).to_pylist()
    if not sentences:
        raise ValueError(f"`--input` must hold text, got none in {path}. Give another file.")
    size = 0
    with target.open("w", encoding="utf-8") as file:
        for document in _shuffle_anew(sentences, seed):
            record = _record(document)
            file.write(record)
            size += len(record.encode())
            if size >= size_bytes:
                return target
    raise ValueError(
        f"`--input` must hold sentences enough for {size_bytes} bytes of distinct documents, got {len(sentences)} "
        f"sentences in {path}. Give a larger file."
    )


def _shuffle_anew(sentences: Sequence[str], seed: int) -> Iterator[str]:
    """Give documents of shuffled sentences, none twice, until new orders are no longer found."""
    random, seen, orders_in_vain = np.random.default_rng(seed), set[str](), 0
    while orders_in_vain < MOST_ORDERS_IN_VAIN:
        shuffled = [sentences[i] for i in random.permutation(len(sentences))]
        orders_in_vain += 1
        for begin in range(0, len(shuffled), SENTENCES_IN_A_DOCUMENT):
            document = " ".join(shuffled[begin : begin + SENTENCES_IN_A_DOCUMENT])
            if document not in seen:
                seen.add(document)
                orders_in_vain = 0
                yield document
