"""UD treebanks as head-final sentences of eojeols."""

import lzma

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klue_beam.transforms.tasks.dependency.treebanks import (
    TURNED_DEPRELS,
    Token,
    load_head_final,
    merge_words,
    read_head_final,
    turn_head_final,
)


def conllu(*rows, misc=None):
    """Lay rows of (form, head, deprel, UPOS) out as CoNLL-U."""
    misc = misc or {}
    return "".join(
        f"{i}\t{form}\t{form}\t{upos}\t_\t_\t{head}\t{deprel}\t_\t{misc.get(i, '_')}\n"
        for i, (form, head, deprel, upos) in enumerate(rows, 1)
    )


def kaist(*rows):
    """Lay rows of (form, head, deprel, UPOS, tagged morphemes) out in the Kaist layout."""
    return "".join(
        f"{i}\t{form}\t{form}\t{upos}\t_\t{head}\t{deprel}\t_\t_\t{morphemes}\n"
        for i, (form, head, deprel, upos, morphemes) in enumerate(rows, 1)
    )


def read(tmp_path, text):
    path = tmp_path / "bank.conllu.xz"
    path.write_bytes(lzma.compress(text.encode()))
    return load_head_final(str(path))


def test_spaces_of_conllu_make_the_eojeols(tmp_path):
    """Tokens with SpaceAfter=No grow together, and the arc that leaves an eojeol is its arc; subtypes are cut."""
    text = "# text = 새가 「날아」가, 운다.\n" + conllu(
        ("새가", 6, "nsubj:pass", "NOUN"),
        ("「", 3, "punct", "PUNCT"),
        ("날아", 6, "advcl", "VERB"),
        ("」", 3, "punct", "PUNCT"),
        ("가,", 3, "case", "ADP"),
        ("운다", 0, "root", "VERB"),
        (".", 6, "punct", "PUNCT"),
        misc={2: "SpaceAfter=No", 3: "SpaceAfter=No", 4: "SpaceAfter=No", 6: "SpaceAfter=No|X=1"},
    )
    bank = read(tmp_path, text)
    (example,) = bank.examples
    assert example.text == "새가 「날아」가, 운다."
    assert (example.heads, example.deprels) == ((3, 3, 0), ("nsubj", "advcl", "root"))
    assert set(bank.dropped.values()) == {0}


def test_kaist_marks_are_merged_by_kind(tmp_path):
    """Closing marks and particles after them go to the word before, opening marks to the next; quotes take turns."""
    text = kaist(
        ("'", 2, "punct", "PUNCT", "'/sl"),
        ("산새", 9, "nsubj", "NOUN", "산새/ncn"),
        ("'", 2, "punct", "PUNCT", "'/sr"),
        ("가", 2, "case", "ADP", "가/jcs"),
        (",", 2, "punct", "PUNCT", ",/sp"),
        ("숲", 9, "obl", "NOUN", "숲/ncn"),
        ("(", 8, "punct", "PUNCT", "(/sl"),
        ("林", 6, "appos", "NOUN", "林/ncn"),
        ("운다", 0, "root", "VERB", "울/pvg+ㄴ다/ef"),
        (".", 9, "punct", "PUNCT", "./sf"),
    )
    (example,) = read(tmp_path, text).examples
    assert example.text == "'산새'가, 숲(林 운다."
    assert example.heads == (3, 3, 0)


def test_auxiliaries_and_chains_are_turned():
    """하고 ← 싶지 ← 않다 hang on the first word in UD, each on the next here; the subject stays where it was."""
    heads, deprels = turn_head_final([2, 0, 2, 2], ["nsubj", "root", "aux", "aux"])
    assert heads == (2, 3, 4, 0)
    assert deprels == ("nsubj", "aux", "aux", "root")


def test_nested_chains_are_turned_from_within():
    """A conjunct with an auxiliary: the chain goes on to the auxiliary."""
    assert turn_head_final([0, 1, 2], ["root", "conj", "aux"]) == ((3, 3, 0), ("conj", "aux", "root"))


def test_other_left_arcs_are_dropped(tmp_path):
    """A subject after its verb cannot be turned: the sentence is left out and counted."""
    bank = read(tmp_path, conllu(("운다", 0, "root", "VERB"), ("새가", 1, "nsubj", "NOUN")))
    assert bank.examples == ()
    assert bank.dropped == {"split_word": 0, "not_a_tree": 0, "left_arc": 1}


def test_words_that_hang_on_two_heads_are_dropped(tmp_path):
    """Two parts of one eojeol with heads outside it have no single arc."""
    text = conllu(
        ("집", 3, "obj", "NOUN"), ("개", 4, "nsubj", "NOUN"), ("보러", 4, "advcl", "VERB"), ("간다", 0, "root", "VERB"),
        misc={1: "SpaceAfter=No"},
    )  # fmt: skip
    assert read(tmp_path, text).dropped == {"split_word": 1, "not_a_tree": 0, "left_arc": 0}


@pytest.mark.parametrize("heads", [(2, 1, 0), (0, 0, 1), (2, 2, 0)])
def test_loops_and_second_roots_are_dropped(tmp_path, heads):
    """A loop, two roots, and a word that is its own head make no tree."""
    text = conllu(*((f"말{i}", head, "dep", "NOUN") for i, head in enumerate(heads)))
    dropped = read(tmp_path, text).dropped
    assert dropped["not_a_tree"] + dropped["split_word"] == 1


def test_a_word_of_punctuation_alone_keeps_its_arc():
    """A dash between spaces is an eojeol."""
    tokens = [
        Token("가", 3, "nsubj", False, False),
        Token("-", 3, "punct", True, False),
        Token("나", 0, "root", False, False),
    ]
    assert merge_words(tokens) == (("가", "-", "나"), (3, 3, 0), ("nsubj", "punct", "root"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1\t가\n", "line 1: a token must have 10 columns"),
        (conllu(("가", 0, "root", "NOUN")).replace("1\t", "2\t", 1), "line 1: a token must have its index"),
        (conllu(("가", 0, "root", "NOUN"), ("나", "x", "dep", "NOUN")), "line 2: a token must have its index"),
        (conllu(("가", 5, "root", "NOUN")), "line 2: a head must be a token of the sentence, got 5"),
    ],
)
def test_malformed_lines_are_named(tmp_path, text, message):
    """Path and line of what cannot be read."""
    path = tmp_path / "bank.conllu"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=f"bank.conllu, {message}"):
        read_head_final(str(path))


@st.composite
def trees(draw):
    """A random projective-or-not tree whose left arcs all have deprels that are turned."""
    n = draw(st.integers(1, 12))
    order = draw(st.permutations(range(1, n + 1)))
    heads, deprels = [0] * n, ["root"] * n
    for position, word in enumerate(order[1:], 1):
        heads[word - 1] = draw(st.sampled_from(order[:position]))
        left = heads[word - 1] < word
        deprels[word - 1] = draw(st.sampled_from(sorted(TURNED_DEPRELS) if left else ["nsubj", "obj", "flat"]))
    return heads, deprels


@given(trees())
def test_turned_trees_are_head_final_trees(tree):
    """What comes out has one root and only arcs to the right, so no loop; the labels are kept."""
    turned = turn_head_final(*tree)
    if turned is not None:
        heads, deprels = turned
        assert heads.count(0) == 1
        assert all(head == 0 or head > word for word, head in enumerate(heads, 1))
        assert sorted(deprels) == sorted(tree[1])


def test_the_treebanks(shared_data, tmp_path):
    """Of Kaist's first sentences nearly all become head-final, of GSD's most; every one ends in its root."""
    with lzma.open(shared_data / "ud" / "kaist-emory.conllu.xz") as file:
        first_lines = file.read(400_000).rpartition(b"\n\n")[0]
    (tmp_path / "kaist.conllu").write_bytes(first_lines)
    kaist_bank = load_head_final(str(tmp_path / "kaist.conllu"))
    gsd_bank = load_head_final(str(shared_data / "ud" / "ko_gsd-ud-dev.conllu.xz"))
    for bank, share in ((kaist_bank, 0.95), (gsd_bank, 0.85)):
        assert len(bank.examples) > share * (len(bank.examples) + sum(bank.dropped.values()))
        assert all(example.heads[-1] == 0 for example in bank.examples)
    assert len(gsd_bank.examples) == 823
