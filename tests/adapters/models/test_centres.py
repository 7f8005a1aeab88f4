"""Where the cells of a map lie: a bright spot must light up the cell that it lies in."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from adapters.models.centres import lags, recentre


def test_symmetric_padding_puts_cells_before_their_middle() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.Conv2d(4, 4, 3, stride=2, padding=1))
    assert lags(lambda picture: [network(picture)], torch.zeros(1)) == (3 / 8,)


def test_patches_that_do_not_overlap_lie_in_their_middle() -> None:
    torch.manual_seed(0)
    network = nn.Conv2d(3, 4, 8, stride=8)
    assert lags(lambda picture: [network(picture)], torch.zeros(1)) == (0.0,)


@pytest.mark.parametrize(("name", "expected"), [("mobilenetv2_035", 7 / 16), ("tf_efficientnet_lite0", 0.0)])
def test_networks_of_timm(name: str, expected: float) -> None:
    network = timm.create_model(name, pretrained=False, features_only=True, out_indices=(2,)).eval()
    assert lags(network, torch.zeros(1)) == (expected,)


def test_recentring_is_linear_between_neighbours_and_repeats_the_last() -> None:
    depth = torch.tensor([[[[0.0, 4.0], [8.0, 12.0]]]])
    assert torch.allclose(recentre(depth, 0.25), torch.tensor([[[[3.0, 6.0], [9.0, 12.0]]]]))
    assert torch.equal(recentre(depth, 0.0), depth)


def test_a_spot_is_found_where_it_lies() -> None:
    """Through the whole of what few-shot inspection does with maps, but for the network's own habits."""
    torch.manual_seed(1)
    network = nn.Conv2d(3, 8, 3, stride=8, padding=1).requires_grad_(False)
    (lag,) = lags(lambda picture: [network(picture)], torch.zeros(1))
    ramp = torch.arange(64.0).expand(1, 3, 64, 64) / 64.0
    cells = recentre(network(ramp), lag)[0, 0, 2, 1:-1]
    slope = float(network(ramp)[0, 0, 2, 2] - network(ramp)[0, 0, 2, 1])
    at_zero = float(network(ramp)[0, 0, 2, 1]) - slope
    middles = torch.arange(1, 7) * 8.0 + 3.5
    assert torch.allclose(cells, at_zero + slope * middles / 8.0, atol=1e-4)
