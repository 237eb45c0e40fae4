"""The plan: which sources, cut where, under which configuration."""

import dataclasses
import gzip
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from klue_beam.schemas.config import AnnotateConfig, ModelConfig, ReadConfig, hash_config
from klue_beam.schemas.shard import ATTEMPTS_DIR, PLAN_FILE, Plan, Receipt
from klue_beam.transforms.plan.plan import extend_plan, load_plan, make_plan, save_plan
from klue_beam.transforms.read.shards import count_records

LINES = st.lists(st.sampled_from([b"a", b"\n", b"bb\n", b"\n\n", b" \n", b"\r\n", "눈\n".encode(), b"long" * 9]))


def configure(**fields: Any) -> AnnotateConfig:
    return AnnotateConfig(read=ReadConfig(**fields))


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A folder with what a user's folder has: inputs, packed inputs, and other things."""
    folder = tmp_path / "corpus"
    for name in ("b.txt", "a.txt.gz", "sub/c.TXT", "d.jsonl", "_e.txt", ".f.txt", "_g/h.txt", ".i/j.txt", "k.csv"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(b"x\n") if name.endswith(".gz") else b"x\n")
    return folder


def names(plan: Plan, folder: Path) -> list[str]:
    return [os.path.relpath(source.path, folder) for source in plan.sources]


@settings(max_examples=80, deadline=None)
@given(data=LINES.map(b"".join), shard_bytes=st.integers(1, 50), unit=st.sampled_from(["line", "block"]))
def test_shards_partition_a_file_at_record_begins(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, shard_bytes: int, unit: str
) -> None:
    """One shard for every `shard_bytes` begun, each from the first record begin at or after its nominal cut."""
    path = tmp_path_factory.getbasetemp() / "partition.txt"
    path.write_bytes(data)
    plan = make_plan([str(path)], configure(text_unit=unit, shard_bytes=shard_bytes))
    parts = [part for shard in plan.shards for part in shard.ranges]
    lines = data.splitlines(keepends=True)  # each \r in the data stands before a \n
    begins, position = [], 0
    for index, line in enumerate(lines):
        after_blank = index > 0 and not lines[index - 1].strip() and line.strip()
        if unit == "line" or index == 0 or after_blank:
            begins.append(position)
        position += len(line)
    cuts = [(len(begins), len(data))] if not data else []
    cuts += [
        next(((index, begin) for index, begin in enumerate(begins) if begin >= nominal), (len(begins), len(data)))
        for nominal in range(0, len(data), shard_bytes)
    ]
    assert [(part.first_record, part.begin) for part in parts] == cuts
    assert [part.end for part in parts] == [begin for _, begin in cuts[1:]] + [len(data)]
    assert [shard.shard_id for shard in plan.shards] == list(range(len(cuts)))


def test_a_folder_gives_the_files_of_the_format(corpus: Path) -> None:
    """Sorted by path, with what lies deeper and what is packed; hidden and `_` files and folders are left out."""
    assert names(make_plan([str(corpus)], configure()), corpus) == ["a.txt.gz", "b.txt", "sub/c.TXT"]
    assert names(make_plan([str(corpus)], configure(input_format="jsonl")), corpus) == ["d.jsonl"]


def test_globs_and_paths_take_any_suffix(corpus: Path) -> None:
    plan = make_plan([str(corpus / "k.csv"), str(corpus / "*.txt*"), str(corpus / "_e.txt")], configure())
    assert names(plan, corpus) == ["k.csv", "a.txt.gz", "b.txt", "_e.txt"]
    assert names(make_plan([str(corpus / "**" / "*.TXT")], configure()), corpus) == ["sub/c.TXT"]


def test_a_glob_opens_folders_that_it_matches(corpus: Path) -> None:
    assert names(make_plan([str(corpus / "s*")], configure()), corpus) == ["sub/c.TXT"]


def test_a_file_that_looks_like_a_glob_is_taken_as_it_is(corpus: Path) -> None:
    (corpus / "[1].txt").write_bytes(b"x")
    assert names(make_plan([str(corpus / "[1].txt")], configure()), corpus) == ["[1].txt"]


def test_a_file_named_twice_is_one_source(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first name counts, as the `source` column tells it."""
    monkeypatch.chdir(corpus)
    plan = make_plan(["./b.txt", str(corpus / "b.txt"), "*.txt"], configure())
    assert [source.path for source in plan.sources] == ["./b.txt"]


@pytest.mark.parametrize(
    ("inputs", "input_format", "message"),
    [
        ([], "text", "`inputs` must name at least one file, folder or glob, got none. Name one."),
        (["{corpus}/nothing"], "text", r"Each input must match at least one file, got '.*nothing' with none. Check"),
        (["{corpus}/*.doc"], "text", r"Each input must match at least one file, got '.*\*.doc' with none"),
        (["{corpus}"], "parquet", r"files ending in .parquet, .pq are read as `parquet`"),
        (["{corpus}/b.txt", "{corpus}/_g/*.gz"], "text", "must match at least one file"),
        (["{corpus}/a.txt.gz"], "parquet", "Inputs of format parquet must not be compressed as a whole"),
        (["/dev/null"], "text", r"An input must be a file or a folder of files, got '/dev/null'. Save it as a file"),
        (["s3://bucket/a.txt"], "text", "must be a path that every worker can read, got 's3://bucket/a.txt'"),
    ],
)
def test_wrong_inputs_are_refused(corpus: Path, inputs: list[str], input_format: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_plan([named.format(corpus=corpus) for named in inputs], configure(input_format=input_format))


def test_a_path_that_is_no_utf8_is_refused(tmp_path: Path) -> None:
    """Its name could not be stored in the `source` column."""
    (tmp_path / os.fsdecode(b"\xb0\xa1.txt")).write_bytes(b"x\n")
    with pytest.raises(ValueError, match=r"An input's path must be UTF-8, got .*\\udcb0.* Rename it"):
        make_plan([str(tmp_path)], configure())


def test_only_plain_files_of_several_records_are_cut(corpus: Path) -> None:
    (corpus / "big.txt").write_bytes(b"line\n" * 100)
    (corpus / "big.txt.gz").write_bytes(b"never looked at when planning" * 100)
    inputs = [str(corpus / "big.txt"), str(corpus / "big.txt.gz")]
    whole = make_plan(inputs, configure(text_unit="file", shard_bytes=50)).shards
    assert [(part.begin, part.end) for shard in whole for part in shard.ranges] == [(0, 500), (0, -1)]
    cut = make_plan(inputs, configure(shard_bytes=50)).shards
    assert [part.end for shard in cut for part in shard.ranges] == [*range(50, 501, 50), -1]
    assert cut[-1].is_stream


def test_parquet_is_cut_between_row_groups(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(
        pa.table({"text": [f"{i:05d}" * 20 for i in range(100)]}), path, row_group_size=10, use_dictionary=False
    )
    shards = make_plan([str(path)], configure(input_format="parquet", shard_bytes=3000)).shards
    assert [(part.begin, part.end, part.first_record) for shard in shards for part in shard.ranges] == [
        (0, 3, 0),
        (3, 6, 30),
        (6, 9, 60),
        (9, 10, 90),
    ]


def test_progress_tells_of_all_bytes_while_large_files_are_looked_through(corpus: Path) -> None:
    (corpus / "big.txt").write_bytes(b"line\n" * 300_000)
    heard: list[tuple[int, int]] = []
    make_plan([str(corpus / "big.txt"), str(corpus / "b.txt")], configure(shard_bytes=1000), heard_by(heard))
    assert heard == [(1024 * 1024, 1_500_002), *[(1_500_000, 1_500_002)] * 2, (1_500_002, 1_500_002)]


def heard_by(heard: list[tuple[int, int]]) -> Callable[[int, int], None]:
    return lambda done, total: heard.append((done, total))


def test_small_files_share_a_shard(tmp_path: Path) -> None:
    """In their order, up to `shard_bytes` together; a larger file stands alone, and ends the shard before it."""
    for name, size in (("a", 10), ("b", 0), ("c", 60), ("d", 30), ("e", 62), ("f", 63), ("g", 700), ("h", 1)):
        (tmp_path / f"{name}.txt").write_bytes(b"x" * size)
    (tmp_path / "i.txt.gz").write_bytes(gzip.compress(b"one\n" * 100, mtime=0))
    (tmp_path / "j.txt").write_bytes(b"y")
    plan = make_plan([str(tmp_path)], configure(shard_bytes=1000))
    shared = [[Path(part.source).name[0] for part in shard.ranges] for shard in plan.shards]
    assert shared == [["a", "b", "c", "d", "e"], ["f"], ["g"], ["h"], ["i"], ["j"]]
    assert [shard.is_stream for shard in plan.shards] == [False, False, False, False, True, False]
    assert [shard.shard_id for shard in plan.shards] == list(range(6))
    shared = [[Path(part.source).name[0] for part in shard.ranges] for shard in small_plan(tmp_path).shards]
    assert shared == [["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"]]
    assert not small_plan(tmp_path).shards[0].is_stream


def small_plan(folder: Path) -> Plan:
    return make_plan([str(folder)], configure(shard_bytes=100_000))


def test_a_shard_has_at_most_2048_files(tmp_path: Path) -> None:
    for number in range(2050):
        (tmp_path / f"{number:04d}.txt").touch()
    plan = make_plan([str(tmp_path)], configure())
    assert [len(shard.ranges) for shard in plan.shards] == [2048, 2]
    save_plan(str(tmp_path / "dataset"), plan)
    assert load_plan(str(tmp_path / "dataset")) == plan


def test_small_files_are_added_behind_what_is_planned(corpus: Path, tmp_path: Path) -> None:
    """They share a new shard; those that are there stay as they are."""
    plan = make_plan([str(corpus)], configure())
    assert [len(shard.ranges) for shard in plan.shards] == [3]
    for name in ("l.txt", "m.txt"):
        (corpus / name).write_bytes(b"x\n")
    more = extend_plan(plan, [str(corpus)], configure())
    assert more.shards[:1] == plan.shards
    assert [Path(part.source).name for part in more.shards[1].ranges] == ["l.txt", "m.txt"]


def test_a_stored_plan_comes_back(corpus: Path, tmp_path: Path) -> None:
    """The same plan, and the same bytes for the same plan; nothing is left in _attempts."""
    config = AnnotateConfig(read=ReadConfig(shard_bytes=1), model=ModelConfig(tasks=("ner", "dp"), precision="bf16"))
    plan = make_plan([str(corpus)], config)
    stored, dataset = [], tmp_path / "out"
    for _ in range(2):
        save_plan(str(dataset), plan)
        assert load_plan(str(dataset)) == plan
        assert list((dataset / ATTEMPTS_DIR).iterdir()) == []
        stored.append((dataset / PLAN_FILE).read_bytes())
        (dataset / PLAN_FILE).unlink()
    assert stored[0] == stored[1]
    assert AnnotateConfig.from_dict(plan.config) == config
    assert plan.config_hash == hash_config(config.to_dict())


def test_the_precision_auto_is_what_the_plan_has(corpus: Path) -> None:
    """A plan never stores it; a dataset that has a plan is not refused for it."""
    auto = AnnotateConfig(model=ModelConfig(precision="auto"))
    with pytest.raises(ValueError, match=r"`precision` must be settled, one of fp32, bf16, int8, got 'auto'\."):
        make_plan([str(corpus)], auto)
    for precision in ("fp32", "int8"):
        plan = make_plan([str(corpus)], AnnotateConfig(model=ModelConfig(precision=precision)))
        assert extend_plan(plan, [str(corpus)], auto) == plan
        other = AnnotateConfig(model=ModelConfig(precision="auto", max_pairs=3))
        with pytest.raises(ValueError, match=r"got another: model\.max_pairs was 64, is 3\. Choose"):
            extend_plan(plan, [str(corpus)], other)


def test_a_save_that_fails_keeps_the_old_plan(corpus: Path, tmp_path: Path) -> None:
    dataset = tmp_path / "dataset"
    plan = make_plan([str(corpus)], configure())
    save_plan(str(dataset), plan)
    with pytest.raises(TypeError, match="not JSON serializable"):
        save_plan(str(dataset), Plan(plan.shards, {"read": object()}, plan.config_hash))
    assert load_plan(str(dataset)) == plan
    assert list((dataset / ATTEMPTS_DIR).iterdir()) == []


def test_a_plan_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"A dataset must hold a plan, got no '.*_plan.parquet'"):
        load_plan(str(tmp_path))


@pytest.mark.parametrize("broken", ["cut", "foreign", "text"])
def test_a_broken_plan_is_refused(corpus: Path, tmp_path: Path, broken: str) -> None:
    save_plan(str(tmp_path), make_plan([str(corpus)], configure()))
    path = tmp_path / PLAN_FILE
    if broken == "foreign":
        pq.write_table(pa.table({"shard_id": [0]}), path)
    else:
        path.write_bytes(path.read_bytes()[:-20] if broken == "cut" else b"no parquet at all")
    with pytest.raises(ValueError, match=r"A plan must be as `save_plan` wrote it, got '.*_plan.parquet'"):
        load_plan(str(tmp_path))


def test_more_inputs_are_added_behind_what_is_planned(corpus: Path) -> None:
    """Old shards keep their ids, and an input that is left out stays planned."""
    config = configure(shard_bytes=1)
    plan = make_plan([str(corpus / "b.txt"), str(corpus / "a.txt.gz")], config)
    assert extend_plan(plan, [str(corpus / "b.txt")], config) == plan
    more = extend_plan(plan, [str(corpus)], config)
    assert names(more, corpus) == ["b.txt", "a.txt.gz", "sub/c.TXT"]
    assert more.shards[: len(plan.shards)] == plan.shards
    assert [shard.shard_id for shard in more.shards] == list(range(len(more.shards)))
    assert (more.config, more.config_hash) == (plan.config, plan.config_hash)


def test_another_configuration_is_refused(corpus: Path) -> None:
    plan = make_plan([str(corpus)], configure())
    other = AnnotateConfig(read=ReadConfig(shard_bytes=99), model=ModelConfig(tasks=("tc",)))
    with pytest.raises(ValueError, match="A dataset must keep its configuration") as refused:
        extend_plan(plan, [str(corpus)], other)
    assert "read.shard_bytes was 4194304, is 99" in str(refused.value)
    assert "model.tasks was ['tc', 'ner', 're', 'dp'], is ['tc']" in str(refused.value)
    assert str(refused.value).endswith("Choose another output folder, or give the old options.")


def test_a_planned_source_that_changed_is_refused(corpus: Path) -> None:
    """By its size; one that is not asked for again is not looked at."""
    plan = make_plan([str(corpus)], configure())
    (corpus / "b.txt").write_bytes(b"xy\n")
    with pytest.raises(ValueError, match=r"must stay as it was, got changed: '.*b.txt' \(was 2 bytes, is 3\). Restore"):
        extend_plan(plan, [str(corpus)], configure())
    assert extend_plan(plan, [str(corpus / "sub")], configure()) == plan


def commit(plan: Plan, config: AnnotateConfig) -> list[Receipt]:
    """Give receipts that cover all shards of a plan, as if they were annotated."""
    receipts = []
    for shard in plan.shards:
        for count in count_records(shard, config.read):
            key = (shard.shard_id, count.segment, count.last_of_shard)
            receipts.append(Receipt(*key, plan.config_hash, count.covered, {}, None, None, None))
    return receipts


@pytest.mark.parametrize("suffix", ["txt", "txt.gz", "parquet"])
def test_a_source_that_only_looks_newer_takes_its_new_version(tmp_path: Path, suffix: str) -> None:
    """It is cut as before and its committed parts hash as before; another content of the same size is refused."""
    path, config = tmp_path / f"a.{suffix}", configure(shard_bytes=8)

    def write(lines: list[str]) -> None:
        if suffix == "parquet":
            pq.write_table(pa.table({"text": lines}), path, row_group_size=2, compression="none", use_dictionary=False)
        else:
            data = "".join(f"{line}\n" for line in lines).encode()
            path.write_bytes(gzip.compress(data, 0, mtime=0) if suffix == "txt.gz" else data)

    if suffix == "parquet":
        config = configure(input_format="parquet", shard_bytes=1)
    write(["하나", "두울", "세엣", "네엣"])
    plan = make_plan([str(path)], config)
    receipts = commit(plan, config)
    os.utime(path, ns=(1, 1))
    renewed = extend_plan(plan, [str(path)], config, receipts)
    assert {part.version for shard in renewed.shards for part in shard.ranges} == {"1"}
    assert [shard.ranges[0].begin for shard in renewed.shards] == [shard.ranges[0].begin for shard in plan.shards]
    write(["하나", "두울", "세엣", "다섯"])
    with pytest.raises(
        ValueError, match=rf"must stay as it was, got changed: '.*a.{suffix}' \(its content\)\. Restore"
    ):
        extend_plan(plan, [str(path)], config, receipts)
    write(["하나"])
    with pytest.raises(ValueError, match=r"got changed: '.*' \(was \d+ bytes, is \d+\)"):
        extend_plan(plan, [str(path)], config, receipts)


def test_an_option_that_came_later_does_not_hinder_an_older_plan(corpus: Path, tmp_path: Path) -> None:
    """A stored configuration without a field has the field's default, and keeps its hash."""
    config = configure()
    stored = make_plan([str(corpus)], config)
    older = {name: value for name, value in stored.config.items() if name != "version"}
    older["model"] = {name: value for name, value in older["model"].items() if name != "max_pairs"}
    plan = Plan(stored.shards, older, hash_config(older))
    save_plan(str(tmp_path), plan)
    extended = extend_plan(load_plan(str(tmp_path)), [str(corpus)], config)
    assert (extended.config, extended.config_hash) == (older, hash_config(older))
    other = dataclasses.replace(config, model=ModelConfig(max_pairs=3))
    with pytest.raises(ValueError, match=r"got another: model\.max_pairs was 64, is 3\."):
        extend_plan(plan, [str(corpus)], other)


@pytest.mark.parametrize("place", ["", "read."])
def test_a_field_of_a_later_version_is_refused_by_name(place: str) -> None:
    stored = {**AnnotateConfig().to_dict(), "version": 9}
    (stored["read"] if place else stored)["sparkle"] = True
    message = rf"must have fields that this version knows, got `{place}sparkle`: it was written by a later version .*9"
    with pytest.raises(ValueError, match=message):
        AnnotateConfig.from_dict(stored)
