"""What `fast` makes of texts of all kinds, and how it scores on the gold splits written for the tests."""

import importlib.util
import json
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from klue_beam.transforms.split.sentences import load_splitter
from klue_beam.transforms.split.splitters.fast import BLOCK_CODES

CASES = json.loads(Path(__file__).with_name("cases.json").read_text(encoding="utf-8"))
"""By kind, texts in which `|` stands where a sentence ends."""

FOLDER = Path(__file__).parent
HELD_OUT = ("nested", "tweets")
"""The files of the KSS test set that neither training nor tuning has looked at."""


@pytest.fixture(scope="module")
def benchmark(checkout):
    """The module benchmarks/splitting.py, which holds the metric."""
    specification = importlib.util.spec_from_file_location(
        "splitting_benchmark", checkout / "benchmarks" / "splitting.py"
    )
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize("marked", [pytest.param(case, id=f"{kind}: {case}") for kind in CASES for case in CASES[kind]])
def test_sentences_end_where_the_case_says(marked):
    text = marked.replace("|", "")
    sentences = [text[begin:end] for begin, end in load_splitter("fast")(text)]
    assert sentences == [part.strip() for part in marked.split("|")]


def test_there_are_cases_enough_of_each_kind():
    assert sum(map(len, CASES.values())) >= 150
    assert all(CASES.values())


def test_a_batch_of_any_size_is_split_as_its_documents_are():
    """Documents shorter than a block of those that are split at once, as long, longer, and empty ones between."""
    sentence = "비가 그치자 아이들이 마당으로 나왔다 그리고 해가 졌다. "
    sizes = (1, 0, BLOCK_CODES // 2, BLOCK_CODES // 2, BLOCK_CODES, 3, 2 * BLOCK_CODES + 7, 0, 500, 500)
    texts = [(sentence * (size // len(sentence) + 1))[:size] for size in sizes]
    split = load_splitter("fast")
    spans = split.split_batch(pa.array(texts))
    found = list(zip(spans.row.tolist(), spans.begin.tolist(), spans.end.tolist(), strict=True))
    assert found == [(row, *span) for row, text in enumerate(texts) for span in split(text)]
    assert len(found) > 1000


@pytest.mark.parametrize(
    ("genre", "floor"), [("encyclopedia", 0.97), ("news", 0.9), ("blog", 0.85), ("dialogue", 0.85)]
)
def test_normalised_f1_on_the_gold_splits_of_a_genre(benchmark, genre, floor):
    scores = benchmark.score(benchmark.read_gold(FOLDER / "gold" / f"{genre}.txt"), load_splitter("fast"))
    assert scores.normalised_dice / scores.gold >= floor


def test_normalised_f1_on_gold_splits_that_no_rule_was_chosen_on(benchmark):
    total = benchmark.Scores(0, 0, 0, 0, 0)
    for path in sorted((FOLDER / "held").iterdir()):
        total = total.plus(benchmark.score(benchmark.read_gold(path), load_splitter("fast")))
    assert total.normalised_dice / total.gold >= 0.89


@pytest.mark.parametrize("size", [1, 4])
def test_well_punctuated_sentences_with_nouns_that_end_like_verbs_are_not_cut(benchmark, size):
    sentences = benchmark.lookalike_sentences(FOLDER / "lookalikes.json")
    documents = [sentences[first : first + size] for first in range(0, len(sentences), size)]
    cut = benchmark.count_cut(documents, load_splitter("fast"))
    assert len(sentences) == 1000
    assert len(cut) <= 5, cut


def test_normalised_f1_on_the_kss_test_set_is_at_least_that_of_kss(benchmark, shared_data):
    kss = {"blogs_lee": 0.889, "nested": 0.921, "sample": 0.968, "tweets": 0.814, "v_ending": 0.482}
    total, reference = benchmark.Scores(0, 0, 0, 0, 0), 0.0
    for name, nf1 in kss.items():
        scores = benchmark.score(
            benchmark.read_gold(shared_data / "sentence_splits" / f"{name}.txt"), load_splitter("fast")
        )
        total, reference = total.plus(scores), reference + nf1 * scores.gold
        if name in HELD_OUT:
            assert scores.normalised_dice / scores.gold >= nf1
    assert total.normalised_dice >= reference


def test_the_metric_counts_each_prediction_once(benchmark):
    document = benchmark.GoldDocument("가나. 다라.", [(0, 3), (4, 7)])
    assert benchmark.score_document(document, [(0, 7)]).dice == pytest.approx(2 * 3 / 9)
    assert benchmark.score_document(document, [(0, 3), (4, 6), (6, 7)]).normalised_dice == pytest.approx(
        (1 + 4 / 5) * 2 / 3
    )


@pytest.mark.parametrize(
    ("spans", "sentences", "fault"),
    [
        ([(0, 3), (2, 7)], ["가나.", ". 다라."], "overlap"),
        ([(0, 3)], ["가나."], "more than white space"),
        ([(0, 3), (4, 7)], ["가나.", "다나."], "not the text"),
        ([(0, 3), (4, 7)], ["가나.", "다라."], None),
    ],
)
def test_the_soak_sees_what_a_split_breaks(benchmark, spans, sentences, fault):
    found = benchmark.find_fault("가나. 다라.", spans, sentences)
    assert (found is None) if fault is None else fault in found
