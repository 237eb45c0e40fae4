"""Stories told in several ways: what they are, and what is counted of them."""

from collections import Counter
from pathlib import Path

import pytest

from benchmarks.stories import ENDINGS, main, read_stories
from schemas.labels import TOPICS
from tests.tiny_models import tiny_checkpoint


def test_there_are_two_hundred_stories_alike_of_each_topic() -> None:
    stories = read_stories()
    counts = Counter(story.topic for story in stories)
    assert len(stories) == 200
    assert set(counts) == set(TOPICS)
    assert max(counts.values()) - min(counts.values()) <= 1
    assert len({story.headline for story in stories}) == 200
    assert not any(story.headline.endswith((".", "다")) for story in stories)
    # A syllable with the final of the past tense takes each of the endings.
    assert all((ord(story.sentence[-3]) - ord("가")) % 28 == 20 for story in stories)
    assert len({story.tell(ending) for story in stories for ending in ENDINGS.values()}) == 1000


def test_forms_and_topics_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = str(tiny_checkpoint(tmp_path / "model"))
    assert main(["--model", model, "--threads", "1"]) == 0
    told = capsys.readouterr().out
    assert "polite" in told
    assert told.count("%") >= 12
    assert main(["--model", model, "--threads", "1", "--at_least", "100.1"]) == 1
    assert main(["--model", "/no/such", "--threads", "1"]) == 2
