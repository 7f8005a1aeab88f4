"""``sightline evaluate``: figures of a method on labelled images."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adapters.cli.options import (
    ConfigFile,
    Overrides,
    Profile,
    chosen_method,
    composition_of,
    configure,
)
from adapters.cli.screen import plain, stderr
from adapters.evaluation.comparison import Compared, Comparison
from adapters.evaluation.figures import Outcome, markdown, show
from adapters.models.weights.needs import ModelNames
from agent.domain.errors import ConfigurationError, ModelError, RecipeError, SightlineError
from agent.domain.frame import MEDIA_TYPE_OF
from agent.domain.prompts import GENERIC_NOUN

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from adapters.evaluation.dataset import Category
    from adapters.evaluation.evaluate import Options, Run
    from agent.app import Application
    from agent.domain.frame import Image
    from agent.domain.prompts import PromptSet
    from agent.inference.inspector import Inspector
    from agent.ports import ImageCodec
    from config import Settings


def evaluate(
    context: typer.Context,
    dataset: Annotated[
        str,
        typer.Option(
            metavar="FORMAT", help="Layout of the images: mvtec, visa, mtd, btad, mpdd, ksdd, dagm or folder."
        ),
    ],
    root: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the categories, or of one.")],
    category: Annotated[
        list[str] | None, typer.Option(metavar="C", help="Only this one; may be repeated.")
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            "--method",
            metavar="M",
            help="How to score; as [bold]inspection.method[/]. Several in one table: a,b or all.",
        ),
    ] = None,
    shots: Annotated[
        str, typer.Option(metavar="K", help="References; 0: zero-shot. Several in one table: 0,4.")
    ] = "0",
    seeds: Annotated[str, typer.Option(metavar="A-B", help="Draws of references: 0-4, or 0,2,7.")] = "0",
    draw: Annotated[
        str | None,
        typer.Option(
            metavar="D", help="Draw by fade or anomaly-dino; by default that of the method's authors."
        ),
    ] = None,
    noun: Annotated[
        list[str] | None,
        typer.Option(metavar="[C=]NOUN", help="The product's name in prompts; may be repeated."),
    ] = None,
    prompts: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Prompts from a file or a folder; may be repeated."),
    ] = None,
    protocol: Annotated[
        str,
        typer.Option(
            metavar="P", help="How pixels are measured: exact, or as the authors of fade or iap-as did."
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
            metavar="DIR", help="Write an image for each category: image, truth, map, mask.", file_okay=False
        ),
    ] = None,
    config: ConfigFile = None,
    profile: Profile = None,
    overrides: Overrides = None,
) -> None:
    """Measure a method on labelled images, or several of them side by side."""
    from adapters.evaluation.draw import DRAWS
    from adapters.evaluation.evaluate import Options
    from adapters.evaluation.protocol import protocol_for

    every = [
        configure(config, profile, [*(overrides or ()), *chosen_method(name)]).settings
        for name in parse_methods(method)
    ]
    if draw is not None and draw not in DRAWS:
        raise ConfigurationError(f"there is no draw {draw!r}; known are {', '.join(DRAWS)}")
    counts = parse_numbers(shots, "--shots", "4 or 0,4")
    categories = _categories(dataset, root, category)
    options = Options(
        method=every[0].inspection.method,
        seeds=parse_seeds(seeds),
        nouns=parse_nouns(noun or (), [one.name for one in categories]),
        prompts=_prompts(prompts) if prompts else None,
        draw=draw or "",
        protocol=protocol_for(protocol, dataset),
    )
    bench = _Bench(composition_of(context), categories, options, dataset, root, sheets)
    comparison = bench.compare(every, counts)
    if len(every) * len(counts) == 1:
        outcome = comparison.measured[0].outcome
        show(outcome)
        figures: object = outcome.report
        document = markdown(outcome)
    else:
        comparison.show()
        figures, document = comparison.reports, comparison.markdown(f"Methods on {dataset}")
    if json_file is not None:
        _write(json_file, json.dumps(figures, indent=2, allow_nan=False) + "\n")
    if markdown_file is not None:
        _write(markdown_file, document)


@dataclass(frozen=True, slots=True)
class _Bench:
    """Measures methods on the images of one command."""

    composition: Application
    categories: Sequence[Category]
    options: Options
    """Common to all methods; an empty ``draw`` is that of each method's authors."""
    dataset: str
    root: Path
    sheets: Path | None

    def compare(self, every: Sequence[Settings], counts: Sequence[int]) -> Comparison:
        """Each configuration's method with each number of references.

        If there are several, one that cannot run (a model is missing, it needs references) is left out and
        named. A single one raises its error: RecipeError, ModelError.
        """
        comparison, several = Comparison(), len(every) * len(counts) > 1
        for settings in every:
            method = settings.inspection.method
            try:
                with stderr().status(f"[dim]loading the models of {plain(method)} ...[/]"):
                    inspector = self.composition.inspector(settings)
            except (ModelError, RecipeError) as error:
                if not several:
                    raise
                comparison.leave_out(method, counts, str(error))
                continue
            for shots in counts:
                sheets = self.sheets / f"{method}-{shots}" if self.sheets and several else self.sheets
                try:
                    outcome = self._measure(inspector, settings, shots, sheets)
                except (ModelError, RecipeError) as error:
                    if not several:
                        raise
                    comparison.leave_out(method, [shots], str(error))
                else:
                    backbone = features_of(settings, shots)
                    comparison.measured.append(Compared(method, shots, backbone, outcome))
        if not comparison.measured:
            raise ModelError("; ".join(comparison.left_out))
        return comparison

    def _measure(self, inspector: Inspector, settings: Settings, shots: int, sheets: Path | None) -> Outcome:
        from adapters.evaluation.evaluate import evaluate as measure
        from agent.methods import find_method

        method = settings.inspection.method
        options = replace(
            self.options,
            method=method,
            shots=shots,
            batch=settings.inspection.max_batch,
            draw=self.options.draw or find_method(method).reference_draw,
        )
        with _Progress(self.categories, options, sheets, self.composition.codec()) as progress:
            runs = measure(inspector, self.categories, options, progress.load, progress)
        where = (self.dataset, self.root, settings.agent.profile, machine(settings))
        return Outcome.of(runs, options, *where, progress.notes)


def features_of(settings: Settings, shots: int) -> str:
    """The model whose features a method compares with ``shots`` references; a dash if it compares none."""
    from agent.methods import find_method

    spec, names = find_method(settings.inspection.method), ModelNames.of(settings)
    takes = spec.takes if shots else frozenset()
    return names.features(spec.needs, takes) or "-"


def parse_methods(text: str | None) -> tuple[str | None, ...]:
    """``a,b`` as names, ``all`` as every method that inspects; one None: the configured method.

    Raises ConfigurationError.
    """
    from agent.methods import METHODS

    if text is None:
        return (None,)
    if text.strip() == "all":
        return tuple(name for name, spec in METHODS.items() if spec.inspects)
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    unknown = next((name for name in names if name not in METHODS), None)
    if unknown is not None:
        raise ConfigurationError(f"there is no method {unknown!r}; known are {', '.join(METHODS)}, and all")
    return names


def parse_seeds(text: str) -> tuple[int, ...]:
    """``0-4`` and ``0,2,7`` as numbers. Raises ConfigurationError."""
    return parse_numbers(text, "--seeds", "0-4 or 0,2,7")


def parse_numbers(text: str, option: str, example: str) -> tuple[int, ...]:
    """Whole numbers and spans of them, each once. Raises ConfigurationError."""
    numbers: list[int] = []
    for piece in text.split(","):
        first, dash, last = piece.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise ConfigurationError(f"{option} is written like {example}, not {text!r}")
        numbers += range(int(first), int(last if dash else first) + 1)
    if not numbers:
        raise ConfigurationError(f"{option} {text!r} names no number")
    return tuple(dict.fromkeys(numbers))


def parse_nouns(texts: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    """``CATEGORY=NOUN``, or one ``NOUN`` for all. Raises ConfigurationError."""
    nouns: dict[str, str] = {}
    for text in texts:
        name, equals, noun = text.rpartition("=")
        if not noun.strip() or (equals and name not in names):
            raise ConfigurationError(
                f"--noun is written like NOUN or CATEGORY=NOUN with one of {', '.join(names)}, not {text!r}"
            )
        nouns.update({name: noun.strip()} if equals else dict.fromkeys(names, noun.strip()))
    return nouns


def machine(settings: Settings) -> str:
    """Where the figures were measured: processor, device, and the limit of threads if there is one."""
    threads = f", {settings.models.threads} threads" if settings.models.threads else ""
    device = settings.models.device
    return f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}, device {device}{threads}"


class _Progress:
    """Shows progress, gathers notes, draws sheets, and loads the images of an evaluation."""

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

    def __enter__(self) -> _Progress:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            TextColumn("{task.description}", style="dim", markup=False),
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
        if self._progress is not None and self._task is not None:
            words = f"{category.name}, draw {seed}" if self._shots else category.name
            self._progress.update(self._task, completed=self._before + done, description=words)

    def finished(self, run: Run) -> None:
        self._before += len(run.category.test)
        where = f"{run.category.name}, draw {run.seed}" if self._shots else run.category.name
        self.notes += [f"{where}: {note}" for note in run.notes]
        if self._sheets is not None and run.category.name not in self._drawn:
            from adapters.evaluation.sheets import write_sheet

            self._drawn.add(run.category.name)  # the first draw alone: sheets are for people
            if run.maps is None:
                self.notes.append(f"{where}: the method has no map, so there is no sheet")
            else:
                write_sheet(run, self.load, self._sheets / f"{_file_name(run.category.name)}.png")

    def load(self, path: Path) -> Image:
        """An image file as RGB. Raises SightlineError with the file's name."""
        content = path.read_bytes()
        if path.suffix.lower() in MEDIA_TYPE_OF:
            try:
                return self._codec.decode(content)
            except SightlineError as error:
                raise SightlineError(f"{path}: {error}") from error
        return _other_image(path, content)


def _other_image(path: Path, content: bytes) -> Image:
    """Bitmaps and the like, which no camera sends but datasets hold."""
    import cv2
    import numpy as np

    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB) if content else None
    if image is None:
        raise SightlineError(f"{path} is not an image that can be read")
    return np.ascontiguousarray(image, dtype=np.uint8)


def _file_name(category: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in category)


def _categories(dataset: str, root: Path, wanted: Sequence[str] | None) -> list[Category]:
    from adapters.evaluation.formats import FORMATS

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
        raise ConfigurationError(f"category {empty!r} in {root} has no test images")
    return found


def _prompts(files: Sequence[Path]) -> Callable[[str], PromptSet]:
    """Prompts for a noun from files. Raises RecipeError if they cannot be read, before anything runs."""
    from agent.methods.prompt_library import load_prompts

    def for_noun(noun: str) -> PromptSet:
        return load_prompts(*files, noun=noun)

    for_noun(GENERIC_NOUN)
    return for_noun


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
