"""``untrained_clip`` and others: every model at its true size with random weights, for timing alone.

Their outputs mean nothing, but their work and memory are those of the real models. So a machine can be
measured before it has any weights. Nothing is read and nothing is downloaded.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from adapters.models.detectors.grounding_dino import GroundingDino, Parts
from adapters.models.detectors.sam import BUILDERS, Sam
from adapters.models.encoders.backbone import TimmBackbone
from adapters.models.encoders.clip import OpenClipEncoder
from adapters.models.encoders.normalisation import CLIP_PREPROCESSING
from adapters.models.encoders.vocabulary import VOCABULARY
from adapters.models.registry import Device, bundled_folder
from adapters.models.runtimes.compiler import Compiler
from adapters.models.weights.catalogue import KNOWN, names, timm_network
from adapters.models.weights.local import UNTRAINED
from agent.domain.errors import ModelError

SEED = 0
VOCABULARY_SIZE = 30_522
"""Of BERT, uncased."""
_BERT_TOKENS = MappingProxyType(
    {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]", 1012: ".", 1029: "?"}
)
"""The tokens that Grounding DINO knows by number: they separate the sentences of its captions."""
_FIRST_WORD = 2000
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789-',"

SWINS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "grounding-dino-tiny": {},  # GroundingDinoConfig's own default: Swin-T at 224 with windows of 7
        "grounding-dino-base": {
            "image_size": 384,
            "embed_dim": 128,
            "depths": [2, 2, 18, 2],
            "num_heads": [4, 8, 16, 32],
            "window_size": 12,
            "out_indices": [2, 3, 4],
        },
    }
)
"""The image towers of the published checkpoints; all else is the default of ``GroundingDinoConfig``. They
give 172.25 and 232.3 million parameters (METHODS section 5)."""


def untrained_clip(
    name: str,
    *,
    device: Device = "cpu",
    dtype: torch.dtype = torch.float32,
    compiler: Compiler | None = None,
) -> OpenClipEncoder:
    """A known vision-language model, or any of open_clip's. Raises ModelError for other names."""
    known = KNOWN.get(name)
    if known is not None and known.kind != "clip":
        raise ModelError(f"{name!r} is a {known.kind}, not a vision-language model")
    torch.manual_seed(SEED)
    return OpenClipEncoder(
        bundled_folder() / known.architecture if known is not None and known.bundled else name,
        None,
        known.preprocessing if known is not None and known.preprocessing else CLIP_PREPROCESSING,
        name=name,
        device=device,
        dtype=dtype,
        output_stride=known.output_stride if known is not None else None,
        compiler=compiler,
    )


def untrained_backbone(
    name: str,
    *,
    device: Device = "cpu",
    dtype: torch.dtype = torch.float32,
    compiler: Compiler | None = None,
) -> TimmBackbone:
    """A few-shot backbone by ``timm:NAME``. Raises ModelError for names that timm does not know."""
    architecture, preprocessing = timm_network(name)
    torch.manual_seed(SEED)
    return TimmBackbone(architecture, None, preprocessing, device=device, dtype=dtype, compiler=compiler)


def untrained_segmenter(name: str, *, device: Device = "cpu", dtype: torch.dtype = torch.float32) -> Sam:
    """A SAM with its size in its name. Raises ModelError for other names."""
    architecture = next((size for size in BUILDERS if size in name), None)
    if architecture is None:
        raise ModelError(f"there is no segmenter {name!r}; known are {', '.join(names('segmenter'))}")
    torch.manual_seed(SEED)
    return Sam(architecture, None, device=device, dtype=dtype)


def untrained_detector(
    name: str, *, device: Device = "cpu", dtype: torch.dtype = torch.float32
) -> GroundingDino:
    """A Grounding DINO by name, with a stand-in for BERT's vocabulary. Raises ModelError for other names."""
    from transformers import (
        GroundingDinoConfig,
        GroundingDinoForObjectDetection,
        GroundingDinoImageProcessor,
        SwinConfig,
    )

    if name not in SWINS:
        raise ModelError(f"there is no detector {name!r}; known are {', '.join(SWINS)}")
    tower = SWINS[name]
    config = GroundingDinoConfig(backbone_config=SwinConfig(**tower)) if tower else GroundingDinoConfig()
    torch.manual_seed(SEED)
    model = GroundingDinoForObjectDetection(config)
    parts = Parts(model, stand_in_tokenizer(), GroundingDinoImageProcessor(), UNTRAINED)
    return GroundingDino(parts, name=name, device=device, dtype=dtype)


def stand_in_tokenizer() -> Any:
    """BERT's tokenizer over a vocabulary of the same size: the prompts' words, and letters for all others.

    The real vocabulary is a file of the checkpoint. Common words are one token in both, so captions are about
    equally long; the tokens themselves differ.
    """
    from transformers import BertTokenizer

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "vocab.txt"
        file.write_text("\n".join(_vocabulary()), encoding="utf-8")
        return BertTokenizer(str(file), model_max_length=512)


def _vocabulary() -> list[str]:
    tokens = [f"[unused{index}]" for index in range(VOCABULARY_SIZE)]
    for index, token in _BERT_TOKENS.items():
        tokens[index] = token
    words = list(dict.fromkeys(_words()))
    tokens[_FIRST_WORD : _FIRST_WORD + len(words)] = words
    return tokens


def _words() -> Iterator[str]:
    from agent.methods.prompt_library import library

    for letter in _LETTERS:
        yield letter
        yield f"##{letter}"
    prompts = library()
    texts = (*VOCABULARY, *prompts.normal, *prompts.anomalous, *(defect.name for defect in prompts.defects))
    for text in texts:
        for word in text.lower().replace("-", " ").split():
            yield word.strip(".,;:!?'\"()")
