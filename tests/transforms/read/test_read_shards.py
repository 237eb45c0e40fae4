"""ReadShards in a pipeline, and the receipts that it looks up."""

import gzip
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.testing.util import assert_that, equal_to

from klue_beam.schemas.config import AnnotateConfig, ReadConfig
from klue_beam.schemas.shard import RECEIPTS_DIR, Chunk, Coverage, Receipt, Shard, SourceRange, segment_name
from klue_beam.transforms.plan.plan import load_plan, make_plan, save_plan
from klue_beam.transforms.plan.receipts import load_receipts
from klue_beam.transforms.read.shards import ReadShards, ShardReadError, read_shard

CONFIG = ReadConfig(shard_bytes=6)


def describe(chunk: Chunk) -> str:
    return f"{chunk.shard.shard_id}/{chunk.key.segment} {' '.join(chunk.rows['text'].to_pylist())}"


def check(dataset: Path, expected: list[str]) -> None:
    """Run ReadShards over a dataset's plan on Beam's local runner and compare the chunks."""
    with beam.Pipeline("FnApiRunner") as pipeline:
        chunks = pipeline | beam.Create(list(load_plan(str(dataset)).shards)) | ReadShards(str(dataset), CONFIG)
        assert chunks.element_type is Chunk
        assert_that(chunks | beam.Map(describe).with_output_types(str), equal_to(expected))


def commit(dataset: Path, shard: Shard, segment: int) -> Receipt:
    """Put the receipt of one segment, which is one chunk here, into the dataset."""
    chunk = next(chunk for chunk in read_shard(shard, CONFIG) if chunk.key.segment == segment)
    (tally,) = chunk.tallies
    covered = Coverage(shard.ranges[0].source, *tally[1:5], tally.input_sha256)
    receipt = Receipt(shard.shard_id, segment, chunk.key.last_of_shard, "0", (covered,), {}, None, None, None)
    (dataset / RECEIPTS_DIR / f"{segment_name(shard.shard_id, segment)}.json").write_text(receipt.to_json())
    return receipt


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """A dataset with the plan of a plain and of a packed file, and no receipts yet."""
    (tmp_path / "a.txt").write_text("하나\n둘\n셋\n")
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(b"one\ntwo\nthree\n"))
    folder = tmp_path / "dataset"
    save_plan(str(folder), make_plan([str(tmp_path / "*.txt*")], AnnotateConfig(read=CONFIG)))
    (folder / RECEIPTS_DIR).mkdir()
    return folder


def test_shards_become_chunks(dataset: Path) -> None:
    check(dataset, ["0/0 하나", "1/0 둘 셋", "2/0 ", "3/0 one two", "3/1 three"])


def test_what_has_a_receipt_is_not_read_again(dataset: Path) -> None:
    shards = load_plan(str(dataset)).shards
    for shard, segment in ((shards[1], 0), (shards[3], 0)):
        commit(dataset, shard, segment)
    check(dataset, ["0/0 하나", "2/0 ", "3/1 three"])


def test_a_shard_travels_as_the_same_bytes() -> None:
    coder = beam.coders.registry.get_coder(Shard)
    shard, again = (Shard(3, (SourceRange("한글 파일.txt", 9, "1", 0, -1, 12),) * 2) for _ in range(2))
    assert coder.is_deterministic()
    assert coder.decode(coder.encode(shard)) == shard
    assert coder.encode(shard) == coder.encode(again)


def test_receipts_are_loaded_in_order(dataset: Path) -> None:
    """All of them, or one shard's up to the first segment that has none."""
    shards = load_plan(str(dataset)).shards
    receipts = [commit(dataset, shards[3], 1), commit(dataset, shards[0], 0)]
    assert load_receipts(str(dataset)) == [receipts[1], receipts[0]]
    assert load_receipts(str(dataset), 0) == [receipts[1]]
    assert load_receipts(str(dataset), 3) == []
    receipts.append(commit(dataset, shards[3], 0))
    assert load_receipts(str(dataset), 3) == [receipts[2], receipts[0]]


def test_a_dataset_without_receipts_gives_none(tmp_path: Path) -> None:
    assert load_receipts(str(tmp_path)) == []
    assert load_receipts(str(tmp_path), 0) == []


def test_a_broken_receipt_is_told_with_the_remedy(dataset: Path) -> None:
    shard = load_plan(str(dataset)).shards[0]
    commit(dataset, shard, 0)
    path = dataset / RECEIPTS_DIR / "part-000000-000000.json"
    path.write_text(path.read_text()[:-30])
    with pytest.raises(ValueError, match=r"A receipt must hold .* Delete '.*part-000000-000000.json' together with"):
        load_receipts(str(dataset))
    with pytest.raises(ValueError, match="A receipt must hold"):
        load_receipts(str(dataset), 0)


def test_a_receipt_under_another_name_is_refused(dataset: Path) -> None:
    commit(dataset, load_plan(str(dataset)).shards[0], 0)
    folder = dataset / RECEIPTS_DIR
    (folder / "part-000000-000000.json").rename(folder / "part-000001-000000.json")
    with pytest.raises(ValueError, match=r"its name says, part-000001-000000, got part-000000-000000. Delete"):
        load_receipts(str(dataset))


def test_a_read_error_names_the_shard(dataset: Path) -> None:
    (shard, *_) = load_plan(str(dataset)).shards
    Path(shard.ranges[0].source).unlink()
    with pytest.raises(ShardReadError, match=r"Shard 0 \(.*a.txt, 0 to 7\) cannot be read"):
        list(read_shard(shard, CONFIG))
