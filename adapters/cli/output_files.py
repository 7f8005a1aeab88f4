"""``OutputFiles``: where the files of each inspected image go; nothing that was there is replaced."""

from __future__ import annotations

import itertools
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from adapters.cli.images import ImageFile
from adapters.cli.screen import plural


class OutputFiles:
    """Names files after their images.

    An image gives its path in the folder that was named, without suffix. Images that would share it give the
    name of that folder and their own suffix as well. What is taken all the same, by an earlier run or on a
    disk that ignores case, gets a number. A file that has the same content already is not written again.
    """

    def __init__(self, folder: Path, images: Sequence[ImageFile]) -> None:
        self._folder = folder
        plain = [str(PurePosixPath(image.name).with_suffix("")) for image in images]
        sharing = Counter(_alike(name) for name in plain)
        self._stems = [
            name if sharing[_alike(name)] == 1 else f"{image.folder or 'images'}/{image.name}"
            for name, image in zip(plain, images, strict=True)
        ]
        self._written: set[Path] = set()
        self.kept = 0
        """Files of earlier runs that were in the way and stay."""

    @property
    def sentence(self) -> str:
        """What happened to them."""
        return (
            f"{self._folder} holds other results of an earlier run: {plural(self.kept, 'file')} stay, and "
            "the new ones have a number in their names"
        )

    def write(self, index: int, contents: Mapping[str, bytes]) -> dict[str, Path]:
        """Write the files of an image, by what their names end in. Raises OSError."""
        stem = self._folder / self._stems[index]
        stem.parent.mkdir(parents=True, exist_ok=True)
        for number in itertools.count(1):
            name = stem.name if number == 1 else f"{stem.name}.{number}"
            paths = {ending: stem.with_name(name + ending) for ending in contents}
            taken = [ending for ending, path in paths.items() if not self._fits(path, contents[ending])]
            if not taken:
                for ending, path in paths.items():
                    if not path.exists():
                        with path.open("xb") as file:
                            file.write(contents[ending])
                self._written.update(path.resolve() for path in paths.values())
                return paths
            self.kept += sum(paths[ending].resolve() not in self._written for ending in taken)
        raise AssertionError("there is always a next number")

    def _fits(self, path: Path, content: bytes) -> bool:
        """Whether a file may have this name: nothing has it, or an earlier run wrote the same."""
        if not path.exists():
            return True
        return path.resolve() not in self._written and path.is_file() and path.read_bytes() == content


def _alike(name: str) -> str:
    """As the least careful file system compares names."""
    return unicodedata.normalize("NFC", name).casefold()
