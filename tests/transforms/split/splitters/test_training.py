"""Training documents, and training on a small data folder."""

import json
import lzma
import random

import numpy as np
import pytest

from klue_beam.transforms.split.splitters.bare_endings import PAIR_BITS, Endings
from klue_beam.transforms.split.splitters.fast import fast_splitter
from klue_beam.transforms.split.splitters.model import BoundaryModel, model_version
from klue_beam.transforms.split.splitters.other_endings import STYLES, with_other_ending
from klue_beam.transforms.split.splitters.planted import plant
from klue_beam.transforms.split.splitters.silver import Sentence, by_style, group, join
from klue_beam.transforms.split.splitters.training import train_splitter

SENTENCES = [
    Sentence(f"{who} {where} {what}.")
    for who in ("나는", "친구는", "그 사람은", "선생님은")
    for where in ("학교에", "시장에", "바닷가에", "산에", "도서관에")
    for what in ("갔다", "가지 않았다", "들렀습니다", "머물렀어요", "다녀왔다")
]


@pytest.mark.parametrize("seed", range(40))
def test_a_joined_document_is_its_sentences_and_says_where_they_end(seed):
    document = join(SENTENCES[:5], random.Random(seed), footnotes=seed % 2 == 0)
    (ends,) = document.ends
    begins = [0, *ends[:-1]]
    pieces = [document.text[begin:end] for begin, end in zip(begins, ends, strict=True)]
    for piece, sentence in zip(pieces, SENTENCES[:5], strict=True):
        assert all(word in piece for word in sentence.text.split()[:2])
    assert ends[-1] <= len(document.text)
    assert not document.text[ends[-1] :].strip()


def test_doubts_are_kept_at_their_place_in_the_document():
    sentence = Sentence("재미있다. 또 본다.", doubts=(5,))
    document = join([Sentence("첫 문장이다."), sentence], random.Random(3))
    assert [document.text[doubt - 5 : doubt] for doubt in document.unknown] == ["재미있다."]


def test_grouping_uses_each_sentence_once_and_styles_stand_together():
    rng = random.Random(1)
    mixed = [Sentence(sentence.text.rstrip(".") if n % 2 else sentence.text) for n, sentence in enumerate(SENTENCES)]
    ordered = by_style(mixed, rng)
    assert sorted(sentence.text for batch in group(ordered, rng, 4) for sentence in batch) == sorted(
        s.text for s in mixed
    )
    stopped = [sentence.text.endswith(".") for sentence in ordered]
    assert stopped == sorted(stopped)


@pytest.mark.parametrize("style", STYLES)
def test_other_endings_keep_the_stem_and_drop_the_stop(style):
    rng = random.Random(5)
    for text, stem in (
        ("비가 왔다.", "비가 왔"),
        ("밥을 먹는다.", "밥을 먹"),
        ("문을 닫습니다.", "문을 닫"),
        ("끝이다.", "끝"),
    ):
        for _ in range(20):
            spoken = with_other_ending(text, style, rng)
            assert spoken.startswith(stem)
            assert not spoken.endswith(".")
    assert with_other_ending("벌써 저녁?", style, rng) == "벌써 저녁?"


def test_an_invented_noun_is_planted_between_words_or_in_the_place_of_a_bare_name():
    rng = random.Random(2)
    planted = {plant("어제 철수 형이 왔다.", rng, names=((3, 5),)) for _ in range(60)}
    assert any(text.startswith("어제 철수 ") is False and text.endswith(" 형이 왔다.") for text in planted)
    assert any("철수 형이" in text for text in planted)
    assert all(len(text.split()) in (4, 5) for text in planted)
    assert plant("...", rng) == "..."


def test_a_stored_model_scores_like_the_one_that_was_stored(tmp_path):
    rng = np.random.default_rng(1)
    endings = Endings(np.arange(0x10001) % 3 == 0, np.arange(2**PAIR_BITS) % 5 == 0)
    model = BoundaryModel(
        rng.normal(size=2**20).astype(np.float32), np.arange(4, dtype=np.float32).reshape(2, 2), endings
    )
    model.save(tmp_path / "one.npz")
    loaded = BoundaryModel.load(tmp_path / "one.npz")
    assert np.abs(loaded.weights - model.weights).max() <= np.abs(model.weights).max() / 127 / 2 * 1.001
    assert loaded.biases.tolist() == [[0, 1], [2, 3]]
    assert loaded.endings.last.tolist() == endings.last.tolist()
    assert loaded.endings.pair.tolist() == endings.pair.tolist()


@pytest.fixture
def data(tmp_path):
    """A small data folder in the formats of the real one."""
    text, klue, ud = (tmp_path / name for name in ("text", "klue/train", "ud"))
    for folder in (text, klue, ud):
        folder.mkdir(parents=True)
    lines = [sentence.text for sentence in SENTENCES]

    def write(path, content):
        with lzma.open(path, "wt", encoding="utf-8") as file:
            file.write(content)

    def relation(line):
        entities = {"subject_entity": {"start_idx": 0, "end_idx": 1}, "object_entity": {"start_idx": 4, "end_idx": 5}}
        return json.dumps({"sentence": line, **entities}) + "\n"

    for name in ("nsmc", "boddari", "law", "novel"):
        glue = "\n" if name == "novel" else " "
        records = [{"id": str(n), "text": glue.join(lines[n : n + 4])} for n in range(0, len(lines), 4)]
        write(text / f"{name}.jsonl.xz", "".join(json.dumps(record) + "\n" for record in records))
    rows = (f"klue-ner-v1_train_{n:05}_{'nsmc' if n % 2 else 'wikitree'}\t{line}\n" for n, line in enumerate(lines))
    write(klue / "klue-ner.raw-sentences.tsv.xz", "".join(rows))
    write(klue / "klue-re.jsonl.xz", "".join(map(relation, lines)))
    (klue / "ynat.csv").write_text(
        "index,title,topic_idx,label\n0,축제 막 올라,2,사회\n1,비 소식,2,사회\n", encoding="utf-8"
    )
    write(ud / "kaist-emory.conllu.xz", "".join(f"# {line[:-1]} .\n" for line in lines))
    write(ud / "ko_gsd-ud-train.conllu.xz", "".join(f"# text = {line}\n" for line in lines))
    return tmp_path


def test_training_learns_to_split_and_gives_the_same_file_again(data, tmp_path):
    first, again, cache = tmp_path / "first.npz", tmp_path / "again.npz", tmp_path / "cache"
    cache.mkdir()
    splitter = fast_splitter(train_splitter(data, first, cache))
    text = "나는 산에 갔다. 친구는 시장에 들렀습니다. 그 사람은 학교에 머물렀어요."
    assert [text[begin:end] for begin, end in splitter(text)] == [part + "." for part in text[:-1].split(". ")]
    train_splitter(data, again, cache)
    assert model_version(first) == model_version(again)
