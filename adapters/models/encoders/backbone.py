"""``TimmBackbone``: few-shot features from any timm network with local weights (METHODS 8.1 for DINOv2)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from adapters.models.encoders.convolutional import DEPTHS, DepthsPart
from adapters.models.encoders.depths import is_transformer, reductions, stages_at, take_stages
from adapters.models.encoders.normalisation import Preprocessing
from adapters.models.encoders.preprocessing import in_multiples, prepare
from adapters.models.runtimes.compiler import Compiler
from adapters.models.runtimes.graphs import Graph, TorchGraph
from adapters.models.weights.local import UNTRAINED, load_state, mismatch, verify
from agent.domain.errors import ModelError
from agent.domain.frame import Image
from agent.ports import ImageSize
from agent.telemetry import Counters


class TimmBackbone:
    """An :class:`agent.ports.PatchEncoder` over a timm architecture and a local weights file.

    Convolutional networks give the last map at each stride of ``strides``; plain vision transformers the
    normalised patch tokens of the chosen ``blocks`` (None: the last one). A transformer takes sizes that are
    multiples of its patch; others are rounded to the nearest one.

    ``preprocessing`` and ``multiple`` define a batch for ``maps``.

    Args:
        name: timm's name of the architecture, with or without a weights tag.
        weights: safetensors, or a PyTorch file that loads with ``weights_only=True``. Every tensor that the
            features need must be there; classifier and later stages may be missing. None: random numbers,
            for timing alone.
        preprocessing: of the images in the network's training; None: as timm declares it for the name.
        compiler: gives a convolutional network to another runtime; None: it is PyTorch's.

    Raises:
        ModelError: the file is missing, damaged, of another architecture or has another digest.
    """

    def __init__(
        self,
        name: str,
        weights: Path | None,
        preprocessing: Preprocessing | None = None,
        *,
        sha256: str | None = None,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        strides: tuple[int, ...] = (8, 16),
        blocks: tuple[int, ...] | None = None,
        compiler: Compiler | None = None,
    ) -> None:
        self.name = f"timm:{name}"
        self.digest = UNTRAINED if weights is None else verify(weights, sha256)
        self._device, self._dtype = torch.device(device), dtype
        self._trunk = create_trunk(name)
        self._transformer = is_transformer(self._trunk)
        count = len(reductions(self._trunk))
        if self._transformer:
            self._stages = tuple(block % count for block in blocks or (count - 1,))
            self.multiple = reductions(self._trunk)[0]
        else:
            self._stages, self.multiple = stages_at(self._trunk, strides), 1
        self.preprocessing = preprocessing or _declared_preprocessing(self._trunk)
        known = set(self._trunk.state_dict())
        if hasattr(self._trunk, "prune_intermediate_layers"):
            self._trunk.prune_intermediate_layers(list(self._stages), prune_norm=False, prune_head=True)
        if weights is not None:
            self._load(name, weights, known)
        self._trunk.eval().requires_grad_(False).to(self._device, dtype, memory_format=torch.channels_last)
        self._graph: Graph | None = None
        if not self._transformer:
            part = DepthsPart(self.name, name, self._trunk, self._stages)
            self._graph = (compiler or Compiler()).compile(part, self.digest)
        self.runtime = TorchGraph.runtime if self._graph is None else self._graph.runtime
        self.counters = Counters()

    @torch.inference_mode()
    def encode_patches(
        self, images: Sequence[Image], size: ImageSize, *, keep_aspect: bool = False
    ) -> tuple[torch.Tensor, ...]:
        """Features of several depths, each (B, h_i, w_i, C_i) float32, of images resized to ``size``."""
        size = in_multiples(size, self.multiple)
        multiple = self.multiple if keep_aspect else None
        batch = prepare(images, size, self.preprocessing, self._device, self._dtype, keep_aspect=multiple)
        return self._depths(batch)

    def maps(self, batch: torch.Tensor) -> list[torch.Tensor]:
        """(B, C_i, h_i, w_i), cells in the middle of their pixels, of a batch (B, 3, H, W) on the network's
        device that is normalised by ``preprocessing``; sides are multiples of ``multiple``.
        """
        return [each.permute(0, 3, 1, 2) for each in self._depths(batch)]

    def _depths(self, batch: torch.Tensor) -> tuple[torch.Tensor, ...]:
        self.counters.add(DEPTHS, len(batch))
        if self._graph is not None:
            return self._graph(batch)[:-1]
        maps = take_stages(self._trunk, batch, self._stages, norm=True)  # a token lies amid its patch
        return tuple(each.permute(0, 2, 3, 1).float() for each in maps)

    def _load(self, name: str, weights: Path, known: set[str]) -> None:
        """Load strictly what the features need; the rest of the same architecture may be missing."""
        classifier = self._trunk.pretrained_cfg.get("classifier") or "classifier"
        heads = (classifier,) if isinstance(classifier, str) else tuple(classifier)
        own = self._trunk.state_dict()
        state = load_state(weights)
        foreign = [key for key in state if key not in known and not key.startswith(heads)]
        missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
        wrong = [key for key in own if key in state and state[key].shape != own[key].shape]
        if foreign or missing or wrong:
            raise mismatch(weights, name, [*missing, *wrong], foreign)
        self._trunk.load_state_dict({key: state[key] for key in own if key in state}, strict=False)


def create_trunk(name: str) -> Any:
    """timm's network of that name, without classifier, random. Raises ModelError."""
    import timm

    if not timm.is_model(name.split(".", maxsplit=1)[0]):
        raise ModelError(
            f"timm knows no architecture {name!r}; for example: mobilenetv2_100, vit_small_patch14_dinov2"
        )
    try:
        return timm.create_model(name, pretrained=False, num_classes=0, dynamic_img_size=True)
    except TypeError:  # only vision transformers know the option
        pass
    except RuntimeError as error:
        raise ModelError(f"timm cannot build {name!r}: {error}") from error
    try:
        return timm.create_model(name, pretrained=False, num_classes=0)
    except (RuntimeError, TypeError) as error:
        raise ModelError(f"timm cannot build {name!r}: {error}") from error


def _declared_preprocessing(trunk: Any) -> Preprocessing:
    declared = trunk.pretrained_cfg
    return Preprocessing(
        mean=tuple(declared["mean"]),
        std=tuple(declared["std"]),
        interpolation="bilinear" if declared.get("interpolation") == "bilinear" else "bicubic",
    )
