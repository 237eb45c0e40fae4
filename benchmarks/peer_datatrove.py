"""The side of benchmarks.peers that runs on datatrove: each task a step, as its README has a user write one."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import transformers
from datatrove.data import Document
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.base import PipelineStep
from datatrove.utils.batching import batched
from loguru import logger

from benchmarks.peer_sides import BATCH_SIZE, PIPELINES, Outcome, count_results, run_clocked, start_clock
from benchmarks.peer_work import Work
from benchmarks.random_checkpoints import Checkpoints


class Infer(PipelineStep):
    """Calls a pipeline of transformers on batches of documents, and keeps what it says in their metadata.

    Args:
      task, kind, options: as in PIPELINES.
      model: the checkpoint's folder.
    """

    type = "annotator"

    def __init__(self, task: str, kind: str, options: Mapping[str, Any], model: str) -> None:
        super().__init__()
        self.name = self.task = task
        self.kind, self.options, self.model = kind, options, model

    def run(self, data: Any, rank: int = 0, world_size: int = 1) -> Iterator[Document]:  # noqa: ARG002 - its signature
        """See PipelineStep; the model is loaded before the first document is asked for."""
        pipeline = transformers.pipeline(self.kind, model=self.model, device="cpu")
        for batch in batched(data, BATCH_SIZE):
            with self.track_time(unit="batch"):
                results = pipeline([document.text for document in batch], batch_size=BATCH_SIZE, **self.options)
            for document, result in zip(batch, results, strict=True):
                document.metadata[self.task] = result
                count_results(1)
                yield document


class ListTexts(PipelineStep):
    """Yields a document for each text; when it is asked for the first, all models have been loaded."""

    name, type = "texts", "reader"

    def __init__(self, texts: Sequence[str]) -> None:
        super().__init__()
        self.texts = list(texts)

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:  # noqa: ARG002
        """See PipelineStep."""
        start_clock(None)
        for number, text in enumerate(self.texts):
            yield Document(text=text, id=str(number))


def run_datatrove(work: Work, checkpoints: Checkpoints, folder: Path) -> Outcome:
    """Run two pipelines in this process, one of the sentences with three tasks, one of the marked ones.

    Args:
      work: what is annotated.
      checkpoints: the models.
      folder: for datatrove's own logs; an empty one.
    """
    logger.disable("datatrove")
    outcomes = []
    for name, texts, tasks in (("texts", work.texts, ("tc", "ner", "dp")), ("pairs", work.marked, ("re",))):
        steps = [
            Infer(task, kind, options, str(checkpoints.parser_encoder if task == "dp" else checkpoints.models[task]))
            for task, kind, options in PIPELINES
            if task in tasks
        ]
        executor = LocalPipelineExecutor(
            [ListTexts(texts), *steps], tasks=1, workers=1, logging_dir=str(folder / name), skip_completed=False
        )
        outcomes.append(run_clocked(executor.run))
    first, second = outcomes
    return Outcome(first.startup.plus(second.startup), first.spent.plus(second.spent), first.results + second.results)
