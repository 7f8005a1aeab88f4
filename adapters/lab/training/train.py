"""The training command: ``python -m adapters.lab.training.train all --teacher FILE --out DIR``.

The teacher is the file's MobileNetV2, or with ``--teacher-architecture NAME`` whatever timm network a person
has weights of (:mod:`adapters.lab.training.networks`).

Stages, in order: ``pools`` (draw the images), ``trunk`` (a random network is led to the teacher's features
on abstract images), ``refine`` (the same on abstract images and those of the simulated line), ``alike``
(good parts of one product alike, defects unlike), ``words`` (captions, states and masks of the simulated
line) and ``export`` (half precision, digest). ``all`` runs them one after the other; each can be run by
itself and reads what the one before left in the output folder. With ``--start FILE`` a bundled model of
before takes the place of ``trunk``, and the words go on from its words. ``--refine 0`` and ``--alike 0``
leave these two out. If no stage is left that a teacher leads, no teacher is needed.

A stage that is cut short goes on from its last checkpoint when the same command is given again; its curve
lies beside it (``NAME.curve.jsonl``). Steps, seeds and the number of threads are fixed and nothing depends on
the clock, so one processor gives one file. ``--device cuda`` trains on a GPU, which draws no images.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import timm
import torch
from numpy.typing import NDArray
from open_clip.tokenizer import SimpleTokenizer
from safetensors.torch import load_file, save_file

from adapters.lab.machine import processor, simulator_digest, versions
from adapters.lab.training.alike import AlikeSettings, cache_tables, teach_alike
from adapters.lab.training.dataset import Image, render_pool
from adapters.lab.training.distill import DistillSettings, distill
from adapters.lab.training.linepool import LinePool, line_pool, pool_folder
from adapters.lab.training.networks import (
    ARCHITECTURE,
    Teacher,
    add_teacher_options,
    channels_of,
    load_teacher,
)
from adapters.lab.training.textures import dead_leaves
from adapters.lab.training.words import WordsSettings, build, cache, frozen_part, teach_words
from adapters.models.device import pick_device
from adapters.models.encoders.normalisation import PREPROCESSINGS
from adapters.models.weights.local import sha256_of
from agent.domain.errors import ConfigurationError, SightlineError

logger = logging.getLogger(__name__)

LEAVES = 12_000
LEAVES_SIZE = 192
PAIRS = 6_000
REFINE_STEPS = 500
RESULT = "sightline-tiny.safetensors"


def draw_pools(arguments: argparse.Namespace) -> None:
    """All images of the recipe, abstract ones and those of the line beside each other."""
    if not led(arguments):  # abstract images are for those that a teacher leads
        _line(arguments)
        return
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as workers:
        abstract = workers.submit(_leaves, arguments)
        workers.submit(_line, arguments).result()
        abstract.result()


def led(arguments: argparse.Namespace) -> set[str]:
    """The stages that a teacher leads in this recipe; the others leave the trunk as it is."""
    stages = {"trunk": arguments.start is None, "refine": arguments.refine, "alike": arguments.alike}
    return {name for name, runs in stages.items() if runs}


def train_trunk(arguments: argparse.Namespace) -> None:
    """A random trunk learns the teacher's features."""
    if arguments.start is not None:
        torch.save(trunk_of(started(arguments.start)), arguments.out / "trunk.pt")
        return
    torch.manual_seed(arguments.seed)
    settings = DistillSettings(seed=arguments.seed)
    if arguments.steps:
        settings = replace(settings, steps=arguments.steps, forced_steps=arguments.steps // 3)
    _distil(arguments, None, [_leaves(arguments)], settings, "trunk")


def refine(arguments: argparse.Namespace) -> None:
    """The trunk once more: abstract images and those of the simulated line in equal shares."""
    trunk = _load(arguments, "trunk")  # asked for before gigabytes are drawn
    if arguments.refine == 0:
        torch.save(trunk, arguments.out / "refined.pt")
        return
    settings = DistillSettings(
        steps=arguments.steps or arguments.refine,
        forced_steps=0,
        learning_rate=1e-3,
        seed=arguments.seed + 10,
    )
    _distil(arguments, "trunk", [_leaves(arguments), _line(arguments).images], settings, "refined")


def _distil(
    arguments: argparse.Namespace,
    before: str | None,
    pools: Sequence[NDArray[np.uint8]],
    settings: DistillSettings,
    name: str,
) -> None:
    student = timm.create_model(ARCHITECTURE, pretrained=False)
    if before is not None:
        student.load_state_dict(_load(arguments, before), strict=False)
    student, teacher = student.to(arguments.device), _teacher(arguments, student)
    distill(student, teacher, pools, settings, folder=arguments.out, name=name, fresh=before is None)
    torch.save(student.cpu().state_dict(), arguments.out / f"{name}.pt")


def _teacher(arguments: argparse.Namespace, student: Any) -> Teacher:
    def drawn() -> Iterator[NDArray[np.uint8]]:
        yield _leaves(arguments)
        yield _line(arguments).images

    return load_teacher(
        arguments.teacher,
        arguments.teacher_architecture,
        channels_of(student),
        drawn,
        arguments.out / "projection.pt",
        preprocessing=PREPROCESSINGS.get(arguments.teacher_preprocessing),
        device=arguments.device,
    )


def train_alike(arguments: argparse.Namespace) -> None:
    """Patches of good parts of one product come to lie together, those of defects apart."""
    refined = _load(arguments, "refined")
    if arguments.alike == 0:
        torch.save(refined, arguments.out / "alike.pt")
        return
    trunk = timm.create_model(ARCHITECTURE, pretrained=False)
    trunk.load_state_dict(refined, strict=False)
    settings = AlikeSettings(steps=arguments.steps or arguments.alike, seed=arguments.seed + 20)
    trunk, teacher = trunk.to(arguments.device), _teacher(arguments, trunk)
    digest = sha256_of(arguments.out / "refined.pt")[:12]
    line, leaves = _line(arguments), _leaves(arguments)
    tables = cache_tables(trunk, teacher, line, leaves, arguments.out / f"early-{digest}", settings.seed)
    teach_alike(trunk, line, tables, settings, folder=arguments.out)
    torch.save(trunk.cpu().state_dict(), arguments.out / "alike.pt")


def train_words(arguments: argparse.Namespace) -> None:
    """The late stages, the projection and the text tower learn words."""
    torch.manual_seed(arguments.seed + 1)
    trunk = _load(arguments, "alike")
    model = build(trunk)
    if arguments.start is not None:
        model.load_state_dict({**started(arguments.start), **frozen_part(trunk)})
    model = model.to(arguments.device)
    settings = WordsSettings(seed=arguments.seed)
    if arguments.steps:
        settings = replace(settings, steps=arguments.steps)
    pool = _line(arguments)
    features = arguments.out / f"features-{sha256_of(arguments.out / 'alike.pt')[:12]}-{settings.side}.npy"
    table = cache(model.visual.trunk, pool, features, settings)
    tokenizer = SimpleTokenizer(context_length=model.context_length)
    fresh = arguments.start is None
    teach_words(model, tokenizer, pool, table, settings, folder=arguments.out, fresh=fresh)
    torch.save(model.cpu().state_dict(), arguments.out / "words.pt")


def started(path: Path) -> dict[str, torch.Tensor]:
    """The weights of a bundled model of before, in full precision."""
    return {
        key: value.float() if value.is_floating_point() else value for key, value in load_file(path).items()
    }


def trunk_of(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The trunk of a whole model."""
    prefix = "visual.trunk."
    own = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    return {key: value for key, value in own.items() if not key.startswith("classifier")}


def _load(arguments: argparse.Namespace, name: str) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(_path(arguments, name), weights_only=True)
    return state


def _path(arguments: argparse.Namespace, name: str) -> Path:
    path: Path = arguments.out / f"{name}.pt"
    if not path.exists():
        raise ConfigurationError(f"there is no {path}; run the stage before, or `all`")
    return path


def _leaves(arguments: argparse.Namespace) -> NDArray[np.uint8]:
    return leaves_pool(arguments.pools, arguments.leaves)


def leaves_pool(folder: Path, count: int) -> NDArray[np.uint8]:
    """(count, 192, 192, 3) abstract images, drawn if they are not there yet."""
    return render_pool(folder / f"leaves-{LEAVES_SIZE}-{count}.npy", count, LEAVES_SIZE, _draw_leaves)


def _line(arguments: argparse.Namespace) -> LinePool:
    return line_pool(pool_folder(arguments.pools, arguments.pairs), arguments.pairs)


def _draw_leaves(index: int) -> Image:
    return dead_leaves(index, LEAVES_SIZE)


def export(arguments: argparse.Namespace) -> None:
    """The final file: float16, keys in order, so that equal weights give equal bytes."""
    state = _load(arguments, "words")
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
    "refine": refine,
    "alike": train_alike,
    "words": train_words,
    "export": export,
}


def run_all(arguments: argparse.Namespace) -> None:
    """The whole recipe; a record of it lies beside the result, with the seconds of each stage in this run."""
    seconds = {}
    for name, stage in STAGES.items():
        logger.info("stage %s", name)
        began = time.monotonic()
        stage(arguments)
        seconds[name] = round(time.monotonic() - began, 1)
    result = arguments.out / RESULT
    record = {
        "file": RESULT,
        "sha256": sha256_of(result),
        "bytes": result.stat().st_size,
        "seed": arguments.seed,
        "threads": arguments.threads,
        "device": arguments.device,
        "steps": arguments.steps,
        "refine": arguments.refine,
        "alike": arguments.alike,
        "pairs": arguments.pairs,
        "leaves": arguments.leaves,
        "teacher": arguments.teacher_architecture,
        "teacher_preprocessing": arguments.teacher_preprocessing,
        "teacher_sha256": None if arguments.teacher is None else sha256_of(arguments.teacher),
        "start_sha256": None if arguments.start is None else sha256_of(arguments.start),
        "simulator": simulator_digest(),
        "versions": versions(),
        "processor": processor(),
        "seconds": seconds,
    }
    (arguments.out / "recipe.json").write_text(json.dumps(record, indent=2) + "\n")
    spent = ", ".join(f"{name} {each:g} s" for name, each in seconds.items())
    logger.info("%s: sha256 %s; %s", result, record["sha256"], spent)


def same_inputs(arguments: argparse.Namespace) -> None:
    """Every stage in one folder has the same inputs, or else a finished stage would pass for another's.

    Raises:
        ConfigurationError: ``inputs.json`` in the output folder has others.
    """
    inputs: dict[str, Any] = {
        key: getattr(arguments, key)
        for key in ("pairs", "leaves", "seed", "steps", "refine", "alike", "threads", "device")
    }
    inputs["teacher-architecture"] = arguments.teacher_architecture
    inputs["teacher-preprocessing"] = arguments.teacher_preprocessing
    inputs["simulator"] = simulator_digest()
    for key in ("teacher", "start"):
        path = getattr(arguments, key)
        if path is not None:
            inputs[key] = sha256_of(path)
    record = arguments.out / "inputs.json"
    before = json.loads(record.read_text()) if record.exists() else {}
    changed = sorted(key for key in inputs if key in before and before[key] != inputs[key])
    if changed:
        raise ConfigurationError(
            f"{arguments.out} holds stages with another {', '.join(changed)}; choose another --out"
        )
    record.write_text(json.dumps({**before, **inputs}, indent=2) + "\n")


def main() -> None:
    """Parse the command line and run one stage, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage", choices=["all", *STAGES])
    parser.add_argument("--teacher", type=Path, help="weights of the teacher, safetensors or PyTorch")
    add_teacher_options(parser)
    parser.add_argument(
        "--start",
        type=Path,
        help="a bundled model of before, to go on from; one that another teacher led needs --refine",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints")
    parser.add_argument(
        "--pools", type=Path, default=Path("var/pools"), help="folder for drawn images (gigabytes)"
    )
    parser.add_argument("--steps", type=int, help="fewer steps than the recipe, to try it out")
    parser.add_argument(
        "--refine", type=int, default=REFINE_STEPS, help="steps of `refine`; 0: the trunk stays as it is"
    )
    parser.add_argument(
        "--alike",
        type=int,
        default=AlikeSettings().steps,
        help="steps of `alike`; 0: the trunk stays as it is, and so do few-shot features",
    )
    parser.add_argument("--pairs", type=int, default=PAIRS, help="pairs of images of the simulated line")
    parser.add_argument("--leaves", type=int, default=LEAVES, help="abstract images")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="other numbers round differently")
    parser.add_argument(
        "--device", default="cpu", help="what trains: cpu, cuda, auto; others round differently"
    )
    arguments = parser.parse_args()
    asked = set(STAGES) if arguments.stage == "all" else {arguments.stage}
    if asked & led(arguments) and arguments.teacher is None:
        parser.error("the stages `trunk`, `refine` and `alike` need --teacher FILE")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(1)
    stage = run_all if arguments.stage == "all" else STAGES[arguments.stage]
    try:
        arguments.device = str(pick_device(arguments.device, asked="--device"))  # before anything is drawn
        arguments.out.mkdir(parents=True, exist_ok=True)
        same_inputs(arguments)
        stage(arguments)
    except SightlineError as error:
        raise SystemExit(f"train: {error}") from error


if __name__ == "__main__":
    main()
