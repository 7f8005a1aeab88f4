"""Grounding DINO: the true class with a small random configuration, saved, loaded back, hub switched off."""

from __future__ import annotations

import functools
import json
import shutil
import socket
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from adapters.models.detectors.grounding_dino import GroundingDino
from adapters.models.registry import load_detector
from adapters.models.weights.store import WeightStore
from agent.domain.errors import ModelError
from agent.domain.frame import Image

WORDS = ["scratch", "dent", "deep", "gear", "hole", "on", "a", "crack", "##ed", ",", "2", "5", "screw", "m"]
TOKEN_LIMIT = 24


def _vocabulary() -> list[str]:
    """BERT's places for what Grounding DINO knows by number: [CLS] 101, [SEP] 102, "." 1012, "?" 1029."""
    vocabulary = [f"[unused{index}]" for index in range(1100)]
    fixed = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]", 1012: ".", 1029: "?"}
    for index, token in fixed.items():
        vocabulary[index] = token
    vocabulary[1040 : 1040 + len(WORDS)] = WORDS
    return vocabulary


@functools.cache
def _tokenizer() -> Any:
    from transformers import BertTokenizer

    with tempfile.TemporaryDirectory() as folder:
        vocabulary = Path(folder) / "vocab.txt"
        vocabulary.write_text("\n".join(_vocabulary()))
        return BertTokenizer(str(vocabulary), model_max_length=512)


def _save(folder: Path) -> None:
    from transformers import (
        BertConfig,
        GroundingDinoConfig,
        GroundingDinoForObjectDetection,
        GroundingDinoImageProcessor,
        SwinConfig,
    )

    folder.mkdir(parents=True, exist_ok=True)
    _tokenizer().save_pretrained(folder)
    GroundingDinoImageProcessor(size={"shortest_edge": 80, "longest_edge": 144}).save_pretrained(folder)
    sizes: dict[str, Any] = {"depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2], "out_indices": [2, 3, 4]}
    swin = SwinConfig(image_size=64, embed_dim=8, window_size=4, **sizes)
    bert = BertConfig(
        vocab_size=1100, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    config = GroundingDinoConfig(
        backbone_config=swin, text_config=bert, num_queries=20, d_model=32, encoder_layers=1,
        decoder_layers=2, encoder_ffn_dim=16, decoder_ffn_dim=16, encoder_attention_heads=2,
        decoder_attention_heads=2, max_text_len=TOKEN_LIMIT,
    )  # fmt: skip
    torch.manual_seed(5)
    model = GroundingDinoForObjectDetection(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("detector") / "grounding-dino-small"
    _save(made)
    return made


@pytest.fixture(scope="module")
def detector(folder: Path) -> Iterator[GroundingDino]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")

        def refuse(*_: object) -> None:
            raise AssertionError("loading a local folder reached for the network")

        patch.setattr(socket.socket, "connect", refuse)
        yield GroundingDino(folder)


LOW = {"box_threshold": 0.0, "text_threshold": 0.0}


def _same_size() -> list[Image]:
    rng = np.random.default_rng(1)
    return [rng.integers(0, 256, (48, 64, 3), dtype=np.uint8) for _ in range(2)]


def test_boxes_scores_and_phrases_are_those_of_transformers(detector: GroundingDino, folder: Path) -> None:
    from transformers import AutoProcessor, GroundingDinoForObjectDetection

    (image, _) = _same_size()
    processor = AutoProcessor.from_pretrained(folder)
    model = GroundingDinoForObjectDetection.from_pretrained(folder).eval()
    inputs = processor(images=image, text="deep scratch. dent.", return_tensors="pt")
    with torch.inference_mode():
        outputs = model(**inputs)
    scores = outputs.logits.sigmoid().amax(-1)[0]
    threshold = float(scores.median())
    token_threshold = float(outputs.logits.sigmoid()[0].quantile(0.96))
    (expected,) = processor.post_process_grounded_object_detection(
        outputs, threshold=threshold, text_threshold=token_threshold, target_sizes=[(48, 64)]
    )
    order = torch.argsort(expected["scores"], descending=True, stable=True)
    (found,) = detector.detect(
        [image], [["Deep Scratch", "dent"]], box_threshold=threshold, text_threshold=token_threshold
    )
    assert 0 < len(found.scores) < 20
    np.testing.assert_allclose(found.scores, expected["scores"][order].numpy(), atol=1e-6)
    np.testing.assert_allclose(found.boxes, expected["boxes"][order].numpy(), atol=1e-3)
    labels = [expected["text_labels"][index] for index in order.tolist()]
    words = [label.replace("[SEP]", "").replace("[CLS]", "").replace(".", "").split() for label in labels]
    assert [phrase.split() for phrase in found.phrases] == words
    assert any(found.phrases)


def test_a_batch_of_two_equals_two_batches_of_one(detector: GroundingDino) -> None:
    images, phrases = _same_size(), [["scratch"], ["deep dent", "crack on a gear", "hole"]]
    both = detector.detect(images, phrases, **LOW)
    for index, together in enumerate(both):
        (alone,) = detector.detect([images[index]], [phrases[index]], **LOW)
        assert len(alone.scores) == 20
        np.testing.assert_allclose(together.scores, alone.scores, atol=1e-5)
        np.testing.assert_allclose(together.boxes, alone.boxes, atol=1e-2)
        assert together.phrases == alone.phrases


def test_images_of_different_sizes_keep_their_places(detector: GroundingDino, images: list[Image]) -> None:
    three = [images[0], images[1], images[0]]
    first, second, third = detector.detect(three, [["dent"]] * 3, **LOW)
    np.testing.assert_allclose(first.boxes, third.boxes, atol=1e-2)
    assert not np.allclose(first.boxes, second.boxes, atol=1e-2)
    centres = (first.boxes[:, :2] + first.boxes[:, 2:]) / 2
    assert (centres >= 0).all()
    assert (centres <= [72, 40]).all()


def test_phrases_in_lower_case_each_a_sentence(detector: GroundingDino) -> None:
    assert detector.captions(["A Scratch", " dent. ", "", "m2.5 screw?"]) == ["a scratch. dent. m2 5 screw."]
    assert detector.captions(["dent, gear"]) == ["dent, gear."]
    assert detector.captions([]) == []


def test_a_long_caption_is_split_and_never_cut(detector: GroundingDino) -> None:
    phrases = ["deep scratch", "cracked gear", "hole", "dent on a gear"] * 5
    captions = detector.captions(phrases)
    assert len(captions) > 1
    assert ". ".join(caption.removesuffix(".") for caption in captions) == ". ".join(phrases)
    lengths = [len(detector._tokenizer(caption)["input_ids"]) for caption in captions]
    assert max(lengths) <= TOKEN_LIMIT
    # The first phrase of each next caption would not have fitted into the one before.
    for before, after in pairwise(captions):
        first = after.split(".")[0]
        assert len(detector._tokenizer(f"{before} {first}.")["input_ids"]) > TOKEN_LIMIT

    image = _same_size()[0]
    (found,) = detector.detect([image], [phrases], **LOW)
    assert len(found.scores) == 20 * len(captions)
    assert (np.diff(found.scores) <= 0).all()


_PHRASE = st.lists(
    st.sampled_from(["scratch", "Dent", "cracked", "m2.5", "gear,", "on a"]), min_size=1, max_size=6
)


@given(st.lists(_PHRASE.map(" ".join), max_size=20))
def test_captions_hold_every_phrase_once_in_order(phrases: list[str]) -> None:
    tokenizer = _tokenizer()
    detector = GroundingDino.__new__(GroundingDino)  # captions need no more than these two
    detector._tokenizer, detector.token_limit = tokenizer, TOKEN_LIMIT
    captions = detector.captions(phrases)
    asked = [phrase for caption in captions for phrase in caption.removesuffix(".").split(". ")]
    assert asked == [phrase.lower().replace(".", " ") for phrase in phrases]
    assert all(len(tokenizer(caption)["input_ids"]) <= TOKEN_LIMIT for caption in captions)


def test_a_phrase_longer_than_the_encoder_is_refused(detector: GroundingDino) -> None:
    with pytest.raises(ModelError, match="shorten it"):
        detector.captions(["dent", "deep " * TOKEN_LIMIT])


def test_no_phrases_and_no_box_above_the_threshold(detector: GroundingDino) -> None:
    nothing, none_above = (
        detector.detect(_same_size()[:1], [[]], **LOW)[0],
        detector.detect(_same_size()[:1], [["dent"]], box_threshold=1.0, text_threshold=0.0)[0],
    )
    for found in (nothing, none_above):
        assert found.boxes.shape == (0, 4)
        assert found.phrases == ()
    (wordless,) = detector.detect(_same_size()[:1], [["dent"]], box_threshold=0.0, text_threshold=1.0)
    assert set(wordless.phrases) == {""}
    assert detector.detect([], [], **LOW) == []


def test_wrong_images_are_refused(detector: GroundingDino) -> None:
    with pytest.raises(ModelError, match="RGB images"):
        detector.detect([np.zeros((8, 8), np.uint8)], [["dent"]], **LOW)
    with pytest.raises(ModelError, match="each needs one"):
        detector.detect(_same_size(), [["dent"]], **LOW)


def test_in_half_precision(folder: Path, detector: GroundingDino) -> None:
    half = GroundingDino(folder, dtype=torch.bfloat16)
    (found,) = half.detect(_same_size()[:1], [["dent"]], **LOW)
    assert found.boxes.dtype == np.float32
    assert len(found.scores) == 20
    assert half.digest == detector.digest
    # Positions are not rounded with the matrix products: eight bits would leave 256 places in an image.
    (exact,) = detector.detect(_same_size()[:1], [["dent"]], **LOW)
    nearest = [np.abs(exact.boxes - box).max(axis=1).min() for box in found.boxes]
    assert np.median(nearest) < 0.005 * 72
    assert half._model.dtype == torch.float32


def test_by_name_with_pinned_files(folder: Path, detector: GroundingDino, tmp_path: Path) -> None:
    name = "grounding-dino-tiny"
    placed = Path(shutil.copytree(folder, tmp_path / name))
    store = WeightStore(tmp_path)
    assert {finding.soundness for finding in store.verify(pin=True)} == {"ok"}
    assert load_detector(name, tmp_path).digest == detector.digest
    (placed / "config.json").write_text((placed / "config.json").read_text() + " ")
    with pytest.raises(ModelError, match=r"config.json has sha256 .* was expected.*sightline models pull"):
        load_detector(name, tmp_path)


def test_what_is_missing_altered_or_foreign_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"config.json.*sightline models pull"):
        GroundingDino(tmp_path / "nowhere")
    with pytest.raises(ModelError, match=r"config.json has sha256"):
        GroundingDino(folder, expected={"config.json": "0" * 64})
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    state = load_file(copy / "model.safetensors")
    state.pop("model.level_embed")
    save_file(state, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lack 1 tensors.*level_embed"):
        GroundingDino(copy)
    (copy / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(ModelError, match=r"cannot be loaded.*sightline models pull"):
        GroundingDino(copy)
    config = json.loads((folder / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "model_type": "owlvit"}))
    with pytest.raises(ModelError, match="owlvit"):
        GroundingDino(copy)
