"""A report: one HTML file that holds its figures, its sentences and its script, and asks no network."""

import base64
import hashlib
import html
import importlib.metadata
import importlib.resources
import json
from pathlib import Path
from string import Template
from typing import Any, Final

import pyarrow as pa

from klue_beam.transforms.base.stores.making import make_whole
from klue_beam.transforms.plan.dataset import Dataset
from klue_beam.transforms.report.columns import LabelColumn, list_label_columns
from klue_beam.transforms.report.figures import collect_figures
from klue_beam.transforms.report.moving import compare_labels
from klue_beam.transforms.report.queries import explained
from klue_beam.transforms.report.samples import MOST_BYTES, read_sentences, sample_keys, within_bytes

SCRIPTS: Final = ("dom.js", "arcs.js", "browser.js", "figures.js")
DEFAULT_SAMPLE: Final = 300


def write_report(
    dataset: Dataset,
    output: str | Path,
    *,
    name: str,
    compare: tuple[str, Dataset] | None = None,
    sample: int = DEFAULT_SAMPLE,
    seed: int = 0,
) -> int:
    """Write a report on a dataset, or on two beside each other; the file is there whole, or not at all.

    The same datasets, names and seed give the same file: it has no time stamp.

    Args:
      dataset: what is reported on.
      output: the file; nothing may be there.
      name: what the dataset is called.
      compare: another dataset with its name, for what differs.
      sample: so many sentences are sampled to look at, and some more of each label; 0 for none.
      seed: another one gives another sample.

    Returns:
      The size of the file in bytes.

    Raises:
      ImportError: if duckdb is not installed.
      ValueError: if a file of a dataset is broken.
      FileExistsError: if `output` is there.
      OSError: if it cannot be written.
    """
    with make_whole(Path(output), "output") as path:
        text = build_page(_collect(dataset, name, compare, sample, seed))
        path.write_bytes(text)
    return len(text)


def _collect(
    dataset: Dataset, name: str, compare: tuple[str, Dataset] | None, sample: int, seed: int
) -> dict[str, Any]:
    """Give what the page draws, of JSON types."""
    first, columns = dataset.duckdb(), list_label_columns(dataset.schema)
    with explained(first):
        data: dict[str, Any] = {
            "names": [name],
            "columns": [{"column": one.column, "label": one.label} for one in columns],
            "figures": [collect_figures(dataset, first)],
            "moved": None,
        }
        keys = sample_keys(first, columns, sample, seed)
        rows = [[row] for row in within_bytes(read_sentences(first, keys), MOST_BYTES // (1 if compare is None else 2))]
    if compare is not None:
        _add_other(data, first, columns, compare, keys, rows)
    for row in rows:
        for one in filter(None, row):
            one.pop("rank", None)
    data["samples"] = rows
    return data


def _add_other(
    data: dict[str, Any],
    first: Any,
    columns: tuple[LabelColumn, ...],
    compare: tuple[str, Dataset],
    keys: pa.Table,
    rows: list[list[Any]],
) -> None:
    """Add the other dataset: its figures, which labels moved, and its side of the sampled sentences."""
    name, dataset = compare
    second, others = dataset.duckdb(), list_label_columns(dataset.schema)
    with explained(second):
        data["names"].append(name)
        data["figures"].append(collect_figures(dataset, second))
        known = {one.column: one for one in columns}
        data["columns"] += [{"column": one.column, "label": one.label} for one in others if one.column not in known]
        shared = {one.column: one for one in others if known.get(one.column) == one}
        data["moved"] = compare_labels(first, second, shared)
        found = {row["rank"]: row for row in read_sentences(second, keys)}
    for row in rows:
        row.append(found.get(row[0]["rank"]))


def build_page(data: dict[str, Any]) -> bytes:
    """Put a page together.

    Nothing of the data can become markup or script: it stands in a block of JSON without `<`, the script sets it as
    text, and the page's policy allows no script, style or address but its own.

    Args:
      data: what is drawn, of JSON types.
    """
    assets = importlib.resources.files("klue_beam.transforms.report") / "assets"
    style = (assets / "report.css").read_text(encoding="utf-8")
    script = "\n".join((assets / one).read_text(encoding="utf-8") for one in SCRIPTS)
    policy = f"default-src 'none'; script-src {_allow(script)}; style-src {_allow(style)}; img-src data:"
    encoded = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    page = Template((assets / "page.html").read_text(encoding="utf-8")).substitute(
        title=html.escape(f"Report on {' and '.join(data['names'])}"),
        policy=policy,
        style=style,
        script=script,
        version=importlib.metadata.version("klue-beam"),
        data=encoded.replace("<", "\\u003c"),
    )
    return page.encode("utf-8", "replace")


def _allow(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
    return f"'sha256-{digest}'"
