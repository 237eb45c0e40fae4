"""One file of a dataset, compared with what its receipt says of it."""

from collections.abc import Mapping

import pyarrow as pa

from klue_beam.schemas.shard import PublishedFile
from klue_beam.transforms.base.stores.base import Store
from klue_beam.transforms.plan.files import FOOTER_PREFIX, describe_file, read_footer, read_schema


def find_file_fault(store: Store, published: PublishedFile, footer: Mapping[str, str], schema: pa.Schema) -> str:
    """Say what is wrong with a file, as the rest of a sentence that its name begins; "" if nothing is.

    Args:
      store: where the dataset lies.
      published: the file as its receipt tells of it.
      footer: what must stand in its footer, without FOOTER_PREFIX.
      schema: its columns.
    """
    if store.stat(published.path) is None:
        return "it is missing"
    return _footer_fault(store, published.path, footer) or _content_fault(store, published, schema)


def _footer_fault(store: Store, key: str, expected: Mapping[str, str]) -> str:
    """Say in what a file's footer shows that it is another segment's, or that there is none; else give ""."""
    try:
        footer = read_footer(store, key)
    except (OSError, ValueError):
        return "it was cut, or is no Parquet file"
    for name, value in expected.items():
        found = footer.get(f"{FOOTER_PREFIX}{name}", "none")
        if found != value:
            return f"it is foreign: the {name} in its footer must be {value}, got {found}"
    return ""


def _content_fault(store: Store, published: PublishedFile, schema: pa.Schema) -> str:
    """Say in what a file differs from its receipt, or from the dataset's columns; else give ""."""
    there, found = describe_file(store, published.path), read_schema(store, published.path)
    if (there.size_bytes, there.sha256) != (published.size_bytes, published.sha256):
        was = f"{published.size_bytes} bytes of sha256 {published.sha256[:12]}…"
        return f"it was changed: {was} were written, {there.size_bytes} of {there.sha256[:12]}… are there"
    if there.rows != published.rows:
        return f"it must have {published.rows} rows, got {there.rows}"
    if not found.equals(schema):
        return f"its columns must be {', '.join(schema.names)}, got {', '.join(found.names)}"
    return ""
