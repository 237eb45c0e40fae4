"""Nearly gold entity tags from a table of forms and a few gold sentences."""

import random

import pytest

from klue_beam.transforms.tasks.entity.gold import NER_TAGS, EntityExample, mentions_of_tags
from klue_beam.transforms.tasks.entity.weak_entities import (
    WeakLabelQuality,
    label_weakly,
    load_entities,
    measure_quality,
    read_form_table,
    read_raw_sentences,
    save_entities,
)

NAMES = ("하늘", "보람", "가람", "누리", "슬기", "아름")
CITIES = ("새벌", "한터", "솔골")
PATTERNS = ("{ps}이 {lc}에서 왔다", "{lc}의 {ps} 씨는 {n}명을 만났다", "맑은 물과 {lc} 바람", "{ps} 씨가 말했다")
TABLE = {
    **{name: {"PS_NAME": 10} for name in NAMES},
    **{city: {"LCP_CITY": 10} for city in CITIES},
    **{f"{n}명": {"QT_MAN_COUNT": 2} for n in range(2, 10)},
    "물": {"CV_DRINK": 9},
    "누리": {"PS_NAME": 10, "CV_ART": 1},
}


def sentence(rng, guid):
    """Make a sentence with its gold tags."""
    values = {"ps": (rng.choice(NAMES), "PS"), "lc": (rng.choice(CITIES), "LC"), "n": (f"{rng.randint(2, 9)}", "QT")}
    text, tags = "", []
    for part in rng.choice(PATTERNS).replace("{", "\0{").replace("}", "}\0").split("\0"):
        if part.startswith("{"):
            form, label = values[part[1:-1]]
            tags += [f"B-{label}", *[f"I-{label}"] * (len(form) - 1)]
            text += form
        else:
            text += part
            tags += ["O"] * len(part)
    # The unit belongs to the count.
    tags = ["I-QT" if char == "명" and before == "B-QT" else tag
            for char, tag, before in zip(text, tags, ["O", *tags], strict=False)]  # fmt: skip
    return EntityExample(guid, text, tuple(tags))


@pytest.fixture(scope="module")
def corpus():
    """Sentences with gold tags."""
    rng = random.Random(0)
    return [sentence(rng, f"s-{n}") for n in range(120)]


def test_tags_are_learnt_from_the_gold_sentences(corpus):
    """On a small regular corpus most entities are found; nearly none is wrong; what is doubtful is None, not O."""
    gold, rest = corpus[:90], corpus[90:120]
    labelled = label_weakly([example.text for example in rest], TABLE, gold, members=1, epochs=12)
    assert [example.text for example in labelled] == [example.text for example in rest]
    assert {tag for example in labelled for tag in example.tags} <= {*NER_TAGS, None}
    quality = measure_quality(labelled, rest)
    assert quality.precision > 0.95
    assert quality.recall > 0.7
    assert quality.missed < 0.05


def test_the_same_seed_gives_the_same_tags(corpus):
    """A run that is repeated trains on the same tags."""
    texts = [example.text for example in corpus[40:50]]
    first, second = (label_weakly(texts, TABLE, corpus[:40], members=1, epochs=2, seed=3) for _ in range(2))
    assert first == second


def test_an_unsure_tagger_says_nothing(corpus):
    """After a single look at four sentences hardly anything is sure: no entity is tagged."""
    labelled = label_weakly([example.text for example in corpus[:20]], TABLE, corpus[:4], members=1, epochs=1)
    assert not any(mentions_of_tags(example.tags) for example in labelled)
    assert any(None in example.tags for example in labelled)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gold": []}, "`gold` must be at least 1, got 0"),
        ({"members": 0}, "`members` must be at least 1, got 0"),
        ({"epochs": 0}, "`epochs` must be at least 1, got 0"),
        ({"texts": ["가", ""]}, "`texts` must each hold a character, got an empty one"),
    ],
)
def test_wrong_arguments(corpus, change, message):
    """Each is refused with its rule and value."""
    arguments = {"texts": ["하늘이 왔다"], "table": TABLE, "gold": corpus[:4]} | change
    with pytest.raises(ValueError, match=message):
        label_weakly(**arguments)


def test_quality_by_hand():
    """Of two tagged entities one is right; of three gold ones one has an O; one of eight characters is left out."""
    gold = EntityExample("a", "가나다라마바사아", ("B-PS", "I-PS", "O", "B-LC", "O", "B-QT", "I-QT", "O"))
    weak = EntityExample("a", gold.text, ("B-PS", "I-PS", "O", "B-OG", None, "O", "O", "O"))
    assert measure_quality([weak], [gold]) == WeakLabelQuality(
        precision=1 / 2, recall=1 / 3, missed=1 / 3, ignored=1 / 8, outside_error=2 / 4
    )


def test_form_table(tmp_path):
    """Labels of a form come together; the header is no form."""
    path = tmp_path / "forms.tsv"
    path.write_text(
        "form\tlabel\ttrain_freq\n새벌\tLCP_CITY\t5\n새벌\tPS_NAME\t1\n# 1\tQT_ORDER\t2\n", encoding="utf-8"
    )
    assert read_form_table(str(path)) == {"새벌": {"LCP_CITY": 5, "PS_NAME": 1}, "# 1": {"QT_ORDER": 2}}
    path.write_text("form\tlabel\ttrain_freq\n새벌\tLCP_CITY\tmany\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"forms.tsv, line 2: a line must be form, label and frequency, got '새벌"):
        read_form_table(str(path))


def test_raw_sentences_leave_known_ones_out(tmp_path):
    """Known ones go by guid, and by text in any compatibility form and spacing; a text stands once."""
    path = tmp_path / "raw.tsv"
    rows = ["a\t첫 문장", "b\t재미있어요 ㅎㅎ", "c\t새  문장", "d\t새 문장", "e\t끝"]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    known = [EntityExample("a", "다르게 저장됨", ("O",) * 7), EntityExample("x", "재미있어요 ᄒᄒ", ("O",) * 8)]
    assert read_raw_sentences(str(path), known) == ["새  문장", "끝"]
    assert len(read_raw_sentences(str(path))) == 4
    path.write_text("a\t첫 문장\nb\t \n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"raw.tsv, line 2: a line must be guid and sentence"):
        read_raw_sentences(str(path))


def test_saved_tags_come_back(tmp_path, corpus):
    """None too; a cut file is refused with its line."""
    examples = [*corpus[:3], EntityExample("w", "가\u2028나", ("O", None, "B-PS"))]
    path = tmp_path / "weak.jsonl"
    save_entities(path, examples)
    assert load_entities(path) == examples
    path.write_text(path.read_text(encoding="utf-8")[:-10], encoding="utf-8")
    with pytest.raises(ValueError, match=r"weak.jsonl, line 4: no example of entity tags"):
        load_entities(path)
