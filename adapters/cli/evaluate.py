"""``sightline evaluate``: a method's figures on labelled pictures."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adapters.cli.figures import Outcome, markdown, show
from adapters.cli.options import (
    ConfigFile,
    Method,
    Overrides,
    Profile,
    chosen_method,
    composition_of,
    configure,
)
from adapters.cli.screen import stderr
from agent.errors import ConfigurationError, SightlineError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from agent.evaluation.dataset import Category
    from agent.evaluation.evaluate import Options, Run
    from agent.frame import Image
    from agent.ports import ImageCodec
    from agent.prompts import PromptSet
    from config import Settings

_CAMERA_SUFFIXES = {".jpg", ".jpeg", ".png"}


def evaluate(
    context: typer.Context,
    dataset: Annotated[
        str,
        typer.Option(
            metavar="FORMAT", help="How the pictures lie: mvtec, visa, mtd, btad, mpdd, ksdd, dagm or folder."
        ),
    ],
    root: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the categories, or of one.")],
    category: Annotated[
        list[str] | None, typer.Option(metavar="C", help="Only this one; may be repeated.")
    ] = None,
    method: Method = None,
    shots: Annotated[int, typer.Option(metavar="K", min=0, help="References; 0: zero-shot.")] = 0,
    seeds: Annotated[str, typer.Option(metavar="A-B", help="Draws of references: 0-4, or 0,2,7.")] = "0",
    draw: Annotated[
        str | None,
        typer.Option(
            metavar="D", help="Whose draw: fade or anomaly-dino; by default that of the method's authors."
        ),
    ] = None,
    noun: Annotated[
        list[str] | None,
        typer.Option(metavar="[C=]NOUN", help="What prompts call the product; may be repeated."),
    ] = None,
    prompts: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Prompts from a file or a folder; may be repeated."),
    ] = None,
    protocol: Annotated[
        str,
        typer.Option(
            metavar="P", help="How pixels are measured: exact, or as the authors of fade or iap-as."
        ),
    ] = "exact",
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the figures there.", dir_okay=False)
    ] = None,
    markdown_file: Annotated[
        Path | None,
        typer.Option("--markdown", metavar="FILE", help="Write the table there.", dir_okay=False),
    ] = None,
    sheets: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Write a picture for each category: image, truth, map, mask.", file_okay=False
        ),
    ] = None,
    config: ConfigFile = None,
    profile: Profile = None,
    overrides: Overrides = None,
) -> None:
    """Measure a method on labelled pictures."""
    from agent.evaluation.draw import DRAWS, draw_of
    from agent.evaluation.evaluate import Options
    from agent.evaluation.evaluate import evaluate as measure
    from agent.evaluation.protocol import protocol_for

    settings = configure(config, profile, [*(overrides or ()), *chosen_method(method)]).settings
    chosen = settings.inspection.method
    if draw is not None and draw not in DRAWS:
        raise ConfigurationError(f"there is no draw {draw!r}; known are {', '.join(DRAWS)}")
    categories = _categories(dataset, root, category)
    options = Options(
        method=chosen,
        shots=shots,
        seeds=parse_seeds(seeds),
        batch=settings.inspection.max_batch,
        nouns=parse_nouns(noun or (), [one.name for one in categories]),
        prompts=_prompts(prompts) if prompts else None,
        draw=draw or draw_of(chosen),
        protocol=protocol_for(protocol, dataset),
    )
    composition = composition_of(context)
    with stderr().status("[dim]loading the model ...[/]"):
        inspector = composition.inspector(settings)
    with _Watch(categories, options, sheets, composition.codec()) as watch:
        runs = measure(inspector, categories, options, watch.load, watch)
    outcome = Outcome.of(runs, options, dataset, root, settings.agent.profile, machine(settings), watch.notes)
    show(outcome)
    if json_file is not None:
        _write(json_file, json.dumps(outcome.report, indent=2, allow_nan=False) + "\n")
    if markdown_file is not None:
        _write(markdown_file, markdown(outcome))


def parse_seeds(text: str) -> tuple[int, ...]:
    """``0-4`` and ``0,2,7`` as numbers. Raises ConfigurationError."""
    seeds: list[int] = []
    for piece in text.split(","):
        first, dash, last = piece.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise ConfigurationError(f"--seeds reads like 0-4 or 0,2,7, not {text!r}")
        seeds += range(int(first), int(last if dash else first) + 1)
    if not seeds:
        raise ConfigurationError(f"--seeds {text!r} names no seed")
    return tuple(dict.fromkeys(seeds))


def parse_nouns(texts: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    """``CATEGORY=NOUN``, or one ``NOUN`` for all. Raises ConfigurationError."""
    nouns: dict[str, str] = {}
    for text in texts:
        name, equals, noun = text.rpartition("=")
        if not noun.strip() or (equals and name not in names):
            raise ConfigurationError(
                f"--noun reads like NOUN or CATEGORY=NOUN with one of {', '.join(names)}, not {text!r}"
            )
        nouns.update({name: noun.strip()} if equals else dict.fromkeys(names, noun.strip()))
    return nouns


def machine(settings: Settings) -> str:
    """Where the figures were measured: processor, device, threads where they are limited."""
    threads = f", {settings.models.threads} threads" if settings.models.threads else ""
    device = settings.models.device
    return f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}, device {device}{threads}"


class _Watch:
    """Shows progress, gathers notes, draws sheets, and loads the pictures of an evaluation."""

    def __init__(
        self, categories: Sequence[Category], options: Options, sheets: Path | None, codec: ImageCodec
    ) -> None:
        self.notes: list[str] = []
        self._codec, self._sheets, self._shots = codec, sheets, options.shots
        runs = len(options.seeds) if options.shots else 1
        self._total = runs * sum(len(one.test) for one in categories)
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._before = 0
        self._drawn: set[str] = set()

    def __enter__(self) -> _Watch:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            TextColumn("[dim]{task.description}[/]"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=stderr(),
            transient=True,
        )
        self._progress.start()
        self._task = self._progress.add_task("", total=self._total)
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def scored(self, category: Category, seed: int, done: int, total: int) -> None:
        """See :class:`agent.evaluation.evaluate.Observer`."""
        if self._progress is not None and self._task is not None:
            words = f"{category.name}, draw {seed}" if self._shots else category.name
            self._progress.update(self._task, completed=self._before + done, description=words)

    def finished(self, run: Run) -> None:
        """See :class:`agent.evaluation.evaluate.Observer`."""
        self._before += len(run.category.test)
        where = f"{run.category.name}, draw {run.seed}" if self._shots else run.category.name
        self.notes += [f"{where}: {note}" for note in run.notes]
        if self._sheets is not None and run.category.name not in self._drawn:
            from adapters.cli.sheets import write_sheet

            self._drawn.add(run.category.name)  # the first draw alone: sheets are for looking
            if run.maps is None:
                self.notes.append(f"{where}: the method has no map, so there is no sheet")
            else:
                write_sheet(run, self.load, self._sheets / f"{_file_name(run.category.name)}.png")

    def load(self, path: Path) -> Image:
        """A picture file as RGB. Raises SightlineError with the file's name."""
        content = path.read_bytes()
        if path.suffix.lower() in _CAMERA_SUFFIXES:
            try:
                return self._codec.decode(content)
            except SightlineError as error:
                raise SightlineError(f"{path}: {error}") from error
        return _other_picture(path, content)


def _other_picture(path: Path, content: bytes) -> Image:
    """Bitmaps and the like, which no camera sends but datasets hold."""
    import cv2
    import numpy as np

    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB) if content else None
    if image is None:
        raise SightlineError(f"{path} holds no picture that can be read")
    return np.ascontiguousarray(image, dtype=np.uint8)


def _file_name(category: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in category)


def _categories(dataset: str, root: Path, wanted: Sequence[str] | None) -> list[Category]:
    from agent.evaluation.formats import FORMATS

    if dataset not in FORMATS:
        raise ConfigurationError(f"there is no dataset format {dataset!r}; known are {', '.join(FORMATS)}")
    found = FORMATS[dataset](root)
    if wanted:
        missing = sorted(set(wanted) - {one.name for one in found})
        if missing:
            names = ", ".join(one.name for one in found)
            raise ConfigurationError(f"there is no category {missing[0]!r} in {root}; found are {names}")
        found = [one for one in found if one.name in wanted]
    empty = next((one.name for one in found if not one.test), None)
    if empty is not None:
        raise ConfigurationError(f"category {empty!r} in {root} has no test pictures")
    return found


def _prompts(files: Sequence[Path]) -> Callable[[str], PromptSet]:
    """Prompts for a noun from files. Raises RecipeError where they cannot be read, before anything runs."""
    from agent.prompt_library import load_prompts

    def for_noun(noun: str) -> PromptSet:
        return load_prompts(*files, noun=noun)

    for_noun("object")
    return for_noun


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
