"""What more images give: ``python -m adapters.lab.training.scaling --teacher FILE --out DIR``.

Random students of one seed are led to the teacher for equally many steps, each on another number of images
of the recipe's pools, half of them abstract and half of the simulated line. Then each is measured on what it
never saw: its distance to the teacher's features on abstract images and on products of held-out families,
and nearest neighbours from four references. All else is equal. Two more rows tell what the teacher is worth:
random weights, and a student of as many steps that has no teacher (:mod:`adapters.lab.training.unled`).
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import timm
import torch
from numpy.typing import NDArray

from adapters.lab.evaluation.figures import auroc
from adapters.lab.evaluation.neighbours import Neighbours
from adapters.lab.evaluation.products import Sizes, trial_of
from adapters.lab.evaluation.trial import measure
from adapters.lab.training.alike import AlikeSettings
from adapters.lab.training.dataset import RESERVED_SEED
from adapters.lab.training.distill import DistillSettings, depth_losses, distill
from adapters.lab.training.linepool import LinePool, line_pool, pool_folder
from adapters.lab.training.machine import machine, simulator_digest, versions
from adapters.lab.training.student import ARCHITECTURE, channels_of, compared
from adapters.lab.training.teacher import Foreign, Teacher, Twin, add_teacher_options, load_teacher
from adapters.lab.training.textures import dead_leaves
from adapters.lab.training.train import LEAVES, LEAVES_SIZE, leaves_pool
from adapters.lab.training.unled import unled
from adapters.models.encoders.normalisation import PREPROCESSINGS
from adapters.simulator import HELD_OUT
from agent.domain.errors import SightlineError
from agent.domain.frame import Image
from agent.ports import PatchEncoder

PAIRS = 3_000
"""Of the simulated line: twice as many images as the largest count takes from it."""
SEED = 7
"""Of the products that students are measured on."""
UNSEEN = 96
"""Images of each kind that distances are measured on."""

logger = logging.getLogger(__name__)


class Depths:
    """A trunk as a :class:`agent.ports.PatchEncoder`, without a file."""

    digest = "untrained"

    def __init__(self, trunk: Any, name: str) -> None:
        self._trunk, self.name = trunk.eval(), name

    @torch.inference_mode()
    def encode_patches(
        self, images: Sequence[Image], size: int, *, keep_aspect: bool = False
    ) -> tuple[torch.Tensor, ...]:
        """(B, h_i, w_i, C_i) at the strides that are compared with references, of images of that size."""
        depths = compared(self._trunk, _fractions(np.stack(images)))
        return tuple(depth.permute(0, 2, 3, 1) for depth in depths)


def _fractions(images: NDArray[np.uint8]) -> torch.Tensor:
    """(B, 3, H, W) in [0, 1]."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float().div_(255)


def encoder_of(teacher: Teacher) -> PatchEncoder:
    """The teacher itself, with all of its channels."""
    match teacher:
        case Twin(network=network):
            return Depths(network, teacher.name)
        case Foreign(backbone=backbone):
            return backbone
        case _:
            raise TypeError(f"{type(teacher).__name__} gives no features of its own")


@torch.inference_mode()
def distance(student: Any, teacher: Teacher, images: NDArray[np.uint8]) -> float:
    """Smooth L1 between features standardised by the teacher's deviations, the mean of both depths."""
    batch = _fractions(images)
    targets = teacher.depths(batch)
    deviations = [target.std((0, 2, 3), keepdim=True).clamp_min(1e-3) for target in targets]
    losses = depth_losses(compared(student, batch), targets, deviations)
    return float(np.mean([float(loss) for loss in losses]))


def few_shot(encoder: PatchEncoder, products: int, images: int) -> float:
    """Mean image AUROC over held-out families at fixed stations, four references, nearest neighbours."""
    sizes = Sizes(products, images, SEED)
    found = []
    for family in sorted(HELD_OUT):
        for variant in range(products):
            result = measure(trial_of(family, variant, "fixed", sizes), [Neighbours(encoder.name, encoder)])
            found.append(auroc(result.kinds, result.scores[f"{encoder.name} 4-shot"]))
    return float(np.mean(found))


def unseen(line: bool) -> NDArray[np.uint8]:
    """Images that no student was shown."""
    if not line:
        return np.stack([dead_leaves(RESERVED_SEED + index, LEAVES_SIZE) for index in range(UNSEEN)])
    sizes = Sizes(1, UNSEEN // (2 * len(HELD_OUT)), SEED)
    trials = [trial_of(family, 0, "fixed", sizes) for family in sorted(HELD_OUT)]
    return np.stack([sample.image for trial in trials for batch in trial.batches() for sample in batch])


def student_of(
    count: int, steps: int, teacher: Teacher, leaves: NDArray[np.uint8], line: LinePool, out: Path
) -> Any:
    """A random trunk after so many steps on the first ``count`` images, half of each pool; 0: as it is."""
    torch.manual_seed(0)
    student = timm.create_model(ARCHITECTURE, pretrained=False)
    if count == 0:
        return student
    settings = DistillSettings(steps=steps, forced_steps=steps // 3)
    pools = [leaves[: count // 2], line.images[: count // 2]]
    led = f"{type(teacher).__name__.lower()}-{teacher.digest[:8]}"  # another teacher is another training
    distill(student, teacher, pools, settings, folder=out, name=f"scaling-{count}-{led}")
    return student


def main() -> None:
    """Train, measure, print a table; ``scaling.json`` in the output folder has the same.

    A teacher that cannot lead ends it with one sentence.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--teacher", type=Path, required=True)
    add_teacher_options(parser)
    parser.add_argument(
        "--by-depths",
        action="store_true",
        help="lead as a teacher of any architecture does, though blocks have counterparts",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for curves, checkpoints, the table")
    parser.add_argument("--pools", type=Path, default=Path("var/pools"))
    parser.add_argument("--counts", default="0,100,400,1600,6000", help="images, a student each")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--products", type=int, default=2, help="of each held-out family")
    parser.add_argument("--images", type=int, default=16, help="good ones of each, as many defective")
    parser.add_argument("--pairs", type=int, default=PAIRS, help="pairs of images of the simulated line")
    parser.add_argument("--leaves", type=int, default=LEAVES)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(1)
    try:
        _run(arguments)
    except SightlineError as error:
        raise SystemExit(f"scaling: {error}") from error


def _teacher(arguments: argparse.Namespace) -> Teacher:
    def drawn() -> Iterator[NDArray[np.uint8]]:
        yield leaves_pool(arguments.pools, arguments.leaves)
        yield line_pool(pool_folder(arguments.pools, arguments.pairs), arguments.pairs).images

    return load_teacher(
        arguments.teacher,
        arguments.teacher_architecture,
        channels_of(timm.create_model(ARCHITECTURE, pretrained=False)),
        drawn,
        arguments.out / "projection.pt",
        preprocessing=PREPROCESSINGS.get(arguments.teacher_preprocessing),
        by_depths=arguments.by_depths,
    )


def _run(arguments: argparse.Namespace) -> None:
    teacher = _teacher(arguments)  # asked for before gigabytes are drawn
    line = line_pool(pool_folder(arguments.pools, arguments.pairs), arguments.pairs)
    leaves = leaves_pool(arguments.pools, arguments.leaves)
    abstract, products = unseen(line=False), unseen(line=True)
    rows = []
    for count in (int(each) for each in arguments.counts.split(",")):
        student = student_of(count, arguments.steps, teacher, leaves, line, arguments.out).eval()
        row = {
            "images": count,
            "distance, abstract": round(distance(student, teacher, abstract), 4),
            "distance, held-out products": round(distance(student, teacher, products), 4),
            "4-shot": round(few_shot(Depths(student, str(count)), arguments.products, arguments.images), 4),
        }
        logger.info("%s", row)
        rows.append(row)
    alone = unled(line, arguments.steps, AlikeSettings().groups, folder=arguments.out)
    beside = {"without a teacher": Depths(alone, "without a teacher"), "teacher": encoder_of(teacher)}
    others = {
        name: round(few_shot(encoder, arguments.products, arguments.images), 4)
        for name, encoder in beside.items()
    }
    record = {
        "teacher": teacher.name,
        "by depths": arguments.by_depths,
        "steps": arguments.steps,
        "rows": rows,
        "4-shot": others,
        "simulator": simulator_digest(),
        "machine": machine(),
        "versions": versions(),
    }
    (arguments.out / "scaling.json").write_text(json.dumps(record, indent=2) + "\n")
    sys.stdout.write(table(rows, others))


def table(rows: Sequence[dict[str, float]], others: Mapping[str, float]) -> str:
    """Markdown; the few-shot figures of ``others`` stand below."""
    columns = list(rows[0])
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    lines += ["| " + " | ".join(f"{row[column]:g}" for column in columns) + " |" for row in rows]
    blank = ["-"] * (len(columns) - 2)
    lines += ["| " + " | ".join([name, *blank, f"{value:.4g}"]) + " |" for name, value in others.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
