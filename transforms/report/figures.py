"""The figures of a report: all of them aggregated by DuckDB, so that no row passes through Python."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from klue_beam.transforms.plan.dataset import Dataset
from klue_beam.transforms.report.columns import LabelColumn, list_label_columns
from klue_beam.transforms.report.parts import Parts, part_records
from klue_beam.transforms.report.queries import to_plain

SCORE_BINS: Final = 20
TOP_ENTITIES: Final = 12
TOP_TRIPLES: Final = 40
EXAMPLES: Final = 3
LONGEST_EXAMPLE_CHARS: Final = 300
MOST_LABELS: Final = 200
"""So many labels of a task are listed, the most frequent ones; the others are counted together."""

SENTENCE_HASH: Final = "hash(source, record_index, sentence_index)"


def collect_figures(dataset: Dataset, connection: Any) -> dict[str, Any]:
    """Aggregate a dataset.

    Args:
      dataset: what is reported on.
      connection: what its `duckdb` gave.

    Returns:
      What the page draws, of JSON types; the same for the same dataset.

    Raises:
      duckdb.Error: if a file cannot be read.
    """
    receipts = list(dataset.receipts())
    parts = part_records(receipts)
    connection.register("parts", parts.table)
    columns = list_label_columns(dataset.schema)
    counts: Counter[str] = Counter()
    for receipt in receipts:
        counts.update(receipt.counts)
    return {
        "counts": _name_counts(counts),
        "provenance": _provenance(dataset),
        "config": to_plain(dict(dataset.plan.config)),
        "sources": [[source.path, source.size_bytes] for source in dataset.plan.sources[:200]],
        "source_count": len(dataset.plan.sources),
        "labels": [_labels(connection, column, parts) for column in columns],
        "parts": list(parts.names),
        "lengths": _lengths(connection),
        "entities": _top_entities(connection) if "entities" in dataset.schema.names else [],
        "triples": _triples(connection) if {"entities", "relations"} <= set(dataset.schema.names) else [],
        "types_by_topic": _types_by_topic(connection) if {"entities", "topic"} <= set(dataset.schema.names) else [],
        "faults": [*_rejects(connection), *_dropped(connection), *_flags(connection)],
    }


def _name_counts(counts: Mapping[str, int]) -> list[list[Any]]:
    first = [name for name in ("records", "documents", "sentences", "characters") if name in counts]
    others = sorted(name for name in counts if name not in first and ":" not in name)
    return [[name.replace("_", " "), counts[name]] for name in (*first, *others)]


def _provenance(dataset: Dataset) -> list[list[str]]:
    """List what made the rows; tasks that share a model stand together, with its hash."""
    rows: list[list[str]] = []
    for name, value in dataset.provenance.items():
        if name == "models":
            tasks: dict[str, list[str]] = {}
            for task, model in value.items():
                tasks.setdefault(f"{model.get('name')}, sha256 {model.get('sha256')}", []).append(task)
            rows += [[f"model of {', '.join(names)}", model] for model, names in tasks.items()]
        else:
            rows.append([name.replace("_", " "), str(value)])
    return rows


def _labels(connection: Any, column: LabelColumn, parts: Parts) -> dict[str, Any]:
    """Count labels, by score and by part, in one pass."""
    score = "item.score" if column.has_score else "NULL::FLOAT"
    items = column.items("source", "record_index")
    rows = connection.execute(
        f"SELECT part, label, bin, count(*), sum(score) FROM ("
        f'SELECT first_part + record_index // records_a_part AS part, item."{column.label}" AS label, '
        f"{score} AS score, "
        f"if({score} IS NULL, NULL, least(floor({score} * {SCORE_BINS}), {SCORE_BINS - 1}))::INTEGER AS bin "
        f"FROM {items} JOIN parts USING (source)"
        ") GROUP BY part, label, bin"
    ).fetchall()
    counts: Counter[str] = Counter()
    sums: Counter[str] = Counter()
    bins = [0] * SCORE_BINS
    by_part = [Counter[str]() for _ in parts.names]
    for part, label, at, number, total in rows:
        name = str(label)
        counts[name] += number
        by_part[min(part, len(by_part) - 1)][name] += number
        if at is not None:
            bins[at] += number
            sums[name] += total
    ordered = sorted(counts, key=lambda name: (-counts[name], name))
    return {
        "task": column.task,
        "title": column.title,
        "is_list": column.is_list,
        "total": counts.total(),
        "rows": [
            [name, counts[name], round(sums[name] / counts[name], 4) if column.has_score else None]
            for name in ordered[:MOST_LABELS]
        ],
        "unlisted": len(ordered[MOST_LABELS:]),
        "bins": bins if column.has_score else None,
        "by_part": [[found[name] for name in ordered[:8]] + [found.total()] for found in by_part],
    }


def _lengths(connection: Any) -> list[dict[str, Any]]:
    queries = {
        "characters a sentence": "SELECT length(text) AS n, count(*) FROM sentences GROUP BY n ORDER BY n",
        "sentences a document": "SELECT sentences AS n, count(*) FROM documents GROUP BY n ORDER BY n",
        "characters a document": "SELECT characters AS n, count(*) FROM documents GROUP BY n ORDER BY n",
    }
    return [_distribution(title, connection.execute(query).fetchall()) for title, query in queries.items()]


def _distribution(title: str, rows: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """Sum a distribution up: quantiles, and counts in bins that end at 1, 2 or 5 times a power of ten."""
    total = sum(number for _, number in rows)
    quantiles, seen = {}, 0
    wanted = {"least": 0.0, "5 %": 0.05, "median": 0.5, "95 %": 0.95, "99 %": 0.99, "most": 1.0}
    left = list(wanted.items())
    for value, number in rows:
        seen += number
        while left and seen >= max(1, left[0][1] * total):
            quantiles[left.pop(0)[0]] = int(value)
    mean = sum(value * number for value, number in rows) / total if total else 0
    ends = [step * 10**power for power in range(10) for step in (1, 2, 5)]
    bins: Counter[int] = Counter()
    for value, number in rows:
        bins[next(i for i, end in enumerate(ends) if value <= end or i == len(ends) - 1)] += number
    listed = range(min(bins, default=0), max(bins, default=-1) + 1)
    return {
        "title": title,
        "mean": round(float(mean), 2),
        "quantiles": [[name, value] for name, value in quantiles.items()],
        "bins": [[ends[i - 1] + 1 if i else 0, ends[i], bins[i]] for i in listed],
    }


def _top_entities(connection: Any) -> list[list[Any]]:
    rows = connection.execute(
        "SELECT label, text, n FROM (SELECT label, text, count(*) AS n FROM entities GROUP BY label, text) "
        f"QUALIFY row_number() OVER (PARTITION BY label ORDER BY n DESC, text) <= {TOP_ENTITIES} "
        "ORDER BY label, n DESC, text"
    ).fetchall()
    return [[label, _cut(text, 80), number] for label, text, number in rows]


def _triples(connection: Any) -> list[list[Any]]:
    rows = connection.execute(
        "SELECT subject, subject_label, label, object, object_label, count(*) AS n, round(avg(score), 3) AS mean "
        f"FROM relations GROUP BY ALL ORDER BY n DESC, mean DESC, subject, label, object LIMIT {TOP_TRIPLES}"
    ).fetchall()
    return [
        [_cut(s, 80), s_label, label, _cut(o, 80), o_label, n, score]
        for s, s_label, label, o, o_label, n, score in rows
    ]


def _types_by_topic(connection: Any) -> list[list[Any]]:
    rows = connection.execute(
        "SELECT topic, item.label AS label, count(*) FROM (SELECT topic.label AS topic, unnest(entities) AS item "
        "FROM sentences WHERE topic IS NOT NULL) GROUP BY topic, label ORDER BY topic, label"
    ).fetchall()
    return [list(row) for row in rows]


def _rejects(connection: Any) -> list[dict[str, Any]]:
    rows = connection.execute(
        "SELECT stage, split_part(reason, ':', 1) AS kind, count(*) AS n, arg_min({'source': source, 'record': "
        f"record_index, 'reason': reason, 'raw': raw}}, hash(source, record_index), {EXAMPLES}) "
        "FROM rejects GROUP BY stage, kind ORDER BY n DESC, stage, kind"
    ).fetchall()
    return [
        {
            "kind": "reject",
            "reason": f"{stage}: {kind}",
            "count": number,
            "examples": [[*_place(one), one["reason"], _cut(_decode(one["raw"]))] for one in examples],
        }
        for stage, kind, number, examples in rows
    ]


def _dropped(connection: Any) -> list[dict[str, Any]]:
    rows = connection.execute(
        "SELECT step, split_part(reason, ':', 1) AS kind, count(*) AS n, arg_min({'source': source, 'record': "
        f"record_index, 'reason': reason, 'raw': text}}, hash(source, record_index, begin_char), {EXAMPLES}) "
        "FROM dropped GROUP BY step, kind ORDER BY n DESC, step, kind"
    ).fetchall()
    return [
        {
            "kind": "drop",
            "reason": f"{step}: {kind}",
            "count": number,
            "examples": [[*_place(one), one["reason"], _cut(one["raw"] or "")] for one in examples],
        }
        for step, kind, number, examples in rows
    ]


def _flags(connection: Any) -> list[dict[str, Any]]:
    rows = connection.execute(
        "SELECT flag, count(*) AS n, arg_min({'source': source, 'record': record_index, 'text': text}, "
        f"{SENTENCE_HASH}, {EXAMPLES}) FROM (SELECT *, unnest(flags) AS flag FROM sentences WHERE len(flags) > 0) "
        "GROUP BY flag ORDER BY n DESC, flag"
    ).fetchall()
    return [
        {
            "kind": "flag",
            "reason": flag,
            "count": number,
            "examples": [[*_place(one), "", _cut(one["text"])] for one in examples],
        }
        for flag, number, examples in rows
    ]


def _place(example: Mapping[str, Any]) -> tuple[str, int | None]:
    return example["source"], example["record"]


def _decode(raw: bytes | None) -> str:
    return "" if raw is None else raw[: 4 * LONGEST_EXAMPLE_CHARS].decode("utf-8", "backslashreplace")


def _cut(text: str, longest: int = LONGEST_EXAMPLE_CHARS) -> str:
    return text if len(text) <= longest else f"{text[:longest]}…"
