"""From an address to the store that it lies in."""

import os
from pathlib import Path
from typing import Final

from klue_beam.schemas.registry import STORES
from klue_beam.transforms.base.stores.base import Store
from klue_beam.transforms.base.stores.local import LocalStore

SCHEME_END: Final = "://"


def open_store(url: str | Path) -> Store:
    """Open the store whose root is a folder, or an address of a scheme in STORES.

    Raises:
      ValueError: if nothing is registered for the address's scheme.

    >>> open_store("s3://bucket/out")
    Traceback (most recent call last):
    ...
    ValueError: An address must be a path, or begin with file://, got 's3://bucket/out'. Copy or mount what lies there.
    """
    scheme, separator, rest = str(url).partition(SCHEME_END)
    if not separator:
        return LocalStore(str(url))
    _require_scheme(scheme, str(url))
    store: Store = STORES[scheme](rest if scheme == "file" else str(url))
    return store


def locate(address: str) -> tuple[Store, str]:
    """Give the store and the key of one file, such as an input.

    Raises:
      ValueError: as `open_store`.

    >>> store, key = locate("corpus/news.txt")
    >>> store.url, key
    ('corpus', 'news.txt')
    """
    if SCHEME_END in address:
        _require_scheme(address.partition(SCHEME_END)[0], address)
        folder, _, key = address.rpartition("/")
        return open_store(folder), key
    folder, key = os.path.split(address)
    return LocalStore(folder), key


def _require_scheme(scheme: str, address: str) -> None:
    if scheme not in STORES:
        known = ", ".join(f"{name}{SCHEME_END}" for name in STORES)
        raise ValueError(
            f"An address must be a path, or begin with {known}, got {address!r}. Copy or mount what lies there."
        )
