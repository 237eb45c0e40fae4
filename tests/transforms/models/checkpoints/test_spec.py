"""What a model folder says of itself."""

import json
from pathlib import Path

import pytest

from klue_beam.transforms.models.checkpoints.folders import EMBEDDED_DIR
from klue_beam.transforms.models.checkpoints.spec import SPEC_FILE, ModelSpec
from klue_beam.transforms.tasks.entity import EntitySpec
from klue_beam.transforms.tasks.spec import Calibration


def test_a_spec_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    """Tuples, names and calibration come back equal."""
    spec = ModelSpec(
        name="모델",
        tasks=("ner",),
        of={"ner": EntitySpec(mention_types=())},
        calibration={"ner": Calibration(1.5, (0.25, -1.0)), "re": Calibration()},
    )
    spec.save(tmp_path)
    assert ModelSpec.load(tmp_path) == spec


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 99}, "must be of format 1, got 99. Use the version that wrote it"),
        ({"format": None}, "must be of format 1, got None"),
        ({"surprise": 1}, "must hold a model's spec, got TypeError: .*surprise.* Train or copy the model again"),
        ({"calibration": {"tc": {}}}, "must hold a model's spec, got KeyError: 'temperature'"),
        ({"calibration": []}, "must hold a model's spec, got AttributeError"),
    ],
)
def test_a_changed_spec_is_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    """Another format, a field too many or a field of another shape is named."""
    ModelSpec(name="x", tasks=("tc",)).save(tmp_path)
    fields = json.loads((tmp_path / SPEC_FILE).read_text(encoding="utf-8"))
    (tmp_path / SPEC_FILE).write_text(json.dumps(fields | change), encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        ModelSpec.load(tmp_path)


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff", None])
def test_what_is_no_spec_is_refused(tmp_path: Path, content: bytes | None) -> None:
    """A file that is cut, of another shape, no text or absent is refused with the remedy."""
    if content is not None:
        (tmp_path / SPEC_FILE).write_bytes(content)
    with pytest.raises(ValueError, match=r"must hold a model's spec, got .*Train or copy the model again"):
        ModelSpec.load(tmp_path)


@pytest.mark.parametrize("name", ["small", "tiny"])
def test_the_spec_of_an_embedded_model_is_saved_byte_for_byte(tmp_path: Path, name: str) -> None:
    """A dataset knows its model by a hash of these bytes, and version 0.1.0 wrote them."""
    spec = ModelSpec.load(EMBEDDED_DIR / name)
    spec.save(tmp_path)
    assert (tmp_path / SPEC_FILE).read_bytes() == (EMBEDDED_DIR / name / SPEC_FILE).read_bytes()
    assert ModelSpec.load(tmp_path) == spec


def test_a_model_of_one_task_is_written_as_before(tmp_path: Path) -> None:
    """Version 0.1.0 wrote the fields of all four tasks, whichever a model had, and reads no others."""
    ModelSpec(name="x", tasks=("tc",)).save(tmp_path)
    fields = json.loads((tmp_path / SPEC_FILE).read_text(encoding="utf-8"))
    embedded = json.loads((EMBEDDED_DIR / "small" / SPEC_FILE).read_text(encoding="utf-8"))
    assert list(fields) == list(embedded)


def test_a_task_that_nobody_registered_is_named(tmp_path: Path) -> None:
    """A model of another package's task needs that package."""
    ModelSpec(name="x", tasks=("tc",)).save(tmp_path)
    fields = json.loads((tmp_path / SPEC_FILE).read_text(encoding="utf-8"))
    (tmp_path / SPEC_FILE).write_text(json.dumps(fields | {"tasks": ["tc", "mood"]}), encoding="utf-8")
    with pytest.raises(ValueError, match=r"out of tc, ner, re, dp, got 'mood' in .* Install the package that brings"):
        ModelSpec.load(tmp_path)
