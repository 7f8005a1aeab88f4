"""``Station``: one camera, one place, one light; its ``Exposure`` is what it gives for one part."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from adapters.simulator.colour import RGB
from adapters.simulator.family import Family
from adapters.simulator.seeds import generator, subseed

CLUTTERED = 0.3  # share of a varied station's images of objects with something beside the part

BACKGROUNDS = ("belt", "table", "steel", "felt", "mat", "white", "wood")

_TONES: dict[str, tuple[RGB, ...]] = {
    "belt": ((0.16, 0.17, 0.17), (0.10, 0.22, 0.17), (0.15, 0.20, 0.30)),
    "table": ((0.36, 0.36, 0.35), (0.60, 0.58, 0.54), (0.25, 0.27, 0.30)),
    "steel": ((0.55, 0.56, 0.57), (0.44, 0.45, 0.46)),
    "felt": ((0.10, 0.10, 0.11), (0.16, 0.25, 0.42), (0.40, 0.12, 0.13), (0.12, 0.30, 0.20)),
    "mat": ((0.14, 0.34, 0.28), (0.20, 0.22, 0.25), (0.16, 0.26, 0.42)),
    "white": ((0.86, 0.86, 0.85), (0.93, 0.93, 0.93), (0.78, 0.79, 0.80)),
    "wood": ((0.62, 0.46, 0.30), (0.48, 0.33, 0.20)),
}


@dataclass(frozen=True, slots=True)
class Background:
    """The background under the part.

    `place` is the piece of a moving belt under it, 0 if nothing moves; `clutter` the seed of things beside
    the part, 0 for none.
    """

    kind: str
    tone: RGB
    seed: int
    place: int = 0
    clutter: int = 0


@dataclass(frozen=True, slots=True)
class Exposure:
    """Everything between the part and the file, for one image. Lengths are fractions of the image's side.

    `light` points from the part to the lamp (x right, y down, z to the camera), unit length. `flip` is 0 or
    1: a surface may also lie mirrored.
    """

    light: tuple[float, float, float]
    tint: RGB
    ambient: float
    highlight: float
    falloff: tuple[float, float]
    vignette: float
    angle: float
    scale: float
    shift: tuple[float, float]
    background: Background
    shadow: float
    softness: float
    blur: float
    noise: tuple[float, float]
    gain: float
    jpeg: int | None


def _direction(azimuth: float, elevation: float) -> tuple[float, float, float]:
    flat = np.cos(elevation)
    return float(np.cos(azimuth) * flat), float(np.sin(azimuth) * flat), float(np.sin(elevation))


def _background(rng: np.random.Generator) -> Background:
    kind = BACKGROUNDS[int(rng.integers(len(BACKGROUNDS)))]
    tones = _TONES[kind]
    red, green, blue = np.clip(
        np.asarray(tones[int(rng.integers(len(tones)))]) + rng.normal(0, 0.03, 3), 0.04, 0.95
    )
    return Background(kind, (float(red), float(green), float(blue)), subseed(rng))


def _sample(rng: np.random.Generator, wide: bool) -> Exposure:
    """A station's constants; `wide` for the looser choice of light and camera."""
    warm = rng.normal(0, 0.05 if wide else 0.025)
    return Exposure(
        light=_direction(
            rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(28, 75) if wide else rng.uniform(38, 65))
        ),
        tint=(1.0 + warm, 1.0 + float(rng.normal(0, 0.008)), 1.0 - warm),
        ambient=float(rng.uniform(0.35, 0.75) if wide else rng.uniform(0.45, 0.65)),
        highlight=float(rng.uniform(0.3, 1.1)),
        falloff=(float(rng.normal(0, 0.07)), float(rng.normal(0, 0.07))),
        vignette=float(rng.uniform(0, 0.14 if wide else 0.08)),
        angle=0.0,
        scale=1.0,
        shift=(0.0, 0.0),
        background=_background(rng),
        shadow=float(rng.uniform(0.2, 0.7)),
        softness=float(rng.uniform(0.008, 0.03)),
        blur=float(rng.uniform(0.0012, 0.0045 if wide else 0.0028)),
        noise=(
            float(rng.uniform(0.4, 2.2) if wide else rng.uniform(0.3, 0.7)),
            float(rng.uniform(0.02, 0.16) if wide else rng.uniform(0.015, 0.05)),
        ),
        gain=float(rng.uniform(0.75, 1.2) if wide else rng.uniform(0.92, 1.08)),
        # Inspection cameras deliver raw pixels; their publisher may compress them once.
        jpeg=int(rng.integers(70, 98)) if wide and rng.random() < 0.5 else None,
    )


def _place(rng: np.random.Generator, reach: float) -> tuple[float, float]:
    return float(rng.uniform(-reach, reach)), float(rng.uniform(-reach, reach))


def _flicker(rng: np.random.Generator) -> float:
    """The lamp's brightness from image to image."""
    return float(1 + np.clip(rng.normal(0, 0.008), -0.02, 0.02))


@dataclass(frozen=True, slots=True)
class Station:
    """One camera over one place under one light.

    A fixed station has a fixture: light, background and camera never change; a part lies within 1.5 % of its
    place and 2 degrees of its direction, and the lamp flickers by about 1 %. A loose one has none: camera,
    lamp and background stay, but the part lies anywhere within the field, in any direction that its family
    allows, and the belt moves on beneath it. A varied one is not a station but a random choice of everything
    for every image, to train on; sometimes crumbs, fibres or a neighbouring part lie on its background.
    """

    seed: int
    mode: Literal["fixed", "loose", "varied"]

    @classmethod
    def fixed(cls, seed: int) -> "Station":
        """A real station with a fixture."""
        return cls(seed, "fixed")

    @classmethod
    def loose(cls, seed: int) -> "Station":
        """A real station without a fixture: the part's place and direction change, and the belt moves."""
        return cls(seed, "loose")

    @classmethod
    def varied(cls, seed: int) -> "Station":
        """Light, camera, pose, scale and background change from image to image."""
        return cls(seed, "varied")

    def exposure(self, seed: int, family: Family) -> Exposure:
        """What this station gives for the part with this seed."""
        surface = family.kind == "surface"
        if self.mode == "varied":
            return self._varied(seed, surface, 180.0 if surface else family.turns)
        if self.mode == "loose":
            return self._loose(seed, surface, 180.0 if surface else family.turns)
        fixture = generator("fixed", self.seed)
        base = _sample(fixture, wide=False)
        angle = float(fixture.uniform(-4, 4))
        scale = float(fixture.uniform(1.06, 1.25) if surface else fixture.uniform(0.9, 1.06))
        shift = fixture.uniform(-0.02, 0.02, 2)
        rng = generator("play", self.seed, seed)
        play = np.clip(rng.normal(0, 0.007, 2), -0.015, 0.015)
        return replace(
            base,
            angle=angle + float(np.clip(rng.normal(0, 0.6), -2, 2)),
            scale=scale * float(1 + rng.normal(0, 0.003)),
            shift=(float(shift[0] + play[0]), float(shift[1] + play[1])),
            gain=base.gain * _flicker(rng),
        )

    def _loose(self, seed: int, surface: bool, turns: float) -> Exposure:
        frame = generator("loose frame", self.seed)
        base = _sample(frame, wide=False)
        scale = float(frame.uniform(1.1, 1.5) if surface else frame.uniform(0.7, 0.95))
        rng = generator("loose part", self.seed, seed)
        return replace(
            base,
            angle=float(rng.uniform(-turns, turns)),
            scale=scale * float(1 + rng.uniform(-0.01, 0.01)),
            shift=_place(rng, 0.06 if surface else 0.10),
            gain=base.gain * _flicker(rng),
            background=replace(base.background, place=1 + subseed(rng)),
        )

    def _varied(self, seed: int, surface: bool, turns: float) -> Exposure:
        # The keys keep this mode's old name, loose, and with it its images.
        rng = generator("loose", self.seed, seed)
        base = _sample(rng, wide=True)
        scale = float(rng.uniform(1.0, 1.5) if surface else rng.uniform(0.62, 1.12))
        clutter = generator("clutter", self.seed, seed)
        littered = not surface and clutter.random() < CLUTTERED
        return replace(
            base,
            angle=float(rng.uniform(-turns, turns)),
            scale=scale,
            shift=_place(rng, 0.06 if surface else 0.12),
            background=replace(base.background, clutter=1 + subseed(clutter) if littered else 0),
        )
