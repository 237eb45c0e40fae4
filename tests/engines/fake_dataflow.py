"""A small jobs API, enough for DataflowRunner, that executes what was staged as a worker of the service would.

The staged packages are installed into a folder of their own, and `run_staged.py` executes the staged pipeline in a
process that finds them there, third-party packages in the environment, and the checkout nowhere.
"""

import dataclasses
import http.server
import json
import os
import re
import subprocess
import sys
import sysconfig
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

EXECUTOR = Path(__file__).with_name("run_staged.py")
JOB_PATH = re.compile(
    r"^/v1b3/projects/(?P<project>[^/]+)/locations/(?P<location>[^/]+)/jobs(?:/(?P<id>[^/?]+))?(?P<rest>[^?]*)"
)
LOG_NAME = "worker.log"
ORIGINS_NAME = "origins.json"


@dataclasses.dataclass
class FakeJob:
    """A job that was submitted: its description as it came, the state and the error that the service reports."""

    description: dict[str, Any]
    state: str = "JOB_STATE_RUNNING"
    error: str = ""

    @property
    def pipeline_path(self) -> Path:
        """The staged pipeline."""
        return Path(self.description["environment"]["sdkPipelineOptions"]["options"]["pipelineUrl"])


class FakeDataflow:
    """The service; a context manager.

    Attributes:
      jobs: what was submitted, by job id.
      folder: where workers live; a job's is `folder / job_id`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.jobs: dict[str, FakeJob] = {}
        self._threads: list[threading.Thread] = []
        service = self

        class Handler(_Handler):
            dataflow = service

        self._server = http.server.ThreadingHTTPServer(("localhost", 0), Handler)

    @property
    def endpoint(self) -> str:
        """What --dataflow_endpoint must say."""
        return f"http://localhost:{self._server.server_address[1]}"

    def __enter__(self) -> "FakeDataflow":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        for thread in self._threads:
            thread.join(timeout=60)

    def submit(self, description: dict[str, Any]) -> dict[str, Any]:
        """Take a job and start it."""
        job_id = f"job-{len(self.jobs)}"
        job = self.jobs[job_id] = FakeJob(description)
        thread = threading.Thread(target=self._execute, args=(job_id, job), daemon=True)
        self._threads.append(thread)
        thread.start()
        return self.describe(job_id)

    def describe(self, job_id: str) -> dict[str, Any]:
        """A job as the API gives it."""
        job = self.jobs[job_id]
        return {
            "id": job_id,
            "name": job.description["name"],
            "clientRequestId": job.description.get("clientRequestId", ""),
            "currentState": job.state,
        }

    def messages(self, job_id: str) -> dict[str, Any]:
        """A job's messages: the error of a failed one."""
        error = self.jobs[job_id].error
        entry = {"id": "1", "time": "2026-01-01T00:00:00Z", "messageText": error}
        return {"jobMessages": [{**entry, "messageImportance": "JOB_MESSAGE_ERROR"}]} if error else {}

    def _execute(self, job_id: str, job: FakeJob) -> None:
        worker = self.folder / job_id
        worker.mkdir(parents=True)
        packages = worker / "packages"
        with (worker / LOG_NAME).open("wb") as log:
            staged = sorted(str(path) for path in job.pipeline_path.parent.glob("*.tar.gz"))
            install = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-build-isolation", "--no-index"]
            execute = [sys.executable, "-S", "-P", str(EXECUTOR), str(job.pipeline_path), str(worker / ORIGINS_NAME)]
            # -S leaves out what .pth files add: the checkout, if it is installed as editable.
            found_at = os.pathsep.join([str(packages), sysconfig.get_path("purelib")])
            for command in ([*install, "--target", str(packages), *staged], execute):
                environment = {**os.environ, "PYTHONPATH": found_at if command is execute else ""}
                done = subprocess.run(
                    command, cwd=worker, env=environment, stdout=log, stderr=log, timeout=240, check=False
                )
                if done.returncode:
                    break
        if done.returncode:
            job.error = (worker / LOG_NAME).read_text(errors="replace")[-4000:]
        job.state = "JOB_STATE_FAILED" if done.returncode else "JOB_STATE_DONE"


class _Handler(http.server.BaseHTTPRequestHandler):
    dataflow: FakeDataflow

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(self.dataflow.submit(json.loads(content)))

    def do_GET(self) -> None:
        found = JOB_PATH.match(self.path)
        if found is None or found["id"] not in self.dataflow.jobs:
            self.send_error(404)
        elif found["rest"] == "/messages":
            self._answer(self.dataflow.messages(found["id"]))
        elif found["rest"] == "":
            self._answer(self.dataflow.describe(found["id"]))
        else:
            self._answer({})

    def _answer(self, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: requests are not worth a line on the terminal."""
