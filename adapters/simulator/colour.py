"""``PALETTE``, ``METALS`` and colour arithmetic: RGB fractions by the word that a caption uses."""

import numpy as np

RGB = tuple[float, float, float]

PALETTE: dict[str, RGB] = {
    "white": (0.90, 0.90, 0.88),
    "black": (0.12, 0.12, 0.13),
    "grey": (0.52, 0.53, 0.54),
    "red": (0.75, 0.13, 0.12),
    "orange": (0.88, 0.46, 0.12),
    "yellow": (0.90, 0.78, 0.16),
    "green": (0.16, 0.52, 0.24),
    "blue": (0.14, 0.32, 0.68),
    "light blue": (0.48, 0.68, 0.86),
    "purple": (0.42, 0.22, 0.56),
    "pink": (0.88, 0.55, 0.62),
    "brown": (0.42, 0.26, 0.15),
    "beige": (0.84, 0.76, 0.62),
    "turquoise": (0.15, 0.60, 0.60),
    "dark green": (0.08, 0.28, 0.16),
    "dark blue": (0.08, 0.14, 0.36),
}

METALS: dict[str, RGB] = {
    "steel": (0.60, 0.62, 0.64),
    "aluminium": (0.74, 0.75, 0.76),
    "brass": (0.74, 0.61, 0.32),
    "copper": (0.72, 0.44, 0.30),
    "cast iron": (0.36, 0.36, 0.37),
    "blackened steel": (0.24, 0.24, 0.26),
}


def pick(rng: np.random.Generator, names: tuple[str, ...] | None = None) -> str:
    """A colour word out of the palette, or out of `names`."""
    choices = tuple(PALETTE) if names is None else names
    return str(choices[int(rng.integers(len(choices)))])


def vary(rng: np.random.Generator, colour: RGB, play: float = 0.06) -> RGB:
    """A near neighbour of a colour: brightness and each channel move a little."""
    shift = rng.normal(0.0, play * 0.5) + rng.normal(0.0, play * 0.4, 3)
    red, green, blue = np.clip(np.asarray(colour) + shift, 0.03, 0.97)
    return float(red), float(green), float(blue)


def mix(a: RGB, b: RGB, weight: float) -> RGB:
    """`a` moved towards `b` by `weight` (0 to 1)."""
    return (a[0] + (b[0] - a[0]) * weight, a[1] + (b[1] - a[1]) * weight, a[2] + (b[2] - a[2]) * weight)


def luminance(colour: RGB) -> float:
    """Rough brightness of a colour, 0 to 1."""
    return 0.3 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2]


def contrast_to(rng: np.random.Generator, colour: RGB) -> RGB:
    """A print colour that is legible on `colour`."""
    names: tuple[str, ...]
    if luminance(colour) > 0.45:
        names = ("black", "dark blue", "red", "dark green", "blue")
    else:
        names = ("white", "yellow", "beige", "light blue")
    return PALETTE[pick(rng, names)]
