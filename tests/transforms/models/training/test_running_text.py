"""Training data as running text has it: headlines told otherwise, entities beside addresses, mentions, pairs."""

import dataclasses
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from beam_pipelines import pair_data, topic_data
from beam_pipelines.train import main
from schemas.labels import NO_RELATION, RELATIONS, TOPICS
from tests.klue_rows import write_all
from tests.tiny_models import SENTENCES, tiny_checkpoint
from transforms.formats.klue import (
    EntityExample,
    Mention,
    RelationExample,
    TopicExample,
    mentions_of_tags,
    read_ner,
    read_re,
    read_tc,
)
from transforms.models.checkpoint import load_model
from transforms.models.spec import ModelSpec
from transforms.models.training.entity_forms import insert, make_address, vary_entities
from transforms.models.training.headlines import vary_headlines
from transforms.models.training.mention_rows import MentionObjective, tag_mentions
from transforms.models.training.objectives import (
    EntityObjective,
    Output,
    RelationObjective,
    TopicObjective,
    run_objective,
)
from transforms.models.training.pair_rows import (
    Guess,
    Guessed,
    Pair,
    PairObjective,
    PairRow,
    load_pair_rows,
    make_pair_rows,
    save_pair_rows,
    shorten_row,
)
from transforms.models.training.topic_rows import (
    SoftTopicObjective,
    load_topic_rows,
    make_document_rows,
    make_plain_rows,
    save_topic_rows,
)
from transforms.models.training.trainer import TrainConfig, train

TEXT = "새별전자 김하늘 대표는 부산에서 한빛은행 이도윤 부장을 만났다."
FOUND = (
    Mention(0, 4, "OG"),
    Mention(5, 8, "PS"),
    Mention(13, 15, "LC"),
    Mention(18, 22, "OG"),
    Mention(23, 26, "PS"),
)


def names(row: PairRow, pair: Pair) -> tuple[str, str]:
    sides = (pair.subject, pair.object)
    return row.text[sides[0].begin : sides[0].end], row.text[sides[1].begin : sides[1].end]


def test_headlines_keep_their_words_and_topic() -> None:
    examples = [TopicExample(str(i), f"서울 새 도서관…내달 {i}곳 개관종합", TOPICS[i % 7]) for i in range(300)]
    varied = vary_headlines(examples, seed=3)
    assert [one.label for one in varied] == [one.label for one in examples]
    assert all(f"{i}곳 개관" in one.text and "…내달" not in one.text for i, one in enumerate(varied))
    assert not any("종합" in one.text for one in varied)
    stops = Counter(one.text[-1] for one in varied)
    assert stops["."] > 150
    assert vary_headlines(examples, seed=3) == varied


def test_entities_keep_their_spans_beside_what_is_put_in() -> None:
    tags = ("B-PS", "I-PS", "I-PS", "O", "O", "B-LC", "I-LC", "O", "O", "O", "O", "O")
    example = EntityExample("", "김하늘은 서울에 산다.", tags)
    varied = [one for seed in range(60) for one in vary_entities([example], seed)]
    assert len(varied) > 50
    for one in varied:
        assert len(one.tags) == len(one.text)
        spans = {(one.text[m.begin : m.end], m.type) for m in mentions_of_tags(one.tags)}
        assert {("김하늘", "PS"), ("서울", "LC")} <= spans
        assert {kind for _, kind in spans} <= {"PS", "LC", "TI", "DT", "QT"}
        assert not any(name[-1] in ')]』」》〉”’>"' or "@" in name or "www" in name for name, _ in spans)
    assert any("@" in one.text for one in varied)
    assert any("』" in one.text or "》" in one.text for one in varied)


def test_addresses_are_of_many_kinds() -> None:
    made = [make_address(np.random.default_rng(i)) for i in range(200)]
    assert any(one.startswith("http") for one in made)
    assert any(one.startswith("010-") for one in made)
    assert len(set(made)) > 150
    with_unknown = EntityExample("", "가 나", ("O", "O", None))
    assert insert(with_unknown, 2, "x ").tags == ("O", "O", "O", "O", None)


def test_the_form_table_tells_works_positions_and_plain_words() -> None:
    table = {
        "대통령": {"CV_POSITION": 9},
        "토지의 바람": {"AFA_DOCUMENT": 1},
        "토지": {"AFA_DOCUMENT": 1, "LC_OTHERS": 1},
        "영화": {"CV_ART": 5},
        "서울": {"LCP_CITY": 9},
    }
    texts = ["대통령님이 『토지』와 토지의 바람을 읽었다.", "서울 영화는 토지 이야기다. 대통령실", ""]
    first, second, empty = tag_mentions(texts, table)
    assert first.tags[:3] == ("B-CV", "I-CV", "I-CV")
    assert first.tags[3:6] == ("O", "O", "O")
    assert first.tags[7:9] == ("B-POH", "I-POH")
    assert first.tags[9] == "O"
    assert first.tags[12:14] == ("B-POH", "I-POH")
    assert second.tags[:2] == (None, None)
    assert second.tags[3:5] == ("O", "O")
    assert second.tags[7:9] == (None, None)
    assert second.tags[-4:] == ("O",) * 4
    assert empty.tags == ()


def test_pairs_are_marked_turned_guessed_and_impossible(tmp_path: Path) -> None:
    examples = [RelationExample("1", TEXT, FOUND[1], FOUND[0], "per:employee_of")]
    relations = (Guess(3, 4, "org:top_members/employees", 0.8), Guess(0, 4, "org:top_members/employees", 0.9))
    other = "김하늘 씨와 김하늘 군이 서울로 갔다."
    guessed = {
        TEXT: Guessed(FOUND, relations),
        other: Guessed((Mention(0, 3, "PS"), Mention(7, 10, "PS")), (Guess(0, 1, "per:colleagues", 0.9),)),
    }
    rows = make_pair_rows(examples, guessed, seed=1, max_pairs=20, impossible_share=0.9)
    assert [row.text for row in rows] == [TEXT, other]
    goals = {names(rows[0], pair): pair for pair in reversed(rows[0].pairs)}
    assert goals["김하늘", "새별전자"].goal == {"per:employee_of": 1.0}
    assert goals["새별전자", "김하늘"].goal == {"org:top_members/employees": 1.0}
    assert goals["한빛은행", "이도윤"].goal == {"org:top_members/employees": pytest.approx(0.352)}
    assert goals["김하늘", "부산"].goal == {}
    assert goals["김하늘", "부산"].weight == 0.5
    assert ("부산", "김하늘") not in goals
    assert all(pair.goal == {} for pair in rows[1].pairs)
    assert any(names(rows[1], pair) == ("김하늘", "김하늘") for pair in rows[1].pairs)
    marked = {(m.begin, m.end) for m in FOUND}
    wrong = [p for p in rows[0].pairs if not {p.subject[:2], p.object[:2]} <= marked]
    assert wrong
    assert all(pair.goal == {} and pair.weight == 1.0 for pair in wrong)
    path = tmp_path / "pairs.jsonl"
    save_pair_rows(path, rows)
    assert load_pair_rows(str(path)) == rows
    path.write_text('{"text": "가"}\n', encoding="utf-8")
    with pytest.raises(ValueError, match="line 1"):
        load_pair_rows(str(path))


def test_a_shortened_row_keeps_its_mentions() -> None:
    row = PairRow(f"{'앞 말 ' * 30}{TEXT} {'뒷말 ' * 30}", ())
    moved = [mention._replace(begin=mention.begin + 120, end=mention.end + 120) for mention in FOUND]
    row = dataclasses.replace(row, pairs=(Pair(moved[1], moved[0], {}, 1.0), Pair(moved[3], moved[4], {}, 1.0)))
    short = shorten_row(row, 10, 100)
    assert len(short.text) < 70
    assert [names(short, pair) for pair in short.pairs] == [("김하늘", "새별전자"), ("한빛은행", "이도윤")]
    assert shorten_row(row, 10, 1000) is row


def test_objectives_of_running_text_teach_a_model(tmp_path: Path) -> None:
    data = write_all(tmp_path, rows=40)
    model, tokenizer = load_model(tiny_checkpoint(tmp_path / "base"))
    examples = read_re(str(data["re"]))
    found = {row.text: Guessed((row.subject, row.object), ()) for row in examples}
    objectives = [
        TopicObjective("tc_said", vary_headlines(read_tc(str(data["tc"])), 1), TOPICS, even=True),
        EntityObjective("ner_varied", vary_entities(read_ner(str(data["ner"])), 1), model.spec.ner_types),
        MentionObjective("ner_mentions", tag_mentions([row.text for row in examples], {}), model.spec.mention_types),
        PairObjective("re_pairs", make_pair_rows(examples, found, 1), RELATIONS),
    ]
    losses: dict[str, list[float]] = {}
    config = TrainConfig(
        epochs=dict.fromkeys((objective.name for objective in objectives), 6.0),
        batch_tokens=400,
        encoder_rate=3e-3,
        head_rate=1e-2,
        frozen_layers=-1,
    )
    torch.manual_seed(0)
    run = tmp_path / "run"
    assert train(
        model,
        nn.ModuleDict(),
        tokenizer,
        objectives,
        config,
        run,
        lambda step: losses.setdefault(step.objective, []).append(step.loss),
    )
    assert set(losses) == {objective.name for objective in objectives}
    for name, values in losses.items():
        quarter = max(1, len(values) // 4)
        assert np.mean(values[-quarter:]) < np.mean(values[:quarter]), name


def test_a_soft_output_of_hard_goals_is_a_cross_entropy(tmp_path: Path) -> None:
    data = write_all(tmp_path, rows=12)
    model, tokenizer = load_model(tiny_checkpoint(tmp_path / "base"))
    examples = read_re(str(data["re"]))
    rows = [PairRow(e.text, (Pair(e.subject, e.object, {e.label: 1.0}, 1.0),)) for e in examples]
    index = np.arange(len(rows))
    with torch.no_grad():
        soft = run_objective(PairObjective("p", rows, RELATIONS, smoothing=0.1), model, tokenizer, index)["re"]
        hard = run_objective(RelationObjective("r", examples, RELATIONS, ()), model, tokenizer, index)["re"]
    assert torch.allclose(soft.logits, hard.logits, atol=1e-5)
    assert soft.loss().item() == pytest.approx(hard.loss().item(), rel=1e-4)


def test_even_topics_add_the_shares_to_the_scores(tmp_path: Path) -> None:
    model, tokenizer = load_model(tiny_checkpoint(tmp_path / "base"))
    examples = [TopicExample(str(i), "서울시는 3월", TOPICS[0 if i else 1]) for i in range(9)]
    outputs: list[Output] = []
    with torch.no_grad():
        for even in (False, True):
            objective = TopicObjective("tc", examples, TOPICS, even=even)
            outputs.append(run_objective(objective, model, tokenizer, np.arange(9))["tc"])
    added = (outputs[1].logits - outputs[0].logits)[0]
    assert added[0] > added[1] > added[2]
    assert torch.allclose(added[2], added[3])


def test_positions_are_a_type_of_their_own_for_a_model_that_has_it() -> None:
    text = "김하늘 대통령이 연설했다."
    example = RelationExample("1", text, Mention(0, 3, "PS"), Mention(4, 7, "POH"), "per:title")
    tags = {}
    for types in (("POH", "NOH"), ("POH", "NOH", "CV")):
        objective = RelationObjective("re", [example], RELATIONS, types)
        ids, _ = objective._mention_tags([example], np.array([0, len(text)]))
        inverse = {number: tag for tag, number in objective.tag_ids.items()}
        tags[len(types)] = [inverse[i] for i in ids[4:7].tolist()]
    assert tags == {2: ["B-POH", "I-POH", "I-POH"], 3: ["B-CV", "I-CV", "I-CV"]}


def test_the_command_trains_on_all_of_it(tmp_path: Path) -> None:
    data = write_all(tmp_path, rows=20)
    examples = read_re(str(data["re"]))
    save_pair_rows(tmp_path / "pairs.jsonl", make_pair_rows(examples, {}, 1))
    raw = tmp_path / "raw.tsv"
    raw.write_text("\n".join(f"raw-{i}\t{row.text}" for i, row in enumerate(examples)), encoding="utf-8")
    forms = tmp_path / "forms.tsv"
    forms.write_text("form\tlabel\ttrain_freq\n부산\tLCP_CITY\t3\n부장\tCV_POSITION\t2\n", encoding="utf-8")
    base = tiny_checkpoint(tmp_path / "base", tasks=("dp",))
    files = [f"{name}={data[name]}" for name in ("tc", "ner", "re")]
    files += [f"tc_said={data['tc']}", f"ner_varied={data['ner']}", f"ner_mentions={raw}", f"ner_forms={forms}"]
    options = f"--base {base} --output {tmp_path / 'out'} --mention_types POH,NOH,CV --even_topics --pair_context 16"
    options += " --pair_layers 1 --batch_tokens 400 --max_pieces 60 --epochs tc=1 --device cpu --threads 1"
    pairs = f"re_pairs={tmp_path / 'pairs.jsonl'}"
    code = main(["--task", "tc,ner,re", "--data", *files, pairs, *options.split()])
    assert code == 0
    spec = ModelSpec.load(tmp_path / "out")
    assert spec.mention_types == ("POH", "NOH", "CV")
    assert spec.pair_context == 16
    assert NO_RELATION in spec.relations


def test_topics_of_documents_and_of_nothing(tmp_path: Path) -> None:
    logs = np.log(np.full((3, 7), 0.05) + 0.65 * np.eye(7)[[2, 2, 0]])
    rows = make_document_rows([(("제목", "가", "나"), logs)], TOPICS)
    assert [row.text for row in rows] == ["제목", "가", "나"]
    assert rows[0].goal == rows[2].goal
    assert max(rows[0].goal, key=lambda topic: rows[0].goal[topic]) == TOPICS[2]
    assert sum(rows[0].goal.values()) == pytest.approx(0.85, abs=0.03)
    other = (("다",), np.log(np.full((1, 7), 0.05) + 0.65 * np.eye(7)[[4]]))
    documents = [(("가", "나"), logs[:2]), (("라",), logs[1:2]), other]
    assert [row.text for row in make_document_rows(documents, TOPICS, most=1)] == ["가", "나", "다"]
    plain = make_plain_rows(50, 1)
    assert len({row.text for row in plain}) > 40
    assert all(not row.goal for row in plain)
    path = tmp_path / "topics.jsonl"
    save_topic_rows(path, [*rows, *plain])
    assert load_topic_rows(str(path)) == [*rows, *plain]
    objective = SoftTopicObjective("tc_bodies", [rows[0], plain[0]], TOPICS)
    assert objective.goals.sum(1) == pytest.approx([1, 1])
    assert objective.goals[1] == pytest.approx([1 / 7] * 7)
    model, tokenizer = load_model(tiny_checkpoint(tmp_path / "base"))
    output = run_objective(objective, model, tokenizer, np.arange(2))["tc"]
    wanted = -(torch.from_numpy(objective.goals) * torch.log_softmax(output.logits, -1)).sum(1).mean()
    assert output.loss().item() == pytest.approx(wanted.item())


def test_commands_that_make_rows_write_what_train_reads(tmp_path: Path) -> None:
    data = write_all(tmp_path, rows=20)
    base = tiny_checkpoint(tmp_path / "base")
    documents = [{"text": f"서울시 행사 {i}\n" + " ".join(SENTENCES)} for i in range(12)]
    lines = "\n".join(json.dumps(document, ensure_ascii=False) for document in documents)
    (tmp_path / "docs.jsonl").write_text(lines, encoding="utf-8")
    common = ["--model", str(base), "--threads", "1", "--device", "cpu"]
    out = tmp_path / "topics.jsonl"
    assert topic_data.main(["--text", str(tmp_path / "docs.jsonl"), "--plain", "5", "--output", str(out), *common]) == 0
    rows = load_topic_rows(str(out))
    titles = {row.text for row in rows if row.text.startswith("서울시 행사")}
    assert 2 < len(titles) < 12
    pairs = tmp_path / "pairs.jsonl"
    call = ["--re_data", str(data["re"]), "--text", f"{tmp_path / 'docs.jsonl'}=4", "--output", str(pairs), *common]
    assert pair_data.main(call) == 0
    first = pairs.read_bytes()
    assert pair_data.main(call) == 0
    assert pairs.read_bytes() == first
    texts = {row.text for row in load_pair_rows(str(pairs))}
    assert {row.text for row in read_re(str(data["re"]))} <= texts
