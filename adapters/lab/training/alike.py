"""``teach_alike``: few-shot features, by which good parts of one product are alike and defects are not.

What a nearest neighbour needs is learned with a nearest neighbour. The parts of one product at one station
are references for each other, turned as enrollment turns them if parts lie loosely. The places of a defect
have to lie farther from them than the oddest place of any good part. The teacher's features on the same
images and on abstract ones hold the rest in place, so that what is learned of drawn parts costs little
elsewhere. The trunk up to stride 4 is frozen and computed once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from adapters.lab.training.dataset import colour_jitter
from adapters.lab.training.distill import advance, cosine_rate, decay_groups, depth_losses, set_rate
from adapters.lab.training.linepool import LinePool
from adapters.lab.training.networks import COMPARED, Teacher, device_of, to_network
from adapters.lab.training.progress import Progress
from agent.domain.errors import ConfigurationError
from agent.methods.memory import join_depths
from agent.methods.variants import evenly_spaced, rotated

FROZEN = 2
"""Stages 0 and 1: stride 4."""
LEAVES = 3_000
"""Abstract images that hold the features where they were."""
JITTERED = 0.5
"""Share of products that are seen in other colours than drawn."""
_TOP = 3
"""An image is as odd as the mean of so many of its oddest places."""
_SMALL = 1e-3
"""Distances below it are rounding."""
_COVERED = 0.3
"""Share of a place that a defect has to cover to count as its place."""


@dataclass(frozen=True, slots=True)
class AlikeSettings:
    """How long and how hard features are taught."""

    steps: int = 900
    groups: int = 3
    """Products a step; of each, ``PARTS`` good parts and as many defective ones."""
    leaves: int = 12
    """Abstract images a step."""
    learning_rate: float = 6e-4
    weight_decay: float = 1e-4
    margin: float = 0.3
    """By so much a defect's log distance should exceed that of the oddest good place."""
    temperature: float = 0.2
    hold: float = 3.0
    """Weight of the teacher's features."""
    directions: int = 8
    """References of loose parts are turned into so many, as enrollment does; 1: into none but their own."""
    least_visibility: float = 0.8
    """Defects that show less than this (:attr:`Image.visibility`) ask for nothing."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Table:
    """Frozen features and the teacher's answers for a set of images, on disk, float16, channels last."""

    early: NDArray[np.float16]
    """(N, h, w, 24) at stride 4."""
    targets: tuple[NDArray[np.float16], ...]
    """The teacher's features at each of ``COMPARED``."""

    def early_of(self, rows: Sequence[int]) -> torch.Tensor:
        """(B, 24, h, w) float32."""
        return _planes(self.early[rows])

    def targets_of(self, rows: Sequence[int]) -> list[torch.Tensor]:
        """(B, C, h, w) float32 for each depth."""
        return [_planes(each[rows]) for each in self.targets]


def _planes(values: NDArray[np.float16]) -> torch.Tensor:
    """(B, C, h, w) of (B, h, w, C); its memory stays channels last."""
    return torch.from_numpy(np.asarray(values, np.float32)).permute(0, 3, 1, 2)


@dataclass(frozen=True, slots=True)
class Tables:
    """Of the simulated line and of abstract images."""

    line: Table
    leaves: Table


def early(trunk: Any, batch: torch.Tensor) -> torch.Tensor:
    """The frozen part: (B, 3, H, W) to (B, 24, H / 4, W / 4)."""
    features: torch.Tensor = trunk.bn1(trunk.conv_stem(batch))
    for stage in trunk.blocks[:FROZEN]:
        features = stage(features)
    return features


def depths_of(trunk: Any, features: torch.Tensor, first: int = FROZEN) -> list[torch.Tensor]:
    """The outputs of the stages ``COMPARED`` from what stage ``first`` is given."""
    found = []
    for index in range(first, max(COMPARED) + 1):
        features = trunk.blocks[index](features)
        if index in COMPARED:
            found.append(features)
    return found


def cache_tables(
    trunk: Any, teacher: Teacher, line: LinePool, leaves: NDArray[np.uint8], folder: Path, seed: int
) -> Tables:
    """Compute both tables, or read those that were computed before."""
    return Tables(
        _table(trunk, teacher, line.images, folder / "line", colour_groups(line), seed),
        _table(trunk, teacher, leaves[:LEAVES], folder / "leaves", None, seed),
    )


def colour_groups(line: LinePool) -> NDArray[np.int64]:
    """(2 P,) a number for each image, the same for those that get the same colours: the parts of one
    product at one station, or the two of a pair.
    """
    groups = np.repeat(np.arange((len(line.images) + 1) // 2), 2)
    for number, pairs in enumerate(line.groups()):
        for pair in pairs:
            groups[2 * pair : 2 * pair + 2] = len(groups) + number
    return groups


@torch.inference_mode()
def _table(
    trunk: Any,
    teacher: Teacher,
    images: NDArray[np.uint8],
    folder: Path,
    groups: NDArray[np.int64] | None,
    seed: int,
) -> Table:
    """``groups``: images of one group get the same colours; None: every image its own."""
    names = ["early", *(f"stage-{stage}" for stage in COMPARED)]
    done = folder / "done"
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        trunk.eval()
        files: list[NDArray[np.float16]] = []
        for start in range(0, len(images), 32):
            batch = torch.from_numpy(np.array(images[start : start + 32])).permute(0, 3, 1, 2).float() / 255
            numbers = range(start, start + len(batch)) if groups is None else groups[start : start + 32]
            coloured = _in_colour(batch, [int(number) for number in numbers], seed).to(device_of(trunk))
            found = [early(trunk, to_network(coloured)), *teacher.depths(coloured)]
            rows = [each.permute(0, 2, 3, 1).half().cpu().numpy() for each in found]
            if not files:
                files = [
                    _created(folder / f"{name}.npy", len(images), row)
                    for name, row in zip(names, rows, strict=True)
                ]
            for file, row in zip(files, rows, strict=True):
                file[start : start + len(row)] = row
        for file in files:
            file.flush()  # type: ignore[attr-defined]
        done.touch()
    tables = [np.load(folder / f"{name}.npy", mmap_mode="r") for name in names]
    return Table(tables[0], tuple(tables[1:]))


def _created(path: Path, count: int, row: NDArray[np.float16]) -> NDArray[np.float16]:
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=(count, *row.shape[1:]))


def _in_colour(images: torch.Tensor, groups: Sequence[int], seed: int) -> torch.Tensor:
    """Some in other colours, the same for all of a group."""
    out = []
    for image, group in zip(images, groups, strict=True):
        generator = torch.Generator().manual_seed(seed * 1_000_003 + group)
        jittered = float(torch.rand((), generator=generator)) < JITTERED
        out.append(colour_jitter(image[None], generator)[0] if jittered else image)
    return torch.stack(out)


@dataclass(frozen=True, slots=True)
class Oddness:
    """Log distances of one image's places to the nearest place of the references."""

    good: torch.Tensor
    """(n,) of places without a defect."""
    defect: torch.Tensor
    """(m,) of those that a defect covers; empty if none is visible."""

    @property
    def oddest_good(self) -> torch.Tensor:
        return _highest(self.good)

    @property
    def oddest_defect(self) -> torch.Tensor:
        return _highest(self.defect)


def _highest(values: torch.Tensor) -> torch.Tensor:
    return values.topk(min(_TOP, len(values))).values.mean()


def oddness(
    query: torch.Tensor, references: torch.Tensor, coverage: torch.Tensor, *, visible: bool = True
) -> Oddness:
    """Log distances of (h, w, C) unit vectors to the nearest of (N, C), by the coverage (h, w) of a defect.

    The nearest is found without gradients and compared with them. Places next to a defect count as neither.
    """
    flat = query.flatten(0, 1)
    with torch.no_grad():
        nearest = torch.cat([(part @ references.T).argmax(1) for part in flat.split(256)])
    distance = (0.5 * (1 - (flat * references[nearest]).sum(1))).clamp_min(0)
    logs = torch.log(distance + _SMALL)
    near = F.max_pool2d(coverage[None, None], 3, 1, 1)[0, 0].flatten() > 0
    inside = coverage.flatten() >= min(_COVERED, float(coverage.max()))
    if near.all():  # a defect all over leaves no good place to compare with
        return Oddness(logs, logs[:0])
    return Oddness(logs[~near], logs[inside & near] if visible else logs[:0])


def alike_loss(parts: Sequence[Oddness], settings: AlikeSettings) -> torch.Tensor:
    """Of one product: each defect against the oddest good place of each of its images.

    The logistic surrogate of the AUROC of images, and half as much that of a defect's single places against
    the good ones of the same image.
    """
    margin, temperature = settings.margin, settings.temperature
    good = torch.stack([part.oddest_good for part in parts])
    losses = []
    for part in parts:
        if len(part.defect):
            whole = F.softplus((good + margin - part.oddest_defect) / temperature).mean()
            places = F.softplus((part.oddest_good - part.defect) / temperature).mean()
            losses.append(temperature * (whole + 0.5 * places))
    return torch.stack(losses).mean() if losses else good.sum() * 0


def teach_alike(trunk: Any, line: LinePool, tables: Tables, settings: AlikeSettings, *, folder: Path) -> None:
    """Train the stages from stride 4 to 16 in place; ``folder`` keeps curve and checkpoint."""
    trunk.eval()  # the statistics of batch norms stay: episodes are few images of few products
    trunk.requires_grad_(False)
    trained = nn.ModuleList(trunk.blocks[FROZEN : max(COMPARED) + 1]).requires_grad_(True)
    trunk.to(memory_format=torch.channels_last)
    groups, colours = line.groups(), colour_groups(line)
    abstract_ones = len(tables.leaves.early)
    if len(groups) < settings.groups or abstract_ones < settings.leaves:
        raise ConfigurationError(
            f"too few images: {len(groups)} of {settings.groups} whole groups of parts (--pairs) and "
            f"{abstract_ones} of {settings.leaves} abstract ones (--leaves)"
        )
    device = device_of(trunk)
    deviations = [_deviation(targets).to(device) for targets in tables.leaves.targets]
    optimiser = torch.optim.AdamW(decay_groups(trained, settings.weight_decay), foreach=True)
    progress = Progress(folder, "alike", trained, optimiser, settings)
    for step in progress.steps(settings.steps):
        rng = np.random.default_rng([settings.seed, step, 0xA1])
        set_rate(optimiser, settings.learning_rate * cosine_rate(step, settings.steps))
        chosen = [groups[index] for index in rng.choice(len(groups), settings.groups, replace=False)]
        leaves = sorted(rng.choice(len(tables.leaves.early), settings.leaves, replace=False).tolist())
        rows = [row for pairs in chosen for pair in pairs for row in (2 * pair, 2 * pair + 1)]
        depths = depths_of(trunk, _input(tables.line, rows, device))
        abstract = depths_of(trunk, _input(tables.leaves, leaves, device))
        turned = _turned(trunk, line, rows, colours, settings)
        losses = {
            "alike": episodes(depths, turned, rows, line, settings, rng),
            "line": _held(depths, tables.line.targets_of(rows), deviations),
            "abstract": _held(abstract, tables.leaves.targets_of(leaves), deviations),
        }
        total = losses["alike"] + settings.hold * (losses["line"] + losses["abstract"])
        advance(optimiser, trained, total)
        progress.done(step, settings.steps, {key: float(loss.detach()) for key, loss in losses.items()})


def _input(table: Table, rows: Sequence[int], device: torch.device) -> torch.Tensor:
    return table.early_of(rows).to(device).contiguous(memory_format=torch.channels_last)


def _deviation(targets: NDArray[np.float16]) -> torch.Tensor:
    """(1, C, 1, 1) deviation of each channel over the first images."""
    return _planes(targets[:256]).std((0, 2, 3), keepdim=True).clamp_min(1e-3)


def _held(
    depths: Sequence[torch.Tensor], targets: Sequence[torch.Tensor], deviations: Sequence[torch.Tensor]
) -> torch.Tensor:
    """The mean of :func:`depth_losses`."""
    return torch.stack(depth_losses(depths, targets, deviations)).mean()


def _turned(
    trunk: Any, line: LinePool, rows: Sequence[int], colours: NDArray[np.int64], settings: AlikeSettings
) -> dict[int, torch.Tensor]:
    """By row, the :func:`turned_places` of good parts that lie loosely."""
    of_product = len(rows) // settings.groups
    found: dict[int, torch.Tensor] = {}
    for first in range(0, len(rows), of_product):
        goods = rows[first : first + of_product : 2]
        if settings.directions == 1 or line.records[goods[0]].station != "loose":
            continue
        group = int(colours[goods[0]])

        def coloured(images: torch.Tensor, group: int = group) -> torch.Tensor:
            return _in_colour(images, [group] * len(images), settings.seed)

        def depths(batch: torch.Tensor) -> list[torch.Tensor]:
            return depths_of(trunk, early(trunk, batch.to(device_of(trunk))))

        places = turned_places(depths, line, goods, coloured, settings.directions)
        found.update(zip(goods, places, strict=True))
    return found


def episodes(
    depths: Sequence[torch.Tensor],
    turned: Mapping[int, torch.Tensor],
    rows: Sequence[int],
    line: LinePool,
    settings: AlikeSettings,
    rng: np.random.Generator,
) -> torch.Tensor:
    """The mean loss of the products of a step; ``rows`` are good and defective twins in turn, by product.

    ``turned`` are more places of good parts, by row.
    """
    joined = join_depths([depth.permute(0, 2, 3, 1) for depth in depths], smoothing=1)
    side = joined.shape[1]
    of_product = len(rows) // settings.groups
    losses = []
    for first in range(0, len(rows), of_product):
        goods = joined[first : first + of_product : 2]
        parts = []
        for index in range(len(goods)):
            others = [other for other in range(len(goods)) if other != index]
            kept = rng.permutation(others)[: int(rng.integers(1, len(others) + 1))].tolist()
            row = rows[first + 2 * index + 1]
            mask = torch.from_numpy(line.masks[row].astype(np.float32) / 255).to(joined.device)
            coverage = F.adaptive_avg_pool2d(mask[None], side)[0]
            visibility = line.records[row].visibility
            visible = visibility is not None and visibility >= settings.least_visibility
            query = joined[first + 2 * index + 1]
            numbers = [rows[first + 2 * other] for other in kept]
            more = [turned[number] for number in numbers if number in turned]
            references = torch.cat([goods[kept].flatten(0, 2), *more])
            parts.append(oddness(query, references, coverage, visible=visible))
        losses.append(alike_loss(parts, settings))
    return torch.stack(losses).mean()


# ------------------------------------------------------------------------------------ turned references


Coloured = Callable[[torch.Tensor], torch.Tensor]
"""(B, 3, H, W) levels in [0, 1] to the same in other colours."""
Depths = Callable[[torch.Tensor], list[torch.Tensor]]
"""What a network takes, to its features (B, C, h, w) of each depth."""


@torch.no_grad()
def turned_places(
    depths: Depths, line: LinePool, rows: Sequence[int], coloured: Coloured, directions: int
) -> list[torch.Tensor]:
    """The places of images in all directions but their own, as enrollment memorises loose parts.

    Turning an image turns its light as well, which a part that is laid down otherwise does not do. Features
    can learn what is left between the two only if training turns references as well.

    Args:
        rows: numbers of images of the line.
        coloured: the same colours for all of them.
        directions: as many as enrollment takes, their own among them.

    Returns:
        For each image ((directions - 1) h w, C) unit vectors, without gradients.
    """
    angles = evenly_spaced(directions)[1:]
    images = [torch.from_numpy(rotated(line.images[row], angle).copy()) for row in rows for angle in angles]
    if not images:
        return [torch.empty(0) for _ in rows]
    batch = to_network(coloured(torch.stack(images).permute(0, 3, 1, 2).float() / 255))
    found = depths(batch.contiguous(memory_format=torch.channels_last))
    joined = join_depths([depth.permute(0, 2, 3, 1) for depth in found], smoothing=1)
    return list(joined.reshape(len(rows), -1, joined.shape[-1]))
