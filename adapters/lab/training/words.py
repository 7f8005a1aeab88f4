"""``teach_words``: the last stages, the projection and the text tower learn words.

The trunk up to stride 16 is frozen, so the few-shot features stay as they are. Its output is computed once
for every image of the pool, every other pair in other colours. The losses compare images and places with
words.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from adapters.lab.training.dataset import colour_jitter_together, shown_at
from adapters.lab.training.distill import advance, cosine_rate, decay_groups, set_rate
from adapters.lab.training.linepool import LinePool
from adapters.lab.training.networks import device_of, to_network
from adapters.lab.training.progress import Progress
from adapters.models.encoders.clip import build_model, read_architecture
from adapters.models.encoders.convolutional import densify
from adapters.models.registry import BUNDLED, KNOWN, bundled_folder
from adapters.simulator.captions import SYNONYMS
from agent.domain.prompts import COMMON_DEFECTS, compositional_ensemble

FROZEN_STAGES = 5
"""Stages 0 to 4: strides 2 to 16."""
KINDS = tuple(SYNONYMS)
"""Kinds of defect that a region can be named."""


@dataclass(frozen=True, slots=True)
class WordsSettings:
    """How long and how hard words are taught."""

    steps: int = 1000
    pairs: int = 10
    side: int = 320
    """Images are shown at this side, as the profile shows them."""
    crop: int = 15
    """Side of the window on the 20 x 20 map that most steps see; the others see the whole map."""
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.02
    prompts: int = 5
    """Prompts of each state and product drawn in a step."""
    seed: int = 0


def build(trunk_state: dict[str, torch.Tensor]) -> Any:
    """The bundled architecture around a distilled trunk, at its dense output stride."""
    known = KNOWN[BUNDLED]
    model = build_model(read_architecture(bundled_folder() / known.architecture)[0], BUNDLED)
    own = {key: value for key, value in trunk_state.items() if not key.startswith("classifier")}
    left = model.visual.trunk.load_state_dict(own, strict=False)
    if set(left.missing_keys) - {"classifier.weight", "classifier.bias"} or left.unexpected_keys:
        raise ValueError(f"not a trunk of this architecture: {left}")
    if known.output_stride is not None:
        densify(model.visual.trunk, known.output_stride)
    return model.to(memory_format=torch.channels_last)


def early(trunk: Any, batch: torch.Tensor) -> torch.Tensor:
    """The frozen part: images (B, 3, H, W) to features (B, 96, H / 16, W / 16)."""
    features = trunk.bn1(trunk.conv_stem(batch))
    for stage in trunk.blocks[:FROZEN_STAGES]:
        features = stage(features)
    return features


def late(trunk: Any, features: torch.Tensor) -> torch.Tensor:
    """The trained part: to the last map (B, 1280, h, w)."""
    for stage in trunk.blocks[FROZEN_STAGES:]:
        features = stage(features)
    return trunk.bn2(trunk.conv_head(features))


@torch.inference_mode()
def cache(trunk: Any, pool: LinePool, path: Path, settings: WordsSettings) -> np.ndarray:
    """(N, h, w, 96) float16 frozen features of the pool; every other pair in other colours than drawn."""
    if path.exists():
        return np.load(path, mmap_mode="r")
    trunk.eval()
    generator = torch.Generator().manual_seed(settings.seed)
    table: np.ndarray | None = None
    for start in range(0, len(pool.images), 32):
        images = (
            torch.from_numpy(np.array(pool.images[start : start + 32])).permute(0, 3, 1, 2).float().div_(255)
        )
        # Both of a pair get the same colours: the defect stays the only difference.
        jittered = colour_jitter_together(images, 2, generator)
        odd = torch.arange(len(images)) // 2 % 2 == 1
        images[odd] = jittered[odd]
        shown = shown_at(images.to(device_of(trunk)), settings.side)
        found = early(trunk, to_network(shown))
        features = found.permute(0, 2, 3, 1).half().cpu().numpy()
        if table is None:
            shape = (len(pool.images), *features.shape[1:])
            table = np.lib.format.open_memmap(
                path.with_suffix(".partial"), mode="w+", dtype=np.float16, shape=shape
            )
        table[start : start + 32] = features
    if table is None:
        raise ValueError("the pool is empty")
    path.with_suffix(".partial").rename(path)
    return np.load(path, mmap_mode="r")


@dataclass(frozen=True, slots=True)
class Batch:
    """Features, masks and words of 2 P images, good and defective in turn."""

    features: torch.Tensor
    coverage: torch.Tensor
    defective: torch.Tensor
    chosen: list[int]
    captions: list[str]

    def to(self, device: torch.device) -> Batch:
        """Its tensors there."""
        return replace(
            self,
            features=self.features.to(device),
            coverage=self.coverage.to(device),
            defective=self.defective.to(device),
        )


def draw_batches(
    pool: LinePool, table: np.ndarray, settings: WordsSettings, steps: Iterable[int]
) -> Iterator[Batch]:
    """A batch of pairs for each step, cropped and flipped alike within a pair.

    It follows from the seed and the number of its step alone.
    """
    pairs = len(pool.records) // 2
    for step in steps:
        rng = np.random.default_rng([settings.seed, step, 0xB00])
        side = settings.crop if rng.random() < 0.7 else table.shape[1]
        count = settings.pairs if side == settings.crop else max(4, settings.pairs // 2)
        features, coverage, chosen, words = [], [], [], []
        for pair in rng.choice(pairs, min(count, pairs), replace=False).tolist():
            both = np.array(table[2 * pair : 2 * pair + 2], np.float32)
            masks = pool.masks[2 * pair : 2 * pair + 2].astype(np.float32) / 255
            masks = np.stack([_covered(mask, both.shape[1]) for mask in masks])
            top, left = _place(masks[1], side, rng)
            window = (slice(None), slice(top, top + side), slice(left, left + side))
            both, masks = both[window], masks[window]
            if rng.random() < 0.5:
                both, masks = both[:, :, ::-1], masks[:, :, ::-1]
            if rng.random() < 0.5:
                both, masks = both.swapaxes(1, 2), masks.swapaxes(1, 2)
            features.append(both)
            coverage.append(masks)
            for index in (2 * pair, 2 * pair + 1):
                chosen.append(index)
                words.append(pool.records[index].captions[rng.integers(len(pool.records[index].captions))])
        stacked = np.ascontiguousarray(np.concatenate(features))
        covered = torch.from_numpy(np.ascontiguousarray(np.concatenate(coverage)))
        # A window that misses the defect shows a good part.
        defective = (covered.amax((1, 2)) >= 0.03).float()
        yield Batch(torch.from_numpy(stacked).permute(0, 3, 1, 2), covered, defective, chosen, words)


def _covered(mask: np.ndarray, side: int) -> np.ndarray:
    """(side, side) the share of each cell that a mask of other cells covers."""
    return np.asarray(cv2.resize(mask, (side, side), interpolation=cv2.INTER_AREA), np.float32)


def _place(coverage: np.ndarray, side: int, rng: np.random.Generator) -> tuple[int, int]:
    """Corner of a window on the map; four times of five the window holds the defect's strongest place."""
    free = coverage.shape[0] - side
    corner = rng.integers(0, free + 1, 2)
    if rng.random() < 0.8 and coverage.max() > 0:
        peak = np.array(np.unravel_index(coverage.argmax(), coverage.shape))
        corner = np.clip(peak - rng.integers(0, side, 2), 0, free)
    return int(corner[0]), int(corner[1])


def draw_prompts(noun: str, count: int, rng: np.random.Generator) -> tuple[list[str], list[str]]:
    """``count`` normal and ``count`` anomalous prompts of the ensemble for a noun."""
    prompts = compositional_ensemble(noun)
    normal = [prompts.normal[index] for index in rng.choice(len(prompts.normal), count, replace=False)]
    anomalous = [
        prompts.anomalous[index] for index in rng.choice(len(prompts.anomalous), count, replace=False)
    ]
    return normal, anomalous


def draw_phrases(rng: np.random.Generator) -> list[str]:
    """One phrase for each kind of defect."""
    common = {defect.name: defect.phrases for defect in COMMON_DEFECTS}
    choices = [(*SYNONYMS[kind], *common.get(kind, ()), kind) for kind in KINDS]
    return [words[int(rng.integers(len(words)))] for words in choices]


class Words:
    """The text side of one step: all of its texts, encoded in one pass."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self._model, self._tokenizer = model, tokenizer
        self._tokens: dict[str, torch.Tensor] = {}

    def encode(self, texts: Sequence[str]) -> torch.Tensor:
        """(N, D) unit embeddings with gradients."""
        for text in texts:
            if text not in self._tokens:
                self._tokens[text] = self._tokenizer([text])[0]
        tokens = torch.stack([self._tokens[text] for text in texts]).to(device_of(self._model))
        return F.normalize(self._model.encode_text(tokens), dim=-1)


def step_loss(
    model: Any, words: Words, batch: Batch, pool: LinePool, settings: WordsSettings, rng: np.random.Generator
) -> tuple[torch.Tensor, dict[str, float]]:
    """All losses of one batch."""
    records = [pool.records[index] for index in batch.chosen]
    nouns = [*sorted({record.noun for record in records}), "object"]
    prompts = [draw_prompts(noun, settings.prompts, rng) for noun in nouns]
    spoken = [text for normal, anomalous in prompts for text in (*normal, *anomalous)]
    embedded = words.encode([*batch.captions, *draw_phrases(rng), *spoken])
    captions, phrases, states = embedded.split([len(records), len(KINDS), len(spoken)])
    means = states.view(len(nouns), 2, settings.prompts, -1).mean(2)
    directions = means[:, 1] - means[:, 0]
    # Half of the images are asked about by their own noun, half as "object".
    generic = np.repeat(rng.random(len(records) // 2) < 0.35, 2)
    own = [nouns.index(record.noun) for record in records]
    direction = directions[np.where(generic, len(nouns) - 1, own).tolist()]
    trunk, scale = model.visual.trunk, model.logit_scale.exp().clamp(max=100)
    last = late(trunk, batch.features.contiguous(memory_format=torch.channels_last))
    images = F.normalize(trunk.forward_head(last), dim=-1)
    doubled = last.permute(0, 2, 3, 1)
    patches = F.normalize(trunk.classifier(torch.cat([doubled, doubled], -1)), dim=-1)
    family = [record.family for record in records]
    state = [bool(flag) for flag in batch.defective.bool()]
    same = torch.tensor(
        [
            [a == b and s == t for b, t in zip(family, state, strict=True)]
            for a, s in zip(family, state, strict=True)
        ],
        device=images.device,
    )
    # A window without the defect does not deserve the caption of a defective image.
    fitting = torch.tensor(
        [(record.defect is not None) == flag for record, flag in zip(records, state, strict=True)],
        device=images.device,
    )
    kinds = [
        KINDS.index(record.defect) if record.defect is not None and flag else -1
        for record, flag in zip(records, state, strict=True)
    ]
    losses = {
        "caption": caption_loss(images[fitting], captions[fitting], scale, same[fitting][:, fitting]),
        "state": state_loss(images, direction, scale, batch.defective),
        "dense": dense_loss(patches, direction, scale, batch.coverage),
        "peak": peak_loss(patches, direction, scale, batch.defective),
        "name": naming_loss(patches, phrases, scale, batch.coverage, kinds),
    }
    weights = {"caption": 0.5, "state": 1.0, "dense": 1.0, "peak": 0.5, "name": 0.2}
    nothing = torch.zeros((), device=images.device)
    total = sum((weights[key] * loss for key, loss in losses.items()), nothing)
    return total, {key: float(loss.detach()) for key, loss in losses.items()}


def teach_words(
    model: Any,
    tokenizer: Any,
    pool: LinePool,
    table: np.ndarray,
    settings: WordsSettings,
    *,
    folder: Path,
    fresh: bool = True,
) -> None:
    """Train the late stages, the projection and the text tower in place.

    ``fresh``: words are learned from the beginning. ``folder`` keeps curve and checkpoint.
    """
    torch.manual_seed(settings.seed)
    model.train()
    trunk = model.visual.trunk
    for part in (trunk.conv_stem, trunk.bn1, trunk.blocks[:FROZEN_STAGES]):
        part.eval().requires_grad_(False)
    if fresh:
        with torch.no_grad():
            model.logit_scale.fill_(float(np.log(20)))
            nn.init.normal_(trunk.classifier.weight, std=trunk.classifier.in_features**-0.5)
            nn.init.zeros_(trunk.classifier.bias)
    optimiser = torch.optim.AdamW(decay_groups(model, settings.weight_decay), betas=(0.9, 0.98))
    progress, words = Progress(folder, "words", model, optimiser, settings), Words(model, tokenizer)
    todo = list(progress.steps(settings.steps))
    for step, batch in zip(todo, draw_batches(pool, table, settings, todo), strict=True):
        set_rate(optimiser, settings.learning_rate * cosine_rate(step, settings.steps))
        rng = np.random.default_rng([settings.seed, step, 0x3A4])
        total, losses = step_loss(model, words, batch.to(device_of(model)), pool, settings, rng)
        advance(optimiser, model, total)
        scale = float(model.logit_scale.detach().exp())
        progress.done(step, settings.steps, {**losses, "scale": scale})
    model.eval()


def frozen_part(trunk: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Of a trunk's weights those that words leave as they are, named as in the whole model."""
    early = ("conv_stem", "bn1", *(f"blocks.{stage}." for stage in range(FROZEN_STAGES)))
    return {f"visual.trunk.{key}": value for key, value in trunk.items() if key.startswith(early)}


# ------------------------------------------------------------------------------------ losses


def caption_loss(
    images: torch.Tensor, texts: torch.Tensor, scale: torch.Tensor, same: torch.Tensor
) -> torch.Tensor:
    """Symmetric contrast (Radford et al. 2021) of (B, D) unit embeddings.

    ``same`` (B, B) marks pairs that are true of each other too (same family, same state): they are no
    negatives. The same part in the other state is one, the hardest.
    """
    logits = scale * images @ texts.T
    others = same & ~torch.eye(len(images), dtype=torch.bool, device=images.device)
    logits = logits.masked_fill(others, -1e4)
    target = torch.arange(len(images), device=images.device)
    return 0.5 * (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target))


def state_loss(
    images: torch.Tensor, direction: torch.Tensor, scale: torch.Tensor, defective: torch.Tensor
) -> torch.Tensor:
    """Binary cross-entropy of FADE's image score: sigmoid(scale f.(h_a - h_n)); direction (B, D)."""
    return F.binary_cross_entropy_with_logits(scale * (images * direction).sum(-1), defective)


def dense_loss(
    patches: torch.Tensor, direction: torch.Tensor, scale: torch.Tensor, coverage: torch.Tensor
) -> torch.Tensor:
    """Places against words under the exact mask.

    patches (B, h, w, D) of unit length, direction (B, D), coverage (B, h, w) in [0, 1] by the defect.
    Positives are places with at least 3 % of defect, places with less are left out; both kinds weigh the
    same, and the most anomalous-looking 2 % of good places once more.
    """
    logits = scale * torch.einsum("bhwd,bd->bhw", patches, direction)
    positive, negative = coverage >= 0.03, coverage == 0
    loss = F.binary_cross_entropy_with_logits(logits, positive.float(), reduction="none")
    of_good = loss[negative]
    hardest = of_good.topk(max(1, len(of_good) // 50)).values
    total = of_good.mean() + hardest.mean()
    return total + loss[positive].mean() if positive.any() else total


def peak_loss(
    patches: torch.Tensor, direction: torch.Tensor, scale: torch.Tensor, defective: torch.Tensor
) -> torch.Tensor:
    """Binary cross-entropy of the most anomalous places of an image (mean of the largest 1 %)."""
    logits = scale * torch.einsum("bhwd,bd->bhw", patches, direction).flatten(1)
    peak = logits.topk(max(1, logits.shape[1] // 100), dim=1).values.mean(1)
    return F.binary_cross_entropy_with_logits(peak, defective)


def naming_loss(
    patches: torch.Tensor,
    phrases: torch.Tensor,
    scale: torch.Tensor,
    coverage: torch.Tensor,
    kinds: Sequence[int],
) -> torch.Tensor:
    """The mean embedding under the mask against one phrase (K, D) of each kind of defect; kinds: B
    indices, -1 for none.
    """
    weight = coverage / coverage.sum((1, 2), keepdim=True).clamp_min(1e-6)
    region = F.normalize(torch.einsum("bhwd,bhw->bd", patches, weight), dim=-1)
    target = torch.tensor(list(kinds), device=patches.device)
    known = target >= 0
    if not known.any():
        return patches.sum() * 0
    return F.cross_entropy(scale * region[known] @ phrases.T, target[known])
