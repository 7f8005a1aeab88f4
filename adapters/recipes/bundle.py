"""``Bundle``: a recipe file with its images, in a folder beside the YAML or in one .zip."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Self

from agent.domain.errors import RecipeError
from agent.ports.recipes import ReferenceEntry
from config.loading.document import LARGEST_FILE

YAML_NAME = "recipe.yaml"
FOLDER = "references"
LARGEST_IMAGE = 100 * 1024 * 1024


class Bundle:
    """A recipe file that was opened: its text, and its images by name or digest.

    ``recipe.yaml`` has its images in ``recipe.references/``; a .zip holds ``recipe.yaml`` and
    ``references/``. An image is called ``<sha256>.jpg`` as exported, or what the recipe calls it.
    """

    def __init__(self, path: Path) -> None:
        """Raises RecipeError: there is no such file, or it is neither YAML nor .zip."""
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path) if path.suffix.lower() == ".zip" else None
            self.text = self._read_text()
        except (OSError, zipfile.BadZipFile) as error:
            raise RecipeError(
                f"{path} cannot be read: {getattr(error, 'strerror', None) or error}"
            ) from error
        except UnicodeDecodeError as error:
            raise RecipeError(f"{path} is not UTF-8 text") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._zip is not None:
            self._zip.close()

    def find(self, entry: ReferenceEntry) -> bytes | None:
        """The image of a reference; None if the file does not hold it. Raises RecipeError."""
        try:
            return self._find_zipped(entry) if self._zip is not None else self._find_beside(entry)
        except (OSError, zipfile.BadZipFile) as error:
            raise RecipeError(
                f"the image of {entry.name!r} in {self.path} cannot be read: {error}"
            ) from error

    def _read_text(self) -> str:
        if self._zip is None:
            if self.path.stat().st_size > LARGEST_FILE:
                raise RecipeError(f"{self.path} is larger than a megabyte; it is not a recipe")
            return self.path.read_text(encoding="utf-8-sig")
        try:
            return _read(self._zip, self._zip.getinfo(YAML_NAME), LARGEST_FILE).decode("utf-8-sig")
        except KeyError:
            raise RecipeError(
                f"{self.path} holds no {YAML_NAME}; export a recipe to a .zip to see its form"
            ) from None

    def _find_zipped(self, entry: ReferenceEntry) -> bytes | None:
        if self._zip is None:
            return None
        for info in self._zip.infolist():
            inside = PurePosixPath(info.filename)
            if inside.parts[:1] == (FOLDER,) and _is(entry, "/".join(inside.parts[1:]), inside.stem):
                return _read(self._zip, info, LARGEST_IMAGE)
        return None

    def _find_beside(self, entry: ReferenceEntry) -> bytes | None:
        folder = folder_of(self.path)
        if not folder.is_dir():
            return None
        # Names from a file are compared with existing files, and never become a path.
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            if _is(entry, file.relative_to(folder).as_posix(), file.stem):
                if file.stat().st_size > LARGEST_IMAGE:
                    raise RecipeError(f"{file} is too large for a reference")
                return file.read_bytes()
        return None


def _is(entry: ReferenceEntry, name: str, stem: str) -> bool:
    return name == entry.name or (entry.sha256 is not None and stem == entry.sha256)


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo, limit: int) -> bytes:
    with archive.open(info) as file:
        content = file.read(limit + 1)  # the size that the archive states may be wrong
    if len(content) > limit:
        raise RecipeError(f"{info.filename} in {archive.filename} is larger than {limit:,} bytes")
    return content


def folder_of(path: Path) -> Path:
    """The folder with the images of a YAML file."""
    return path.with_suffix(f".{FOLDER}")


def write_bundle(path: Path, text: str, images: Sequence[tuple[str, bytes]] | None) -> None:
    """Write YAML, or a .zip by its name, with ``images`` if they are given.

    Args:
        images: file name and bytes; None: the images stay where they are.

    Raises:
        OSError: the disk refused.
    """
    if path.suffix.lower() == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(_info(YAML_NAME), text.encode())
            for name, content in dict(images or ()).items():
                archive.writestr(_info(f"{FOLDER}/{name}"), content)
        return
    path.write_text(text, encoding="utf-8")
    for name, content in images or ():
        folder_of(path).mkdir(exist_ok=True)
        (folder_of(path) / name).write_bytes(content)


def _info(name: str) -> zipfile.ZipInfo:
    """A fixed time: the same recipe gives the same file."""
    info = zipfile.ZipInfo(name, (2000, 1, 1, 0, 0, 0))
    info.compress_type = zipfile.ZIP_DEFLATED if name == YAML_NAME else zipfile.ZIP_STORED
    info.external_attr = 0o644 << 16
    return info
