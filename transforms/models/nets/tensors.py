"""Arrays on their way to the device."""

from typing import Any

import torch
from torch import Tensor


def to_tensor(array: Any, device: torch.device) -> Tensor:
    """Move a numpy array to the device; to a GPU from pinned memory, while the processor goes on."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
