"""``KNOWN`` and ``KnownModel``: the models that Sightline knows how to run. Needs no PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from adapters.models.encoders.normalisation import (
    CLIP_PREPROCESSING,
    IMAGENET_PREPROCESSING,
    SIGNED_PREPROCESSING,
    Preprocessing,
)

TIMM_PREFIX = "timm:"
BUNDLED = "sightline-tiny"

Kind = Literal["clip", "timm", "detector", "segmenter"]


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a model."""

    remote: str
    """Its published name."""
    local: str
    """Its name in the models folder, with forward slashes."""


@dataclass(frozen=True, slots=True)
class KnownModel:
    """What must be known of a model before its weights can be used."""

    name: str
    kind: Kind
    architecture: str
    """A name of open_clip, timm, transformers or segment-anything; for the bundled model its JSON file."""
    file_name: str
    """The weights file in the models folder; a folder if the model has several files."""
    licence: str
    size: int
    """Approximate bytes of the weights: four for each parameter."""
    preprocessing: Preprocessing | None = None
    """None if the model's own files or its library define it."""
    sha256: str | None = None
    """None if it is pinned when the file is first pulled."""
    repo: str | None = None
    """On the hub; None if the weights are elsewhere."""
    revision: str = "main"
    remote: tuple[str, ...] = ()
    """The files of ``repo``."""
    folder: bool = False
    """Whether ``file_name`` is a folder that keeps the names of ``remote``."""
    alternatives: tuple[str, ...] = ()
    """Other file names that hold the same weights. A hexadecimal end (``-8fb26589``) starts their sha256."""
    url: str = ""
    """The address of one file that is published outside the hub."""
    bundled: bool = False
    output_stride: int | None = None
    """A convolutional tower keeps its last maps at this stride, dilated."""
    note: str = ""

    @property
    def pullable(self) -> bool:
        """Whether it can be downloaded; other weights are brought by hand."""
        return self.repo is not None or bool(self.url)

    @property
    def parts(self) -> tuple[Part, ...]:
        """Its files; one without a remote name is brought by hand."""
        if self.folder:
            return tuple(Part(name, f"{self.file_name}/{name}") for name in self.remote)
        return (Part(self.remote[0] if self.remote else self.file_name, self.file_name),)


_DINO_FILES = (
    "config.json",
    "preprocessor_config.json",
    "tokenizer_config.json",
    "tokenizer.json",
    "model.safetensors",
)
_OPEN_CLIP_FILE = ("open_clip_model.safetensors",)
_TIMM_FILE = ("model.safetensors",)
_SAM_NOTE = "published as .pth outside of the hub; facebook/sam-vit-* there is another format"
_SAM_SERVER = "https://dl.fbaipublicfiles.com/segment_anything"


def _dinov2(size: str, parameters: float, note: str = "") -> KnownModel:
    tagged = f"vit_{size}_patch14_dinov2.lvd142m"
    return KnownModel(
        name=f"vit_{size}_patch14_dinov2",
        kind="timm",
        architecture=tagged,
        file_name=f"{tagged}.safetensors",
        licence="Apache-2.0",
        size=int(parameters * 4e6),
        preprocessing=IMAGENET_PREPROCESSING,
        repo=f"timm/{tagged}",
        remote=_TIMM_FILE,
        note=note,
    )


def _grounding_dino(size: str, parameters: float, note: str) -> KnownModel:
    return KnownModel(
        name=f"grounding-dino-{size}",
        kind="detector",
        architecture="grounding-dino",
        file_name=f"grounding-dino-{size}",
        licence="Apache-2.0",
        size=int(parameters * 4e6),
        repo=f"IDEA-Research/grounding-dino-{size}",
        remote=_DINO_FILES,
        folder=True,
        note=note,
    )


def _sam(architecture: str, file_name: str, size: int, sha256: str) -> KnownModel:
    return KnownModel(
        name=f"sam_{architecture}",
        kind="segmenter",
        architecture=architecture,
        file_name=file_name,
        licence="Apache-2.0",
        size=size,
        sha256=sha256,
        url=f"{_SAM_SERVER}/{file_name}",
        note=_SAM_NOTE,
    )


KNOWN: dict[str, KnownModel] = {
    model.name: model
    for model in (
        KnownModel(
            name=BUNDLED,
            kind="clip",
            architecture="sightline-tiny.json",
            file_name="sightline-tiny.safetensors",
            licence="Apache-2.0",
            size=11_853_490,
            preprocessing=SIGNED_PREPROCESSING,
            sha256="c3cdbf83dfb64abf6777ee6486588f63038d1c762d081309c86c3caccd5267f3",
            bundled=True,
            output_stride=16,
            note="made from drawn images; good for few-shot, weak at zero-shot on objects",
        ),
        KnownModel(
            name="ViT-B-16-plus-240",
            kind="clip",
            architecture="ViT-B-16-plus-240",
            file_name="ViT-B-16-plus-240-laion400m_e31.safetensors",
            licence="MIT",
            size=833_509_380,
            preprocessing=CLIP_PREPROCESSING,
            repo="timm/vit_base_patch16_plus_clip_240.laion400m_e31",
            remote=_OPEN_CLIP_FILE,
            alternatives=("vit_b_16_plus_240-laion400m_e31-8fb26589.pt",),
            note="the backbone of FADE and WinCLIP: laion400m_e31, not e32",
        ),
        KnownModel(
            name="ViT-B-16",
            kind="clip",
            architecture="ViT-B-16",
            file_name="ViT-B-16-laion400m_e32.safetensors",
            licence="MIT",
            size=598_483_000,
            preprocessing=CLIP_PREPROCESSING,
            repo="timm/vit_base_patch16_clip_224.laion400m_e32",
            remote=_OPEN_CLIP_FILE,
            alternatives=("vit_b_16-laion400m_e32-55e67d44.pt",),
        ),
        _grounding_dino("tiny", 172.25, "Swin-T, the detector of APG-GD and IAP-AS"),
        _grounding_dino("base", 232.3, "Swin-B; saw RefCOCO and COCO in training"),
        _sam(
            "vit_b",
            "sam_vit_b_01ec64.pth",
            375_042_383,
            "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
        ),
        _sam(
            "vit_l",
            "sam_vit_l_0b3195.pth",
            1_249_524_607,
            "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
        ),
        _sam(
            "vit_h",
            "sam_vit_h_4b8939.pth",
            2_564_550_879,
            "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
        ),
        _dinov2("small", 22.06, "the backbone of AnomalyDINO"),
        _dinov2("base", 86.58),
        _dinov2("large", 304.37),
        KnownModel(
            name="mobilenetv2_100",
            kind="timm",
            architecture="mobilenetv2_100",
            file_name="mobilenetv2_100.safetensors",
            licence="Apache-2.0",
            size=7_244_256,
            preprocessing=SIGNED_PREPROCESSING,
            note="ImageNet, images in [-1, 1], no classifier; timm's own is mobilenetv2_100.ra_in1k",
        ),
        KnownModel(
            name="mobilenetv2_100.ra_in1k",
            kind="timm",
            architecture="mobilenetv2_100.ra_in1k",
            file_name="mobilenetv2_100.ra_in1k.safetensors",
            licence="Apache-2.0",
            size=14_200_000,
            preprocessing=IMAGENET_PREPROCESSING,
            repo="timm/mobilenetv2_100.ra_in1k",
            remote=_TIMM_FILE,
        ),
    )
}
"""Every known model by name. Others work too: open_clip and timm names with a file under ``models.files``."""


def find(name: str) -> KnownModel | None:
    """A known model by its name, with or without ``timm:``; or timm's published weights by a tagged name.

    ``timm:resnet18.a1_in1k`` needs no entry: timm publishes under that very name.
    """
    plain = name.removeprefix(TIMM_PREFIX)
    if plain in KNOWN:
        return KNOWN[plain]
    if not name.startswith(TIMM_PREFIX) or "." not in plain:
        return None
    return KnownModel(
        name=plain,
        kind="timm",
        architecture=plain,
        file_name=f"{plain}.safetensors",
        licence="see its card",
        size=0,
        repo=f"timm/{plain}",
        remote=_TIMM_FILE,
    )


def timm_network(name: str) -> tuple[str, Preprocessing | None]:
    """timm's name of a network, and its preprocessing; None: as timm declares it.

    ``name``: with or without ``timm:``, of the catalogue or of timm.
    """
    plain = name.removeprefix(TIMM_PREFIX)
    known = find(f"{TIMM_PREFIX}{plain}")
    return (plain, None) if known is None else (known.architecture, known.preprocessing)


def names(kind: Kind) -> list[str]:
    """Known models of one kind."""
    return [model.name for model in KNOWN.values() if model.kind == kind]
