"""Where the cells of a map look, found by the gradient, and maps resampled to where they should."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from adapters.models.encoders.depths import STEPS, lags, recentre

HALF_STEP = 0.5 / STEPS


def averaging(kernel: int, stride: int, padding: int) -> nn.Conv2d:
    """A convolution that weighs all its pixels alike, so that its centre is known exactly."""
    layer = nn.Conv2d(3, 4, kernel, stride=stride, padding=padding, bias=False).requires_grad_(False)
    nn.init.constant_(layer.weight, 1.0)
    return layer


def test_symmetric_padding_looks_before_the_middle() -> None:
    layer = averaging(3, 8, 1)
    (lag,) = lags(lambda image: [layer(image)], torch.zeros(1))
    assert lag == pytest.approx(7 / 16, abs=HALF_STEP)


def test_padding_as_tensorflow_does_it_looks_behind_the_middle() -> None:
    # Nothing before, everything after: a kernel of 5 at stride 4 is centred half a pixel behind.
    layer = averaging(5, 4, 0)
    padded = nn.Sequential(nn.ZeroPad2d((0, 4, 0, 4)), layer)
    (lag,) = lags(lambda image: [padded(image)], torch.zeros(1))
    assert lag == pytest.approx(-1 / 8, abs=HALF_STEP)


def test_patches_that_do_not_overlap_lie_in_their_middle() -> None:
    layer = averaging(8, 8, 0)
    assert lags(lambda image: [layer(image)], torch.zeros(1)) == (0.0,)


@pytest.mark.parametrize(("name", "sign"), [("mobilenetv2_035", 1), ("tf_efficientnet_lite0", -1)])
def test_networks_of_timm(name: str, sign: int) -> None:
    torch.manual_seed(0)
    network = timm.create_model(name, pretrained=False, features_only=True, out_indices=(2,)).eval()
    (lag,) = lags(network, torch.zeros(1))
    assert 0.25 < sign * lag <= 1.0


def test_the_same_weights_have_the_same_lags() -> None:
    torch.manual_seed(0)
    network = timm.create_model("mobilenetv2_035", pretrained=False, features_only=True).eval()
    assert lags(network, torch.zeros(1)) == lags(network, torch.zeros(1))


def test_recentring_is_linear_between_neighbours_and_repeats_the_border() -> None:
    depth = torch.tensor([[[[0.0, 4.0], [8.0, 12.0]]]])
    assert torch.allclose(recentre(depth, 0.25), torch.tensor([[[[3.0, 6.0], [9.0, 12.0]]]]))
    assert torch.allclose(recentre(depth, -0.25), torch.tensor([[[[0.0, 3.0], [6.0, 9.0]]]]))
    assert torch.equal(recentre(depth, 0.0), depth)


def test_a_ramp_reads_in_the_middle_of_each_cell() -> None:
    layer = averaging(3, 8, 1)
    (lag,) = lags(lambda image: [layer(image)], torch.zeros(1))
    ramp = torch.arange(64.0).expand(1, 3, 64, 64)
    cells = recentre(layer(ramp), lag)[0, 0, 2, 1:-1] / 27.0
    assert torch.allclose(cells, torch.arange(1, 7) * 8.0 + 3.5, atol=8 * HALF_STEP)
