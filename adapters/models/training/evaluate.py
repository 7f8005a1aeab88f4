"""What a model is worth: ``python -m adapters.models.training.evaluate [--checkpoint FILE] [--teacher
FILE]``.

Few-shot: patch features of strides 8 and 16, 3 x 3 mean, unit length at each location, both joined on the
finer grid; cosine distance to the nearest patch of the references; the score of a picture is the mean of
its largest 1 %. Zero-shot: the sigmoid of the difference of the two prompt means (FADE's image score), and
the largest value of the same on patches. Simulated stations are fixed; all their seeds lie above those of
training.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch.nn import functional as F

from adapters.models.backbone import TimmBackbone
from adapters.models.clip import OpenClipEncoder, build_model, read_architecture
from adapters.models.preprocessing import SIGNED_PREPROCESSING
from adapters.models.registry import KNOWN, bundled_folder
from adapters.models.training.dataset import RESERVED_SEED
from adapters.simulator import FAMILIES, HELD_OUT, Product, Station, draw, random_defect
from agent.frame import Image
from agent.ports import ImageTextEncoder, PatchEncoder
from agent.prompts import compositional_ensemble

SIZE = 256
BATCH = 16
TOP = 0.01
RANDOM_SEED = 0
PHOTOGRAPH_SEEDS = (0, 1, 2)


@dataclass(frozen=True, slots=True)
class Trial:
    """References and test pictures of one product at one station."""

    family: str
    noun: str
    references: list[Image]
    pictures: list[Image]
    defective: NDArray[np.bool_]


def simulated_trials(products: int, good: int, defective: int, shots: int) -> list[Trial]:
    """``products`` variants of each family, with seeds that training never uses."""
    trials = []
    for family in FAMILIES:
        for variant in range(products):
            seed = RESERVED_SEED + 500 + variant
            product, station = Product.create(family, seed), Station.fixed(seed + hash_of(family))
            references = [
                draw(product, station, RESERVED_SEED + index, size=SIZE).image for index in range(shots)
            ]
            pictures = []
            for index in range(good + defective):
                part = RESERVED_SEED + 100 + index
                defect = random_defect(product, part) if index >= good else None
                pictures.append(draw(product, station, part, defect=defect, size=SIZE).image)
            labels = np.arange(good + defective) >= good
            trials.append(Trial(family, product.noun, references, pictures, labels))
    return trials


def hash_of(word: str) -> int:
    """A small number from a word, the same on every run."""
    return sum(ord(letter) * (place + 1) for place, letter in enumerate(word)) % 1000


def _batched(pictures: Sequence[Image]) -> Iterable[Sequence[Image]]:
    return (pictures[start : start + BATCH] for start in range(0, len(pictures), BATCH))


@torch.inference_mode()
def joined_features(encoder: PatchEncoder, pictures: Sequence[Image], size: int = SIZE) -> torch.Tensor:
    """(N, h, w, C) of unit length: 3 x 3 mean, normalised, all depths on the finest grid."""
    parts = []
    for batch in _batched(pictures):
        depths = [depth.permute(0, 3, 1, 2) for depth in encoder.encode_patches(batch, size)]
        grid = max(tuple(depth.shape[2:]) for depth in depths)
        joined = []
        for depth in depths:
            pooled = F.avg_pool2d(depth, 3, 1, 1, count_include_pad=False)
            unit = F.normalize(pooled, dim=1)
            joined.append(F.interpolate(unit, grid, mode="bilinear", align_corners=False))
        parts.append(F.normalize(torch.cat(joined, 1), dim=1).permute(0, 2, 3, 1))
    return torch.cat(parts)


@torch.inference_mode()
def few_shot_scores(
    encoder: PatchEncoder, references: Sequence[Image], pictures: Sequence[Image]
) -> NDArray[np.float64]:
    """One score a picture: mean of the largest 1 % of its patches' distances to the references' patches."""
    bank = joined_features(encoder, references).flatten(0, 2)
    scores = []
    for batch in _batched(pictures):
        for features in joined_features(encoder, batch):
            nearest = (features.flatten(0, 1) @ bank.T).amax(1)
            distances = 0.5 * (1 - nearest)
            scores.append(float(distances.topk(max(1, round(TOP * len(distances)))).values.mean()))
    return np.array(scores)


def text_direction(encoder: ImageTextEncoder, noun: str) -> torch.Tensor:
    """(D,) the mean of the anomalous prompts minus that of the normal ones."""
    prompts = compositional_ensemble(noun)
    return encoder.encode_texts(prompts.anomalous).mean(0) - encoder.encode_texts(prompts.normal).mean(0)


@torch.inference_mode()
def zero_shot_scores(
    encoder: ImageTextEncoder, noun: str, pictures: Sequence[Image]
) -> tuple[NDArray[np.float64], ...]:
    """Logits of each picture: by its embedding, and by its most anomalous patch."""
    direction = encoder.logit_scale * text_direction(encoder, noun)
    whole, places = [], []
    for batch in _batched(pictures):
        features = encoder.encode_images(batch, SIZE)
        whole.append(features.image @ direction)
        places.append((features.patches @ direction).flatten(1).amax(1))
    return torch.cat(whole).double().numpy(), torch.cat(places).double().numpy()


def auroc(labels: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    """Area under the ROC curve of one trial."""
    return float(roc_auc_score(labels, scores))


@dataclass(frozen=True, slots=True)
class Columns:
    """Neighbouring columns of the table: titles, and as many figures for each trial."""

    titles: tuple[str, ...]
    measure: Callable[[Trial], tuple[float, ...]]


def few_shot_columns(title: str, encoder: PatchEncoder) -> Columns:
    """Image AUROC by distance to the references."""
    return Columns(
        (title,), lambda t: (auroc(t.defective, few_shot_scores(encoder, t.references, t.pictures)),)
    )


def zero_shot_columns(title: str, encoder: ImageTextEncoder) -> Columns:
    """Image AUROC by words: of the whole picture, of its worst place, and of the sum of both logits."""

    def measure(trial: Trial) -> tuple[float, ...]:
        whole, place = zero_shot_scores(encoder, trial.noun, trial.pictures)
        return tuple(auroc(trial.defective, scores) for scores in (whole, place, whole + place))

    return Columns((f"{title} 0-shot", f"{title} 0-shot place", f"{title} 0-shot both"), measure)


def table(trials: Sequence[Trial], columns: Sequence[Columns]) -> str:
    """Markdown: a line a family, trained families first, with means of both groups."""
    titles = [title for each in columns for title in each.titles]
    groups = [("trained", [f for f in FAMILIES if f not in HELD_OUT]), ("held out", sorted(HELD_OUT))]
    lines = ["| | " + " | ".join(titles) + " |", "|---" * (len(titles) + 1) + "|"]
    known = {trial.family for trial in trials}
    if not known & set(FAMILIES):
        groups = [("photographs", sorted(known))]
    for group, families in groups:
        rows = {}
        for family in families:
            own = [trial for trial in trials if trial.family == family]
            figures = [[figure for each in columns for figure in each.measure(trial)] for trial in own]
            rows[family] = np.mean(figures, axis=0).tolist()
        lines += [_line(family, values) for family, values in rows.items()]
        lines.append(_line(f"**mean, {group}**", np.mean(list(rows.values()), axis=0).tolist()))
    return "\n".join(lines)


def _line(title: str, values: Sequence[float]) -> str:
    return f"| {title} | " + " | ".join(f"{value:.3f}" for value in values) + " |"


def read_folder(folder: Path) -> list[Image]:
    """All pictures of a folder as RGB, in the order of their names."""
    import PIL.Image

    kinds = {".jpg", ".jpeg", ".png", ".bmp"}
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in kinds)
    return [np.asarray(PIL.Image.open(path).convert("RGB")) for path in paths]


def photograph_trials(root: Path, shots: int) -> list[Trial]:
    """Every product below ``root`` in MVTec's layout, with references drawn anew for each of three seeds."""
    trials = []
    for product in sorted(path for path in root.iterdir() if (path / "train" / "good").is_dir()):
        good = read_folder(product / "test" / "good")
        kinds = sorted(path for path in (product / "test").iterdir() if path.is_dir() and path.name != "good")
        bad = [picture for kind in kinds for picture in read_folder(kind)]
        labels = np.arange(len(good) + len(bad)) >= len(good)
        references = read_folder(product / "train" / "good")
        for seed in PHOTOGRAPH_SEEDS:
            drawn = np.random.default_rng(seed).permutation(len(references))[:shots]
            chosen = [references[index] for index in drawn]
            trials.append(Trial(product.name, product.name.rstrip("s"), chosen, good + bad, labels))
    return trials


def random_encoder(folder: Path) -> OpenClipEncoder:
    """The bundled architecture with random weights, saved and loaded as any other."""
    from safetensors.torch import save_file

    known = KNOWN["sightline-tiny"]
    architecture = bundled_folder() / known.architecture
    torch.manual_seed(RANDOM_SEED)
    model = build_model(read_architecture(architecture)[0], "random")
    path = folder / "random.safetensors"
    save_file(model.state_dict(), path)
    return OpenClipEncoder(
        architecture, path, SIGNED_PREPROCESSING, name="random", output_stride=known.output_stride
    )


def load_checkpoint(path: Path) -> OpenClipEncoder:
    """A checkpoint of the bundled architecture."""
    known = KNOWN["sightline-tiny"]
    return OpenClipEncoder(
        bundled_folder() / known.architecture, path, SIGNED_PREPROCESSING, output_stride=known.output_stride
    )


def main() -> None:
    """Print the tables."""
    import tempfile

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=bundled_folder() / "sightline-tiny.safetensors")
    parser.add_argument("--teacher", type=Path, help="safetensors file of the teacher, measured beside")
    parser.add_argument("--photographs", type=Path, help="folder of products in MVTec's layout")
    parser.add_argument("--products", type=int, default=2, help="variants a family")
    parser.add_argument(
        "--pictures", type=int, default=20, help="good and defective pictures each, a variant"
    )
    parser.add_argument("--shots", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(1)
    tiny = load_checkpoint(arguments.checkpoint)
    few = f"{arguments.shots}-shot"
    with tempfile.TemporaryDirectory() as folder:
        untrained = random_encoder(Path(folder))
    few_columns = [few_shot_columns(f"tiny {few}", tiny), few_shot_columns(f"random {few}", untrained)]
    if arguments.teacher:
        teacher = TimmBackbone("mobilenetv2_100", arguments.teacher, SIGNED_PREPROCESSING)
        few_columns.append(few_shot_columns(f"teacher {few}", teacher))
    if arguments.products:
        trials = simulated_trials(arguments.products, arguments.pictures, arguments.pictures, arguments.shots)
        columns = [zero_shot_columns("tiny", tiny), zero_shot_columns("random", untrained), *few_columns]
        sys.stdout.write(table(trials, columns) + "\n")
    if arguments.photographs:
        trials = photograph_trials(arguments.photographs, arguments.shots)
        sys.stdout.write("\n" + table(trials, few_columns) + "\n")


if __name__ == "__main__":
    main()
