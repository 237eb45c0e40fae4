"""Whether the way in which a story is told changes its topic.

    python -m benchmarks.stories --model small --model OTHER

Two hundred stories, written for this: each a headline and a sentence, of one topic that any reader would give. The
sentence is told with five endings. Printed are, by form, how many get the topic that they are of, how many get that of
their headline, and the mean score; and by topic how often a model gives it, in headlines and in sentences.
"""

import argparse
import dataclasses
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch
from rich.console import Console
from rich.table import Table

from schemas.labels import TOPICS
from transforms.config import ModelConfig, require
from transforms.models.loading import Engine, load_engines
from transforms.models.resolving import resolve_models

STORIES: Final = Path(__file__).parent / "data" / "stories.tsv"
ENDINGS: Final = {
    "with a stop (…다.)": "다.",
    "without (…다)": "다",
    "polite (…습니다.)": "습니다.",
    "friendly (…어요.)": "어요.",
    "told on (…다고 한다.)": "다고 한다.",
}
"""What a sentence in the past tense is made to end in, in the place of `다.`."""


@dataclasses.dataclass(frozen=True, slots=True)
class Story:
    """A topic, a headline, and the same as a sentence that ends in `다.`."""

    topic: str
    headline: str
    sentence: str

    def tell(self, ending: str) -> str:
        """Tell the sentence with another ending.

        >>> Story("스포츠", "두 경기 연속골", "그가 골을 넣었다.").tell("습니다.")
        '그가 골을 넣었습니다.'
        """
        return self.sentence.removesuffix("다.") + ending


def read_stories(path: Path = STORIES) -> list[Story]:
    """Read the stories.

    Raises:
      ValueError: if a line is no story.
    """
    stories = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()[1:], 2):
        cells = line.split("\t")
        require(
            len(cells) == 3 and cells[0] in TOPICS and cells[2].endswith("다."),
            f"{path}, line {number} must be a topic of {', '.join(TOPICS)}, a headline and a sentence that ends in 다.",
            line,
            "Correct it.",
        )
        stories.append(Story(*cells))
    return stories


def file_texts(texts: Sequence[str], engines: Sequence[Engine]) -> list[tuple[str, float]]:
    """Give each text's topic and its score; an empty topic where there is none."""
    for engine in engines:
        topics = engine.annotate(texts).topics
        if topics is not None:
            pairs = zip(topics.label.tolist(), topics.score.tolist(), strict=True)
            return [(topics.labels[label] if label >= 0 else "", score) for label, score in pairs]
    raise AssertionError("an engine for topics gives them")


def print_results(console: Console, model: str, stories: Sequence[Story], engines: Sequence[Engine]) -> float:
    """Print what a model makes of the stories; give the share of sentences with the topic of their headline."""
    headlines = file_texts([story.headline for story in stories], engines)
    table = Table("form", "its topic", "its headline's topic", "mean score", title=model)

    def add(form: str, found: Sequence[tuple[str, float]]) -> int:
        right = sum(topic == story.topic for (topic, _), story in zip(found, stories, strict=True))
        alike = sum(topic == other for (topic, _), (other, _) in zip(found, headlines, strict=True))
        score = sum(score for _, score in found) / len(found)
        table.add_row(form, *(f"{100 * n / len(stories):.1f} %" for n in (right, alike)), f"{score:.2f}")
        return alike

    add("headline", headlines)
    total, given = 0, Counter[str]()
    for form, ending in ENDINGS.items():
        found = file_texts([story.tell(ending) for story in stories], engines)
        given.update(topic for topic, _ in found)
        total += add(form, found)
    console.print(table)
    own = Counter(topic for topic, _ in headlines)
    written = Counter(story.topic for story in stories)
    shares = Table("topic", "stories", "headlines", "sentences, mean of the endings", title="how often it is given")
    for topic in TOPICS:
        shares.add_row(topic, str(written[topic]), str(own[topic]), f"{given[topic] / len(ENDINGS):.1f}")
    console.print(shares)
    return total / (len(stories) * len(ENDINGS))


def main(argv: Sequence[str]) -> int:
    """Run the command; the exit code is 1 if the forms of a story agree less often than asked, 2 for a wrong call."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stories")
    parser.add_argument(
        "--model", action="append", help="embedded model or folder; may be given again (default: small)"
    )
    parser.add_argument("--at_least", type=float, default=0.0, help="per cent of sentences with their headline's topic")
    parser.add_argument("--precision", default="fp32", help="of the models")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads of this process")
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    console = Console()
    lowest = 100.0
    try:
        stories = read_stories()
        for model in args.model or ["small"]:
            config = ModelConfig(tasks=("tc",), models={"tc": model}, precision=args.precision)
            lowest = min(lowest, 100 * print_results(console, model, stories, load_engines(resolve_models(config))))
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0 if lowest >= args.at_least else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
