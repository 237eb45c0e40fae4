"""Execute a staged pipeline in this process: run_staged.py PIPELINE ORIGINS.

What a worker of the Dataflow service does with one, less its container. ORIGINS is written as JSON: where this process
found the project's packages.
"""

import importlib.util
import json
import sys
from pathlib import Path

from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability import python_urns
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.portability.fn_api_runner import FnApiRunner


def main(pipeline_path: str, origins_path: str) -> None:
    """Run the pipeline to its end; an exception is the process's own."""
    rooms = ("klue_beam", "klue_beam.schemas", "klue_beam.transforms", "klue_beam.beam_pipelines")
    specs = {room: importlib.util.find_spec(room) for room in rooms}
    origins = {room: spec.origin if spec else None for room, spec in specs.items()}
    Path(origins_path).write_text(json.dumps(origins), encoding="utf-8")
    pipeline = beam_runner_api_pb2.Pipeline.FromString(Path(pipeline_path).read_bytes())
    for environment in pipeline.components.environments.values():
        environment.urn = python_urns.EMBEDDED_PYTHON
        environment.payload = b""
    FnApiRunner().run_via_runner_api(pipeline, PipelineOptions()).wait_until_finish()


if __name__ == "__main__":
    main(*sys.argv[1:])
