"""Everything from read to write is one stage, by Beam's own fusion; a graph that breaks the chain is seen to."""

from collections.abc import Callable, Iterator
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.portability import common_urns
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.portability.fn_api_runner import translations

from klue_beam.beam_pipelines.graphs.dataset import AnnotateDataset, build
from klue_beam.schemas.config import AnnotateConfig, ModelConfig
from klue_beam.schemas.shard import Chunk, Shard, SourceRange
from klue_beam.transforms.annotate.sentences import Annotate
from klue_beam.transforms.models.engine.resolving import resolve_models
from klue_beam.transforms.read.shards import ReadShards
from klue_beam.transforms.split.sentences import SplitSentences
from klue_beam.transforms.write.sink import WriteAnnotations
from tests.tiny_models import tiny_checkpoint

RUNNER_PRIMITIVES = frozenset(
    {
        common_urns.primitives.IMPULSE.urn,
        common_urns.primitives.GROUP_BY_KEY.urn,
        common_urns.primitives.FLATTEN.urn,
        common_urns.composites.RESHUFFLE.urn,
    }
)
EXECUTABLE_STAGE = "beam:runner:executable_stage:v1"
SHARDS = [Shard(number, (SourceRange("a.txt", 30, "1", number * 10, number * 10 + 10, number),)) for number in range(3)]
DATASET = "out"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> AnnotateConfig:
    model = str(tiny_checkpoint(tmp_path_factory.mktemp("model")))
    tasks = ("tc", "ner", "re", "dp")
    return AnnotateConfig(model=resolve_models(ModelConfig(tasks=tasks, models=dict.fromkeys(tasks, model))))


def fuse(pipeline: beam.Pipeline) -> Iterator[list[str]]:
    """The names of the transforms of each stage that a portable runner would execute."""
    fused = translations.optimize_pipeline(
        pipeline.to_runner_api(),
        phases=translations.standard_optimize_phases(),
        known_runner_urns=RUNNER_PRIMITIVES,
        partial=False,
    )
    for transform in (fused.components.transforms[name] for name in fused.root_transform_ids):
        if transform.spec.urn == EXECUTABLE_STAGE:
            stage = beam_runner_api_pb2.ExecutableStagePayload.FromString(transform.spec.payload)
            yield [stage.components.transforms[name].unique_name for name in stage.transforms]


def stages_of_chain(pipeline: beam.Pipeline) -> list[list[str]]:
    """The stages that hold a transform of the chain from read to write."""
    steps = ("ReadShards", "SplitSentences", "Annotate/", "WriteAnnotations")
    return [names for names in fuse(pipeline) if any(step in name for name in names for step in steps)]


def test_read_to_write_is_one_stage_fed_by_the_reshuffle_of_shards(config: AnnotateConfig) -> None:
    pipeline = beam.Pipeline()
    build(pipeline, SHARDS, config, "hash", DATASET)
    (stage,) = stages_of_chain(pipeline)
    for step in ("ReadShards", "SplitSentences", "Annotate", "WriteAnnotations"):
        assert any(name.startswith(f"AnnotateDataset/{step}/") for name in stage), f"{step} is not in {stage}"
    assert not any("CreateShards" in name for name in stage)


def test_a_resource_hint_on_the_whole_composite_keeps_one_stage(config: AnnotateConfig) -> None:
    pipeline = beam.Pipeline()
    shards = pipeline | beam.Create(SHARDS, reshuffle=False) | beam.Reshuffle()
    _ = shards | AnnotateDataset(DATASET, config, "hash").with_resource_hints(min_ram="8GB")
    assert len(stages_of_chain(pipeline)) == 1


def hint_on_one_transform(chunks: beam.PCollection[Chunk], config: AnnotateConfig) -> beam.PCollection[Chunk]:
    return chunks | "Annotate" >> Annotate(config.model).with_resource_hints(min_ram="8GB")


def reshuffle_inside(chunks: beam.PCollection[Chunk], config: AnnotateConfig) -> beam.PCollection[Chunk]:
    return chunks | "again" >> beam.Reshuffle() | "Annotate" >> Annotate(config.model)


def flatten_before_write(chunks: beam.PCollection[Chunk], config: AnnotateConfig) -> beam.PCollection[Chunk]:
    branches = [chunks | f"Annotate/{name}" >> Annotate(config.model) for name in ("one", "two")]
    return branches | beam.Flatten()


def side_input_from_the_chain(chunks: beam.PCollection[Chunk], config: AnnotateConfig) -> beam.PCollection[Chunk]:
    number = beam.pvalue.AsSingleton(chunks | beam.combiners.Count.Globally())
    counted = chunks | beam.Map(lambda chunk, _: chunk, number).with_output_types(Chunk)
    return counted | "Annotate" >> Annotate(config.model)


@pytest.mark.parametrize(
    "broken", [hint_on_one_transform, reshuffle_inside, flatten_before_write, side_input_from_the_chain]
)
def test_a_broken_chain_is_seen_as_several_stages(
    broken: Callable[[beam.PCollection[Chunk], AnnotateConfig], beam.PCollection[Chunk]], config: AnnotateConfig
) -> None:
    pipeline = beam.Pipeline()
    shards = pipeline | beam.Create(SHARDS, reshuffle=False) | beam.Reshuffle()
    chunks = shards | "ReadShards" >> ReadShards(DATASET, config.read)
    chunks = chunks | "SplitSentences" >> SplitSentences(config.splitter)
    _ = broken(chunks, config) | "WriteAnnotations" >> WriteAnnotations(Path(DATASET), config, "hash")
    assert len(stages_of_chain(pipeline)) > 1
