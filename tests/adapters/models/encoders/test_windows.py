"""WinCLIP's windows, and the whole method, against plain loops over single windows (METHODS section 2)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from adapters.models.encoders.clip import OpenClipEncoder
from adapters.models.encoders.normalisation import CLIP_PREPROCESSING
from adapters.models.encoders.preprocessing import prepare
from adapters.models.encoders.towers import window_indices
from agent.domain.errors import ModelError
from agent.domain.frame import Image
from agent.domain.prompts import PromptSet
from agent.domain.recipe import Recipe, Reference
from agent.methods import build_method

SIZE = 40  # 5 x 5 patches of 8: 16 windows of 2 x 2, 9 of 3 x 3
PROMPTS = PromptSet(("a good part", "a fine part"), ("a broken part", "scratched"))


class Slow:
    """One image, one window at a time, straight from the equations."""

    def __init__(self, model: OpenClipEncoder, image: Image) -> None:
        self._visual = model._model.visual
        batch = prepare([image], SIZE, CLIP_PREPROCESSING, torch.device("cpu"), torch.float32)
        patches = self._visual.conv1(batch)[0]
        self.side = patches.shape[1]
        table = self._visual.positional_embedding
        grid = table[1:].T.reshape(1, -1, *self._visual.grid_size)
        resized = F.interpolate(grid, (self.side, self.side), mode="bicubic", antialias=True)[0]
        self._first = self._visual.class_embedding + table[0]
        self._patches = patches + resized
        everything = [(y, x) for y in range(self.side) for x in range(self.side)]
        last = self._blocks(everything)
        self.image = self._embedding(last)
        normed = self._visual.ln_post(last)[1:]
        self.patches = {place: F.normalize(v, dim=0) for place, v in zip(everything, normed, strict=True)}
        self.windows = {k: self._windows(k) for k in (2, 3)}

    def _blocks(self, places: list[tuple[int, int]]) -> torch.Tensor:
        tokens = torch.stack([self._first, *(self._patches[:, y, x] for y, x in places)])
        stream = self._visual.ln_pre(tokens)[None]
        for block in self._visual.transformer.resblocks:
            stream = block(stream)
        return stream[0]

    def _embedding(self, last: torch.Tensor) -> torch.Tensor:
        return F.normalize(self._visual.ln_post(last[0]) @ self._visual.proj, dim=0)

    def _windows(self, k: int) -> dict[tuple[int, int], torch.Tensor]:
        starts = range(self.side - k + 1)
        return {
            (y, x): self._embedding(self._blocks([(y + i, x + j) for i in range(k) for j in range(k)]))
            for y in starts
            for x in starts
        }

    def harmonic(self, values: dict[tuple[int, int], float], k: int) -> torch.Tensor:
        """For each patch the harmonic mean over the windows that hold it."""
        out = torch.zeros(self.side, self.side)
        for y in range(self.side):
            for x in range(self.side):
                held = [v for (a, b), v in values.items() if a <= y < a + k and b <= x < b + k]
                out[y, x] = len(held) / sum(1.0 / v for v in held) if all(held) else 0.0
        return out


def _probability(feature: torch.Tensor, normal: torch.Tensor, anomalous: torch.Tensor, scale: float) -> float:
    logits = scale * torch.stack([feature @ normal, feature @ anomalous])
    return float(logits.softmax(dim=0)[1])


def _recipe(shots: int) -> Recipe:
    references = tuple(Reference(str(i), f"{i}.png", str(i)) for i in range(shots))
    return Recipe("A", "part", PROMPTS, "winclip", {"size": SIZE}, references)


@pytest.fixture(scope="module")
def images() -> list[Image]:
    rng = np.random.default_rng(5)
    return [rng.integers(0, 256, (40, 56, 3), dtype=np.uint8) for _ in range(4)]


def test_windows_of_a_small_grid_by_hand() -> None:
    expected = [[0, 1, 3, 4], [1, 2, 4, 5], [3, 4, 6, 7], [4, 5, 7, 8]]
    assert window_indices((3, 3), 2).tolist() == expected
    assert window_indices((15, 15), 2).shape == (196, 4)
    assert window_indices((15, 15), 3).shape == (169, 9)
    with pytest.raises(ModelError, match="do not fit a grid of 2 x 3"):
        window_indices((2, 3), 3)


def test_embeddings_equal_a_slow_reference(vit: OpenClipEncoder, images: list[Image]) -> None:
    fast = vit.encode_windows(images[:2], SIZE, (2, 3))
    with torch.inference_mode():
        for i, image in enumerate(images[:2]):
            slow = Slow(vit, image)
            torch.testing.assert_close(fast.image[i], slow.image, rtol=0, atol=1e-5)
            for window, k in zip(fast.windows, (2, 3), strict=True):
                wanted = torch.stack(list(slow.windows[k].values()))
                torch.testing.assert_close(window.embeddings[i], wanted, rtol=0, atol=1e-5)
            unit = F.normalize(fast.patches[i], dim=-1).flatten(0, 1)
            torch.testing.assert_close(unit, torch.stack(list(slow.patches.values())), rtol=0, atol=1e-5)
    assert torch.allclose(fast.image, vit.encode_images(images[:2], SIZE).image, atol=1e-6)


def test_a_batch_of_two_equals_two_batches_of_one(vit: OpenClipEncoder, images: list[Image]) -> None:
    both = vit.encode_windows(images[:2], SIZE, (2,))
    for i in range(2):
        alone = vit.encode_windows([images[i]], SIZE, (2,))
        torch.testing.assert_close(
            both.windows[0].embeddings[i], alone.windows[0].embeddings[0], rtol=0, atol=1e-5
        )


def test_the_method_without_and_with_references(vit: OpenClipEncoder, images: list[Image]) -> None:
    query, references = images[0], images[1:3]
    method = build_method("winclip", vit)
    zero = method.score([query], [method.prepare(_recipe(0), ())])[0]
    few = method.score([query], [method.prepare(_recipe(2), references)])[0]
    normal, anomalous = (vit.encode_texts(side).mean(dim=0) for side in (PROMPTS.normal, PROMPTS.anomalous))
    with torch.inference_mode():
        slow = Slow(vit, query)
        memory = [Slow(vit, reference) for reference in references]

        def chance(feature: torch.Tensor) -> float:
            return _probability(feature, normal, anomalous, vit.logit_scale)

        def distance(feature: torch.Tensor, bank: list[torch.Tensor]) -> float:
            return 0.5 * (1.0 - max(float(feature @ other) for other in bank))

        language = chance(slow.image)
        scales = [torch.full((slow.side, slow.side), language)]
        vision = []
        for k in (2, 3):
            scales.append(slow.harmonic({at: chance(v) for at, v in slow.windows[k].items()}, k))
            bank = [v for each in memory for v in each.windows[k].values()]
            vision.append(slow.harmonic({at: distance(v, bank) for at, v in slow.windows[k].items()}, k))
        bank = [v for each in memory for v in each.patches.values()]
        single = [distance(v, bank) for v in slow.patches.values()]
        vision.append(torch.tensor(single).view(slow.side, slow.side))
    language_map = 3.0 / sum(1.0 / scale for scale in scales)
    vision_map = sum(vision) / 3.0
    assert isinstance(language_map, torch.Tensor)
    assert isinstance(vision_map, torch.Tensor)
    assert zero.anomaly_map is not None
    assert few.anomaly_map is not None
    assert zero.score == pytest.approx(language, abs=1e-5)
    torch.testing.assert_close(zero.anomaly_map, language_map, rtol=0, atol=1e-4)
    assert few.score == pytest.approx((language + float(vision_map.max())) / 2.0, abs=1e-4)
    torch.testing.assert_close(few.anomaly_map, (language_map + vision_map) / 2.0, rtol=0, atol=1e-4)


def test_a_tower_without_patches_is_refused(convolutional: OpenClipEncoder, images: list[Image]) -> None:
    with pytest.raises(ModelError, match="not a vision transformer"):
        convolutional.encode_windows(images, 64, (2,))
