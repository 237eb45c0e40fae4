"""The bundled sample: what it must hold to show every kind of annotation."""

import json
import unicodedata
from collections import Counter
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def documents(checkout: Path) -> list[dict[str, str]]:
    lines = (checkout / "examples" / "sample" / "sample.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_the_sample_has_forty_documents_of_five_genres(documents: list[dict[str, str]]) -> None:
    genres = Counter(document["genre"] for document in documents)
    assert set(genres) == {"news", "encyclopedia", "review", "petition", "dialogue"}
    assert len(documents) >= 40
    assert min(genres.values()) >= 8


def test_sample_ids_are_unique_and_name_the_genre(documents: list[dict[str, str]]) -> None:
    ids = [document["id"] for document in documents]
    assert len(set(ids)) == len(ids)
    assert all(document["genre"].startswith(document["id"].split("-")[0]) for document in documents)


def test_sample_text_is_composed_korean(documents: list[dict[str, str]]) -> None:
    for document in documents:
        text = document["text"]
        hangul = sum("가" <= character <= "힣" for character in text)
        assert unicodedata.is_normalized("NFC", text)
        assert hangul > len(text) / 2, document["id"]
