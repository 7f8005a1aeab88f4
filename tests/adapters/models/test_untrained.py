"""Models of their true sizes with random weights: the published numbers of parameters, and memory."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch

from adapters.models.detectors.sam import BUILDERS
from adapters.models.untrained import (
    SWINS,
    VOCABULARY_SIZE,
    stand_in_tokenizer,
    untrained_backbone,
    untrained_clip,
    untrained_detector,
    untrained_segmenter,
)
from agent.domain.errors import ModelError


def _parameters(model: Any) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _without_memory(build: Any) -> Any:
    """Build on PyTorch's ``meta`` device: shapes alone."""
    with torch.device("meta"):
        return build()


@pytest.mark.parametrize(
    ("name", "millions"), [("grounding-dino-tiny", 172.25), ("grounding-dino-base", 232.3)]
)
def test_detectors_have_the_published_size(name: str, millions: float) -> None:
    from transformers import GroundingDinoConfig, GroundingDinoForObjectDetection, SwinConfig

    config = GroundingDinoConfig(backbone_config=SwinConfig(**SWINS[name])) if SWINS[name] else None
    model = _without_memory(lambda: GroundingDinoForObjectDetection(config or GroundingDinoConfig()))
    assert _parameters(model) / 1e6 == pytest.approx(millions, abs=0.05)
    tower = model.config.backbone_config
    wide = name.endswith("base")
    assert (tower.embed_dim, tower.window_size) == ((128, 12) if wide else (96, 7))
    assert list(tower.out_indices) == [2, 3, 4]


@pytest.mark.parametrize(("size", "millions"), [("vit_b", 93.7), ("vit_l", 312.3), ("vit_h", 641.1)])
def test_segmenters_have_the_published_size(size: str, millions: float) -> None:
    assert _parameters(_without_memory(BUILDERS[size])) / 1e6 == pytest.approx(millions, abs=0.06)


@pytest.mark.slow
def test_the_backbone_of_fade_has_the_published_size() -> None:
    encoder = untrained_clip("ViT-B-16-plus-240")
    assert _parameters(encoder._model) == 208_377_345
    assert _parameters(encoder._model.visual) == 117_213_824
    assert encoder.digest == "random"
    assert encoder.dimensions == 640


def test_the_backbone_of_anomaly_dino_takes_an_image() -> None:
    backbone = untrained_backbone("timm:vit_small_patch14_dinov2")
    assert _parameters(backbone._trunk) / 1e6 == pytest.approx(22.06, abs=0.02)
    (features,) = backbone.encode_patches([np.zeros((64, 96, 3), np.uint8)], 70, keep_aspect=True)
    assert features.shape == (1, 5, 7, 384)
    assert untrained_backbone("mobilenetv2_100").digest == "random"


def test_equal_seeds_give_equal_models() -> None:
    first, second = (untrained_backbone("timm:mobilenetv2_035") for _ in range(2))
    image = np.zeros((64, 64, 3), np.uint8)
    for one, other in zip(first.encode_patches([image], 64), second.encode_patches([image], 64), strict=True):
        assert torch.equal(one, other)


def test_the_stand_in_vocabulary_knows_what_the_detector_knows_by_number() -> None:
    tokenizer = stand_in_tokenizer()
    assert len(tokenizer) == VOCABULARY_SIZE
    tokens = tokenizer("a scratch. dent, gear?")["input_ids"]
    assert tokens[0] == 101
    assert tokens[-1] == 102
    assert tokens.count(1012) == 1
    assert tokens.count(1029) == 1
    assert 100 not in tokens, "every word can be spelt"
    assert tokenizer.tokenize("hazelnut") == ["hazelnut"]


def test_names_that_nobody_knows() -> None:
    for build, name, word in (
        (untrained_clip, "sam_vit_b", "vision-language"),
        (untrained_clip, "ViT-Z", "ViT-Z"),
        (untrained_backbone, "timm:nothing", "timm knows no"),
        (untrained_detector, "yolo", "no detector"),
        (untrained_segmenter, "sam", "no segmenter"),
    ):
        with pytest.raises(ModelError, match=word):
            build(name)


_FADE_AT_896 = """
import json
import numpy as np
from adapters.cli.resident import forget_peak, peak_mb, resident_mb
from adapters.models.untrained import untrained_clip
from agent.methods import build_method
from agent.domain.prompts import PromptSet
from agent.domain.recipe import Recipe

encoder = untrained_clip("ViT-B-16-plus-240")
transformer = encoder._model.visual.transformer
whole = transformer.resblocks  # held on to: the model is resident in full
transformer.resblocks = whole[-2:]
prompts = PromptSet(("a good gear",), ("a broken gear",))
parameters = {"image_words": "recipe", "map_words": "recipe"}
method = build_method("fade", encoder)
loaded = resident_mb()
forget_peak()
prepared = method.prepare(Recipe("A", "gear", prompts, "fade", parameters), ())
image = np.random.default_rng(0).integers(0, 256, (600, 800, 3), dtype=np.uint8)
scored = method.score([image], [prepared])[0]
print(json.dumps({
    "scales": method._defaults.scales, "loaded": loaded, "peak": peak_mb(),
    "map": list(scored.anomaly_map.shape),
}))
"""


@pytest.mark.lab
@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
def test_fade_at_three_scales_stays_under_two_and_a_half_gigabytes_beyond_the_model() -> None:
    """Peak resident memory of one process that scores one image at 240, 448 and 896.

    Blocks keep nothing of one another, so two of the twelve peak as all do, in a sixth of the time;
    `sightline bench --random-weights --method fade` prints the figure of the whole.
    """
    ended = subprocess.run([sys.executable, "-c", _FADE_AT_896], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    measured = json.loads(ended.stdout.splitlines()[-1])
    assert measured["scales"] == [240, 448, 896]
    assert measured["map"] == [56, 56]
    # Where the system does not let us forget the peak of loading, it only makes this harder.
    assert 0 < measured["peak"] - measured["loaded"] < 2500, measured
