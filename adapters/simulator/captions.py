"""``captions``: captions of an image in many wordings, with the product, its state and its defect.

A caption never calls a good part damaged, nor a damaged one good. Each caption names the state, with one
exception: if the drawn defect is hardly visible, it names only the product.
"""

import numpy as np

from adapters.simulator.image import Image

CLAIMED = 0.6  # captions omit a defect below this share of the required visibility

ARTICLES_AN = frozenset("aeiou")

GENERIC_NOUNS = ("object", "part", "product", "item", "workpiece", "component")
SURFACE_NOUNS = ("surface", "material", "texture", "sample", "product")

FRAMES = (
    "{}",
    "{}.",
    "a photo of {}",
    "a photo of {}.",
    "a close-up photo of {}",
    "a cropped photo of {}",
    "a bright photo of {}",
    "a dark photo of {}",
    "a blurry photo of {}",
    "a good photo of {}",
    "a picture of {}",
    "an image of {}",
    "a close-up picture of {}",
    "a photo of {} for visual inspection.",
    "a photo of {} for anomaly detection.",
    "a close-up photo of {} for visual inspection",
    "an industrial camera picture of {}",
    "an inspection image of {}",
    "a top view of {}",
    "there is {} in the scene.",
    "this is {}.",
    "the camera shows {}.",
    "a jpeg photo of {}",
    "a low resolution photo of {}",
    "a production line photo showing {}",
)

NEUTRAL_FRAMES = tuple(frame for frame in FRAMES if "good" not in frame)

NORMAL = (
    "{a} {n}",
    "a flawless {n}",
    "a perfect {n}",
    "an unblemished {n}",
    "an intact {n}",
    "an undamaged {n}",
    "a good {n}",
    "a normal {n}",
    "a clean {n}",
    "a faultless {n}",
    "a defect-free {n}",
    "a pristine {n}",
    "{a} {n} without flaw",
    "{a} {n} without defect",
    "{a} {n} without damage",
    "{a} {n} without any defects",
    "{a} {n} in good condition",
    "{a} {n} in perfect condition",
    "{a} {n} with no visible damage",
    "{a} {n} that passed inspection",
    "{a} {n} of good quality",
)

ANOMALOUS = (
    "a damaged {n}",
    "a defective {n}",
    "a broken {n}",
    "a flawed {n}",
    "a faulty {n}",
    "an imperfect {n}",
    "an abnormal {n}",
    "a bad {n}",
    "a blemished {n}",
    "{a} {n} with a flaw",
    "{a} {n} with a defect",
    "{a} {n} with damage",
    "{a} {n} with an anomaly",
    "{a} {n} with visible damage",
    "{a} {n} with a fault",
    "{a} {n} in bad condition",
    "{a} {n} that failed inspection",
    "{a} {n} of poor quality",
)

NAMED = (
    "{a} {n} with {d}",
    "{a} {n} with {d} {where}",
    "a damaged {n} with {d}",
    "a defective {n} that has {d}",
    "{a} {n} that has {d}",
    "{d} on {a} {n}",
    "{a} {n} damaged by {d}",
    "{a} {n} showing {d}",
    "{a} {n} rejected because of {d}",
)

NAMED_SENTENCES = (
    "the {n} has {d}.",
    "the {n} shows {d} {where}",
    "there is {d} on the {n}.",
    "{d} can be seen {where} of the {n}.",
)

NORMAL_SENTENCES = (
    "the {n} is flawless.",
    "the {n} has no defect.",
    "the {n} is in good condition.",
    "nothing is wrong with the {n}.",
    "the {n} is intact and clean.",
)

SYNONYMS: dict[str, tuple[str, ...]] = {
    "scratch": (
        "a scratch",
        "scratches",
        "a scuff",
        "a scrape",
        "a scratched area",
        "a fine line scratched into it",
    ),
    "crack": ("a crack", "a fracture", "a fissure", "a hairline crack", "a split", "cracks"),
    "cut": ("a cut", "a slit", "a tear", "a gash"),
    "dent": ("a dent", "a bump", "a dimple", "a depression", "a deformation"),
    "hole": ("a hole", "a puncture", "a pit", "a perforation", "a small hole"),
    "stain": ("a stain", "a spot", "a blotch", "a smudge", "dirt", "a dirty mark"),
    "discolouration": (
        "discolouration",
        "discoloration",
        "a colour defect",
        "a faded area",
        "a wrong colour",
    ),
    "rust": ("rust", "corrosion", "a rust spot", "an oxidised area"),
    "chipped edge": ("a chipped edge", "a chip", "a broken edge", "a piece broken off", "a broken corner"),
    "contamination": (
        "contamination",
        "a foreign object",
        "foreign material",
        "a fibre on it",
        "debris",
        "a particle",
    ),
    "missing part": ("a missing part", "a missing component", "something missing", "an incomplete assembly"),
    "misprint": ("a misprint", "a print defect", "faulty print", "a printing error", "smeared print"),
    "bent": ("a bent part", "a deformed part", "something bent", "a crooked part", "a misaligned part"),
    "loose thread": ("a loose thread", "a pulled thread", "a thread defect", "a snag"),
    "solder bridge": ("a solder bridge", "a short circuit", "excess solder", "a solder defect"),
}


def _choose(rng: np.random.Generator, words: tuple[str, ...]) -> str:
    return words[int(rng.integers(len(words)))]


def _noun(image: Image, rng: np.random.Generator) -> str:
    """The product's name, one of its synonyms, a generic noun; sometimes with colour or material."""
    family = image.product.kind
    roll = rng.random()
    if roll < 0.15:
        return _choose(rng, GENERIC_NOUNS if family.kind == "object" else SURFACE_NOUNS)
    noun = family.noun if roll < 0.65 else _choose(rng, (family.noun, *family.synonyms))
    words = image.attributes
    roll = rng.random()
    if roll < 0.2:
        return f"{words['colour']} {noun}"
    if roll < 0.3 and words["material"] not in noun:
        return f"{words['material']} {noun}"
    return noun


def _where(image: Image) -> str:
    """The place of the defect by its mask, in words."""
    ys, xs = np.nonzero(image.mask)
    inside_y, inside_x = np.nonzero(image.silhouette)
    if len(xs) == 0 or len(inside_x) == 0:
        return "on the surface"
    x = (xs.mean() - inside_x.min()) / max(int(np.ptp(inside_x)), 1) - 0.5
    y = (ys.mean() - inside_y.min()) / max(int(np.ptp(inside_y)), 1) - 0.5
    if max(abs(x), abs(y)) < 0.17:
        return "in the middle"
    if abs(x) > abs(y):
        return "on the right side" if x > 0 else "on the left side"
    return "near the bottom" if y > 0 else "near the top"


def _fill(pattern: str, noun: str, **words: str) -> str:
    article = "an" if noun[0].lower() in ARTICLES_AN else "a"
    return pattern.format(n=noun, a=article, **words)


def caption(image: Image, rng: np.random.Generator) -> str:
    """One caption that names the product and its state, as far as the image shows it."""
    noun = _noun(image, rng)
    if image.visibility is not None and image.visibility < CLAIMED:
        return _choose(rng, NEUTRAL_FRAMES).format(_fill("{a} {n}", noun))
    if image.defect is None:
        if rng.random() < 0.12:
            return _fill(_choose(rng, NORMAL_SENTENCES), noun)
        return _choose(rng, FRAMES).format(_fill(_choose(rng, NORMAL), noun))
    if rng.random() < 0.4:
        return _choose(rng, FRAMES).format(_fill(_choose(rng, ANOMALOUS), noun))
    words = {"d": _choose(rng, SYNONYMS[image.defect]), "where": _where(image)}
    if rng.random() < 0.2:
        return _fill(_choose(rng, NAMED_SENTENCES), noun, **words)
    return _choose(rng, FRAMES).format(_fill(_choose(rng, NAMED), noun, **words))


def captions(image: Image, rng: np.random.Generator, count: int) -> list[str]:
    """`count` captions of an image, each in a random wording."""
    return [caption(image, rng) for _ in range(count)]
