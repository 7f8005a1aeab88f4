"""The command ``python -m adapters.lab.evaluation``: what a checkpoint of the bundled model is worth.

Options in, a record on disk and tables on the screen out.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import torch

from adapters.lab.evaluation import speed, trials
from adapters.lab.evaluation.judging import parameters_in_force
from adapters.lab.evaluation.models import Models, bundled_files, load_models
from adapters.lab.evaluation.record import PARTS, Record
from adapters.lab.evaluation.report import report, summary
from adapters.lab.evaluation.words import Speaker
from adapters.lab.machine import machine, simulator_digest, versions
from adapters.lab.training.networks import add_teacher_options
from adapters.models.encoders.normalisation import PREPROCESSINGS
from adapters.simulator import FAMILIES, HELD_OUT
from agent.domain.errors import ConfigurationError, SightlineError

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""

logger = logging.getLogger(__name__)


class Evaluation:
    """All parts that were asked for, one trial after the other, each on disk as soon as it is through."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        """Raises SightlineError if a path or a size is wrong, before anything costs time."""
        self._arguments = arguments
        self._sizes = trials.Sizes(
            arguments.products, arguments.images, arguments.seed, tuple(arguments.families)
        )
        self._parts = _wanted(arguments)
        if arguments.photographs is not None:
            trials.categories(arguments.photographs)
        if arguments.draws < 1 or arguments.frames < 1:
            raise ConfigurationError("--draws and --frames are at least 1")
        self.models: Models = load_models(
            bundled_files(arguments.checkpoint, arguments.architecture),
            arguments.teacher,
            arguments.teacher_architecture,
            PREPROCESSINGS.get(arguments.teacher_preprocessing),
        )
        self.record = Record(self._settings(), arguments.out)

    def _settings(self) -> dict[str, Mapping[str, Any]]:
        """What figures depend on, for each part that was asked for."""
        arguments = self._arguments
        teacher = None if self.models.teacher is None else self.models.teacher.digest
        drawn = {
            "products": arguments.products,
            "images": arguments.images,
            "families": arguments.families,
        }
        if teacher is not None and arguments.teacher_preprocessing is not None:
            teacher = f"{teacher}, {arguments.teacher_preprocessing}"
        beside = {"controls": arguments.controls, "teacher": teacher if arguments.controls else None}
        parts: dict[str, Mapping[str, Any]] = {
            "families": drawn | beside,
            "photographs": {
                "photographs": str(arguments.photographs), "draws": arguments.draws, "teacher": teacher
            },
            "words": drawn,
            "speed": {"frames": arguments.frames},
        }  # fmt: skip
        everything = self.models.digests | {
            "method": parameters_in_force(),
            "seed": arguments.seed,
            "simulator": simulator_digest(),
            "versions": versions(),
            "machine": machine(),
        }
        return {"all": everything, **{part: parts[part] for part in self._parts}}

    def run(self) -> None:
        """Measure what the record does not hold yet. Raises SightlineError, KeyboardInterrupt."""
        for part in self._parts:
            for key, result in getattr(self, f"_{part}")():
                self.record.put(part, key, result)
                logger.info("%s: %s (%d)", part, key, len(self.record.parts[part]))

    def finish(self, *, complete: bool) -> str:
        """The tables so far, in the record too. Raises ConfigurationError."""
        seed = self._arguments.seed
        self.record.save(summary(self.record, seed))
        return report(self.record, seed, complete=complete)

    def _families(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        scorers = self.models.scorers(controls=self._arguments.controls, pixels=True)
        for one in self._missing("families", trials.drawn_trials(self._sizes)):
            yield one.key, trials.measure(one, scorers).as_dict()

    def _photographs(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        scorers = self.models.scorers(controls=True, pixels=False)
        arguments = self._arguments
        every = trials.photograph_trials(arguments.photographs, arguments.draws, arguments.seed)
        for one in self._missing("photographs", every):
            yield one.key, trials.measure(one, scorers).as_dict()

    def _words(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        speaker = Speaker(self.models.tiny)
        held = tuple(family for family in self._sizes.families if family in HELD_OUT)
        sizes = trials.Sizes(self._sizes.products, self._sizes.images, self._sizes.seed, held)
        for one in self._missing("words", trials.drawn_trials(sizes)):
            yield one.key, speaker.measure(one).as_dict()

    def _speed(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        if not self.record.has("speed", "speed"):
            yield "speed", speed.measure(self.models.tiny, self.models.files, self._arguments.frames)

    def _missing(self, part: str, every: Iterator[trials.Trial]) -> Iterator[trials.Trial]:
        return (one for one in every if not self.record.has(part, one.key))


def _wanted(arguments: argparse.Namespace) -> tuple[str, ...]:
    """The parts to measure, in their order. Raises ConfigurationError."""
    unknown = [part for part in arguments.only or () if part not in PARTS]
    if unknown:
        raise ConfigurationError(f"there is no part {unknown[0]!r}; --only takes {', '.join(PARTS)}")
    if arguments.only and "photographs" in arguments.only and arguments.photographs is None:
        raise ConfigurationError("--only photographs needs --photographs DIR, a folder in MVTec's layout")
    wanted = arguments.only or [part for part in PARTS if part != "photographs" or arguments.photographs]
    return tuple(part for part in PARTS if part in wanted)


def _list(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = argparse.ArgumentParser(
        prog="python -m adapters.lab.evaluation",
        description="What a checkpoint of the bundled model is worth: on drawn products that training never "
        "saw, on photographs, by its words, in its speed.",
    )
    add = options.add_argument
    add("--checkpoint", type=Path, metavar="FILE", help="weights to measure; default: the bundled ones")
    add("--architecture", type=Path, metavar="FILE", help="their configuration; default: the bundled one")
    add("--teacher", type=Path, metavar="FILE", help="weights of a teacher, measured beside")
    add_teacher_options(options)
    add("--photographs", type=Path, metavar="DIR", help="products in MVTec's layout, never trained on")
    add("--only", type=_list, metavar="PART,...", help=f"of {', '.join(PARTS)}; default: all")
    add("--families", type=_list, metavar="NAME,...", default=list(FAMILIES), help="default: all")
    add("--products", type=int, default=3, help="of each family")
    add("--images", type=int, default=24, help="good ones of each product and station, as many defective")
    add("--draws", type=int, default=3, help="draws of references from photographs")
    add("--controls", action="store_true", help="measure the controls and the teacher on drawn products too")
    add("--frames", type=int, default=64, help="timed for the speed")
    add("--seed", type=int, default=0, help="of products, images, draws and resamples")
    add("--threads", type=int, default=2)
    add(
        "--out", type=Path, metavar="FILE", help="the record, as JSON; a run that was cut short goes on there"
    )
    add("--markdown", type=Path, metavar="FILE", help="the tables, beside the screen")
    return options


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print. A wrong path or size ends it with one sentence."""
    arguments = parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    torch.set_num_threads(max(1, arguments.threads))
    cv2.setNumThreads(1)
    complete = True
    try:
        evaluation = Evaluation(arguments)
        try:
            evaluation.run()
        except KeyboardInterrupt:
            complete = False
        text = evaluation.finish(complete=complete)
        if arguments.markdown is not None:
            _write(arguments.markdown, text)
    except SightlineError as error:
        raise SystemExit(f"evaluate: {error}") from error
    sys.stdout.write(text)
    if not complete:
        raise SystemExit(INTERRUPTED)


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"the tables cannot be written to {path}: {error}") from error


if __name__ == "__main__":
    main()
