"""``OpenClipEncoder``: CLIP models of open_clip from local files; images and texts in one space."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from adapters.models.encoders.convolutional import ConvolutionalTower
from adapters.models.encoders.normalisation import Preprocessing
from adapters.models.encoders.open_clip_library import import_open_clip
from adapters.models.encoders.preprocessing import in_multiples, prepare
from adapters.models.encoders.towers import Tower, TransformerTower, encode_windows
from adapters.models.runtimes.compiler import Compiler
from adapters.models.weights.local import UNTRAINED, load_into, load_state, verify
from agent.domain.errors import ModelError
from agent.domain.frame import Image
from agent.ports import ImageFeatures, ImagePass, ImageSize, WindowPass

TEXT_BATCH = 256
"""Texts encoded in one pass."""
STRIDES = (8, 16)
"""Strides at which a convolutional tower gives its few-shot features."""
_AT_THE_END = frozenset({"argmax", "eos"})
"""Poolings that read a text's end token."""


class OpenClipEncoder:
    """An :class:`agent.ports.ImageTextEncoder` over an open_clip architecture and a local weights file.

    Image towers: ``VisionTransformer`` (patches by GEM, any multiple of the patch size) and ``TimmModel``
    around a convolutional network (patches through the global head, any size). All outputs are float32 on
    the device.

    Args:
        architecture: a name that open_clip knows, or the path of a JSON file with its model configuration.
        weights: safetensors, or a PyTorch file that loads with ``weights_only=True``; None: random numbers,
            for timing alone.
        preprocessing: of the images in the model's training.
        sha256: refuse any other weights file.
        dtype: of the image tower. Texts are embedded once and their differences are small, so the text tower
            stays in float32, as do position tables and all outputs (METHODS section 7.2).
        strides: which stages of a convolutional tower are the depths.
        output_stride: let a convolutional tower keep its last maps at this stride, dilated.
        blocks: which blocks of a transformer are the depths; None for FADE's few-shot features, the
            projected patch tokens of the last block.
        compiler: gives a convolutional tower to another runtime; None: all of it is PyTorch's.

    Raises:
        ModelError: the file is missing, damaged, of another architecture or has another digest.
    """

    def __init__(
        self,
        architecture: str | Path,
        weights: Path | None,
        preprocessing: Preprocessing,
        *,
        name: str | None = None,
        sha256: str | None = None,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        strides: tuple[int, ...] = STRIDES,
        output_stride: int | None = None,
        blocks: tuple[int, ...] | None = None,
        compiler: Compiler | None = None,
    ) -> None:
        configuration, default_name = read_architecture(architecture)
        self.name = name or default_name
        self.digest = UNTRAINED if weights is None else verify(weights, sha256)
        self._preprocessing, self._device, self._dtype = preprocessing, torch.device(device), dtype
        self._model = build_model(configuration, self.name)
        if weights is not None:
            load_into(self._model, convert(self._model, load_state(weights)), weights, self.name)
        self._model.eval().requires_grad_(False).to(self._device)
        self._tokenizer = _tokenizer(configuration)
        self.dimensions = int(configuration["embed_dim"])
        self.logit_scale = float(self._model.logit_scale.float().exp())
        self._tower = self._build_tower(configuration, strides, output_stride, blocks, compiler or Compiler())
        self.runtime, self.counters = self._tower.runtime, self._tower.counters
        self._model.visual.to(dtype, memory_format=torch.channels_last)

    @torch.inference_mode()
    def start_pass(self, images: Sequence[Image], size: ImageSize, *, keep_aspect: bool = False) -> ImagePass:
        """The images as far as their depths, each (B, h_i, w_i, C_i)."""
        multiple = self._tower.multiple if keep_aspect else None
        return self._tower.start(self._prepare(images, size, keep_aspect=multiple))

    def encode_images(self, images: Sequence[Image], size: ImageSize) -> ImageFeatures:
        """Embeddings (B, D), patches (B, h, w, D) and depths of images resized to ``size``."""
        return self.start_pass(images, size).finish()

    def encode_patches(
        self, images: Sequence[Image], size: ImageSize, *, keep_aspect: bool = False
    ) -> tuple[torch.Tensor, ...]:
        """The depths alone, each (B, h_i, w_i, C_i); the pass ends at the deepest of them."""
        return self.start_pass(images, size, keep_aspect=keep_aspect).depths

    @torch.inference_mode()
    def encode_windows(self, images: Sequence[Image], size: ImageSize, sides: Sequence[int]) -> WindowPass:
        """WinCLIP's windows (:class:`agent.ports.WindowEncoder`). Raises ModelError without a ViT tower."""
        if not isinstance(self._tower, TransformerTower):
            raise ModelError(
                f"{self.name} has no windows of patches: its image tower is not a vision transformer; "
                "choose ViT-B-16-plus-240 for winclip"
            )
        return encode_windows(self._tower, self._prepare(images, size), sides)

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """(N, D) text embeddings of unit length; texts longer than the context are cut, as CLIP does."""
        if not texts:
            return torch.zeros(0, self.dimensions, device=self._device)
        embedded = []
        for start in range(0, len(texts), TEXT_BATCH):
            tokens = self._tokenizer(list(texts[start : start + TEXT_BATCH])).to(self._device)
            embedded.append(F.normalize(embed_texts(self._model, tokens).float(), dim=-1))
        return torch.cat(embedded)

    def _build_tower(
        self,
        configuration: dict[str, Any],
        strides: tuple[int, ...],
        output_stride: int | None,
        blocks: tuple[int, ...] | None,
        compiler: Compiler,
    ) -> Tower:
        from open_clip.timm_model import TimmModel
        from open_clip.transformer import VisionTransformer

        visual = self._model.visual
        if isinstance(visual, VisionTransformer):
            return TransformerTower(visual, blocks)
        if isinstance(visual, TimmModel):
            return ConvolutionalTower(
                visual,
                strides,
                output_stride,
                compiler,
                name=self.name,
                architecture=json.dumps(configuration["vision_cfg"], sort_keys=True),
                digest=self.digest,
            )
        raise ModelError(
            f"image towers of the kind {type(visual).__name__} are not supported; choose another model"
        )

    def _prepare(
        self, images: Sequence[Image], size: ImageSize, *, keep_aspect: int | None = None
    ) -> torch.Tensor:
        if isinstance(size, tuple):
            size = in_multiples(size, self._tower.multiple)
        return prepare(images, size, self._preprocessing, self._device, self._dtype, keep_aspect=keep_aspect)


def read_architecture(architecture: str | Path) -> tuple[dict[str, Any], str]:
    """The model configuration and a name for it. Raises ModelError if there is none."""
    path = Path(architecture)
    if path.suffix == ".json":
        try:
            configuration = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ModelError(f"there is no model configuration {path}") from None
        except (OSError, ValueError) as error:
            raise ModelError(f"the model configuration {path} cannot be read as JSON: {error}") from error
        # Files saved for a hub wrap the configuration and add the preprocessing.
        configuration = (
            configuration.get("model_cfg", configuration) if isinstance(configuration, dict) else {}
        )
        name = path.stem
    else:
        name = str(architecture)
        configuration = import_open_clip().get_model_config(name) or {}
        if not configuration:
            raise ModelError(f"open_clip knows no architecture {name!r}; see `sightline models list`")
    missing = {"embed_dim", "vision_cfg", "text_cfg"} - configuration.keys()
    if missing:
        raise ModelError(f"the model configuration {name} lacks {', '.join(sorted(missing))}")
    return configuration, name


def build_model(configuration: dict[str, Any], name: str) -> Any:
    """The open_clip module with random weights; nothing is downloaded. Raises ModelError."""
    import_open_clip()
    from open_clip.model import CLIP, CustomTextCLIP

    settings = copy.deepcopy(configuration)
    text, vision = settings["text_cfg"], settings["vision_cfg"]
    if text.get("hf_model_name") or text.get("hf_tokenizer_name"):
        raise ModelError(
            f"the text tower of {name} comes from a hub; only open_clip's own text towers are supported"
        )
    vision["timm_model_pretrained"] = False
    custom = settings.pop("custom_text", False)
    for key in ("multimodal_cfg", "custom_text"):
        if settings.pop(key, None):
            raise ModelError(f"the architecture {name} is not a plain CLIP ({key}); choose another")
    try:
        return (CustomTextCLIP if custom else CLIP)(**settings)
    except (TypeError, ValueError, RuntimeError, AssertionError, KeyError) as error:
        raise ModelError(f"open_clip cannot build the architecture {name}: {error}") from error


def convert(model: Any, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename tensors of known other implementations to open_clip's names."""
    from open_clip.convert import convert_state_dict

    if not state:
        return state
    converted: dict[str, torch.Tensor] = convert_state_dict(model, state)
    if "logit_scale" in converted:
        converted["logit_scale"] = converted["logit_scale"].reshape(model.logit_scale.shape)
    # OpenAI's own files carry these three numbers beside the weights.
    return {
        k: v for k, v in converted.items() if k not in {"input_resolution", "context_length", "vocab_size"}
    }


def embed_texts(model: Any, tokens: torch.Tensor) -> torch.Tensor:
    """(N, D) embeddings, not normalised, of (N, context) token numbers padded with zeros.

    A causal tower that reads the end token sees nothing of the padding behind it. A prompt has some 15 of
    the 77 tokens, so cutting the padding off gives the same numbers in a fifth of the time. Other towers get
    their padding.
    """
    pooling = getattr(model, "text_pool_type", None)
    if pooling not in _AT_THE_END or getattr(model, "attn_mask", None) is None:
        whole: torch.Tensor = model.encode_text(tokens)
        return whole
    from open_clip.transformer import text_global_pool

    count = int((tokens != 0).nonzero()[:, 1].max()) + 1  # 0 is "!" too, but never the end token
    tokens = tokens[:, :count]
    stream = model.token_embedding(tokens) + model.positional_embedding[:count]
    stream = model.ln_final(model.transformer(stream, attn_mask=model.attn_mask[:count, :count]))
    pooled = text_global_pool(stream, tokens, pooling, eos_token_id=getattr(model, "text_eos_id", None))
    if model.text_projection is None:
        return pooled
    if isinstance(model.text_projection, torch.nn.Linear):
        projected: torch.Tensor = model.text_projection(pooled)
        return projected
    return pooled @ model.text_projection


def _tokenizer(configuration: dict[str, Any]) -> Any:
    from open_clip.tokenizer import SimpleTokenizer

    text = configuration["text_cfg"]
    return SimpleTokenizer(
        context_length=text.get("context_length", 77), **(text.get("tokenizer_kwargs") or {})
    )
