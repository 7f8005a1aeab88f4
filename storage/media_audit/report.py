"""``MediaReport``: what a comparison of media folder and history found, in numbers and sentences."""

from __future__ import annotations

from dataclasses import dataclass, field

from agent.domain.errors import StorageError
from storage.media_audit.walk import INCOMING

YOUNG_S = 3600.0
"""A file this young may belong to a frame that is about to be recorded."""

FIRST = 5
"""How many names of each kind are listed."""

FEW = 20
"""Up to this many unnamed or missing files do not show that the folder belongs to another history."""


@dataclass(slots=True)
class Names:
    """A number of names, and the first of them."""

    count: int = 0
    bytes: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, name: str, size: int = 0) -> None:
        """Count one more."""
        self.count += 1
        self.bytes += size
        if len(self.first) < FIRST:
            self.first.append(name)

    def __str__(self) -> str:
        more = f" and {self.count - len(self.first)} more" if self.count > len(self.first) else ""
        return ", ".join(self.first) + more


@dataclass(slots=True)
class MediaReport:
    """What a comparison found, or a repair did."""

    files: int = 0
    bytes: int = 0
    orphans: Names = field(default_factory=Names)
    """Files that no inspection and no reference names, older than :data:`YOUNG_S`."""
    missing: Names = field(default_factory=Names)
    """Paths that inspections name and that hold no file."""
    rows: int = 0
    """How many inspections name them."""
    references: Names = field(default_factory=Names)
    """References whose image is gone, with the recipe versions that use them."""
    changed: Names = field(default_factory=Names)
    """Files whose content does not match their name; found only by a deep check."""
    leftovers: Names = field(default_factory=Names)
    """Files that a killed agent left half-written."""
    strange: Names = field(default_factory=Names)
    """Files that Sightline did not put there; never touched."""
    young: int = 0
    """Files that no row names and that are too young to judge."""


def problems(report: MediaReport) -> list[str]:
    """What a check found, one sentence each; empty if folder and history agree."""
    found = []
    if report.orphans.count:
        found.append(
            f"{report.orphans.count:,} files ({report.orphans.bytes:,} bytes) are named by no row:"
            f" {report.orphans}; `sightline db check --repair` deletes them"
        )
    if report.missing.count:
        found.append(
            f"{report.rows:,} rows name {report.missing.count:,} files that are gone: {report.missing};"
            " restore them, or let the rows forget them with `sightline db check --repair`"
        )
    if report.references.count:
        found.append(
            f"{report.references.count:,} references have lost their image: {report.references}; restore"
            " the media folder, or enroll these products again: such a recipe cannot be used"
        )
    if report.changed.count:
        found.append(
            f"{report.changed.count:,} files are not what they were when they were stored: {report.changed};"
            " restore them from a backup, and look at the disk"
        )
    if report.leftovers.count:
        found.append(
            f"{report.leftovers.count:,} files were left half-written in {INCOMING}; the agent's next start,"
            " or --repair, deletes them"
        )
    return found


def repairs(report: MediaReport) -> list[str]:
    """What a repair did, one sentence each."""
    done = []
    if report.orphans.count:
        done.append(
            f"{report.orphans.count:,} files that no row names were deleted:"
            f" {report.orphans.bytes:,} bytes are free"
        )
    if report.rows:
        done.append(
            f"{report.rows:,} rows let go of {report.missing.count:,} files that are gone: {report.missing}"
        )
    if report.leftovers.count:
        done.append(f"{report.leftovers.count:,} half-written files were deleted")
    return done


def must_belong_together(report: MediaReport) -> None:
    """Raises StorageError if no row names most of the files, or most are gone: the folder may belong to
    another history, or its disk is not mounted."""
    named = report.missing.count + report.files - report.orphans.count - report.young
    if report.missing.count > FEW and report.missing.count > named // 2:
        raise StorageError(
            f"{report.missing.count:,} of {named:,} files that rows name are gone: is the disk of the media"
            " folder mounted, and is it the folder of this database? If they are lost for good, --force"
            " lets the rows forget them; nothing was changed"
        )
    if report.orphans.count > FEW and report.orphans.count > report.files // 2:
        raise StorageError(
            f"{report.orphans.count:,} of {report.files:,} files are named by no row: is this the media"
            " folder of this database? If it is, --force deletes them; nothing was changed"
        )
