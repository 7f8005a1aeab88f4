"""Controls: what can be had without the model that is measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch.nn import functional as F

from adapters.lab.evaluation.descriptors import HandMade
from adapters.lab.evaluation.files import Files
from adapters.lab.evaluation.neighbours import top_mean
from adapters.lab.evaluation.trial import SIZE, Sample, Trial
from adapters.models.encoders.clip import OpenClipEncoder

RANDOM = "random weights"
HAND_MADE = "hand-made descriptors"
MEDIAN = "outlier, to the median"
NEAREST = "outlier, to the nearest"

WITHOUT_TEACHER = (RANDOM, HAND_MADE, MEDIAN, NEAREST)
_REACH = 1
"""Cells so far apart still share pixels."""


def random_encoder(files: Files, seed: int) -> OpenClipEncoder:
    """The measured architecture with random weights, the same for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return replace(files, checkpoint=None).encoder(RANDOM)


class Outlier:
    """How far the oddest patches of an image are from the rest of it: no model, no reference.

    Hand-made descriptors of one grid; distance to their median over the image, and to the nearest one
    that shares no pixel.
    """

    def ready(self, trial: Trial) -> Outlier:
        """See :class:`Scorer`; there is nothing to memorise."""
        return self

    @torch.inference_mode()
    def judge(self, batch: Sequence[Sample]) -> dict[str, list[list[float]]]:
        """See :class:`Judge`."""
        cells = HandMade().encode_patches([sample.image for sample in batch], SIZE)[0]
        flat = cells.flatten(1, 2)
        median = F.normalize(flat.median(dim=1, keepdim=True).values, dim=-1)
        unit = F.normalize(flat, dim=-1)
        to_median = 0.5 * (1 - (unit * median).sum(-1)).clamp_min(0)
        similarities = unit @ unit.transpose(1, 2)
        similarities.masked_fill_(_overlapping(*cells.shape[1:3]), -2.0)
        to_nearest = 0.5 * (1 - similarities.amax(-1)).clamp_min(0)
        return {
            f"{MEDIAN} 0-shot": [top_mean(to_median)],
            f"{NEAREST} 0-shot": [top_mean(to_nearest)],
        }

    def pixels(self) -> dict[str, float]:
        """See :class:`Judge`."""
        return {}


def _overlapping(rows: int, columns: int) -> torch.Tensor:
    """(n, n) which cells of a grid share pixels, each with itself among them."""
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    y, x = y.flatten(), x.flatten()
    near = (y[:, None] - y).abs().maximum((x[:, None] - x).abs())
    return near <= _REACH
