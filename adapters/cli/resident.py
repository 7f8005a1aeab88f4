"""``resident_mb``, ``peak_mb``: the memory of this process, now and at most, as Linux reports it."""

from __future__ import annotations

from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_FORGET_PEAK = "5"


def resident_mb() -> float | None:
    """Resident memory in megabytes (10^6 bytes); None on systems other than Linux."""
    return _status("VmRSS")


def peak_mb() -> float | None:
    """The most it has been since :func:`forget_peak`, or since the process started; None as above."""
    return _status("VmHWM")


def forget_peak() -> bool:
    """Reset the peak to what is resident now; False if the system does not allow it."""
    try:
        _CLEAR.write_text(_FORGET_PEAK)
    except OSError:
        return False
    return True


def _status(field: str) -> float | None:
    try:
        lines = _STATUS.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    for line in lines:
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024 / 1e6  # kB there are 1024 bytes
    return None
