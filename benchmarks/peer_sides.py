"""The sides that benchmarks.peers compares, each given the same work: klue-beam and peers, without Beam and on it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import apache_beam as beam
import pyarrow as pa
import torch
import transformers
from apache_beam.ml.inference.base import RunInference

from benchmarks.beam_handlers import load_handler_class
from benchmarks.peer_work import Pass, Work
from benchmarks.random_checkpoints import Checkpoints
from benchmarks.timing import Spent, now, time_call
from klue_beam.beam_pipelines.graphs.pipelines import make_pipeline
from klue_beam.schemas.dropped import DROPPED
from klue_beam.schemas.reject import REJECT
from klue_beam.schemas.shard import Chunk, ChunkKey, Shard, SourceRange, Tally
from klue_beam.transforms.annotate.sentences import Annotate, annotate
from klue_beam.transforms.models.engine.loading import load_engines

BATCH_SIZE: Final = 32
WARM_UP: Final = 8
"""So many sentences pass through a side before the clock runs; they are part of its start-up."""

CHUNK_ROWS: Final = 1024
"""About what a chunk of `klue-beam annotate` holds."""

PIPELINES: Final[Sequence[tuple[str, str, Mapping[str, Any]]]] = (
    ("tc", "text-classification", {}),
    ("ner", "token-classification", {"aggregation_strategy": "simple"}),
    ("re", "text-classification", {}),
    ("dp", "feature-extraction", {"return_tensors": True}),
)
"""By task: the pipeline that a user takes for it, and how it is called. None parses: `dp` is its encoder alone."""


class Outcome(NamedTuple):
    """What a side took, start-up left out and given beside.

    Attributes:
      startup: loading models, and the first few sentences or the building of the graph.
      spent: annotating the work.
      results: how many results came back, by which it is seen that nothing was left out.
    """

    startup: Spent
    spent: Spent
    results: int


def chunk_rows(rows: pa.RecordBatch) -> list[pa.RecordBatch]:
    """Cut rows into batches of the size of a chunk."""
    return [rows.slice(begin, CHUNK_ROWS) for begin in range(0, rows.num_rows, CHUNK_ROWS)]


def _run_with_warm_up(load: Callable[[], Callable[[bool], int]]) -> Outcome:
    """Load a side, let it annotate a few sentences (`True`), then time it on all of them."""
    began = now()
    run = load()
    run(True)
    startup = now().minus(began)
    results, spent = time_call(lambda: run(False))
    return Outcome(startup, spent, results)


def run_klue_beam(passes: Sequence[Pass]) -> Outcome:
    """Annotate record batches by the pure function `annotate`, as the pipeline does, Arrow columns included."""

    def load() -> Callable[[bool], int]:
        loaded = [(load_engines(a_pass.config), a_pass.rows) for a_pass in passes]

        def run(warm_up: bool) -> int:
            return sum(
                annotate(rows, engines)[0].num_rows
                for engines, all_rows in loaded
                for rows in ([all_rows.slice(0, WARM_UP)] if warm_up else chunk_rows(all_rows))
            )

        return run

    return _run_with_warm_up(load)


def run_pipelines(work: Work, checkpoints: Checkpoints) -> Outcome:
    """Call `transformers.pipeline` over all sentences for TC and NER, over all marked ones for RE; DP is a forward."""

    def load() -> Callable[[bool], int]:
        pipelines = [
            (transformers.pipeline(kind, model=checkpoints.models[task], device="cpu"), task, options)
            for task, kind, options in PIPELINES
            if task != "dp"
        ]
        encoder = transformers.AutoModel.from_pretrained(checkpoints.parser_encoder).eval()
        tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoints.parser_encoder)

        def run(warm_up: bool) -> int:
            most = WARM_UP if warm_up else None
            texts, marked, results = work.texts[:most], list(work.marked[:most]), 0
            for pipeline, task, options in pipelines:
                results += len(pipeline(marked if task == "re" else texts, batch_size=BATCH_SIZE, **options))
            return results + sum(map(len, _forward_batches(encoder, tokenizer, texts)))

        return run

    return _run_with_warm_up(load)


def _forward_batches(encoder: Any, tokenizer: Any, texts: Sequence[str]) -> Iterator[torch.Tensor]:
    with torch.inference_mode():
        for begin in range(0, len(texts), BATCH_SIZE):
            batch = tokenizer(list(texts[begin : begin + BATCH_SIZE]), padding=True, return_tensors="pt")
            yield encoder(**batch).last_hidden_state


class _Clock:
    """When the first element passed, and how many results came; the pipelines below run in this process."""

    began: Spent | None = None
    results: int = 0


def start_clock(element: Any) -> Any:
    """Note when an element passes: all that is fused with this step, models among it, has been set up by then."""
    _Clock.began = _Clock.began or now()
    return element


def count_results(n_results: int) -> None:
    """Add results to those that came."""
    _Clock.results += n_results


def run_clocked(run: Callable[[], object]) -> Outcome:
    """Run what calls `start_clock` and `count_results` in this process; what comes before the first is start-up."""
    _Clock.began, _Clock.results = None, 0
    asked = now()
    run()
    ended = now()
    began = _Clock.began or ended
    return Outcome(began.minus(asked), ended.minus(began), _Clock.results)


def _run_graph(build: Callable[[Any], None]) -> Outcome:
    """Run a graph on the runner of `klue-beam annotate`; `build` gets a collection of one element, its root."""

    def run() -> None:
        with make_pipeline() as pipeline:
            root = pipeline | beam.Create([None], reshuffle=False) | beam.Reshuffle()
            build(root | "StartClock" >> beam.Map(start_clock))

    return run_clocked(run)


def run_klue_beam_graph(passes: Sequence[Pass]) -> Outcome:
    """Annotate chunks by the transform `Annotate`."""

    def build(root: Any) -> None:
        for number, a_pass in enumerate(passes):
            chunks = _to_chunks(a_pass.rows)
            (
                root
                | f"Chunks{number}" >> beam.FlatMap(lambda _, chunks=chunks: chunks).with_output_types(Chunk)
                | f"Annotate{number}" >> Annotate(a_pass.config)
                | f"Count{number}" >> beam.Map(lambda chunk: count_results(chunk.rows.num_rows))
            )

    return _run_graph(build)


def _to_chunks(rows: pa.RecordBatch) -> list[Chunk]:
    none = [pa.RecordBatch.from_pylist([], schema=schema) for schema in (REJECT, DROPPED)]
    shard = Shard(0, (SourceRange("", 0, "", 0, 0, 0),))
    return [
        Chunk(shard, ChunkKey(0, number, False, False), batch, *none, (Tally(0, 0, 0, 0, 0, batch.num_rows, 0, ""),))
        for number, batch in enumerate(chunk_rows(rows))
    ]


def run_inference_graph(work: Work, checkpoints: Checkpoints) -> Outcome:
    """Run Beam's `RunInference` with its handler of Hugging Face pipelines, one a task, batches of 32."""
    handler_class = load_handler_class()
    inputs = (work.texts, list(work.marked))

    def build(root: Any) -> None:
        texts = root | "Sentences" >> beam.FlatMap(lambda _: inputs[0]).with_output_types(str)
        marked = root | "Pairs" >> beam.FlatMap(lambda _: inputs[1]).with_output_types(str)
        for task, kind, options in PIPELINES:
            handler = handler_class(
                task=kind,
                model=checkpoints.parser_encoder if task == "dp" else checkpoints.models[task],
                device="CPU",
                min_batch_size=BATCH_SIZE,
                max_batch_size=BATCH_SIZE,
            )
            (
                (marked if task == "re" else texts)
                | f"Infer_{task}" >> RunInference(handler, inference_args={"batch_size": BATCH_SIZE, **options})
                | f"Count_{task}" >> beam.Map(lambda _: count_results(1))
            )

    return _run_graph(build)
