"""Topics: built and parsed alike, and never the agent's own output."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.mqtt.topics import (
    INCOMING,
    OF_AGENT,
    OUTGOING,
    Topics,
    check_level,
    check_response_topic,
    filter_covers,
)
from agent.domain.errors import ConfigurationError
from agent.domain.frame import Camera, DeliveryKind

OF_CAMERA = [kind for kind in INCOMING if kind not in OF_AGENT]
LEVELS = st.text(st.characters(exclude_characters="+#/", exclude_categories=("Cc", "Cs", "Cn")), max_size=30)
SITES = LEVELS.filter(lambda text: text and not text.startswith("$"))


def test_defaults_are_those_of_the_contract() -> None:
    topics = Topics("factory", "cell-7")
    camera = Camera("factory", "line-1", "top")
    assert topics.build("verdict", camera) == "factory/line-1/top/verdict"
    assert topics.status == "factory/sightline/cell-7/status"
    assert topics.subscriptions == (
        *(f"factory/+/+/{k}" for k in ("frame", "sku", "reference", "feedback")),
        "factory/sightline/cell-7/command",
    )
    assert topics.reply == "factory/sightline/cell-7/reply"


def test_commands_are_for_one_agent() -> None:
    topics = Topics("factory", "cell-7")
    assert topics.parse(topics.command) == (DeliveryKind.COMMAND, Camera("factory", "sightline", "cell-7"))
    assert topics.parse("factory/sightline/cell-8/command") is None
    with pytest.raises(ConfigurationError, match="agent"):
        Topics(templates={"command": "{site}/commands"})
    with pytest.raises(ConfigurationError, match="reply"):
        Topics(templates={"reply": "{site}/sightline/{agent}/command"})


@given(SITES, LEVELS, LEVELS, st.sampled_from(OF_CAMERA))
def test_round_trip(site: str, line: str, camera: str, kind: str) -> None:
    topics = Topics(site)
    one = Camera(site, line, camera)
    assert topics.parse(topics.build(kind, one)) == (DeliveryKind(kind), one)


@given(LEVELS, LEVELS, st.sampled_from(OF_CAMERA))
def test_round_trip_of_a_level_shared_with_a_literal(line: str, camera: str, kind: str) -> None:
    topics = Topics("s", templates={kind: f"plant/{{site}}/l-{{line}}/cam_{{camera}}.x/{kind}"})
    one = Camera("s", line, camera)
    assert topics.parse(topics.build(kind, one)) == (DeliveryKind(kind), one)
    assert topics.covers(topics.build(kind, one))


@given(st.text(max_size=60))
def test_any_topic_is_parsed_or_none(topic: str) -> None:
    found = Topics().parse(topic)
    assert found is None or Topics().build(found[0], found[1]) == topic


@given(LEVELS, LEVELS, st.sampled_from(OUTGOING))
def test_own_output_is_never_covered(line: str, camera: str, kind: str) -> None:
    topics = Topics("site", "a")
    topic = topics.build(kind, Camera("site", line, camera))
    assert not topics.covers(topic)
    assert topics.parse(topic) is None


@pytest.mark.parametrize(
    "level", ["a+", "#", "a/b", "tab\t", "nul\0", "\x9f", "\ufdd0", "x" * 256, "ü" * 251]
)
def test_levels_that_are_refused(level: str) -> None:
    with pytest.raises(ValueError, match=r"level|characters"):
        check_level(level)


@pytest.mark.parametrize(
    ("line", "camera"),
    [
        ("line 1", "cam-1"), (" ", "cam 1 "), ("", "cam-1"), ("line-1", ""), ("", ""), ("$line", "cam$1"),
        ("Linie\u00a01", "Kamera\u202f2"), ("{line}", "{0}"), ("部品", "🎥"), ("x" * 255, "a.b,c;d"),
        ("sightline", "cell-7"), ("[b]", "x[b] :smile:"), ("\u202e", "\u200d"),
    ],
)  # fmt: skip
def test_what_mqtt_allows_is_a_name_and_is_answered(line: str, camera: str) -> None:
    topics = Topics("Werk 1")
    for kind in OF_CAMERA:
        topic = f"Werk 1/{line}/{camera}/{kind}"
        assert topics.parse(topic) == (DeliveryKind(kind), Camera("Werk 1", line, camera))
    assert topics.build("verdict", Camera("Werk 1", line, camera)) == f"Werk 1/{line}/{camera}/verdict"


@pytest.mark.parametrize(
    ("topic", "word"),
    [
        ("factory/a\x07/b/frame", "U+0007"),
        (f"factory/{'x' * 256}/b/frame", "256 characters"),
        ("factory/a/b/c/frame", "fits none of the templates"),
        ("other/a/b/frame", "fits none of the templates"),
    ],
)
def test_a_refusal_says_why(topic: str, word: str) -> None:
    assert Topics().parse(topic) is None
    assert word in Topics().refusal(topic)


def test_a_name_that_brokers_keep_where_verdicts_would_begin_with_it() -> None:
    topics = Topics(templates={"frame": "in/{camera}/frame", "verdict": "{camera}/verdict"})
    assert topics.parse("in/a$/frame") is not None
    assert topics.parse("in/$a/frame") is None
    assert "begins with $" in topics.refusal("in/$a/frame")


@pytest.mark.parametrize("site", ["", "$SYS", "a/b", "a+"])
def test_the_site_is_a_level_that_brokers_give_away(site: str) -> None:
    with pytest.raises(ConfigurationError, match="site"):
        Topics(site)


@pytest.mark.parametrize(
    ("templates", "word"),
    [
        ({"frame": "{site}/{line}/{camera}/verdict"}, "verdict"),
        ({"frame": "{site}/{line}/{camera}"}, None),
        ({"frame": "{site}/{line}/image"}, "camera"),
        ({"frame": "{site}//{camera}/frame"}, "empty level"),
        ({"frame": "{site}/{machine}/{camera}/frame"}, "machine"),
        ({"frame": "{site}/{line}{camera}/frame"}, "one in a level"),
        ({"frame": "{site}/+/{camera}/frame"}, "unusable"),
        ({"frames": "{site}/x"}, "no topic"),
        ({"verdict": "{site}/{line}/{camera}/frame"}, "verdict"),
    ],
)
def test_unusable_templates(templates: dict[str, str], word: str | None) -> None:
    if word is None:
        assert Topics(templates=templates).parse("factory/l/c") is not None
        return
    with pytest.raises(ConfigurationError, match=word):
        Topics(templates=templates)


def test_a_template_without_line() -> None:
    topics = Topics(templates={"frame": "{site}/cams/{camera}"})
    assert topics.parse("factory/cams/7") == (DeliveryKind.FRAME, Camera("factory", "main", "7"))
    assert topics.parse("factory/main/7/sku") == (DeliveryKind.JOB, Camera("factory", "main", "7"))
    assert topics.build("verdict", Camera("factory", "main", "7")) == "factory/main/7/verdict"


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("a/+/c", "a/b/c", True),
        ("a/+/c", "a/b/d", False),
        ("a/#", "a/b/c", True),
        ("a/+", "+/b", True),
        ("a/b", "a/b/c", False),
        ("+/+", "a", False),
    ],
)
def test_filters_overlap(one: str, other: str, expected: Any) -> None:
    assert filter_covers(one, other) is expected
    assert filter_covers(other, one) is expected


@pytest.mark.parametrize("topic", ["", "a/+/b", "a/#", "$SYS/x", "a\0"])
def test_response_topics_that_are_refused(topic: str) -> None:
    with pytest.raises(ValueError, match="response topic"):
        check_response_topic(topic)
