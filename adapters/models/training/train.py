"""The training command: ``python -m adapters.models.training.train all --teacher FILE --out DIR``.

Stages, in order: ``pools`` (draw the pictures), ``trunk`` (distil the teacher on abstract pictures),
``words`` (captions, states and masks of the simulated line), ``refine-trunk`` and ``refine-words`` (both
again, for a shorter while, the trunk on pictures of the line too) and ``export`` (half precision, digest).
``all`` runs them one after the other; each can be run by itself and reads what the one before left in the
output folder. Steps, seeds and the number of threads are fixed and nothing depends on the clock, so one
machine gives one file.
"""

from __future__ import annotations

import argparse
import json
import logging
import platform
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from adapters.models.training.dataset import Picture, render_pool
from adapters.models.training.distill import ARCHITECTURE, DistillSettings, distill, load_teacher
from adapters.models.training.linepool import LinePool, line_pool
from adapters.models.training.textures import dead_leaves
from adapters.models.training.words import FROZEN_STAGES, WordsSettings, build, cache, teach_words
from adapters.models.weights import sha256_of

logger = logging.getLogger(__name__)

LEAVES = 12_000
LEAVES_SIZE = 192
PAIRS = 1_500
RESULT = "sightline-tiny.safetensors"


def draw_pools(arguments: argparse.Namespace) -> None:
    """All pictures of the recipe, abstract ones and those of the line beside each other."""
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as workers:
        abstract = workers.submit(_leaves, arguments)
        workers.submit(_line, arguments).result()
        abstract.result()


def train_trunk(arguments: argparse.Namespace) -> None:
    """Phase A: a random trunk learns the teacher's features."""
    import timm

    torch.manual_seed(arguments.seed)
    student = timm.create_model(ARCHITECTURE, pretrained=False)
    pool = _leaves(arguments)
    settings = DistillSettings(seed=arguments.seed)
    if arguments.steps:
        settings = replace(settings, steps=arguments.steps, forced_steps=arguments.steps // 3)
    path = arguments.out / "trunk.pt"
    teacher = load_teacher(arguments.teacher)
    distill(student, teacher, [pool], settings, keep=lambda: torch.save(student.state_dict(), path))
    torch.save(student.state_dict(), path)


def train_words(arguments: argparse.Namespace) -> None:
    """Phase B: the late stages, the projection and the text tower learn words."""
    torch.manual_seed(arguments.seed + 1)
    model = build(torch.load(arguments.out / "trunk.pt", weights_only=True))
    settings = WordsSettings(seed=arguments.seed)
    if arguments.steps:
        settings = replace(settings, steps=arguments.steps)
    _teach(model, settings, arguments, trunk="trunk.pt", result="words.pt", fresh=True)


def refine_trunk(arguments: argparse.Namespace) -> None:
    """Phase A again, for longer: abstract pictures and those of the simulated line in equal shares."""
    import timm

    student = timm.create_model(ARCHITECTURE, pretrained=False)
    student.load_state_dict(torch.load(arguments.out / "trunk.pt", weights_only=True))
    settings = DistillSettings(
        steps=arguments.steps or 700, forced_steps=0, learning_rate=1e-3, seed=arguments.seed + 10
    )
    path = arguments.out / "refined.pt"
    distill(
        student,
        load_teacher(arguments.teacher),
        [_leaves(arguments), _line(arguments).images],
        settings,
        fresh=False,
        keep=lambda: torch.save(student.state_dict(), path),
    )
    torch.save(student.state_dict(), path)


def refine_words(arguments: argparse.Namespace) -> None:
    """Phase B again, for a short while: the words follow the refined trunk."""
    words = torch.load(arguments.out / "words.pt", weights_only=True)
    refined = torch.load(arguments.out / "refined.pt", weights_only=True)
    frozen = ("conv_stem", "bn1", *(f"blocks.{stage}." for stage in range(FROZEN_STAGES)))
    moved = {f"visual.trunk.{key}": value for key, value in refined.items() if key.startswith(frozen)}
    model = build(refined)
    model.load_state_dict({**words, **moved})
    settings = WordsSettings(steps=arguments.steps or 300, learning_rate=7e-4, seed=arguments.seed + 10)
    _teach(model, settings, arguments, trunk="refined.pt", result="refined-words.pt", fresh=False)


def _teach(
    model: Any,
    settings: WordsSettings,
    arguments: argparse.Namespace,
    *,
    trunk: str,
    result: str,
    fresh: bool,
) -> None:
    from open_clip.tokenizer import SimpleTokenizer

    pool = _line(arguments)
    features = arguments.out / f"features-{sha256_of(arguments.out / trunk)[:12]}.npy"
    table = cache(model.visual.trunk, pool, features, arguments.seed)
    path = arguments.out / result
    tokenizer = SimpleTokenizer(context_length=model.context_length)
    keep = lambda: torch.save(model.state_dict(), path)  # noqa: E731
    teach_words(model, tokenizer, pool, table, settings, fresh=fresh, keep=keep)
    torch.save(model.state_dict(), path)


def _leaves(arguments: argparse.Namespace) -> NDArray[np.uint8]:
    count = arguments.leaves
    return render_pool(
        arguments.pools / f"leaves-{LEAVES_SIZE}-{count}.npy", count, LEAVES_SIZE, _draw_leaves
    )


def _line(arguments: argparse.Namespace) -> LinePool:
    return line_pool(arguments.pools / f"line-{arguments.pairs}", arguments.pairs)


def _draw_leaves(index: int) -> Picture:
    return dead_leaves(index, LEAVES_SIZE)


def export(arguments: argparse.Namespace) -> None:
    """The final file: float16, keys in order, so that equal weights give equal bytes."""
    from safetensors.torch import save_file

    refined = arguments.out / "refined-words.pt"
    state = torch.load(refined if refined.exists() else arguments.out / "words.pt", weights_only=True)
    stored = {
        key: (value.half() if value.is_floating_point() else value).contiguous()
        for key, value in sorted(state.items())
    }
    path = arguments.out / RESULT
    # One entry only: safetensors writes several in an order that changes from run to run.
    save_file(stored, path, metadata={"format": "pt"})
    logger.info("%s: %d bytes, sha256 %s", path, path.stat().st_size, sha256_of(path))


STAGES = {
    "pools": draw_pools,
    "trunk": train_trunk,
    "words": train_words,
    "refine-trunk": refine_trunk,
    "refine-words": refine_words,
    "export": export,
}


def run_all(arguments: argparse.Namespace) -> None:
    """The whole recipe; a record of it lies beside the result."""
    for name, stage in STAGES.items():
        logger.info("stage %s", name)
        stage(arguments)
    result = arguments.out / RESULT
    record = {
        "file": RESULT,
        "sha256": sha256_of(result),
        "bytes": result.stat().st_size,
        "seed": arguments.seed,
        "threads": arguments.threads,
        "steps": arguments.steps,
        "pairs": arguments.pairs,
        "leaves": arguments.leaves,
        "teacher_sha256": sha256_of(arguments.teacher),
        "versions": {
            name: version(name)
            for name in ("torch", "timm", "open_clip_torch", "numpy", "opencv-python-headless")
        },
        "processor": processor(),
    }
    (arguments.out / "recipe.json").write_text(json.dumps(record, indent=2) + "\n")
    logger.info("%s: sha256 %s", result, record["sha256"])


def processor() -> str:
    """The processor's name: rounding differs from one kind to another."""
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        for line in listing.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def main() -> None:
    """Parse the command line and run one stage, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage", choices=["all", *STAGES])
    parser.add_argument("--teacher", type=Path, help="safetensors file of the teacher (timm mobilenetv2_100)")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints")
    parser.add_argument(
        "--pools", type=Path, default=Path("var/pools"), help="folder for drawn pictures (gigabytes)"
    )
    parser.add_argument("--steps", type=int, help="fewer steps than the recipe, to try it out")
    parser.add_argument("--pairs", type=int, default=PAIRS, help="pairs of pictures of the simulated line")
    parser.add_argument("--leaves", type=int, default=LEAVES, help="abstract pictures")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="other numbers round differently")
    arguments = parser.parse_args()
    if arguments.stage in {"all", "trunk", "refine-trunk"} and arguments.teacher is None:
        parser.error("the stages `trunk`, `refine-trunk` and `all` need --teacher FILE")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(1)
    arguments.out.mkdir(parents=True, exist_ok=True)
    stage = run_all if arguments.stage == "all" else STAGES[arguments.stage]
    stage(arguments)


if __name__ == "__main__":
    main()
