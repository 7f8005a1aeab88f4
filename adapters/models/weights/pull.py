"""``pull``: brings weights into the models folder, from the hub or from a folder."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from adapters.models.weights.catalogue import KnownModel, Part
from adapters.models.weights.checksums import LockFile, sha256_of
from adapters.models.weights.hub import CHUNK, Hub, Progress
from adapters.models.weights.store import WeightStore
from agent.domain.errors import ModelError

Outcome = Literal["bundled", "own file", "already there", "pulled", "replaced"]


@dataclass(frozen=True, slots=True)
class Pulled:
    """The result for one model."""

    model: KnownModel
    outcome: Outcome
    paths: tuple[Path, ...]


def pull(
    model: KnownModel,
    store: WeightStore,
    *,
    hub: Hub | None,
    source: Path | None = None,
    force: bool = False,
    progress: Progress = lambda _name, _done, _total: None,
) -> Pulled:
    """Bring what is missing or altered of a model; the rest is checked and left alone.

    A file's sha256 goes into the lock file when it first comes; brought again, it must have the same. A file
    gets its name only once it is complete.

    Args:
        hub: where to download from; None: offline.
        source: a folder to copy from instead, laid out like the models folder, or holding the files as they
            are published. Its own ``SHA256SUMS``, if it has one, is trusted.
        force: bring also what is already there and sound.

    Raises:
        ModelError: something could not be brought, or is not what it must be; the message names a remedy.
    """
    holding = store.holding(model)
    if holding.presence == "bundled":
        return Pulled(model, "bundled", holding.files)
    if holding.own:
        if holding.presence == "missing":
            raise ModelError(f"models.files names {holding.root} for {model.name}, but there is no such file")
        return Pulled(model, "own file", holding.files)
    if not model.folder and holding.files and not force:  # perhaps under another of its names
        (path,) = holding.files
        if _sound(model, store, path):
            return Pulled(model, "already there", (path,))
    paths, brought, replaced = [], False, False
    for part in _parts(model, source):
        target = store.folder / part.local
        paths.append(target)
        was_there = target.is_file()
        if was_there and not force and _sound(model, store, target):
            continue
        arrived = (
            _from_hub(model, part, target, hub, progress)
            if source is None
            else _from_folder(model, part, target, source, progress)
        )
        _install(model, store, arrived, target)
        brought, replaced = True, replaced or was_there
    outcome: Outcome = "replaced" if replaced else "pulled" if brought else "already there"
    return Pulled(model, outcome, tuple(paths))


def _parts(model: KnownModel, source: Path | None) -> tuple[Part, ...]:
    """The files of a model, under another of its names if ``source`` has that one."""
    if source is not None:
        for name in model.alternatives:
            carried = any(path.is_file() for part in model.parts for path in _candidates(model, part, source))
            if not carried and (source / name).is_file():
                return (Part(name, name),)
    return model.parts


def _sound(model: KnownModel, store: WeightStore, path: Path) -> bool:
    """Whether an existing file may stay; one without a known digest is pinned as it is."""
    expected, digest = store.expected(model, path), sha256_of(path)
    if expected is None:
        store.lock.pin({store.name_of(path): digest})
        return True
    return digest.startswith(expected)


def _install(model: KnownModel, store: WeightStore, arrived: Path, target: Path) -> None:
    """Give a complete file its name and pin its sha256. Raises ModelError."""
    digest, expected = sha256_of(arrived), store.expected(model, target)
    if expected is not None and not digest.startswith(expected):
        arrived.unlink()
        raise ModelError(
            f"what came for {target} has sha256 {digest[:12]}... but {expected[:12]}... was expected: "
            f"another version was published; to take it, delete the line of {target.name} from "
            f"{store.lock.path} and run the same command again"
        )
    arrived.replace(target)
    store.lock.pin({store.name_of(target): digest})


def _from_hub(model: KnownModel, part: Part, target: Path, hub: Hub | None, progress: Progress) -> Path:
    if model.repo is None and not model.url:
        raise ModelError(
            f"{model.name} is brought by hand: put {part.remote} into a folder, then run "
            f"`sightline models pull {model.name} --from FOLDER`"
        )
    if hub is None:
        what = model.url if model.repo is None else f"{part.remote} of {model.repo}"
        raise ModelError(
            f"HF_HUB_OFFLINE switches the network off: bring {what} by hand, to FOLDER/{part.local}, then "
            f"run `sightline models pull {model.name} --from FOLDER`"
        )
    if model.repo is None:
        return hub.fetch(hub.look_up_address(model.url), target, progress)
    return hub.fetch(hub.look_up(model.repo, model.revision, part.remote), target, progress)


def _from_folder(model: KnownModel, part: Part, target: Path, source: Path, progress: Progress) -> Path:
    found = next((path for path in _candidates(model, part, source) if path.is_file()), None)
    if found is None:
        looked_for = ", ".join(str(path.relative_to(source)) for path in _candidates(model, part, source))
        raise ModelError(f"{source} holds nothing for {model.name}; looked for {looked_for}")
    announced = LockFile(source).expected(found)
    partial = target.with_name(f".{target.name}.copied.part")
    target.parent.mkdir(parents=True, exist_ok=True)
    total, done = found.stat().st_size, 0
    if shutil.disk_usage(target.parent).free < total:
        raise ModelError(f"there is no room for the {total / 1e6:,.0f} MB of {found} in {target.parent}")
    with found.open("rb") as reader, partial.open("wb") as writer:
        while chunk := reader.read(CHUNK):
            writer.write(chunk)
            done += len(chunk)
            progress(part.local, done, total)
    if announced is not None and sha256_of(partial) != announced:
        partial.unlink()
        raise ModelError(
            f"{found} does not have the sha256 in {LockFile(source).path}: it was damaged on the way; copy "
            "it again"
        )
    return partial


def _candidates(model: KnownModel, part: Part, source: Path) -> list[Path]:
    """Paths that a part may have in a source folder."""
    repo = (model.repo or model.name).rsplit("/", maxsplit=1)[-1]
    found = [source / part.local, source / model.name / part.remote, source / repo / part.remote]
    # Files of one repository without a folder; the only name of a one-file checkpoint may be too general.
    if model.folder or part.remote in {model.file_name, *model.alternatives}:
        found.append(source / part.remote)
    return list(dict.fromkeys(found))
