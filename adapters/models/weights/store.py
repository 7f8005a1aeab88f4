"""``WeightStore``: where weights are on this machine, and whether they are unaltered. Needs no PyTorch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files as package_files
from pathlib import Path
from typing import Literal

from adapters.models.weights.catalogue import KNOWN, TIMM_PREFIX, KnownModel, find
from adapters.models.weights.checksums import LockFile, sha256_of
from agent.domain.errors import ModelError

_SUFFIXES = (".safetensors", ".pt", ".pth")
_HASH_IN_NAME = re.compile(r"-([0-9a-f]{8})\.\w+")
"""The publishers of open_clip end a file name with the beginning of its sha256."""

Presence = Literal["bundled", "present", "incomplete", "missing"]
Soundness = Literal["ok", "altered", "unpinned", "missing"]


@dataclass(frozen=True, slots=True)
class Holding:
    """The files that this machine has of a model."""

    model: KnownModel
    presence: Presence
    root: Path
    """The weights file or the model's folder, whether it exists or not."""
    files: tuple[Path, ...]
    """Files that exist."""
    absent: tuple[Path, ...]
    """Files that are missing."""
    own: bool = False
    """Named under ``models.files``: the user's choice, neither pulled nor compared."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of checking one file."""

    model: str
    path: Path
    soundness: Soundness
    sha256: str | None = None
    expected: str | None = None


def bundled_folder() -> Path:
    """The package folder with the bundled model."""
    return Path(str(package_files("adapters.models"))) / "tiny"


class WeightStore:
    """The models folder of one configuration, and the files that the user named.

    Args:
        folder: ``models.path``.
        files: ``models.files``, by name with or without ``timm:``.
    """

    def __init__(self, folder: Path, files: Mapping[str, Path | str] | None = None) -> None:
        self.folder = folder
        self.lock = LockFile(folder)
        self._files = {name.removeprefix(TIMM_PREFIX): Path(path) for name, path in (files or {}).items()}

    def own_file(self, name: str) -> Path | None:
        """The path under ``models.files`` of a model, whether it exists or not."""
        path = self._files.get(name.removeprefix(TIMM_PREFIX))
        return None if path is None else path.expanduser()

    def locate(self, name: str) -> Path:
        """The weights file, or the folder, of a model that is here.

        The one that ``models.files`` names, the bundled one, or one in the models folder: under the known
        file name, under another known one, or as NAME.safetensors, NAME.pt or NAME.pth.

        Raises:
            ModelError: it is not here; the message names the command that brings it.
        """
        plain, own = name.removeprefix(TIMM_PREFIX), self.own_file(name)
        if own is not None:
            if not own.exists():
                raise ModelError(f"models.files names {own} for {plain}, but there is no such file")
            return own
        model = find(name)
        if model is None:
            for suffix in _SUFFIXES:
                if (path := self.folder / f"{plain}{suffix}").is_file():
                    return path
            tags = f" or run `sightline models pull timm:{plain}.TAG` with one of timm's tags"
            raise ModelError(
                f"there are no weights of {plain} in {self.folder}: name a local file under models.files"
                f"{tags if name.startswith(TIMM_PREFIX) else ''}"
            )
        holding = self.holding(model)
        if holding.presence in {"bundled", "present"}:
            return holding.root
        raise ModelError(self.advice(holding))

    def advice(self, holding: Holding) -> str:
        """One sentence on a model that is missing or incomplete, with the command that mends it."""
        model = holding.model
        lacking = (
            f"{holding.root} lacks {', '.join(path.name for path in holding.absent)} of {model.name}"
            if holding.presence == "incomplete"
            else f"there are no weights of {model.name} in {self.folder}"
        )
        if model.pullable:
            return (
                f"{lacking}: run `sightline models pull {pull_name(model)}` or name a local file under "
                "models.files"
            )
        return (
            f"{lacking}: bring {model.file_name} by hand, then run "
            f"`sightline models pull {model.name} --from FOLDER`"
        )

    def holding(self, model: KnownModel) -> Holding:
        """The files of a model that exist. Nothing is read."""
        own = self.own_file(model.name)
        if own is not None:
            there = own.exists()
            found = (_inside(own) if own.is_dir() else (own,)) if there else ()
            return Holding(
                model, "present" if there else "missing", own, found, () if there else (own,), True
            )
        if model.bundled:
            path = bundled_folder() / model.file_name
            return Holding(model, "bundled", path, (path,), ())
        if not model.folder:
            return self._single(model)
        paths = [self.folder / part.local for part in model.parts]
        found = tuple(path for path in paths if path.is_file())
        absent = tuple(path for path in paths if not path.is_file())
        presence: Presence = "present" if not absent else "incomplete" if found else "missing"
        return Holding(model, presence, self.folder / model.file_name, found, absent)

    def _single(self, model: KnownModel) -> Holding:
        candidates = [model.file_name, *model.alternatives]
        candidates += [f"{model.name}{suffix}" for suffix in _SUFFIXES]
        for candidate in candidates:
            if (path := self.folder / candidate).is_file():
                return Holding(model, "present", path, (path,), ())
        path = self.folder / model.file_name
        return Holding(model, "missing", path, (), (path,))

    def expected(self, model: KnownModel, path: Path) -> str | None:
        """The sha256 (or its beginning) that a file must have; None if unknown."""
        if self.own_file(model.name) is not None:
            return None
        if model.sha256 is not None and path.name == model.file_name:
            return model.sha256
        pinned = self.lock.expected(path)
        if pinned is None and path.name in model.alternatives and (match := _HASH_IN_NAME.search(path.name)):
            return match[1]
        return pinned

    def verify(self, *, pin: bool = False) -> list[Finding]:
        """Check every file of every known model; ``pin`` those without a known digest.

        Raises ModelError if a file or the lock file cannot be read.
        """
        pinned = {
            name.split("/")[0].removesuffix(".safetensors") for name in self.lock.read()
        }  # timm weights that were pulled by a tagged name
        tagged = [find(f"{TIMM_PREFIX}{name}") for name in sorted(pinned) if name not in KNOWN]
        listed = {model.file_name: model for model in KNOWN.values()}
        models = [*KNOWN.values(), *(m for m in tagged if m is not None and m.file_name not in listed)]
        findings = [finding for model in models for finding in self._check(self.holding(model))]
        if pin:
            fresh = [f for f in findings if f.soundness == "unpinned" and f.path.is_relative_to(self.folder)]
            self.lock.pin({self.name_of(f.path): f.sha256 for f in fresh if f.sha256 is not None})
            findings = [
                Finding(f.model, f.path, "ok", f.sha256, f.sha256) if f in fresh else f for f in findings
            ]
        return findings

    def name_of(self, path: Path) -> str:
        """A file's name in the lock file."""
        return path.relative_to(self.folder).as_posix()

    def _check(self, holding: Holding) -> list[Finding]:
        model = holding.model
        findings = []
        for path in holding.files:
            expected, digest = self.expected(model, path), sha256_of(path)
            sound: Soundness = "ok" if expected and digest.startswith(expected) else "altered"
            findings.append(Finding(model.name, path, sound if expected else "unpinned", digest, expected))
        if holding.presence == "incomplete":
            findings += [Finding(model.name, path, "missing") for path in holding.absent]
        return findings


def pull_name(model: KnownModel) -> str:
    """The name of a model for `sightline models pull`."""
    return model.name if model.name in KNOWN else f"{TIMM_PREFIX}{model.name}"


def _inside(folder: Path) -> tuple[Path, ...]:
    return tuple(sorted(path for path in folder.iterdir() if path.is_file()))
