"""A summary adds up the receipts of a dataset, and its rejects by reason and by break."""

import gzip
from collections import Counter
from pathlib import Path

from klue_beam import open_dataset
from klue_beam.beam_pipelines.views.summary import summarize
from tests.beam_pipelines.conftest import Corpus, run_command


def test_a_summary_has_what_receipts_count_and_why_records_were_refused(undisturbed: Path) -> None:
    dataset = open_dataset(undisturbed)
    summary = summarize(dataset)
    assert summary.counts["sentences"] == dataset.rows().read_all().num_rows
    assert summary.counts["documents"] + summary.counts["blanks"] + summary.counts["rejects"] == 61
    assert summary.reasons == {"read: malformed JSON": 1}
    assert summary.breaks == []
    flags = [flag for row in dataset.rows(columns=["flags"]).read_all().to_pylist() for flag in row["flags"]]
    assert summary.flags == Counter(flags)


def test_a_source_that_broke_off_is_named_with_its_break(corpus: Corpus, tmp_path: Path) -> None:
    source, output = tmp_path / "cut.jsonl.gz", tmp_path / "out"
    source.write_bytes(gzip.compress("".join(f'{{"text": "글 {n}."}}\n' for n in range(9)).encode())[:-12])
    run_command(["annotate", "--input", str(source), "--output", str(output), *corpus.options, "--workers", "1"])
    summary = summarize(open_dataset(output))
    assert summary.reasons == {}
    ((path, reason),) = summary.breaks
    assert path == str(source)
    assert reason.startswith("broken stream: ")
