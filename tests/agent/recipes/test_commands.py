"""Recipe commands on a real history: what they do, their answers and their events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.mqtt.messages import (
    MAX_BYTES,
    JsonCommandParser,
    MqttReplier,
    ReplyMessage,
)
from adapters.mqtt.topics import Topics
from adapters.recipes.codec import RecipeYaml
from agent.domain.errors import StorageError
from agent.domain.frame import Delivery, DeliveryKind, FrameIdentity
from agent.domain.inspection import Inspection, MediaPaths
from agent.domain.recipe import Reference
from agent.domain.verdict import Verdict
from agent.event_log import EventLog
from agent.ports import Entry, OutboxMessage
from agent.recipes.commands import MOST_LISTED, Commands
from agent.recipes.import_export import RecipeTransfer
from agent.telemetry import Counters
from storage import upgrade
from tests.storage.examples import CAMERA, bolt_recipe
from tests.support.factory import Rooms, encoded
from tests.support.images import part

TOPICS = Topics("factory", "cell-7")


class Client:
    """Sends commands and reads answers."""

    def __init__(self, rooms: Rooms) -> None:
        self.rooms = rooms
        self.counters = Counters()
        transfer = RecipeTransfer(rooms.book, rooms.media, RecipeYaml(), rooms.codec)
        replier = MqttReplier(TOPICS, "1", self.counters)
        events = EventLog(rooms.history, (), self.counters)
        self.commands = Commands(
            JsonCommandParser(), replier, rooms.book, transfer, events, rooms.samples, self.counters
        )

    def send(self, payload: bytes, **more: Any) -> OutboxMessage:
        """The message that answers."""
        delivery = Delivery(DeliveryKind.COMMAND, CAMERA, payload, datetime.now(UTC), **more)
        self.commands.handle(delivery)
        (stored,) = self.rooms.outbox.pending(10)
        self.rooms.outbox.mark_sent([stored.id])
        return stored.message

    def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        """The answer itself."""
        message = self.send(json.dumps({"command": command, **arguments}).encode())
        assert (message.kind, message.destination) == ("reply", "factory/sightline/cell-7/reply")
        answer: dict[str, Any] = json.loads(message.payload)
        ReplyMessage.model_validate_json(json.dumps(answer))
        assert answer["ok"] == (answer["error"] is None)
        return answer

    def events(self) -> list[tuple[str, str]]:
        return [(row["kind"], row["message"]) for row in self.rooms.rows("event")]


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    upgrade(f"sqlite:///{tmp_path / 'history.db'}")
    with Rooms(tmp_path) as rooms:
        path = rooms.media.put(encoded(part(1)), ".png")
        reference = Reference(Path(path).stem, path, "good-1.png")
        rooms.book.add(bolt_recipe(references=(reference,), parameters={}))
        rooms.book.add(bolt_recipe(references=(reference,), parameters={}, calibration=None))
        rooms.book.add(bolt_recipe(sku="nut", references=(), note="kept, not used"), activate=False)
        yield Client(rooms)


def test_recipes_are_listed_and_shown(client: Client) -> None:
    found = client.ask("recipe.list", request_id="r-1")
    assert (found["command"], found["request_id"], found["agent"]["id"]) == ("recipe.list", "r-1", "cell-7")
    listed = [(row["sku"], row["version"], row["active"]) for row in found["result"]["recipes"]]
    assert listed == [("bolt", 1, False), ("bolt", 2, True), ("nut", 1, False)]
    assert [row["sku"] for row in client.ask("recipe.list", sku="nut")["result"]["recipes"]] == ["nut"]
    shown = client.ask("recipe.show", sku="bolt")["result"]["recipe"]
    assert (shown["version"], shown["active"], shown["threshold"]) == (2, True, None)
    assert client.ask("recipe.show", sku="bolt", version=1)["result"]["recipe"]["threshold"] == 0.5
    assert "no active recipe of 'nut'" in client.ask("recipe.show", sku="nut")["error"]
    assert client.counters.get("commands") == 4
    assert client.counters.get("commands_refused") == 1


def test_activating_is_an_event_and_may_be_repeated(client: Client) -> None:
    for _ in range(2):
        answer = client.ask("recipe.activate", sku="bolt", version=1, request_id=7)
        assert answer["ok"]
        assert client.rooms.book.active_version("bolt") == 1
    assert client.events()[0] == ("command", "recipe.activate, asked for as 7: done")
    (row, _) = client.rooms.rows("event")
    assert (row["sku"], row["agent_id"], row["severity"]) == ("bolt", "cell-7", "info")
    assert json.loads(row["details"]) == {
        "command": "recipe.activate",
        "request_id": "7",
        "version": 1,
        "before": 2,
    }
    assert "no recipe version 9" in client.ask("recipe.activate", sku="bolt", version=9)["error"]
    assert client.events()[-1][0] == "bad-command"
    assert client.rooms.book.active_version("bolt") == 1


def test_what_is_exported_is_imported_once(client: Client) -> None:
    text = client.ask("recipe.export", sku="bolt", version=1)["result"]["recipe"]
    edited = text.replace("severity: ''", "severity: minor", 1)
    found = client.ask("recipe.import", recipe=edited, activate=False)["result"]
    assert found == {
        "sku": "bolt", "version": 3, "new": True, "active": False, "calibrated": True, "remarks": [],
    }  # fmt: skip
    again = client.ask("recipe.import", recipe=edited)["result"]
    assert (again["version"], again["new"], again["active"]) == (3, False, True)
    assert client.rooms.book.active_version("bolt") == 3
    stored = client.rooms.book.get("bolt", 3)
    assert stored is not None
    assert (stored.origin, stored.parent) == ("import", 1)
    other = client.ask("recipe.import", recipe=text.replace("noun: hex bolt", "noun: bolt"))["result"]
    assert "REVIEW until the recipe is calibrated again" in other["remarks"][0]
    wrong = client.ask("recipe.import", recipe=text.replace("noun:", "nuon:", 1))
    assert "nuon is not a known key; did you mean noun?" in wrong["error"]
    lost = client.ask("recipe.import", recipe=text.replace(str(stored.references[0].sha256), "ab" * 32))
    assert "images of 1 references are missing" in lost["error"]


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        (b"", "not JSON"),
        (b"[1]", "not an object"),
        (b"{}", "there is no command without a name; known are recipe.list"),
        (b'{"command": "recipe.delete"}', "there is no command 'recipe.delete'"),
        (b'{"command": ["x"]}', "there is no command ['x']"),
        (b'{"command": "recipe.show"}', "recipe.show is unusable: sku: Field required"),
        (b'{"command": "recipe.activate", "sku": "bolt", "version": "1"}', "version: Input should"),
        (b'{"command": "recipe.activate", "sku": "bolt", "version": 0}', "greater than or equal to 1"),
        (b'{"command": "recipe.list", "skuu": "bolt"}', "skuu: Extra inputs are not permitted"),
        (b'{"command": "recipe.import", "recipe": "a", "activate": "no"}', "activate: Input should"),
        (b'{"x": "' + b"x" * MAX_BYTES + b'"}', "bytes, at most 524,288 are read"),
    ],
)  # fmt: skip
def test_a_message_that_is_not_a_command_is_answered_and_stored(
    client: Client, payload: bytes, error: str
) -> None:
    answer = json.loads(client.send(payload).payload)
    assert not answer["ok"]
    assert error in answer["error"]
    (event,) = client.events()
    assert event[0] == "bad-command"
    assert error in event[1]
    assert client.rooms.book.active_version("bolt") == 2


def test_the_answer_names_the_request_even_if_it_is_refused(client: Client) -> None:
    answer = client.ask("recipe.delete", request_id="r-9")
    assert (answer["request_id"], answer["command"], answer["result"]) == ("r-9", None, None)


def test_a_retained_command_is_refused(client: Client) -> None:
    payload = json.dumps({"command": "recipe.activate", "sku": "bolt", "version": 1}).encode()
    answer = json.loads(client.send(payload, retained=True).payload)
    assert "must not be retained" in answer["error"]
    assert client.rooms.book.active_version("bolt") == 2


def test_the_response_topic_is_used_if_one_may_publish_on_it(client: Client) -> None:
    payload = b'{"command": "recipe.list"}'
    answer = client.send(payload, response_topic="mes/answers", correlation_data=b"\x07")
    assert (answer.destination, answer.correlation_data) == ("mes/answers", b"\x07")
    for topic in ("mes/#", "$SYS/x", "", TOPICS.command, "factory/line/cam/frame"):
        assert client.send(payload, response_topic=topic).destination == TOPICS.reply
    assert client.counters.get("mqtt_response_topics_refused") == 5


def test_every_key_of_an_answer_is_always_sent() -> None:
    schema = ReplyMessage.model_json_schema(by_alias=True, mode="serialization")
    assert schema["additionalProperties"] is False
    assert set(schema["required"]) >= {"command", "request_id", "ok", "result", "error", "agent", "at"}


@pytest.mark.slow
def test_long_lists_name_the_number_left_out(client: Client) -> None:
    for number in range(MOST_LISTED):
        client.rooms.book.add(replace(bolt_recipe(references=()), sku=f"z-{number:03d}"))
    found = client.ask("recipe.list")["result"]
    assert (len(found["recipes"]), found["left_out"]) == (MOST_LISTED, 3)


def test_a_command_that_storage_refused_is_handled_again(client: Client) -> None:
    real = client.rooms.history.record_event
    client.rooms.history.record_event = lambda *_: (_ for _ in ()).throw(StorageError("away"))  # type: ignore[method-assign]
    payload = b'{"command": "recipe.activate", "sku": "bolt", "version": 1}'
    with pytest.raises(StorageError):
        client.send(payload)
    assert client.rooms.outbox.depth() == 0
    client.rooms.history.record_event = real  # type: ignore[method-assign]
    assert json.loads(client.send(payload).payload)["ok"]


@settings(suppress_health_check=list(HealthCheck), max_examples=40)
@given(
    st.binary(max_size=60)
    | st.dictionaries(
        st.sampled_from(["command", "sku", "version", "recipe", "activate", "request_id", "x"]),
        st.sampled_from(["recipe.list", "recipe.show", "recipe.import", "recipe.activate", "bolt"])
        | st.none() | st.integers(-1, 3) | st.text(max_size=5) | st.lists(st.none(), max_size=1),
    ).map(lambda content: json.dumps(content).encode())
)  # fmt: skip
def test_any_message_has_one_answer_and_one_event(client: Client, payload: bytes) -> None:
    before = len(client.events())
    answer = json.loads(client.send(payload).payload)
    ReplyMessage.model_validate_json(json.dumps(answer))
    assert len(client.events()) == before + 1


def test_first_frames_become_references(client: Client) -> None:
    assert "frames" in client.ask("recipe.commission", sku="bolt")["error"]
    inspect(client, range(4))
    answer = client.ask("recipe.commission", sku="bolt", frames=3)
    frames = ["f-0", "f-1", "f-2"]
    assert answer["result"] == {"sku": "bolt", "frames": frames, "wanted": 3, "complete": True}
    assert [one.name for one in client.rooms.book.held_references("bolt")] == frames


def test_a_product_is_commissioned_before_its_first_part_and_asked_how_far_it_is(client: Client) -> None:
    nothing = {"sku": "bolt", "frames": [], "wanted": 3, "complete": False}
    assert client.ask("recipe.commission", sku="bolt", frames=3)["result"] == nothing
    assert client.ask("recipe.commissions")["result"] == {"waiting": [nothing]}
    assert client.ask("recipe.commissions", sku="nut")["result"] == {"waiting": []}
    inspect(client, range(2))
    (waiting,) = client.ask("recipe.commissions", sku="bolt")["result"]["waiting"]
    assert (waiting["frames"], waiting["complete"]) == (["f-0", "f-1"], False)
    assert client.rooms.book.held_references("bolt") == []
    assert client.ask("recipe.commission", sku="bolt", cancel=True)["result"]["cancelled"]
    assert not client.ask("recipe.commission", sku="bolt", cancel=True)["result"]["cancelled"]
    assert client.ask("recipe.commissions")["result"] == {"waiting": []}


def inspect(client: Client, seconds: range) -> None:
    for index in seconds:
        path = client.rooms.media.put(b"frame %d" % index, "png")
        client.rooms.history.record([inspected(f"i-{index}", index, path)])


def test_regions_are_added_replaced_and_removed(client: Client) -> None:
    clock, corner = [0.0, 0.9, 0.4, 0.1], [0.5, 0.0, 1.0, 0.0, 1.0, 0.5]
    client.rooms.book.activate("bolt", 1)
    added = client.ask("recipe.region", sku="bolt", ignore=[clock], request_id="r-1")["result"]
    flat = [0.0, 0.9, 0.4, 0.9, 0.4, 1.0, 0.0, 1.0]
    assert (added["version"], added["before"], added["new"]) == (3, 1, True)
    assert added["regions"] == {"ignore": [flat]}
    assert "REVIEW until then" in added["remarks"][0]
    again = client.ask("recipe.region", sku="bolt", ignore=[clock])["result"]
    assert (again["version"], again["new"], again["remarks"]) == (3, False, []), "the same message twice"
    both = client.ask("recipe.region", sku="bolt", inspect=[corner])["result"]
    assert both["regions"] == {"inspect": [corner], "ignore": [flat]}
    instead = client.ask("recipe.region", sku="bolt", clear=True, inspect=[corner])["result"]
    assert instead["regions"] == {"inspect": [corner]}
    assert client.ask("recipe.region", sku="bolt", clear=True)["result"]["regions"] == {}
    first, now = client.rooms.book.get("bolt", 1), client.rooms.book.active("bolt")
    assert first is not None
    assert now is not None
    assert (now.references, now.prompts, now.origin, now.parent) == (
        first.references,
        first.prompts,
        "regions",
        5,
    )
    assert client.ask("recipe.show", sku="bolt", version=5)["result"]["recipe"]["regions"] == {
        "inspect": [corner]
    }
    assert json.loads(client.rooms.rows("event")[0]["details"])["version"] == 3


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"ignore": [[0, 0, 100, 20]]}, "divide pixels"),
        ({"ignore": [[0, 0, 1, 1]]}, "leave nothing"),
        ({"ignore": [[0, 0, 1]]}, "four numbers"),
        ({"ignore": [["a", 0, 1, 1]]}, "list of numbers"),
        ({"ignore": ["0,0,1,1"]}, "list of numbers"),
        ({"ignore": [True]}, "list of numbers"),
        ({"ignor": []}, "ignor"),
    ],
)
def test_regions_that_are_refused(client: Client, arguments: dict[str, Any], sentence: str) -> None:
    answer = client.ask("recipe.region", sku="bolt", **arguments)
    assert sentence in answer["error"]
    assert client.rooms.book.active_version("bolt") == 2


def inspected(inspection_id: str, second: int, path: str) -> Entry:
    """A frame of a bolt that was inspected, with its image."""
    at = datetime(2026, 1, 1, 0, 0, second, tzinfo=UTC)
    identity = FrameIdentity(CAMERA, f"f-{second}", sku="bolt")
    media = MediaPaths(image=path)
    return Entry(
        Inspection(inspection_id, identity, "bolt", Verdict.PASS, "below", at, at, score=0.1, media=media)
    )


def test_a_threshold_is_chosen_once_however_often_it_is_asked_for(client: Client) -> None:
    client.ask("recipe.activate", sku="bolt", version=1)
    for new in (True, False):
        answer = client.ask("recipe.threshold", sku="bolt", threshold=0.3, review=0.25, by="Ada")
        assert answer["ok"], answer
        result = answer["result"]
        assert (result["version"], result["new"]) == (3, new)
        assert (result["threshold"], result["review_below"]) == (0.3, 0.25)
    recipe = client.rooms.book.active("bolt")
    assert recipe is not None
    assert (recipe.version, recipe.origin, recipe.parent) == (3, "person", 1)
    assert recipe.note == result["note"]
    assert "threshold set by Ada from 0.5" in json.loads(client.rooms.rows("event")[-1]["details"])["note"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"threshold": 0.2, "review": 0.3}, "REVIEW from 0.3 on is above the threshold 0.2"),
        ({"threshold": 40}, "no score of this product comes near that"),
        ({"threshold": -0.1}, "is a score above 0, not -0.1"),
        ({"threshold": "0.3"}, "threshold: Input should be a valid number"),
        ({"threshold": True}, "threshold: Input should be a valid number"),
        ({}, "threshold: Field required"),
    ],
)
def test_thresholds_that_are_refused(client: Client, arguments: dict[str, Any], sentence: str) -> None:
    client.ask("recipe.activate", sku="bolt", version=1)
    answer = client.ask("recipe.threshold", sku="bolt", **arguments)
    assert not answer["ok"]
    assert sentence in answer["error"]
    assert client.rooms.book.active_version("bolt") == 1


def test_a_recipe_without_a_threshold_and_frames_without_an_agent_are_refused(client: Client) -> None:
    assert (
        "has no threshold that could be changed"
        in client.ask("recipe.threshold", sku="bolt", threshold=1)["error"]
    )
    for frame_ids in ([], ["f-1"]):
        assert not client.ask("recipe.add-reference", sku="bolt", frame_ids=frame_ids)["ok"]
