"""``DEFECTS``: defects by name, drawn over any part or by a family into its own build."""

from collections.abc import Callable

from adapters.simulator.defects.damage import Damage
from adapters.simulator.defects.foreign import contamination
from adapters.simulator.defects.lines import crack, cut, scratch
from adapters.simulator.defects.relief import chipped_edge, dent, hole
from adapters.simulator.defects.tint import discolouration, rust, stain


def _built_in(damage: Damage) -> None:
    raise LookupError("this defect is drawn by the family itself; list it in Family.changes")


DEFECTS: dict[str, Callable[[Damage], None]] = {
    "scratch": scratch,
    "crack": crack,
    "cut": cut,
    "dent": dent,
    "hole": hole,
    "stain": stain,
    "discolouration": discolouration,
    "rust": rust,
    "chipped edge": chipped_edge,
    "contamination": contamination,
    "missing part": _built_in,
    "misprint": _built_in,
    "bent": _built_in,
    "loose thread": _built_in,
    "solder bridge": _built_in,
}

__all__ = ["DEFECTS", "Damage"]
