"""Folders of models: where they are, and what tells one from another. Nothing here loads a model."""

import hashlib
from pathlib import Path
from typing import Final

from klue_beam.transforms.models.checkpoints.spec import SPEC_FILE, ModelSpec

EMBEDDED_DIR: Final = Path(__file__).parents[1] / "embedded"

OLD_WEIGHTS: Final = "pytorch_model*.bin"
"""Weights as Hugging Face checkpoints had them before safetensors; they are read where there is nothing else."""

MODEL_FILES: Final = ("*.json", "*.safetensors", "*.txt", "*.model", "*-model.bin")
"""What a model is made of; the last are heads of another make, as KLUE-baseline's `dp-model.bin`. Beside it may lie its
card, a training run's checkpoint, other formats of its weights."""


def resolve_folder(name: str) -> Path | None:
    """Give the folder of a multi-task model: an embedded one by its name, or a local one by its path; else None.

    `small` is the embedded one, `./small` a local one.
    """
    folder = EMBEDDED_DIR / name if is_embedded(name) else Path(name)
    return folder if (folder / SPEC_FILE).is_file() else None


def is_embedded(name: str) -> bool:
    """Tell whether a name is that of an embedded model.

    >>> is_embedded("small"), is_embedded("./small")
    (True, False)
    """
    return "/" not in name and name not in ("", ".", "..") and (EMBEDDED_DIR / name / SPEC_FILE).is_file()


def find_lender(name: str) -> Path:
    """Give the folder of the model whose embeddings another one has.

    Raises:
      ValueError: if there is none, or it has those of a third.
    """
    folder = resolve_folder(name)
    if folder is None or ModelSpec.load(folder).embeddings_of:
        raise ValueError(
            f"`embeddings_of` must name a model with embeddings of its own, got {name!r}. Give an embedded model's "
            "name, or leave it out."
        )
    return folder


def hash_folder(folder: Path) -> str:
    """Hash a model's files, names and bytes; where it has the embeddings of another model, that one's too.

    Returns:
      The sha256 as a hex digest.
    """
    digest = hashlib.sha256()
    if (folder / SPEC_FILE).is_file() and (lender := ModelSpec.load(folder).embeddings_of):
        digest.update(hash_folder(find_lender(lender)).encode())
    has_new_weights = any(folder.glob("*.safetensors"))
    for path in sorted(folder.iterdir()):
        is_part = any(path.match(pattern) for pattern in MODEL_FILES)
        is_part |= not has_new_weights and path.match(OLD_WEIGHTS)
        if path.is_file() and is_part and not path.name.startswith("."):
            digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
    return digest.hexdigest()
