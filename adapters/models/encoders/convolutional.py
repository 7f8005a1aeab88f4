"""``ConvolutionalTower`` and ``Depths``: convolutional networks as parts that a runtime computes.

A tower has two parts: ``Depths``, as far as the deepest few-shot features, and ``Words``, the rest, which
serves the comparison with texts alone. Who needs words for a few images of a batch has the second part
computed for these.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional as F

from adapters.models.encoders.depths import lags, recentre, stages_at, take_stages
from adapters.models.runtimes.compiler import Compiler
from agent.domain.errors import ModelError
from agent.ports import ImageFeatures
from agent.telemetry import Counters

DEPTHS, WORDS = "depths", "words"
"""Names of the counters: the images that went through each part."""
_EXAMPLES = ((1, 96, 128), (2, 136, 104))
"""Counts and sides of the images that parts are exported and compared with."""


class Depths(nn.Module):
    """Images (B, 3, H, W) to their depths, each (B, h_i, w_i, C_i) float32 with cells in the middle of their
    pixels, and the last of the maps (B, C, h, w), which the rest of the network continues from.
    """

    def __init__(self, trunk: Any, stages: tuple[int, ...]) -> None:
        super().__init__()
        self._trunk, self._stages = trunk, stages
        self._deepest = stages.index(max(stages))
        self._lags = lags(lambda image: take_stages(trunk, image, stages), next(trunk.parameters()))

    def forward(self, batch: torch.Tensor) -> tuple[torch.Tensor, ...]:
        maps = take_stages(self._trunk, batch, self._stages)
        centred = [recentre(each, lag) for each, lag in zip(maps, self._lags, strict=True)]
        return (*(each.permute(0, 2, 3, 1).float() for each in centred), maps[self._deepest])


class DepthsPart:
    """:class:`Depths` of a timm network, probed for its lags when it is first built."""

    def __init__(self, name: str, architecture: str, trunk: Any, stages: tuple[int, ...]) -> None:
        """``architecture``: all that decides what the network computes, beside its weights."""
        self.name = f"{name}, depths"
        self.identity = f"{architecture}, stages {', '.join(map(str, stages))}"
        self._trunk, self._stages = trunk, stages

    def module(self) -> Depths:
        return self._module

    @cached_property
    def _module(self) -> Depths:
        return Depths(self._trunk, self._stages)

    def examples(self) -> tuple[torch.Tensor, torch.Tensor]:
        generator = torch.Generator().manual_seed(0)
        one, other = (torch.randn(n, 3, *sides, generator=generator) for n, *sides in _EXAMPLES)
        return one, other


class Words(nn.Module):
    """What comes after the depths: the embedding of the image (B, D), and those of its places (B, h, w, D).

    The text-aligned embedding of a place is the global head's output for an image that looks like this place
    everywhere. Pooling over one location is the identity (average, maximum and their concatenation alike), so
    for a head that is pooling and projection all places are one matrix product.
    """

    def __init__(self, rest: nn.Module, trunk: Any, head: nn.Module, channels: int) -> None:
        super().__init__()
        self._rest, self._trunk, self._head = rest, trunk, head
        self._places = self._matrix(channels)

    def forward(self, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        last = self._rest(state)
        image = self._project(last)
        if self._places is not None:
            weight, bias = (each.to(last.dtype) for each in self._places)
            return image, F.linear(last.permute(0, 2, 3, 1), weight, bias)
        count, channels, height, width = last.shape
        places = self._project(last.permute(0, 2, 3, 1).reshape(-1, channels, 1, 1))
        return image, places.view(count, height, width, -1)

    def _project(self, last: torch.Tensor) -> torch.Tensor:
        projected: torch.Tensor = self._head(self._trunk.forward_head(last))
        return projected

    @torch.no_grad()
    def _matrix(self, channels: int) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Weight (D, C) and bias (D,) of the head over one place; None if it is not linear there.

        Read from the head's outputs for the unit vectors, whatever layers it has.
        """
        like = next(self._trunk.parameters())

        def ask(places: torch.Tensor) -> torch.Tensor:
            return self._project(places.to(like)[:, :, None, None])

        bias = ask(torch.zeros(1, channels))[0]
        weight = (ask(torch.eye(channels)) - bias).T.contiguous()
        some = torch.randn(4, channels, generator=torch.Generator().manual_seed(0))
        wanted, found = ask(some), F.linear(some.to(like), weight, bias)
        allowed = float(wanted.abs().max()) * torch.finfo(like.dtype).eps ** 0.5
        return (weight, bias) if float((found - wanted).abs().max()) <= allowed else None


class WordsPart:
    """:class:`Words` of open_clip's ``TimmModel``, from the state that ``depths`` end with."""

    def __init__(
        self, name: str, depths: DepthsPart, trunk: Any, head: nn.Module, cut: nn.Module | None
    ) -> None:
        self.name = f"{name}, words"
        self.identity = f"{depths.identity}, words {'from images' if cut is None else 'from there'}"
        self._depths, self._trunk, self._head, self._cut = depths, trunk, head, cut

    @torch.no_grad()
    def module(self) -> Words:
        rest = self._cut if self._cut is not None else _Features(self._trunk)
        like = next(self._trunk.parameters())
        channels = rest(self.examples()[0].to(like)).shape[1]
        return Words(rest, self._trunk, self._head, channels)

    @torch.no_grad()
    def examples(self) -> tuple[torch.Tensor, torch.Tensor]:
        one, other = self._depths.examples()
        if self._cut is None:
            return one, other
        like, module = next(self._trunk.parameters()), self._depths.module()
        return module(one.to(like))[-1], module(other.to(like))[-1]


class ConvolutionalTower:
    """open_clip's ``TimmModel`` around a convolutional network; any height and width.

    Args:
        strides: of the depths.
        output_stride: keep the last maps at this stride, dilated.
        compiler: gives both parts to their runtime.
        name: of the model, for people.
        architecture: all that decides what the tower computes, beside the weights.
        digest: of the weights.
    """

    multiple = 1

    def __init__(
        self,
        visual: Any,
        strides: tuple[int, ...],
        output_stride: int | None,
        compiler: Compiler,
        *,
        name: str,
        architecture: str,
        digest: str,
    ) -> None:
        trunk = visual.trunk
        if output_stride is not None:
            densify(trunk, output_stride)
        stages = stages_at(trunk, strides)
        self._rest = continuation(trunk, max(stages))
        part = DepthsPart(name, f"{architecture}, output stride {output_stride}", trunk, stages)
        self._depths = compiler.compile(part, digest)
        self._words = compiler.compile(WordsPart(name, part, trunk, visual.head, self._rest), digest)
        self.runtime = self._depths.runtime
        self.counters = Counters()

    def start(self, batch: torch.Tensor) -> ConvolutionalPass:
        """The depths of a batch (B, 3, H, W)."""
        self.counters.add(DEPTHS, len(batch))
        *depths, state = self._depths(batch)
        return ConvolutionalPass(self, tuple(depths), state if self._rest is not None else batch)

    def finish(self, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Unit embeddings (B, D) and (B, h, w, D) of what the depths ended with."""
        self.counters.add(WORDS, len(state))
        image, patches = self._words(state)
        return F.normalize(image.float(), dim=-1), F.normalize(patches.float(), dim=-1)


class ConvolutionalPass:
    """See :class:`agent.ports.ImagePass`."""

    def __init__(
        self, tower: ConvolutionalTower, depths: tuple[torch.Tensor, ...], state: torch.Tensor
    ) -> None:
        self.depths = depths
        self._tower, self._state = tower, state

    @torch.inference_mode()
    def finish(self, rows: Sequence[int] | None = None) -> ImageFeatures:
        chosen = slice(None) if rows is None else list(rows)
        image, patches = self._tower.finish(self._state[chosen])
        return ImageFeatures(image, patches, tuple(depth[chosen] for depth in self.depths))


class _Features(nn.Module):
    """A timm network to its last map."""

    def __init__(self, trunk: Any) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        last: torch.Tensor = self.trunk.forward_features(batch)
        return last


class _ToOneModule(fx.Tracer):
    """Takes modules as wholes, but for those that the module at ``path`` lies in."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return not self._path.startswith(f"{module_qualified_name}.")


@torch.no_grad()
def continuation(trunk: Any, stage: int) -> nn.Module | None:
    """What the network does from the map of a stage to its last map, with the same weights; None if nothing
    but that map does not lead there, or the map is not what one module gives.
    """
    path = str(trunk.feature_info[stage]["module"])
    given: list[Any] = []
    some = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    hook = trunk.get_submodule(path).register_forward_hook(lambda _module, _inputs, map_: given.append(map_))
    try:
        (wanted,) = take_stages(trunk, some.to(next(trunk.parameters())), (stage,))
    finally:
        hook.remove()
    if len(given) != 1 or not isinstance(given[0], torch.Tensor) or not _equal(given[0], wanted):
        return None
    features = _Features(trunk)
    try:
        whole = fx.GraphModule(features, _ToOneModule(f"trunk.{path}").trace(features))
    except (fx.proxy.TraceError, TypeError):  # what it computes depends on the images
        return None
    (image,) = whole.graph.find_nodes(op="placeholder")
    (end,) = whole.graph.find_nodes(op="call_module", target=f"trunk.{path}")
    with whole.graph.inserting_before(image):
        end.replace_all_uses_with(whole.graph.placeholder("state"))
    whole.graph.eliminate_dead_code()
    if image.users:
        return None
    whole.graph.erase_node(image)
    whole.recompile()
    whole.delete_all_unused_submodules()
    return whole


def _equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.shape == other.shape and torch.equal(one, other)


def densify(trunk: Any, output_stride: int) -> None:
    """Let a convolutional trunk keep its last maps at ``output_stride``, dilating what follows (atrous).

    The weights stay. At locations of the original stride the values stay too, except at borders.
    Raises ModelError if timm has no dilated form of the architecture.
    """
    import timm

    name = trunk.default_cfg["architecture"]
    try:
        dilated = timm.create_model(name, pretrained=False, output_stride=output_stride)
    except (TypeError, NotImplementedError, AssertionError) as error:
        raise ModelError(
            f"the architecture {name} cannot run at an output stride of {output_stride}"
        ) from error
    for path, module in dilated.named_modules():
        if isinstance(module, nn.Conv2d) and not path.endswith("classifier"):
            own = trunk.get_submodule(path)
            own.stride, own.padding, own.dilation = module.stride, module.padding, module.dilation
