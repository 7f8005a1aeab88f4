"""TensorFiles and KeptTexts: what was embedded once is not embedded again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from adapters.models.kept_files import KeptFiles
from adapters.models.kept_tensors import SUFFIX, KeptTexts, TensorFiles
from tests.support.encoders import ColourEncoder


class CountingTexts(ColourEncoder):
    """Counts its calls."""

    calls = 0

    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        self.calls += 1
        return super().encode_texts(texts)


@pytest.fixture
def kept(tmp_path: Path) -> TensorFiles:
    return TensorFiles(KeptFiles(tmp_path, SUFFIX), torch.device("cpu"))


def test_tensors_come_back_as_they_were(kept: TensorFiles) -> None:
    tensors = {
        "half": torch.randn(3, 4).to(torch.bfloat16),
        "turned": torch.arange(6).reshape(2, 3).T,
        "yes": torch.tensor(True),
        "none": torch.zeros(0, 5),
    }
    kept.put("a" * 64, tensors)
    found = kept.get("a" * 64)
    assert found is not None
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)


def test_a_text_is_embedded_once_for_its_weights(kept: TensorFiles) -> None:
    first, again, other = CountingTexts(), CountingTexts(), CountingTexts(seed=1)
    embedded = KeptTexts(first, kept).encode_texts(["a gear", "a bolt"])
    assert torch.equal(KeptTexts(again, kept).encode_texts(["a gear", "a bolt"]), embedded)
    KeptTexts(other, kept).encode_texts(["a gear", "a bolt"])
    KeptTexts(again, kept).encode_texts(["a bolt", "a gear"])
    assert (first.calls, again.calls, other.calls) == (1, 1, 1)


def test_all_else_is_the_encoders_own(kept: TensorFiles) -> None:
    encoder = CountingTexts()
    assert KeptTexts(encoder, kept).dimensions == encoder.dimensions
    assert not hasattr(KeptTexts(encoder, kept), "encode_windows")
