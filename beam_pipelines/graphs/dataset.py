"""The annotation graph: shards in, receipts out, one fused chain between."""

from collections.abc import Sequence

import apache_beam as beam

from klue_beam.schemas.config import AnnotateConfig
from klue_beam.schemas.shard import Shard
from klue_beam.transforms.annotate.sentences import Annotate
from klue_beam.transforms.clean.texts import CleanDocuments, CleanSentences
from klue_beam.transforms.read.shards import ReadShards
from klue_beam.transforms.split.sentences import SplitSentences
from klue_beam.transforms.write.sink import WriteAnnotations


class AnnotateDataset(beam.PTransform):
    """Annotate shards into a dataset's folder.

    Everything in it fuses into one stage, so that data never waits in memory between two transforms. A resource hint
    belongs on the whole of it: on one transform inside, it would give that transform an environment of its own and
    break the chain.
    """

    def __init__(
        self, dataset: str, config: AnnotateConfig, config_hash: str, threads: int = 1, device: str = "auto"
    ) -> None:
        """Choose where to, what and how.

        Args:
          dataset: the folder, its plan in it.
          config: the configuration of that plan.
          config_hash: its hash, as the plan has it.
          threads: for the models' arithmetic, in each worker process.
          device: where that is done, as in Annotate.

        Raises:
          ValueError: if a model, a cleaner or the splitter cannot be had here.
        """
        super().__init__()
        self._dataset = dataset
        self._config = config
        self._config_hash = config_hash
        self._threads, self._device = threads, device

    def expand(self, shards: beam.PCollection[Shard]) -> beam.PCollection[str]:
        """Turn a collection of shards into one of receipts, as JSON."""
        annotate = Annotate(
            self._config.model,
            self._threads,
            device=self._device,
            keep_metadata=self._config.read.keep_metadata,
        )
        return (
            shards
            | "ReadShards" >> ReadShards(self._dataset, self._config.read)
            | "CleanDocuments" >> CleanDocuments(self._config.clean, keep_texts=self._config.keep_dropped)
            | "SplitSentences" >> SplitSentences(self._config.splitter)
            | "CleanSentences" >> CleanSentences(self._config.clean, keep_texts=self._config.keep_dropped)
            | "Annotate" >> annotate
            | "WriteAnnotations" >> WriteAnnotations(self._dataset, self._config, self._config_hash)
        )


def build(
    pipeline: beam.Pipeline,
    shards: Sequence[Shard],
    config: AnnotateConfig,
    config_hash: str,
    dataset: str,
    threads: int = 1,
    device: str = "auto",
) -> beam.PCollection[str]:
    """Add the annotation of some shards to a pipeline.

    The shards are reshuffled, so that a distributed runner spreads them over its workers; they are a few bytes each,
    and nothing behind them is ever shuffled.

    Args:
      pipeline: where the graph goes.
      shards: those still to do. Shards whose receipts are complete do no harm: they are looked up and passed over.
      config: the dataset's configuration, as its plan holds it.
      config_hash: its hash, as the plan has it.
      dataset: the dataset's folder.
      threads: for the models' arithmetic, in each worker process.
      device: where that is done, as in Annotate.

    Returns:
      The receipts of the segments committed, as JSON.
    """
    return (
        pipeline
        | "CreateShards" >> beam.Create(list(shards), reshuffle=False).with_output_types(Shard)
        | "SpreadShards" >> beam.Reshuffle()
        | "AnnotateDataset" >> AnnotateDataset(dataset, config, config_hash, threads, device)
    )
