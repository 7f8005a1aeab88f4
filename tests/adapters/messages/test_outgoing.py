"""Verdicts, alerts and other outgoing messages: their schemas and their times."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from adapters.images.identity import parse_time
from adapters.messages.outgoing import rfc3339, verdict_schema
from tests.adapters.messages.examples import CONTRACT


def test_the_schemas_name_the_fields() -> None:
    schema = verdict_schema()
    assert list(schema["properties"]) == CONTRACT
    assert schema["required"] == CONTRACT
    inspected_at = schema["properties"]["inspected_at"]
    assert (inspected_at["type"], inspected_at["format"]) == ("string", "date-time")
    assert schema["$id"] == "sightline.verdict/1"
    for part in (schema, *schema["$defs"].values()):
        assert part.get("additionalProperties", True), "a later version may add keys"
    json.dumps(schema)


@given(st.datetimes(timezones=st.just(UTC)))
def test_times_survive_to_the_millisecond(time: Any) -> None:
    text = rfc3339(time)
    assert text.endswith("Z")
    assert abs(parse_time(text) - time) < timedelta(milliseconds=1)


def test_times_without_zone_are_utc() -> None:
    assert parse_time("2026-11-20T10:00:00") == datetime(2026, 11, 20, 10, tzinfo=UTC)
    assert parse_time("2026-11-20T12:00:00+02:00") == datetime(2026, 11, 20, 10, tzinfo=UTC)
