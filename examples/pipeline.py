"""The whole graph in a script of your own: pipeline.py DATASET INPUT [INPUT ...].

It makes what `klue-beam annotate --tasks tc,ner` makes, with a step of its own behind the sink. The variable MODEL
names another model than the embedded one.
"""

import dataclasses
import json
import os
import sys

import apache_beam as beam

from klue_beam import (
    Annotate,
    AnnotateConfig,
    ModelConfig,
    ReadConfig,
    ReadShards,
    SplitSentences,
    WriteAnnotations,
    make_plan,
    resolve_models,
    save_plan,
    splitter_version,
)

TASKS = ("tc", "ner")


def describe(receipt: str) -> str:
    """Say in a line what a receipt proves."""
    fields = json.loads(receipt)
    counts = fields["counts"]
    return f"{fields['covered'][0]['source']}: {counts['documents']} documents, {counts['entities']} entities"


def main(dataset: str, *inputs: str) -> None:
    """Annotate JSON lines into a dataset."""
    model = os.environ.get("MODEL", "small")
    config = AnnotateConfig(
        read=ReadConfig(input_format="jsonl"),
        model=resolve_models(ModelConfig(tasks=TASKS, models=dict.fromkeys(TASKS, model))),
    )
    config = dataclasses.replace(config, splitter_version=splitter_version(config.splitter))
    plan = make_plan(inputs, config)
    save_plan(dataset, plan)
    with beam.Pipeline() as pipeline:
        _ = (
            pipeline
            | beam.Create(plan.shards)
            | ReadShards(dataset, config.read)
            | SplitSentences(config.splitter)
            | Annotate(config.model)
            | WriteAnnotations(dataset, config, plan.config_hash)
            | beam.Map(describe)
            | beam.Map(print)
        )


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
