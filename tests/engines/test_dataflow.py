"""The real DataflowRunner, up to the service: a local fake of its jobs API executes what was staged."""

import json
from pathlib import Path

import pytest
from apache_beam.portability.api import beam_runner_api_pb2

from tests.engines.corpus import Corpus, check_same
from tests.engines.fake_dataflow import ORIGINS_NAME, FakeDataflow

pytestmark = pytest.mark.slow


def test_a_submitted_job_gives_the_local_rows_from_what_was_staged(corpus: Corpus, sdist: Path, tmp_path: Path) -> None:
    """Where only the staged source distribution can be imported, the staged pipeline makes the same rows."""
    output, staging, temp = (tmp_path / name for name in ("annotated", "staging", "temp"))
    for folder in (staging, temp):
        folder.mkdir()
    with FakeDataflow(tmp_path / "workers") as dataflow:
        corpus.annotate(
            output,
            "--runner=DataflowRunner",
            f"--dataflow_endpoint={dataflow.endpoint}",
            "--no_auth",
            "--project=a-project",
            "--region=us-central1",
            f"--staging_location={staging}",
            f"--temp_location={temp}",
            f"--extra_package={sdist}",
        )
        (job,) = dataflow.jobs.values()
    check_same(output, corpus.local)
    packages = tmp_path / "workers" / "job-0" / "packages"
    origins = json.loads((tmp_path / "workers" / "job-0" / ORIGINS_NAME).read_text())
    assert all(Path(origin).is_relative_to(packages) for origin in origins.values())
    pipeline = beam_runner_api_pb2.Pipeline.FromString(job.pipeline_path.read_bytes())
    assert len({transform.environment_id for transform in pipeline.components.transforms.values()} - {""}) == 1
