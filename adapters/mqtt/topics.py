"""``Topics``: builds and parses topics from templates: subscriptions, outputs, and the camera of a topic."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.domain.errors import ConfigurationError
from agent.domain.frame import Camera, DeliveryKind
from agent.domain.names import described

MAX_LEVEL = 255
MAX_LEVEL_BYTES = 500
"""Longest site, line or camera in characters and in UTF-8, as the columns of the history."""
MAX_TOPIC_BYTES = 65_535
"""MQTT 5 section 1.5.4: a UTF-8 string has a two-byte length."""

DEFAULT_LINE = "main"
"""The production line of cameras whose template names none."""

DEFAULT_TEMPLATES: Mapping[str, str] = {
    "frame": "{site}/{line}/{camera}/frame",
    "sku": "{site}/{line}/{camera}/sku",
    "reference": "{site}/{line}/{camera}/reference",
    "feedback": "{site}/{line}/{camera}/feedback",
    "verdict": "{site}/{line}/{camera}/verdict",
    "alert": "{site}/{line}/{camera}/alert",
    "mask": "{site}/{line}/{camera}/mask",
    "status": "{site}/sightline/{agent}/status",
    "command": "{site}/sightline/{agent}/command",
    "reply": "{site}/sightline/{agent}/reply",
}
"""As in docs/messages.md; levels after ISA-95: site, line, camera."""

INCOMING = tuple(kind.value for kind in DeliveryKind)
OF_AGENT = frozenset({"status", "command", "reply"})
"""Topics of the agent itself; the others are a camera's."""
OUTGOING = tuple(name for name in DEFAULT_TEMPLATES if name not in INCOMING)

_FIELD = re.compile(r"\{(\w*)\}")
_WILD = frozenset("+#/")
_UNWISE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
"""What MQTT 5 section 1.5.4 forbids or advises against. Brokers such as mosquitto end the connection."""


def check_level(text: str, what: str = "topic level") -> str:
    """Return ``text`` if it may be a level of a topic: spaces, ``$`` inside and any letters, as MQTT allows.

    Raises ValueError for ``+ # /``, control and non-characters, over MAX_LEVEL characters, and lone halves
    of surrogate pairs.
    """
    if len(text) > MAX_LEVEL or len(text.encode("utf-8", "replace")) > MAX_LEVEL_BYTES:
        raise ValueError(
            f"the {what} has {len(text)} characters, at most {MAX_LEVEL} and {MAX_LEVEL_BYTES} bytes "
            "of UTF-8 are allowed; rename it"
        )
    found = _UNWISE.search(text)
    if found is not None:
        raise ValueError(f"the {what} has {described(found.group())}; rename it")
    if not _WILD.isdisjoint(text):
        raise ValueError(f"the {what} {text!r} must have none of + # /")
    return text


def check_own_level(text: str, what: str) -> str:
    """Return ``text`` if it may be a level that the configuration fixes: not empty, not led by ``$``.

    Raises ValueError.
    """
    if not text:
        raise ValueError(f"the {what} is empty")
    if text.startswith("$"):
        raise ValueError(f"the {what} {text!r} begins with $, which brokers keep for themselves")
    return check_level(text, what)


def filter_covers(subscription: str, topic: str) -> bool:
    """Whether a subscription filter and a topic, or another filter, have a topic in common.

    ``+`` in either stands for any one level, ``#`` for the rest (MQTT 5 section 4.7).
    """
    left, right = subscription.split("/"), topic.split("/")
    for index in range(max(len(left), len(right))):
        one = left[index] if index < len(left) else None
        other = right[index] if index < len(right) else None
        if "#" in (one, other):
            return True
        if one is None or other is None:
            return False
        if one != other and "+" not in (one, other):
            return False
    return True


@dataclass(frozen=True, slots=True)
class _Template:
    """One topic template, compiled."""

    text: str
    names: tuple[str, ...]
    pattern: re.Pattern[str]
    subscription: str


def _compile(kind: str, text: str, fixed: Mapping[str, str]) -> _Template:
    if text.startswith("$"):
        raise ConfigurationError(
            f"the topic template {text!r} for {kind} is unusable: brokers keep topics that begin with $"
        )
    allowed = {"site", "agent"} if kind in OF_AGENT else {"site", "line", "camera"}
    names: list[str] = []
    patterns: list[str] = []
    levels: list[str] = []
    for level in text.split("/"):
        found = _FIELD.findall(level)
        literal = _FIELD.sub("", level)
        if literal:
            _check_literal(kind, text, literal)
        elif not found:
            raise ConfigurationError(
                f"the topic template {text!r} for {kind} has an empty level; remove a slash"
            )
        for name in found:
            if name not in allowed:
                known = ", ".join(f"{{{one}}}" for one in sorted(allowed))
                raise ConfigurationError(f"{{{name}}} in the topic template {text!r} is unknown; use {known}")
        if len(found) > 1 or any(name in names for name in found):
            raise ConfigurationError(
                f"the topic template {text!r} for {kind} must name each field once, and one in a level"
            )
        names.extend(found)
        pieces = _FIELD.split(level)
        patterns.append(
            "".join(_piece(piece, fixed) if odd % 2 else re.escape(piece) for odd, piece in enumerate(pieces))
        )
        variable = any(name not in fixed for name in found)
        levels.append("+" if variable else _FIELD.sub(lambda match: fixed[match.group(1)], level))
    required = "agent" if kind in OF_AGENT else "camera"
    if required not in names:
        raise ConfigurationError(f"the topic template {text!r} for {kind} must contain {{{required}}}")
    return _Template(text, tuple(names), re.compile("/".join(patterns)), "/".join(levels))


def _check_literal(kind: str, text: str, literal: str) -> None:
    try:
        check_level(literal)
        if "{" in literal or "}" in literal:
            raise ValueError("a brace in it belongs to no field")
    except ValueError as error:
        raise ConfigurationError(f"the topic template {text!r} for {kind} is unusable: {error}") from None


def _piece(name: str, fixed: Mapping[str, str]) -> str:
    return re.escape(fixed[name]) if name in fixed else rf"(?P<{name}>[^/]*)"


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one agent of one site.

    ``templates`` replaces single entries of DEFAULT_TEMPLATES. The site is fixed; wildcards find production
    lines and cameras. A template without ``{line}`` gives cameras of the line ``main``. What MQTT allows in a
    level is a name, an empty level too.

    Raises ConfigurationError if a template is unusable, or a subscription would cover the
    agent's own output.
    """

    site: str = "factory"
    agent: str = "sightline"
    templates: Mapping[str, str] = field(default_factory=dict)
    _compiled: dict[str, _Template] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        for what, level in (("site", self.site), ("agent id", self.agent)):
            try:
                check_own_level(level, what)
            except ValueError as error:
                raise ConfigurationError(f"{error}") from None
        unknown = sorted(set(self.templates) - set(DEFAULT_TEMPLATES))
        if unknown:
            raise ConfigurationError(
                f"there is no topic {unknown[0]!r}; the topics are {', '.join(DEFAULT_TEMPLATES)}"
            )
        fixed = {"site": self.site, "agent": self.agent}
        for kind, text in {**DEFAULT_TEMPLATES, **self.templates}.items():
            self._compiled[kind] = _compile(kind, text, fixed)
        self._check_overlaps()

    def _check_overlaps(self) -> None:
        for index, kind in enumerate(INCOMING):
            mine = self._compiled[kind].subscription
            for other in (*INCOMING[index + 1 :], *OUTGOING):
                if filter_covers(mine, self._compiled[other].subscription):
                    raise ConfigurationError(
                        f"the subscription {mine!r} for {kind} would also receive {other} messages; "
                        "make the last level of their templates differ"
                    )

    @property
    def subscriptions(self) -> tuple[str, ...]:
        """The filters for frames, jobs, references, feedback and commands, without the agent's own output."""
        return tuple(self._compiled[kind].subscription for kind in INCOMING)

    @property
    def frames(self) -> str:
        """The filter of the frames that the agent takes."""
        return self._compiled["frame"].subscription

    @property
    def every_status(self) -> str:
        """The filter of the status of all agents of the site."""
        levels = self._compiled["status"].text.replace("{site}", self.site).split("/")
        return "/".join("+" if "{agent}" in level else level for level in levels)

    @property
    def status(self) -> str:
        """The agent's own status topic."""
        return self._compiled["status"].subscription

    @property
    def command(self) -> str:
        """The topic on which the agent takes commands."""
        return self._compiled["command"].subscription

    @property
    def reply(self) -> str:
        """The topic of answers to commands that name no response topic."""
        return self._compiled["reply"].subscription

    def covers(self, topic: str) -> bool:
        """Whether the agent would receive what is published on ``topic``."""
        return any(filter_covers(one, topic) for one in self.subscriptions)

    def parse(self, topic: str) -> tuple[DeliveryKind, Camera] | None:
        """What a received topic carries and for which camera; None if it cannot be used (:meth:`refusal`).

        Commands have no camera; ``sightline`` and the agent's id take its place.
        """
        for kind in INCOMING:
            match = self._compiled[kind].pattern.fullmatch(topic)
            if match is None:
                continue
            if kind in OF_AGENT:
                return DeliveryKind(kind), Camera(self.site, "sightline", self.agent)
            found = match.groupdict()
            camera = Camera(self.site, found.get("line", DEFAULT_LINE), found["camera"])
            return None if self._unusable(camera) else (DeliveryKind(kind), camera)
        return None

    def refusal(self, topic: str) -> str:
        """Why :meth:`parse` cannot use a topic, with the remedy."""
        for kind in INCOMING:
            match = self._compiled[kind].pattern.fullmatch(topic)
            if match is not None:
                found = match.groupdict()
                camera = Camera(self.site, found.get("line", DEFAULT_LINE), found.get("camera", ""))
                return self._unusable(camera) or "it can be used"
        templates = ", ".join(self._compiled[kind].text for kind in INCOMING)
        return f"it fits none of the templates {templates}; publish on one that does, or change `topics`"

    def _unusable(self, camera: Camera) -> str | None:
        """Why a camera of this name could not be answered."""
        try:
            for name, value in (("line", camera.line), ("camera", camera.camera)):
                check_level(value, name)
        except ValueError as error:
            return str(error)
        led = camera.line.startswith("$") or camera.camera.startswith("$")
        if led and any(self.build(kind, camera).startswith("$") for kind in ("verdict", "alert", "mask")):
            return "its verdicts would go to a topic that begins with $, which brokers keep; rename it"
        return None

    def build(self, kind: str, camera: Camera) -> str:
        """The topic of ``kind`` (``frame``, ``sku``, ``verdict``, ``mask``, ...) for a camera.

        Raises ValueError if a level of the camera may not be in a topic.
        """
        values = {"site": camera.site, "line": camera.line, "camera": camera.camera, "agent": self.agent}
        for name, value in values.items():
            check_level(value, name)
        return _FIELD.sub(lambda match: values[match.group(1)], self._compiled[str(kind)].text)


def check_response_topic(topic: str) -> str:
    """Return ``topic`` if it may be a response topic, else raise ValueError (MQTT 5 section 3.3.2.3.5)."""
    if not topic or len(topic.encode("utf-8", "replace")) > MAX_TOPIC_BYTES:
        raise ValueError("the response topic is empty or too long")
    if any(character in "+#\0" for character in topic) or topic.startswith("$"):
        raise ValueError(f"the response topic {topic[:80]!r} has a wildcard or starts with $")
    return topic
