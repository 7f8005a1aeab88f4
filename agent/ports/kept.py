"""KeptTensors: tensors that outlive the process, by the digest of what they were computed from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch  # only in annotations: commands that need no model start quickly


class KeptTensors(Protocol):
    """A cache: what is put may be gone at any time, and is whole if it is there. Neither method raises."""

    def get(self, key: str) -> Mapping[str, torch.Tensor] | None:
        """The tensors under ``key``, a sha256, on the device of the models; None if they are not there."""
        ...

    def put(self, key: str, tensors: Mapping[str, torch.Tensor]) -> None: ...
