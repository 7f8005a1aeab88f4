"""``TensorFiles``: tensors in safetensors files; ``KeptTexts``: an encoder that embeds each text once."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from adapters.models.kept_files import KeptFiles
from agent.ports import ImageTextEncoder, KeptTensors

_log = logging.getLogger(__name__)

SUFFIX = ".safetensors"


class TensorFiles:
    """Tensors of the models of one device, behind :class:`agent.ports.KeptTensors`."""

    def __init__(self, files: KeptFiles, device: torch.device) -> None:
        self._files = files
        self._device = device

    def get(self, key: str) -> Mapping[str, torch.Tensor] | None:
        content = self._files.get(key)
        if content is None:
            return None
        try:
            return {name: tensor.to(self._device) for name, tensor in load(content).items()}
        except SafetensorError as error:  # whole, and yet not what this version writes
            _log.warning("what was kept under %s cannot be read (%s) and is made anew", key[:16], error)
            return None

    def put(self, key: str, tensors: Mapping[str, torch.Tensor]) -> None:
        self._files.put(key, save({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}))


class KeptTexts:
    """An encoder whose text embeddings are kept; all else is that of the encoder within."""

    def __init__(self, encoder: ImageTextEncoder, kept: KeptTensors) -> None:
        self._encoder = encoder
        self._kept = kept

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)

    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """(N, D) text embeddings of unit length."""
        written = json.dumps(["texts", self._encoder.digest, list(texts)])
        key = hashlib.sha256(written.encode()).hexdigest()
        kept = self._kept.get(key)
        if kept is not None:
            return kept["texts"]
        embedded = self._encoder.encode_texts(texts)
        self._kept.put(key, {"texts": embedded})
        return embedded
