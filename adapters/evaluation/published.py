"""Published figures, to stand beside ours. Percent as printed in the papers; fractions when asked for.

Sources: FADE's Tables 1 and 4 (its own rows and WinCLIP's), APG-GD, IAP-AS (its Table 1), AnomalyDINO
(its Tables 2 to 4), MuSc's README, UniVAD. Deviations are over five draws of references.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

_IMAGE = ("image_auroc", "image_aupr", "image_f1max")
_PIXEL = ("pixel_auroc", "pro", "pixel_f1max")
_VISION = ("image_auroc", "pixel_auroc", "pro")
_BOXES = ("pixel_ap", "pixel_f1max")

CATEGORIES: Mapping[str, frozenset[str]] = {
    "mvtec": frozenset(
        [
            "bottle",
            "cable",
            "capsule",
            "carpet",
            "grid",
            "hazelnut",
            "leather",
            "metal_nut",
            "pill",
            "screw",
            "tile",
            "toothbrush",
            "transistor",
            "wood",
            "zipper",
        ]
    ),
    "visa": frozenset(
        [
            "candle",
            "capsules",
            "cashew",
            "chewinggum",
            "fryum",
            "macaroni1",
            "macaroni2",
            "pcb1",
            "pcb2",
            "pcb3",
            "pcb4",
            "pipe_fryum",
        ]
    ),
    "mpdd": frozenset(
        ["bracket_black", "bracket_brown", "bracket_white", "connector", "metal_plate", "tubes"]
    ),
    "btad": frozenset(("01", "02", "03")),
    "ksdd": frozenset(("ksdd",)),
    "mtd": frozenset(("mtd",)),
    "dagm": frozenset(f"Class{number}" for number in range(1, 11)),
    "dtd-synthetic": frozenset(
        [
            "Blotchy_099",
            "Fibrous_183",
            "Marbled_078",
            "Matted_069",
            "Mesh_114",
            "Perforated_037",
            "Stratified_154",
            "Woven_001",
            "Woven_068",
            "Woven_104",
            "Woven_125",
            "Woven_127",
        ]
    ),
}
"""The categories of each published dataset: they define a dataset, and not its layout."""


@dataclass(frozen=True, slots=True)
class Published:
    """One row of a paper's table: means over a dataset's categories."""

    dataset: str
    method: str
    shots: int
    percent: Mapping[str, float]
    deviations: Mapping[str, float] = field(default_factory=dict)
    """In percentage points, over draws of references."""
    variant: str = ""
    """Which of the paper's settings, if it has several."""
    note: str = ""
    """How its protocol differs from ours."""

    @property
    def figures(self) -> dict[str, float]:
        """Fractions of one, for the evaluation JSON."""
        return {name: round(value / 100.0, 6) for name, value in self.percent.items()}

    @property
    def title(self) -> str:
        """For a table's row."""
        return f"published ({self.variant})" if self.variant else "published"


def dataset_of(names: Collection[str]) -> str | None:
    """The published dataset that these categories are, all or some of; None if they are another's."""
    return next((name for name, known in CATEGORIES.items() if names and known.issuperset(names)), None)


def is_whole(dataset: str, names: Collection[str]) -> bool:
    """Whether these are all categories of the dataset: only then do means compare."""
    return CATEGORIES[dataset] == set(names)


def published(dataset: str, method: str, shots: int) -> tuple[Published, ...]:
    """Rows for the same dataset, method and number of references."""
    return tuple(row for row in ROWS if (row.dataset, row.method, row.shots) == (dataset, method, shots))


def _row(
    dataset: str,
    method: str,
    shots: int,
    columns: tuple[str, ...],
    values: str,
    *,
    variant: str = "",
    note: str = "",
) -> Published:
    """``values`` as printed: ``93.9±0.7 96.8``; a dash if there is none."""
    percent: dict[str, float] = {}
    deviations: dict[str, float] = {}
    for name, text in zip(columns, values.split(), strict=True):
        if text == "-":
            continue
        value, _, deviation = text.partition("±")
        percent[name] = float(value)
        if deviation:
            deviations[name] = float(deviation)
    return Published(dataset, method, shots, percent, deviations, variant, note)


_BOTH = _IMAGE + _PIXEL
_FADE_NOTE = "maps in 8 bits, 448 x 448: compare with --protocol fade"
_SAA_NOTE = "400 x 400, 100 thresholds: compare with --protocol iap-as"
_SAA_DEFECTIVE = f"pixels of defective images only; {_SAA_NOTE}"


def _fade(dataset: str, shots: int, values: str) -> Published:
    return _row(dataset, "fade", shots, _BOTH, values, note=_FADE_NOTE)


def _winclip(dataset: str, shots: int, values: str) -> Published:
    return _row(dataset, "winclip", shots, _BOTH, values)


def _dino(dataset: str, shots: int, side: int, values: str) -> Published:
    return _row(dataset, "anomaly-dino", shots, _VISION, values, variant=f"ViT-S at {side}")


def _iap(dataset: str, values: str, note: str = _SAA_DEFECTIVE) -> Published:
    return _row(dataset, "iap-as", 0, _BOXES, values, note=note)


ROWS: tuple[Published, ...] = (
    _fade("mvtec", 0, "90.0 95.6 92.4 89.6 84.5 39.8"),
    _fade("mvtec", 1, "93.9±0.7 96.8±0.3 94.8±0.2 95.4±0.3 88.3±0.3 54.6±1.1"),
    _fade("mvtec", 2, "95.2±1.0 97.6±0.5 95.0±0.4 95.8±0.2 88.9±0.2 55.8±1.0"),
    _fade("mvtec", 4, "96.3±0.4 98.1±0.2 95.5±0.4 96.2±0.3 89.5±0.2 57.0±0.8"),
    _fade("visa", 0, "75.6 78.5 78.6 91.5 79.3 16.7"),
    _fade("visa", 1, "86.7±2.0 87.9±1.5 84.7±0.8 97.5±0.1 88.9±0.7 42.3±0.5"),
    _fade("visa", 2, "89.2±0.4 90.2±0.2 85.9±0.6 97.8±0.1 89.8±0.4 44.4±0.9"),
    _fade("visa", 4, "90.7±0.3 91.9±0.4 87.0±0.2 98.0±0.0 90.0±0.4 46.4±0.7"),
    _winclip("mvtec", 0, "91.8 96.5 92.9 85.1 64.6 31.7"),
    _winclip("mvtec", 1, "93.1±2.0 96.5±0.9 93.7±1.1 95.2±0.5 87.1±1.2 55.9±2.7"),
    _winclip("mvtec", 2, "94.4±1.3 97.0±0.7 94.4±0.8 96.0±0.3 88.4±0.9 58.4±1.7"),
    _winclip("mvtec", 4, "95.2±1.3 97.3±0.6 94.7±0.8 96.2±0.3 89.0±0.8 59.5±1.8"),
    _winclip("visa", 0, "78.1 81.2 79.0 79.6 56.8 14.8"),
    _winclip("visa", 1, "83.8±4.0 85.1±4.0 83.1±1.7 96.4±0.4 85.1±2.1 41.3±2.3"),
    _winclip("visa", 2, "84.6±2.4 85.8±2.7 83.0±1.4 96.8±0.3 86.2±1.4 43.5±3.3"),
    _winclip("visa", 4, "87.3±1.8 88.8±1.8 84.2±1.6 97.2±0.2 87.6±0.9 47.0±3.0"),
    _row("mvtec", "apg-gd", 0, ("image_auroc", "image_aupr"), "93.0 96.5"),
    _row("visa", "apg-gd", 0, ("image_auroc", "image_aupr"), "82.9 85.7"),
    _iap("mvtec", "31.43 40.13", _SAA_NOTE),
    _iap("mpdd", "13.38 24.01"),
    _iap("btad", "16.97 25.62"),
    _iap("ksdd", "13.91 22.63"),
    _iap("mtd", "27.77 41.63", f"good tiles count, too; {_SAA_NOTE}"),
    _iap("dtd-synthetic", "49.23 60.33"),
    _iap("dagm", "24.03 34.68"),
    _dino("mvtec", 1, 448, "96.5 96.3 91.7"),
    _dino("mvtec", 1, 672, "96.6 96.8 92.7"),
    _dino("mvtec", 2, 672, "96.9 - -"),
    _dino("mvtec", 4, 448, "97.6 96.7 92.4"),
    _dino("mvtec", 4, 672, "97.7 97.2 93.4"),
    _dino("mvtec", 16, 448, "98.3 - -"),
    _dino("mvtec", 16, 672, "98.4 - -"),
    _dino("visa", 1, 448, "85.6 97.5 90.7"),
    _dino("visa", 1, 672, "87.4 97.8 92.5"),
    _dino("visa", 2, 672, "89.7 - -"),
    _dino("visa", 4, 448, "91.3 98.0 92.5"),
    _dino("visa", 4, 672, "92.6 98.2 94.1"),
    _row("mvtec", "musc", 0, _VISION, "97.8 - -", note="needs a batch of unlabelled images"),
    _row("visa", "musc", 0, _VISION, "92.8 - -", note="needs a batch of unlabelled images"),
    _row("mvtec", "univad", 1, ("image_auroc",), "97.8"),
    _row("visa", "univad", 1, ("image_auroc",), "93.5"),
)
"""All rows that we know of; methods that Sightline does not have stand for readers of the table."""
