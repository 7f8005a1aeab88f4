"""``GroundingDino``: transformers' detector from a local folder, words to boxes (METHODS sections 3.2, 5)."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from adapters.models.weights.checksums import combined, verify
from adapters.models.weights.local import PULL_HINT
from agent.domain.errors import ModelError
from agent.domain.frame import Image
from agent.ports import Detections

_log = logging.getLogger(__name__)

WEIGHTS_FILE = "model.safetensors"
_NEEDED = ("config.json", "preprocessor_config.json", WEIGHTS_FILE)
_READ = (".json", ".safetensors", ".txt")
"""The files of a folder that a detection uses: configuration, weights, vocabulary."""
_MODEL_TYPES = frozenset({"grounding-dino", "mm-grounding-dino"})
_SEPARATORS = str.maketrans({".": " ", "?": " "})
"""The model ends a sub-sentence at these, so inside a phrase they become spaces."""


class _Pass(NamedTuple):
    """One image with one caption."""

    image: int
    caption: str


class Parts(NamedTuple):
    """The contents of a folder, loaded."""

    model: Any
    """A ``GroundingDinoForObjectDetection``."""
    tokenizer: Any
    processor: Any
    digest: str
    """sha256 over the files."""


class GroundingDino:
    """An :class:`agent.ports.Detector` over a folder as ``save_pretrained`` writes it.

    The folder's preprocessor resizes images (shorter side 800, longer at most 1333). Only images of equal
    size share a batch, so that no padding changes the result: a batch of two equals two batches of one.

    Args:
        source: a folder with ``config.json``, ``model.safetensors``, ``preprocessor_config.json`` and the
            tokenizer; or the parts themselves, which need a ``name``.
        expected: sha256 by file name; any other content is refused.
        dtype: of the matrix products, by autocast. Boxes and the places of deformable attention stay in
            float32: eight bits of mantissa are five pixels of a frame.
        batch: most images in one pass.

    Raises:
        ModelError: a file is missing or damaged, has another digest, or is of another architecture.
    """

    def __init__(
        self,
        source: Path | Parts,
        *,
        name: str | None = None,
        expected: Mapping[str, str] | None = None,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        batch: int = 4,
    ) -> None:
        parts = source if isinstance(source, Parts) else _load(source, expected or {})
        self.name = name or (source.name if isinstance(source, Path) else "grounding-dino")
        self.digest = parts.digest
        self._device, self._dtype, self._batch = torch.device(device), dtype, batch
        self._model, self._tokenizer, self._processor = parts.model, parts.tokenizer, parts.processor
        self._model.eval().requires_grad_(False).to(self._device)
        self.token_limit = min(int(self._model.config.max_text_len), int(self._tokenizer.model_max_length))
        full_stop = self._tokenizer.convert_tokens_to_ids(".")
        self._wordless = frozenset([*self._tokenizer.all_special_ids, full_stop])

    def detect(
        self,
        images: Sequence[Image],
        phrases: Sequence[Sequence[str]],
        *,
        box_threshold: float,
        text_threshold: float,
    ) -> list[Detections]:
        """Boxes for the phrases of each image, the highest score first, before any suppression.

        A box is kept if its highest sigmoid over the caption's tokens is above ``box_threshold``. Its phrase
        is every token above ``text_threshold``: words of several phrases, or none. Boxes are the model's
        own and may extend a little beyond the image.

        Raises:
            ModelError: a phrase alone has more tokens than the text encoder takes, an image is not
                (H, W, 3) uint8, or there is not one sequence of phrases for each image.
        """
        if len(images) != len(phrases):
            raise ModelError(f"{len(images)} images have {len(phrases)} lists of phrases; each needs one")
        by_size: dict[tuple[int, ...], list[_Pass]] = defaultdict(list)
        for index, (image, wanted) in enumerate(zip(images, phrases, strict=True)):
            if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
                raise ModelError(
                    f"a detector takes RGB images of 8 bits, shape (H, W, 3); not {image.shape} {image.dtype}"
                )
            by_size[image.shape] += [_Pass(index, caption) for caption in self.captions(wanted)]
        found: list[list[Detections]] = [[] for _ in images]
        for passes in by_size.values():
            for start in range(0, len(passes), self._batch):
                together = passes[start : start + self._batch]
                results = self._run(images, together, box_threshold, text_threshold)
                for each, detections in zip(together, results, strict=True):
                    found[each.image].append(detections)
        return [_merge(each) for each in found]

    def captions(self, phrases: Sequence[str]) -> list[str]:
        """Phrases as captions, ``a. b. c.`` in lower case, each within the text encoder's tokens.

        Raises ModelError if one phrase alone is longer.
        """
        captions: list[str] = []
        current: list[str] = []
        for phrase in phrases:
            words = " ".join(phrase.translate(_SEPARATORS).lower().split())
            if not words:
                continue
            if current and self._length([*current, words]) > self.token_limit:
                captions.append(_caption(current))
                current = []
            current.append(words)
            if len(current) == 1 and (length := self._length(current)) > self.token_limit:
                raise ModelError(
                    f"the phrase {words[:40]!r}... has {length} tokens; {self.name} takes "
                    f"{self.token_limit}: shorten it"
                )
        return [*captions, _caption(current)] if current else captions

    def _length(self, phrases: Sequence[str]) -> int:
        return len(self._tokenizer(_caption(phrases), verbose=False)["input_ids"])

    @torch.inference_mode()
    def _run(
        self, images: Sequence[Image], passes: Sequence[_Pass], box_threshold: float, text_threshold: float
    ) -> list[Detections]:
        arrays = [np.ascontiguousarray(images[each.image]) for each in passes]
        seen = self._processor(images=arrays, input_data_format="channels_last", return_tensors="pt")
        words = self._tokenizer(
            [each.caption for each in passes], padding=True, return_token_type_ids=True, return_tensors="pt"
        ).to(self._device)
        half = self._dtype != torch.float32
        with torch.autocast(self._device.type, self._dtype if half else torch.bfloat16, enabled=half):
            outputs = self._model(
                pixel_values=seen["pixel_values"].to(self._device),
                pixel_mask=seen["pixel_mask"].to(self._device),
                input_ids=words["input_ids"],
                token_type_ids=words["token_type_ids"],
                attention_mask=words["attention_mask"],
            )
        ids = words["input_ids"].cpu()
        probabilities = outputs.logits.float().sigmoid().cpu()[:, :, : ids.shape[1]]
        boxes = outputs.pred_boxes.float().cpu()
        return [
            self._read(probabilities[i], boxes[i], ids[i], arrays[i].shape, box_threshold, text_threshold)
            for i in range(len(passes))
        ]

    def _read(
        self,
        probabilities: torch.Tensor,
        boxes: torch.Tensor,
        ids: torch.Tensor,
        shape: tuple[int, ...],
        box_threshold: float,
        text_threshold: float,
    ) -> Detections:
        """(Q, L) token probabilities and (Q, 4) relative boxes of one pass as detections."""
        scores = probabilities.amax(dim=1)
        kept = scores > box_threshold
        probabilities, scores = probabilities[kept], scores[kept]
        centres, sizes = boxes[kept][:, :2], boxes[kept][:, 2:]
        scale = torch.tensor([shape[1], shape[0]] * 2)
        corners = torch.cat([centres - sizes / 2, centres + sizes / 2], dim=1) * scale
        worded = torch.tensor([token not in self._wordless for token in ids.tolist()])
        phrases = tuple(
            str(self._tokenizer.decode(ids[row].tolist())).strip() if bool(row.any()) else ""
            for row in (probabilities > text_threshold) & worded
        )
        return Detections(corners.numpy().astype(np.float32), scores.numpy().astype(np.float32), phrases)


def _caption(phrases: Sequence[str]) -> str:
    return ". ".join(phrases) + "."


def _merge(found: Sequence[Detections]) -> Detections:
    """The passes of one image as one, the highest score first."""
    boxes = np.concatenate([np.zeros((0, 4), np.float32), *(each.boxes for each in found)])
    scores = np.concatenate([np.zeros(0, np.float32), *(each.scores for each in found)])
    phrases = [phrase for each in found for phrase in each.phrases]
    order = np.argsort(-scores, kind="stable")
    return Detections(boxes[order], scores[order], tuple(phrases[index] for index in order))


def _digest(folder: Path, expected: Mapping[str, str]) -> str:
    missing = [name for name in _NEEDED if not (folder / name).is_file()]
    if missing:
        raise ModelError(f"the detector in {folder} lacks {', '.join(missing)}: {PULL_HINT}")
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.suffix in _READ)
    return combined({path.name: verify(path, expected.get(path.name)) for path in files})


def _load(folder: Path, expected: Mapping[str, str]) -> Parts:
    """Model, tokenizer and image processor, from files alone. Raises ModelError."""
    digest = _digest(folder, expected)
    from safetensors import SafetensorError
    from transformers import (
        AutoConfig,
        AutoImageProcessor,
        AutoModelForZeroShotObjectDetection,
        AutoTokenizer,
    )
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    try:
        # A folder may name code of its own, which is not loaded.
        only_data = {"local_files_only": True, "trust_remote_code": False}
        config = AutoConfig.from_pretrained(folder, **only_data)
        if config.model_type not in _MODEL_TYPES:
            raise ModelError(
                f"{folder} holds a model of the type {config.model_type}; a detector is one of "
                f"{', '.join(sorted(_MODEL_TYPES))}"
            )
        tokenizer = AutoTokenizer.from_pretrained(folder, **only_data)
        processor = AutoImageProcessor.from_pretrained(folder, **only_data)
        model, loading = AutoModelForZeroShotObjectDetection.from_pretrained(
            folder, config=config, use_safetensors=True, output_loading_info=True, **only_data
        )
    except (OSError, ValueError, RuntimeError, TypeError, KeyError, SafetensorError) as error:
        first_line = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise ModelError(
            f"the detector in {folder} cannot be loaded ({first_line}); damaged files: run "
            "`sightline models pull --force`"
        ) from error
    missing = sorted(loading["missing_keys"])
    if missing:
        # transformers would continue with random numbers in their place.
        raise ModelError(
            f"the weights in {folder} lack {len(missing)} tensors of the model, {missing[0]} for one: "
            "run `sightline models pull --force`"
        )
    if loading["unexpected_keys"]:
        _log.info("%s holds %d tensors that the model does not use", folder, len(loading["unexpected_keys"]))
    return Parts(model, tokenizer, processor, digest)
