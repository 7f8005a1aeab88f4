"""``calibrate_on_photographs``: the study of thresholds on photographs, of which there are few good parts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from adapters.evaluation.dataset import Category
from adapters.evaluation.formats import FORMATS
from adapters.lab.studies.calibration import Row, Study, enrolled, scores, verdicts
from agent.domain.errors import ConfigurationError, SightlineError
from agent.domain.frame import Image
from agent.ports import ImageCodec


@dataclass(frozen=True, slots=True)
class Split:
    """Good parts to calibrate from, and those that the threshold is tried on."""

    samples: tuple[Path, ...]
    good: tuple[Path, ...]


def splits(category: Category, folds: int) -> list[Split]:
    """As the dataset lies, or ``folds`` splits of all its good parts, each part judged once.

    Neighbours stay together: photographs that follow each other are often of one part, and a threshold must
    not be tried on a twin of what it was set from more often than can be helped.

    Raises:
        ConfigurationError: more folds than good parts.
    """
    train = tuple(category.train)
    test = tuple(sample.path for sample in category.test if sample.defect is None)
    if folds < 2:
        return [Split(train, tuple(path for path in test if path not in set(train)))]
    every = tuple(dict.fromkeys((*train, *test)))
    if folds > len(every):
        raise ConfigurationError(
            f"{category.name} has {len(every)} good parts; --folds {folds} asks for more splits than that"
        )
    size = -(-len(every) // folds)
    blocks = [every[start : start + size] for start in range(0, len(every), size)]
    return [Split(tuple(path for path in every if path not in set(block)), block) for block in blocks]


def calibrate_on_photographs(
    study: Study, dataset: str, root: Path, folds: int, codec: ImageCodec
) -> list[Row]:
    """Each category of a dataset, its verdicts summed over the splits. Raises ConfigurationError."""
    if dataset not in FORMATS:
        raise ConfigurationError(f"there is no dataset format {dataset!r}; known are {', '.join(FORMATS)}")
    return [_category(study, category, folds, codec) for category in FORMATS[dataset](root)]


def _category(study: Study, category: Category, folds: int, codec: ImageCodec) -> Row:
    noun = category.noun or category.name.replace("_", " ")
    defective = tuple(sample.path for sample in category.test if sample.defect is not None)
    good, bad = Counter[str](), Counter[str]()
    made = splits(category, folds)
    calibration, fewest = None, 0
    for index, split in enumerate(made, start=1):
        what = f"{category.name}, split {index} of {len(made)}"
        images = [read(path, codec) for path in split.samples]
        made_of = enrolled(study, category.name, noun, images)
        calibration = made_of.recipe.calibration
        for paths, counts in ((split.good, good), (defective, bad)):
            loaded = (read(path, codec) for path in study.progress.follow(paths, what, len(paths)))
            found = scores(study, made_of.prepared, loaded)
            counts.update(verdicts(found, calibration, made_of.recipe.shots))
        fewest = min(fewest or len(images), len(images))
    row = Row(category.name, fewest, calibration if len(made) == 1 else None, _all(good), _all(bad))
    study.progress.note(f"{row.name}: {row.false_alarms} false alarms, {row.caught} caught")
    return row


def read(path: Path, codec: ImageCodec) -> Image:
    """A JPEG or PNG file. Raises SightlineError with its name."""
    try:
        return codec.decode(path.read_bytes())
    except SightlineError as error:
        raise SightlineError(f"{path}: {error}") from error


def _all(counts: Counter[str]) -> dict[str, int]:
    return {verdict: counts[verdict] for verdict in ("PASS", "REVIEW", "FAIL")}
