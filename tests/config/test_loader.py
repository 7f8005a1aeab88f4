"""Precedence, places in errors, unknown and duplicate keys."""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from agent.app.options import camera_rules
from agent.domain.errors import ConfigurationError
from agent.domain.frame import Camera
from config import Settings, load, profiles
from config.settings import id_of_host

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        file = tmp_path / "sightline.yaml"
        file.write_text(text, encoding="utf-8")
        return file

    return write


def refusal(*arguments: Any, **keywords: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(*arguments, **keywords)
    return str(caught.value)


def test_every_key_has_the_documented_default() -> None:
    settings = Settings()
    assert settings.agent.model_dump() == {
        "id": id_of_host(socket.gethostname()),
        "site": "factory",
        "profile": "embedded",
        "shadow": False,
        "heartbeat": "1m",
        "restarts": 5,
        "restart_window": "1m",
        "hang_after": "5m",
    }
    assert settings.broker.url == "mqtt://127.0.0.1:1883"
    assert settings.database.url == "sqlite:///var/history.db"
    assert (settings.media.keep.pass_, settings.media.keep.fail) == (timedelta(days=7), timedelta(days=90))
    assert (settings.ollama.model, settings.ollama.keep_alive) == ("qwen2.5:7b-instruct", timedelta(0))
    assert (settings.inspection.method, settings.inspection.backbone) == ("sightline", "clip")
    assert (settings.frames.max_bytes, settings.frames.max_pixels) == (20_000_000, 100_000_000)
    assert (settings.metrics.host, settings.metrics.port) == ("127.0.0.1", 9464)


def test_the_embedded_profile_brings_its_own_broker_and_a_file_replaces_it(write: Write) -> None:
    assert load().settings.broker.embedded
    outside = load(write("broker: {url: 'mqtts://broker.plant'}")).settings.broker
    assert (outside.embedded, outside.secure, outside.host, outside.port) == (
        False,
        True,
        "broker.plant",
        8883,
    )


@pytest.mark.parametrize("name", profiles())
def test_bundled_profiles_load(name: str) -> None:
    assert load(profile=name).settings.agent.profile == name


SOURCES = ("profile", "file", "environment", "override")


@given(given_by=st.sets(st.sampled_from(SOURCES)))
def test_each_source_outranks_the_ones_before_it(
    given_by: set[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("precedence")
    value = {source: 10 + rank for rank, source in enumerate(SOURCES)}

    def document(source: str) -> Path:
        path = folder / f"{source}.yaml"
        path.write_text(f"inspection: {{max_batch: {value[source]}}}" if source in given_by else "")
        return path

    loaded = load(
        document("file"),
        profile=str(document("profile")),
        environ={"SIGHTLINE_INSPECTION__MAX_BATCH": str(value["environment"])}
        if "environment" in given_by
        else {},
        overrides=[f"inspection.max_batch={value['override']}"] if "override" in given_by else [],
    )
    winner = max(given_by, key=SOURCES.index, default=None)
    assert loaded.settings.inspection.max_batch == (8 if winner is None else value[winner])
    assert ("inspection.max_batch" in loaded.sources) == (winner is not None)


def test_sources_say_where_each_value_came_from(write: Write) -> None:
    file = write("agent:\n  id: press-3\n\nmetrics:\n  port: 1\n")
    loaded = load(file, environ={"SIGHTLINE_AGENT__SITE": "north"}, overrides=["metrics.port=2"])
    assert loaded.sources["agent.id"] == f"{file}:2"
    assert loaded.sources["agent.site"] == "environment variable SIGHTLINE_AGENT__SITE"
    assert loaded.sources["metrics.port"] == "--set metrics.port"
    assert "metrics.host" not in loaded.sources


def test_the_profile_is_chosen_by_flag_override_environment_file_in_this_order(tmp_path: Path) -> None:
    paths = {name: tmp_path / f"{name}.yaml" for name in ("flag", "set", "env", "file")}
    for name, path in paths.items():
        path.write_text(f"agent: {{id: from-{name}}}")
    user = tmp_path / "user.yaml"
    user.write_text(f"agent: {{profile: {paths['file']}}}")
    arguments: dict[str, Any] = {}
    for name, more in (
        ("file", {"file": user}),
        ("env", {"environ": {"SIGHTLINE_AGENT__PROFILE": str(paths["env"])}}),
        ("set", {"overrides": [f"agent.profile={paths['set']}"]}),
        ("flag", {"profile": str(paths["flag"])}),
    ):
        arguments |= more
        settings = load(**arguments).settings
        assert (settings.agent.id, settings.agent.profile) == (f"from-{name}", str(paths[name]))


def test_an_unknown_profile_is_refused_with_the_known_ones() -> None:
    assert "there is no profile 'embeded'; there is edge, embedded, gpu" in refusal(profile="embeded")


def test_an_unknown_key_is_refused_with_its_place_and_the_nearest_key(write: Write) -> None:
    file = write("agent:\n  id: a\nbroker:\n  pasword_file: x\n")
    message = refusal(file)
    assert f"{file}, line 4, column 3: broker.pasword_file is not a known key" in message
    assert "did you mean broker.password_file?" in message


@pytest.mark.parametrize(
    ("text", "suggestion"),
    [
        ("brokr: {url: x}", "broker"),
        ("media: {keep: {passed: 7d}}", "media.keep.pass"),
        ("agent: {max_batch: 4}", "inspection.max_batch"),
        ("max_pixels: 4", "frames.max_pixels"),
        ("Broker: {}", "broker"),
    ],
)
def test_suggestions(write: Write, text: str, suggestion: str) -> None:
    assert f"did you mean {suggestion}?" in refusal(write(text))


def test_keys_below_a_camera_are_checked_too(write: Write) -> None:
    message = refusal(write("cameras:\n  press/top:\n    overlod: latest\n"))
    assert "line 3, column 5: cameras.press/top.overlod is not a known key" in message


def test_one_error_names_all_mistakes(write: Write) -> None:
    file = write(
        "agent:\n  id: a/b\ninspection:\n  max_batch: many\n  overload: drop\n"
        "media:\n  keep:\n    pass: 7\nframes:\n  allowed_roots: [/data, 3]\n"
    )
    message = refusal(file)
    for place in (
        "line 2, column 7: agent.id",
        "line 4, column 14: inspection.max_batch",
        "line 5, column 13",
    ):
        assert place in message
    assert "line 8, column 11: media.keep.pass should be a duration with units, such as 7d" in message
    assert "line 10, column 18: frames.allowed_roots.1" in message


def test_an_unknown_key_hides_no_other_mistake_and_brings_no_false_one(write: Write) -> None:
    file = write("broker:\n  usrname: a\n  password: b\n  keepalive_s: 0\nagent:\n  profile: embeded\n")
    message = refusal(file)
    assert "did you mean broker.username?" in message
    assert "line 4, column 16: broker.keepalive_s should be greater than" in message
    assert "line 6, column 12: there is no profile 'embeded'" in message
    assert "has a password and no username" not in message


def test_a_key_that_stands_twice_is_refused(write: Write) -> None:
    message = refusal(write("agent:\n  id: one\n  site: x\n  id: two\n"))
    assert "line 4, column 3: id stands here twice; the first is on line 2" in message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("broker: mqtt://x", "line 1, column 9: broker should have keys below it"),
        ("agent: {id: {a: b}}", "agent.id should be one value"),
        ("agent: {id: 7}", "agent.id should be text; put it in quotes"),
        ("- agent", "should be sections with keys"),
        ("agent: [", "is not valid YAML here"),
        ("agent: {id: !cell 7}", "put the value in quotes"),
        ("a: 1\n---\nb: 2", "a second document begins"),
        ("? [a, b]\n: c", "a key should be a single word"),
        ("a: &a\n  b: *a\n", "nested too deeply or repeats itself"),
        ("<<: {agent: {id: x}}", "a key should be a single word"),
        ("broker: {tls: {cert: a.pem}}", "broker.tls needs cert and key together"),
        ("broker: {url: 'http://x'}", "broker.url should be mqtt://HOST:PORT"),
        ("broker: {url: 'mqtt://x:port'}", "broker.url is not a URL"),
        ("broker: {url: 'embedded://0.0.0.0'}", "listens on 127.0.0.1 only"),
        ("database: {url: 'mysql://x/y'}", "database.url should be sqlite:///PATH or postgresql://"),
        ("topics: {frame: '{site}/+/{camera}'}", "topics.frame should hold {camera} {line}, each once"),
        (
            "topics: {frame: '{site}/{line}/{camera}/verdict'}",
            "topics frame and verdict could be the same topic",
        ),
        ("topics: {frame: '{site}/{line.x}/{camera}/f'}", "topics.frame may hold"),
        ("topics: {frame: 'a/cam{camera}/{line}/f'}", "a level of its own"),
        ("topics: {frame: '{site}/{line}/frame'}", "topics.frame should hold {camera}, each once"),
        ("agent:\n\tid: x", "line 2, column 1: holds a tab where YAML allows only spaces"),
        ("agent:\n  id: x\n \t site: y", "line 3, column 2: holds a tab"),
        ("agent:\n  id:\tx\n  : y:", "line 2, column 6: holds a tab"),
        ("inspection: {false_alarm_rate: 1%}", "false_alarm_rate should be a share of 1: write 0.01 for 1%"),
        ("inspection: {false_alarm_rate: '0.5 %'}", "write 0.005 for 0.5 %"),
        ("inspection: {false_alarm_rate: '2,5%'}", "write 0.025 for 2,5%"),
        ("inspection: {review_factor: '2,5'}", "should be a number with a point: write 2.5"),
        ("database: {url: 'sqlite:///var/a?b.db'}", "database.url holds a question mark"),
        ("database: {url: 'sqlite:////data/what?/h.db'}", "rename the file or folder"),
        ("database: {url: 'sqlite:///h.db?'}", "database.url holds a question mark"),
        ("agent: {site: $SYS}", "agent.site should be one level of a topic"),
        ("cameras: {a/b: {timezone: Europe}}", "timezone should be a time zone that this machine knows"),
        ("cameras: {a/b: {timezone: ../../etc/passwd}}", "such as Europe/Berlin"),
        ("cameras: {a/b/c: {}}", "cameras has a name that is not LINE/CAMERA"),
        ("cameras: {a+/b: {}}", "cameras has a name that is not LINE/CAMERA"),
        ("cameras: {top: {shadow: true}}", "cameras has a name that is not LINE/CAMERA"),
        ("inspection: {backbone: resnet}", "inspection.backbone should be clip or timm:NAME"),
    ],
)
def test_what_cannot_be_used_is_refused_with_a_sentence(write: Write, text: str, message: str) -> None:
    assert message in refusal(write(text))


def test_what_mqtt_allows_names_a_site_and_cameras(write: Write) -> None:
    text = """
        agent: {site: Werk 1}
        topics: {frame: "{site}/{camera}/bild 1"}
        cameras: {"line 1/cam 1": {shadow: true}, "/cam": {timezone: Asia/Tokyo}, "/": {cycle_time_ms: 5}}
        database: {url: "sqlite:///h.db?mode=rw&uri=true"}
    """
    settings = load(write(text)).settings
    assert (settings.agent.site, settings.topics.frame) == ("Werk 1", "{site}/{camera}/bild 1")
    assert settings.shadow("line 1", "cam 1")
    assert settings.cameras["/cam"].timezone == "Asia/Tokyo"
    rules = camera_rules(settings)
    assert rules.of(Camera("Werk 1", "", "")).cycle_time_ms == 5
    assert rules.of(Camera("Werk 1", "any", "other")).cycle_time_ms is None


@pytest.mark.parametrize("text", ["", "# nothing\n", "broker:\ncameras:\n", "\ufeffagent: {site: factory}"])
def test_sections_may_stand_empty(write: Write, text: str) -> None:
    assert load(write(text)).settings == load().settings


@pytest.mark.parametrize(
    ("host", "identifier"),
    [
        ("cell-8", "cell-8"),
        ("Cell-8.plant.example", "cell-8"),
        ("Ada's MacBook.local", "ada-s-macbook"),
        ("+/#", "sightline"),
        ("", "sightline"),
        ("ß" * 300, "sightline"),
        ("h" * 300, "h" * 64),
    ],
)
def test_an_agent_is_called_as_its_host(host: str, identifier: str) -> None:
    assert id_of_host(host) == identifier
    assert load(overrides=[f"agent.id={identifier}"]).settings.agent.id == identifier


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "none.yaml"
    assert f"{missing} cannot be read: No such file" in refusal(missing)
    binary = tmp_path / "image.yaml"
    binary.write_bytes(b"\xff\xd8\xff\xe0")
    assert "is not UTF-8 text" in refusal(binary)


def test_environment_variables_reach_every_depth() -> None:
    settings = load(
        environ={
            "SIGHTLINE_BROKER__TLS__CA": "/etc/ca.pem",
            "SIGHTLINE_FRAMES__ALLOWED_ROOTS": "[/data, /mnt]",
            "SIGHTLINE_MODELS__FILES__mobilenetv2_100": "/w/m.safetensors",
            "SIGHTLINE_INSPECTION__CYCLE_TIME_MS": "null",
            "SIGHTLINE_AGENT__SHADOW": "true",
            "PATH": "/bin",
        }
    ).settings
    assert settings.broker.tls.ca == Path("/etc/ca.pem")
    assert settings.frames.allowed_roots == [Path("/data"), Path("/mnt")]
    assert settings.models.files == {"mobilenetv2_100": Path("/w/m.safetensors")}
    assert settings.inspection.cycle_time_ms is None
    assert settings.agent.shadow


@pytest.mark.parametrize(
    ("variable", "suggestion"),
    [
        ("SIGHTLINE_BROKER__URLL", "SIGHTLINE_BROKER__URL"),
        ("SIGHTLINE_BROKER_URL", "SIGHTLINE_BROKER__URL"),
        ("SIGHTLINE_INSPECTION_MAX_BATCH", "SIGHTLINE_INSPECTION__MAX_BATCH"),
    ],
)
def test_unknown_environment_variables_are_refused(variable: str, suggestion: str) -> None:
    message = refusal(environ={variable: "x"})
    assert f"environment variable {variable}: is not a known key; did you mean {suggestion}?" in message


def test_variables_that_kubernetes_adds_are_not_configuration() -> None:
    environ = {
        "SIGHTLINE_SERVICE_HOST": "10.0.0.1",
        "SIGHTLINE_PORT_9464_TCP_ADDR": "x",
        "SIGHTLINE_PORT": "tcp://x",
    }
    assert load(environ=environ).settings == load().settings


def test_overrides_take_any_key() -> None:
    settings = load(
        overrides=[
            "inspection.backbone=timm:vit_small.lvd142m",
            "models.files.vit_small.lvd142m=a=b.safetensors",
            "inspection.parameters.own.shots=4",
            "inspection.parameters.own.scales=[240, 448]",
            "cameras.press/top.overload=latest",
            "inspection.method=null",
            "broker.version=5",
        ]
    ).settings
    assert settings.models.files == {"vit_small.lvd142m": Path("a=b.safetensors")}
    assert settings.inspection.parameters["own"] == {"shots": 4, "scales": [240, 448]}
    assert (settings.overload("press", "top"), settings.overload("press", "side")) == ("latest", "wait")
    assert settings.inspection.method == "null"
    assert settings.broker.version == "5"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("inspection.max_batch", "--set number 1: should be key=value"),
        ("inspection.max_bach=4", "--set inspection.max_bach: inspection.max_bach is not a known key"),
        (
            "inspection.max_batch=x",
            "--set inspection.max_batch: inspection.max_batch should be a valid integer",
        ),
        ("frames.allowed_roots=[", "--set frames.allowed_roots: is not a value in YAML"),
        ("broker=x", "broker should have keys below it"),
        ("broker.url.x=1", "broker.url.x is not a known key"),
    ],
)
def test_overrides_that_mean_nothing_are_refused(override: str, message: str) -> None:
    assert message in refusal(overrides=[override])


def test_per_camera_settings_fall_back_to_the_general_ones(write: Write) -> None:
    settings = load(
        write("inspection: {cycle_time_ms: 500}\ncameras: {l/a: {cycle_time_ms: 80, shadow: true}, l/b: {}}")
    ).settings
    assert (settings.cycle_time_ms("l", "a"), settings.cycle_time_ms("l", "b")) == (80, 500)
    assert (settings.shadow("l", "a"), settings.shadow("l", "b")) == (True, False)


yaml_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(
    document=st.dictionaries(st.sampled_from([*Settings.model_fields, "else"]), yaml_values, max_size=4),
    data=st.data(),
)
def test_any_document_loads_or_is_refused_with_a_sentence(
    document: dict[str, Any], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    for section, values in document.items():
        if isinstance(values, dict) and section in Settings.model_fields:
            model = Settings.model_fields[section].annotation
            names = sorted(getattr(model, "model_fields", {"x": None}))
            document[section] = {data.draw(st.sampled_from(names)): value for value in values.values()}
    file = tmp_path_factory.mktemp("any") / "any.yaml"
    file.write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
    assert str(file) in _loaded_or_refused(file)


def _loaded_or_refused(file: Path) -> str:
    """The sentence of the refusal, or the name of the file that loaded; any other exception fails."""
    try:
        load(file)
    except ConfigurationError as error:
        return str(error)
    return str(file)


def test_each_profile_gives_parameters_that_its_method_has() -> None:
    """A misspelt parameter in a shipped profile would only be noticed by the first agent that starts."""
    from agent.methods import METHODS
    from agent.methods.parameters import override

    for name in profiles():
        for method, parameters in load(profile=name).settings.inspection.parameters.items():
            override(METHODS[method].preset, parameters)
