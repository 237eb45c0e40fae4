"""A store that strikes at chosen moments: the module of a package of its own, registered by its scheme.

`striking:///the/folder?action=worker&writing=/tmp/marker` is the folder, and in it strikes when a worker begins to
write. A marker is a file that makes its moment strike once in all processes and runs; without one (`writing=`) it
strikes each time that it comes.
"""

import multiprocessing
import os
import signal
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from klue_beam.schemas.shard import PLAN_FILE, RECEIPTS_DIR, REJECTS_DIR
from klue_beam.transforms.base.stores.base import Content, Stat
from klue_beam.transforms.base.stores.local import LocalStore

SIGNALS = {
    "worker": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "driver": lambda: os.kill(os.getppid(), signal.SIGKILL),
    "all": lambda: os.killpg(os.getpgrp(), signal.SIGKILL),
    "ctrl-c": lambda: os.killpg(os.getpgrp(), signal.SIGINT),
}


class StrikingStore(LocalStore):
    """A folder, in which something happens."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        super().__init__(parts.path)
        self.url = url
        options = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        self._action = options.pop("action")
        self._markers = options

    def strike(self, moment: str, *, in_worker: bool = True) -> None:
        """Strike if this is a moment for it."""
        marker = self._markers.get(moment)
        if marker is None or in_worker != (multiprocessing.parent_process() is not None):
            return
        if marker:
            try:
                os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                return
        if self._action in SIGNALS:
            SIGNALS[self._action]()
        else:  # a source that grows
            with open(self._action, "a", encoding="utf-8") as file:
                file.write('{"text": "늦은 글"}\n')

    def stat(self, key: str) -> Stat | None:
        """Strike when a worker asks for the first time what is done of its shard."""
        if key.startswith(RECEIPTS_DIR):
            self.strike("reading")
        return super().stat(key)

    def attempt_path(self, name: str) -> Path:
        """Strike when the first rows are there to be written; only one shard has rejects."""
        if name.endswith(".rejects.parquet"):
            self.strike("writing-rejects")
        elif name.endswith(".parquet"):
            self.strike("writing")
        return super().attempt_path(name)

    def put_if_absent(self, key: str, content: Content) -> bool:
        """Strike between what is published one after another, and when it is planned."""
        if key.startswith(RECEIPTS_DIR):
            self.strike("before-receipt")
        if key.startswith(REJECTS_DIR):
            self.strike("before-rejects")
        is_put = super().put_if_absent(key, content)
        if key == PLAN_FILE:
            self.strike("planned", in_worker=False)
        return is_put
