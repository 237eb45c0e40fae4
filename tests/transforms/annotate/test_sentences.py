"""Annotating sentences: the same result however they come, within the contract, and what happens when a model fails."""

import os
import random
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest
import torch
from apache_beam.testing.test_pipeline import TestPipeline
from apache_beam.testing.util import assert_that
from hypothesis import given, settings
from hypothesis import strategies as st

from klue_beam.schemas.config import ModelConfig
from klue_beam.schemas.dropped import DROPPED
from klue_beam.schemas.labels import ENTITY_TYPES, UNRELATED_OBJECT_TYPES
from klue_beam.schemas.registry import TASKS
from klue_beam.schemas.reject import MAX_RAW_BYTES, REJECT
from klue_beam.schemas.sentence import SENTENCE
from klue_beam.schemas.shard import Chunk, ChunkKey, Shard, SourceRange, Tally
from klue_beam.transforms.annotate.sentences import (
    Annotate,
    ClassifyTopics,
    ExtractRelations,
    ParseDependencies,
    RecognizeEntities,
    annotate,
)
from klue_beam.transforms.models.checkpoints.checkpoint import load_model, save_model
from klue_beam.transforms.models.engine.engine import MultiTaskEngine
from klue_beam.transforms.models.engine.loading import Engine, load_engines, share_engines
from klue_beam.transforms.models.engine.resolving import resolve_models
from klue_beam.transforms.tasks.output import annotated_schema
from klue_beam.transforms.write.contract import check_rows
from tests.tiny_models import SENTENCES, tiny_checkpoint

LONG = " ".join(SENTENCES * 3)
TEXTS = (*SENTENCES, LONG, "네", "서울", "김하늘은 서울에 산다.")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="module")
def engines(folder: Path) -> list[Engine]:
    return load_engines(make_config(folder))


def make_config(folder: Path, tasks: Sequence[str] = tuple(TASKS), **options: Any) -> ModelConfig:
    return resolve_models(ModelConfig(tasks=tuple(tasks), models=dict.fromkeys(tasks, str(folder)), **options))


def make_rows(texts: Sequence[str]) -> pa.RecordBatch:
    """One record a text, with metadata."""
    n = len(texts)
    return pa.RecordBatch.from_pydict(
        {
            "doc_id": [f"글-{i}" for i in range(n)],
            "source": ["글.txt"] * n,
            "record_index": range(n),
            "sentence_index": [0] * n,
            "begin": [0] * n,
            "end": [len(text) for text in texts],
            "text": texts,
            "metadata": ["{}"] * n,
            "flags": [[] for _ in texts],
        },
        schema=SENTENCE,
    )


def annotate_texts(texts: Sequence[str], engines: Sequence[Engine]) -> list[dict[str, Any]]:
    rows, _ = annotate(make_rows(texts), engines)
    return [{name: row[name] for name in rows.schema.names[6:]} for row in rows.to_pylist()]


def assert_same(ours: Any, theirs: Any) -> None:
    """Equal, scores within 1e-3."""
    assert type(ours) is type(theirs)
    if isinstance(ours, dict):
        assert ours.keys() == theirs.keys()
        for key in ours:
            assert_same(ours[key], theirs[key])
    elif isinstance(ours, list):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            assert_same(one, other)
    elif isinstance(ours, float):
        assert ours == pytest.approx(theirs, abs=1e-3)
    else:
        assert ours == theirs


def test_a_sentence_is_annotated_the_same_in_any_company(folder: Path, engines: list[Engine]) -> None:
    """Alone, shuffled, doubled, under any token budget: the same labels, scores within 1e-3."""
    alone = {text: annotate_texts([text], engines)[0] for text in TEXTS}
    shuffled = list(TEXTS) * 2
    random.Random(7).shuffle(shuffled)
    for budget in (512, 700, 100_000):
        others = load_engines(make_config(folder, token_budget=budget))
        for text, row in zip(shuffled, annotate_texts(shuffled, others), strict=True):
            assert_same(row, alone[text])


def test_every_task_finds_something(engines: list[Engine]) -> None:
    """The tiny model is worth testing with: it finds entities, relations and several labels of each task."""
    rows = annotate_texts(TEXTS, engines)
    assert len({row["topic"]["label"] for row in rows}) > 1
    assert len({entity["label"] for row in rows for entity in row["entities"]}) > 2
    assert any(row["relations"] for row in rows)
    assert len({arc["head"] for row in rows for arc in row["dependencies"] or ()}) > 3


def make_chunk(rows: pa.RecordBatch, batch: int) -> Chunk:
    n = rows.num_rows
    rejects = pa.RecordBatch.from_pylist([], schema=REJECT)
    shard = Shard(0, (SourceRange("a.txt", 0, "1", 0, 0, 0),))
    dropped = pa.RecordBatch.from_pylist([], schema=DROPPED)
    return Chunk(shard, ChunkKey(0, batch, False, False), rows, rejects, dropped, (Tally(0, 0, n, 0, 0, n, 0, ""),))


def test_one_pass_gives_what_four_transforms_give(folder: Path) -> None:
    """Annotate, and the four single transforms one after another, give equal rows in a real pipeline over chunks."""
    chunks = [make_chunk(make_rows(TEXTS[:4]), 0), make_chunk(make_rows(TEXTS[4:]), 1)]
    name = str(folder)

    def check(found: list[Chunk]) -> None:
        by_batch: dict[int, list[Chunk]] = {}
        for chunk in found:
            by_batch.setdefault(chunk.key.batch, []).append(chunk)
        assert sorted(by_batch) == [0, 1]
        for one, other in by_batch.values():
            assert one.rows.schema.equals(annotated_schema(TASKS, metadata=True))
            assert_same(one.rows.to_pylist(), other.rows.to_pylist())
            assert one.tallies == other.tallies
            assert one.rejects.num_rows == 0

    with TestPipeline() as pipeline:
        given = pipeline | beam.Create(chunks)
        config = ModelConfig(models=dict.fromkeys(TASKS, name))
        one_pass = given | Annotate(config, keep_metadata=True)
        chain = (
            given
            | ClassifyTopics(name, keep_metadata=True)
            | RecognizeEntities(name, keep_metadata=True)
            | ExtractRelations(name, keep_metadata=True)
            | ParseDependencies(name, keep_metadata=True)
        )
        assert_that((one_pass, chain) | beam.Flatten(), check)


SENTENCE_TEXTS = st.lists(
    st.one_of(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30),
        st.text(st.sampled_from("가나다 라\t\0\u200bᄀ\u1161é㈜½👍a."), min_size=1, max_size=150),
        st.sampled_from(TEXTS),
    )
    .map(str.strip)
    .filter(bool),
    min_size=1,
    max_size=6,
)


@given(texts=SENTENCE_TEXTS)
@settings(max_examples=40, deadline=None)
def test_any_sentences_keep_the_output_contract(engines: list[Engine], texts: list[str]) -> None:
    """Whatever the text, spans are exact, entities disjoint, relations inside, trees valid: the sink's own checks."""
    rows, rejects = annotate(make_rows(texts), engines)
    check_rows(rows, annotated_schema(TASKS), "test")
    assert rejects.num_rows == 0
    assert rows.column("text").to_pylist() == texts


@pytest.mark.parametrize("tasks", [("tc",), ("ner",), ("dp",), ("tc", "dp"), ("ner", "re")])
def test_any_subset_of_tasks_runs(folder: Path, engines: list[Engine], tasks: tuple[str, ...]) -> None:
    """A subset gives exactly its columns, with what all four tasks together give."""
    rows, _ = annotate(make_rows(TEXTS), load_engines(make_config(folder, tasks)))
    assert rows.schema.equals(annotated_schema(tasks))
    whole = annotate(make_rows(TEXTS), engines)[0]
    names = [name for name in rows.schema.names[:-1] if name in whole.schema.names]
    assert_same(rows.select(names).to_pylist(), whole.select(names).to_pylist())


def test_no_sentences_give_no_rows(engines: list[Engine]) -> None:
    """An empty batch has the columns and no rows."""
    rows, rejects = annotate(make_rows([]), engines)
    assert (rows.num_rows, rejects.num_rows) == (0, 0)
    assert rows.schema.equals(annotated_schema(TASKS))


def test_a_long_sentence_is_windowed_and_flagged(engines: list[Engine]) -> None:
    """Past the encoder's positions TC, NER and RE go by windows to the very end and DP is left out, all flagged."""
    row = annotate_texts([LONG], engines)[0]
    assert row["flags"][:3] == ["tc_windowed", "ner_windowed", "re_windowed"]
    assert row["flags"][-1] == "dp_skipped_too_long"
    assert row["dependencies"] is None
    assert row["topic"] is not None
    covered = {entity["begin"] * 10 // len(LONG) for entity in row["entities"]}
    assert {0, 9} <= covered


def forget_context(folder: Path, out: Path, positions: int) -> list[Engine]:
    """Load a model of whose encoder only the embeddings of the pieces are left, with so many positions."""
    model, tokenizer = load_model(folder)
    embeddings = model.encoder.embeddings
    with torch.no_grad():
        for layer in model.encoder.encoder.layer:
            for dense in (layer.attention.output.dense, layer.output.dense):
                dense.weight.zero_()
                dense.bias.zero_()
        size = model.encoder.config.hidden_size
        embeddings.position_embeddings = torch.nn.Embedding.from_pretrained(torch.zeros(positions, size))
    embeddings.register_buffer("position_ids", torch.arange(positions)[None], persistent=False)
    embeddings.register_buffer("token_type_ids", torch.zeros(1, positions, dtype=torch.long), persistent=False)
    model.encoder.config.max_position_embeddings = positions
    save_model(model, tokenizer, out)
    return load_engines(make_config(out, ("ner",)))


def test_windows_find_what_the_whole_text_holds(folder: Path, tmp_path: Path) -> None:
    """Where tags do not depend on context, a text in windows has exactly the entities of the same text in one piece."""
    windowed = forget_context(folder, tmp_path / "short", 64)
    whole = forget_context(folder, tmp_path / "long", 4096)
    shuffled = " ".join(SENTENCES * 8).split()
    random.Random(3).shuffle(shuffled)
    texts = [LONG, " ".join(shuffled), " ".join(SENTENCES * 2)]
    for row, expected in zip(annotate_texts(texts, windowed), annotate_texts(texts, whole), strict=True):
        assert row["flags"] == ["ner_windowed"]
        assert expected["flags"] == []
        assert expected["entities"][-1]["begin"] > 0.8 * max(entity["end"] for entity in expected["entities"])
        assert_same(row["entities"], expected["entities"])


def test_pairs_past_the_bound_are_cut_and_flagged(folder: Path) -> None:
    """With a bound of one pair a sentence has one relation at most, and a flag where it had more candidates."""
    rows = annotate_texts(TEXTS, load_engines(make_config(folder, max_pairs=1)))
    whole = annotate_texts(TEXTS, load_engines(make_config(folder, max_pairs=10_000)))
    assert any("re_pairs_cut" in row["flags"] for row in rows)
    assert not any("re_pairs_cut" in row["flags"] for row in whole)
    for row, free in zip(rows, whole, strict=True):
        labels = [entity["label"] for entity in free["entities"]]
        barred = [UNRELATED_OBJECT_TYPES.get(label, ENTITY_TYPES) for label in labels]
        candidates = sum(labels[o] not in barred[s] for s in range(len(labels)) for o in range(len(labels)) if s != o)
        if "ner_windowed" not in row["flags"]:
            assert ("re_pairs_cut" in row["flags"]) == (candidates > 1)
            assert len(row["relations"]) <= 1
        assert_same(row["entities"], free["entities"])


def break_embeddings(folder: Path, broken: Path, keep: int) -> Path:
    """Save a model whose embedding table ends before its tokenizer's ids do: any id past it really fails."""
    model, tokenizer = load_model(folder)
    model.encoder.resize_token_embeddings(keep)
    save_model(model, tokenizer, broken)
    return broken


@pytest.fixture
def broken(folder: Path, tmp_path: Path) -> tuple[Path, str, str]:
    """A model that fails on the id of one sentence, that sentence, and one that it takes."""
    _, tokenizer = load_model(folder)
    ids = {text: int(tokenizer.encode([text]).pieces.ids.max()) for text in (*SENTENCES, "오늘은 날씨가 좋다.")}
    bad = max(SENTENCES, key=lambda text: ids[text])
    return break_embeddings(folder, tmp_path / "broken", ids[bad]), bad, min(SENTENCES, key=lambda text: ids[text])


def test_a_sentence_on_which_the_model_fails_keeps_its_row(broken: tuple[Path, str, str], folder: Path) -> None:
    """It has null columns, flags and a reject with the reason; the others are annotated as ever."""
    path, bad, _ = broken
    engines = load_engines(make_config(path))
    rows, rejects = annotate(make_rows([*SENTENCES, bad]), engines)
    check_rows(rows, annotated_schema(TASKS), "test")
    tall = [bad == text for text in rows.column("text").to_pylist()]
    for row, failed in zip(rows.to_pylist(), tall, strict=True):
        assert row["flags"] == ([f"{task}_failed" for task in TASKS] if failed else [])
        assert (row["topic"] is None) == failed
        assert all((row[name] is None) == failed for name in ("entities", "relations", "dependencies"))
    assert rejects.num_rows == sum(tall) == 2
    reject = rejects.to_pylist()[0]
    assert reject["stage"] == "annotate"
    assert reject["source"] == "글.txt"
    assert reject["record_index"] == SENTENCES.index(bad)
    assert reject["raw"].decode() == bad
    assert reject["reason"] == "tc,ner,re,dp: IndexError: index out of range in self"
    whole = load_engines(make_config(folder))
    for row, theirs in zip(annotate_texts(SENTENCES, engines), annotate_texts(SENTENCES, whole), strict=True):
        if not row["flags"]:
            assert_same(row["topic"], theirs["topic"])
            assert_same(row["dependencies"], theirs["dependencies"])


def test_a_bad_sentence_alone_is_a_reject_too(broken: tuple[Path, str, str]) -> None:
    """A batch that holds nothing but a sentence that fails does not stop the run: the model works on plain text."""
    path, bad, _ = broken
    rows, rejects = annotate(make_rows([bad]), load_engines(make_config(path)))
    assert rows.column("flags").to_pylist() == [[f"{task}_failed" for task in TASKS]]
    assert rejects.num_rows == 1


def test_a_model_that_fails_on_everything_stops_the_run(folder: Path, tmp_path: Path) -> None:
    """When plain text fails as well the model is broken, and no row pretends otherwise."""
    engines = load_engines(make_config(break_embeddings(folder, tmp_path / "broken", 2)))
    with pytest.raises(RuntimeError, match=r"must work on a plain sentence, got IndexError: .* failed on all 6"):
        annotate(make_rows(SENTENCES), engines)


def test_scores_that_are_no_numbers_are_a_failure(folder: Path) -> None:
    """A model whose weights overflow raises; it never chooses labels out of NaN."""
    model, tokenizer = load_model(folder)
    with torch.no_grad():
        model.topic.output.bias.fill_(torch.nan)
    engine = MultiTaskEngine(model, tokenizer, ("tc",), token_budget=4096)
    with pytest.raises(RuntimeError, match="FloatingPointError: the model's scores are not finite"):
        annotate(make_rows(SENTENCES), [engine])


def test_relations_are_unknown_where_entities_are(broken: tuple[Path, str, str], folder: Path) -> None:
    """With models of their own, a sentence whose entities failed has null relations and both flags, one reject."""
    path, bad, _ = broken
    models = {"ner": str(path), "re": str(folder)}
    engines = load_engines(resolve_models(ModelConfig(tasks=("ner", "re"), models=models)))
    rows, rejects = annotate(make_rows(SENTENCES), engines)
    row = rows.to_pylist()[SENTENCES.index(bad)]
    assert row["entities"] is None
    assert row["relations"] is None
    assert row["flags"] == ["ner_failed", "re_failed"]
    assert rejects.num_rows == 1
    assert sum(flags == [] or flags == ["re_pairs_cut"] for flags in rows.column("flags").to_pylist()) == 5


def test_the_raw_bytes_of_a_reject_are_bounded(broken: tuple[Path, str, str]) -> None:
    """A huge sentence on which the model fails leaves no more than the bound in the rejects, and its true size."""
    path, bad, good = broken
    huge = f"{bad} {'뷁' * MAX_RAW_BYTES}"
    _, rejects = annotate(make_rows([huge, good]), load_engines(make_config(path, ("tc",))))
    (reject,) = rejects.to_pylist()
    assert reject["raw"] == huge.encode()[:MAX_RAW_BYTES]
    assert reject["raw_bytes"] == len(huge.encode())


def test_relations_without_entities_are_refused(folder: Path) -> None:
    """`re` alone on rows that no `ner` has passed is the caller's mistake."""
    engines = load_engines(make_config(folder, ("re",)))
    message = r"with re must have ner too, or rows that it has annotated: .* got re\. Add ner, as in ner,re\."
    with pytest.raises(ValueError, match=message):
        annotate(make_rows(SENTENCES), engines)
    with pytest.raises(ValueError, match=message):
        engines[0].annotate(SENTENCES)


def test_equal_texts_with_other_entities_have_relations_of_their_own(folder: Path) -> None:
    """Sentences are taken for identical only if the entities given with them are, too."""
    text = "김하늘은 서울에 산다."
    rows, _ = annotate(make_rows([text, text]), load_engines(make_config(folder, ("ner",))), keep_metadata=True)
    spans = [(0, 3, "PS"), (5, 7, "LC")]
    two = [{"label": kind, "begin": b, "end": e, "text": text[b:e], "score": 1.0} for b, e, kind in spans]
    column = pa.array([two, two[:1]], type=rows.schema.field("entities").type)
    rows = rows.set_column(rows.schema.get_field_index("entities"), rows.schema.field("entities"), column)
    engine = load_engines(make_config(folder, ("re",)))
    found, _ = annotate(rows, engine)
    first, second = found.column("relations").to_pylist()
    assert second == []
    alone, _ = annotate(rows.slice(0, 1), engine)
    assert_same(first, alone.column("relations").to_pylist()[0])


def test_metadata_that_was_dropped_is_refused(folder: Path) -> None:
    """A chain that drops metadata and asks for it later is told where to keep it."""
    engines = load_engines(make_config(folder, ("tc",)))
    rows, _ = annotate(make_rows(SENTENCES), engines)
    with pytest.raises(ValueError, match="`keep_metadata` must be given to every transform of a chain"):
        annotate(rows, engines, keep_metadata=True)


def test_flags_come_in_one_order(engines: list[Engine]) -> None:
    """Flags that a row carried stay, each once, in the order of the schema."""
    rows = make_rows([LONG])
    flags = pa.array([["splitter_fallback"]], type=rows.schema.field("flags").type)
    rows = rows.set_column(rows.schema.get_field_index("flags"), rows.schema.field("flags"), flags)
    found = annotate(rows, engines)[0].column("flags").to_pylist()[0]
    assert found[:2] == ["splitter_fallback", "tc_windowed"]
    assert len(found) == len(set(found))
    assert rows.column("flags").to_pylist() == [["splitter_fallback"]]


def test_rows_of_a_long_document_go_through_in_parts(engines: list[Engine]) -> None:
    """Whether a batch is one pass or many, a sentence longer than a pass among them, the rows are the same."""
    rows = make_rows([*TEXTS, *reversed(TEXTS)])
    whole, _ = annotate(rows, engines)
    sizes: list[int] = []
    for size in (1 << 30, 200, 1):
        parts, rejects = annotate(rows, engines, pass_bytes=size)
        assert_same(parts.to_pylist(), whole.to_pylist())
        assert rejects.num_rows == 0
        sizes.append(parts.num_rows)
    assert sizes == [rows.num_rows] * 3


def test_engines_with_one_tokenizer_tokenise_once(folder: Path, tmp_path: Path) -> None:
    """Engines of several models share a tokenizer that is the same; the result of a tuple is kept, a list's is not."""
    other = tiny_checkpoint(tmp_path / "other", seed=3)
    models = {task: str(folder if task == "tc" else other) for task in TASKS}
    first, second = load_engines(resolve_models(ModelConfig(models=models)))
    assert first.tokenizer is second.tokenizer
    texts = tuple(TEXTS)
    assert first.tokenizer.encode(texts) is second.tokenizer.encode(texts)
    mutable = list(TEXTS)
    before = first.tokenizer.encode(mutable)
    mutable[0] = "다른 글"
    assert first.tokenizer.encode(mutable).texts[0] == "다른 글"
    assert before is not first.tokenizer.encode(mutable)
    (alone,) = load_engines(make_config(folder, ["tc"]))
    rows = annotate(make_rows(TEXTS), [first, second])[0]
    assert rows["topic"].equals(annotate(make_rows(TEXTS), [alone])[0]["topic"])


def test_a_worker_keeps_to_its_threads_on_any_runner(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tokenizers' threads, too, which torch's number does not bound."""
    for name in ("RAYON_NUM_THREADS", "TOKENIZERS_PARALLELISM"):
        monkeypatch.setenv(name, "unset")
    share_engines(make_config(folder, ["tc"]), 1)
    assert (os.environ["RAYON_NUM_THREADS"], os.environ["TOKENIZERS_PARALLELISM"]) == ("1", "false")


def test_the_models_of_a_chain_stay_loaded(folder: Path) -> None:
    """Four configurations in turn, as a chain of single tasks has them, are loaded once each."""
    configs = [make_config(folder, (task,)) for task in ("tc", "ner", "dp")] + [make_config(folder)]
    first = [share_engines(config, 1) for config in configs]
    again = [share_engines(config, 1) for config in configs]
    assert all(one is other for one, other in zip(first, again, strict=True))
    assert torch.get_num_threads() == 1


def test_a_changed_model_is_refused(folder: Path, tmp_path: Path) -> None:
    """A worker whose model is not the one of the plan stops, naming both hashes."""
    path = tiny_checkpoint(tmp_path / "model")
    config = make_config(path)
    tiny_checkpoint(path, seed=1)
    with pytest.raises(
        RuntimeError, match=r"must be the one that the plan was made with \(sha256 [0-9a-f]{12}…\), got"
    ):
        load_engines(config)


def test_a_model_without_a_task_is_refused(tmp_path: Path) -> None:
    """A model trained for one task is not taken for another, before anything runs."""
    path = tiny_checkpoint(tmp_path / "model", tasks=("tc",))
    with pytest.raises(ValueError, match=r"`ner_model` must be a model trained for ner, got .* It has tc: give"):
        RecognizeEntities(str(path))


def test_decomposed_text_has_the_entities_of_composed_text(engines: list[Engine]) -> None:
    """Hangul as jamo gives the entities of the same text as syllables, each with whole syllables."""
    texts = [text for text in SENTENCES if unicodedata.is_normalized("NFC", text)]
    composed = annotate_texts(texts, engines)
    decomposed = annotate_texts([unicodedata.normalize("NFD", text) for text in texts], engines)
    same = 0
    for one, other in zip(composed, decomposed, strict=True):
        ours = [(e["label"], e["text"]) for e in one["entities"]]
        theirs = [(e["label"], unicodedata.normalize("NFC", e["text"])) for e in other["entities"]]
        same += len(set(ours) & set(theirs))
        assert all(unicodedata.is_normalized("NFD", e["text"]) for e in other["entities"])
    assert same > 0.5 * sum(len(row["entities"]) for row in composed)
    assert np.mean([a["topic"]["label"] == b["topic"]["label"] for a, b in zip(composed, decomposed, strict=True)]) == 1
