"""The webhooks of a configuration: what may be written, and that no URL or key is seen."""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path

import pytest

from agent.domain.errors import ConfigurationError
from config import Settings, json_schema, load, open_secrets, show
from config.sections.base import MASK

URL = "https://mes.example:8443/hook/s3cret-token?key=t0ken"
WRITTEN = f"""
webhooks:
  mes:
    url: {URL}
    verdicts: [FAIL]
    cameras: [line-1/top]
    timeout: 2s
  andon:
    url: http://192.168.1.20/andon
    kinds: [alert]
    allowed_addresses: [192.168.1.0/24]
"""


def loaded(tmp_path: Path, text: str = WRITTEN) -> Settings:
    file = tmp_path / "sightline.yaml"
    file.write_text(text)
    return load(file).settings


def refused(tmp_path: Path, keys: str, url: str = "https://mes.example/hook") -> str:
    with pytest.raises(ConfigurationError) as caught:
        loaded(tmp_path, f"webhooks:\n  mes:\n    url: {url}\n    {keys}\n")
    return str(caught.value)


def test_there_are_none_by_default() -> None:
    assert load().settings.webhooks == {}


def test_what_is_not_written_is_what_somebody_has_to_act_on(tmp_path: Path) -> None:
    settings = loaded(tmp_path)
    mes, andon = settings.webhooks["mes"], settings.webhooks["andon"]
    assert (mes.url.get_secret_value(), mes.timeout) == (URL, timedelta(seconds=2))
    assert (mes.verdicts, mes.kinds, mes.skus, mes.cameras) == (
        ["FAIL"],
        ["verdict", "alert"],
        [],
        ["line-1/top"],
    )
    assert (andon.verdicts, andon.kinds, andon.timeout) == (
        ["FAIL", "ERROR"],
        ["alert"],
        timedelta(seconds=10),
    )


def test_a_webhook_may_be_configured_in_the_environment() -> None:
    settings = load(environ={"SIGHTLINE_WEBHOOKS__mes__URL": URL}).settings
    assert settings.webhooks["mes"].url.get_secret_value() == URL


def test_the_url_is_shown_without_its_path_and_what_is_shown_is_not_loaded(tmp_path: Path) -> None:
    settings = loaded(tmp_path)
    shown = show(settings)
    for text in (shown, repr(settings), str(settings), settings.model_dump_json()):
        assert "s3cret" not in text
        assert "t0ken" not in text
    assert f"url: https://mes.example:8443/{MASK}" in shown
    file = tmp_path / "shown.yaml"
    file.write_text(shown)
    with pytest.raises(ConfigurationError, match="write the URL itself"):
        load(file)


@pytest.mark.parametrize(
    "url",
    ["mes.example/s3cret", "ftp://mes.example/s3cret", "https://user:s3cret@mes.example/", "https:///s3cret",
     "https://mes.example:0/s3cret", "https://mes.example:99999/s3cret", "https://é/s3cret", "https://["],
)  # fmt: skip
def test_urls_that_are_none_are_not_repeated(tmp_path: Path, url: str) -> None:
    sentence = refused(tmp_path, "verdicts: [FAIL]", f"'{url}'")
    assert "webhooks.mes.url should be http://HOST/PATH or https://HOST/PATH" in sentence
    assert "s3cret" not in sentence


@pytest.mark.parametrize(
    ("keys", "word"),
    [
        ("verdicts: [BAD]", "webhooks.mes.verdicts.0"),
        ("kinds: []", "webhooks.mes.kinds"),
        ("kinds: [mask]", "webhooks.mes.kinds.0"),
        ("cameras: [top]", "should be LINE/CAMERA"),
        (r'skus: ["a\x07"]', "has the control character U+0007"),
        ("timeout: 0", "webhooks.mes.timeout"),
        ("timeout: 2m", "webhooks.mes.timeout"),
        ("allowed_addresses: [mes.example]", "should be ADDRESS or NETWORK"),
        ("allowed_addresses: [192.168.1.1/24]", "should be ADDRESS or NETWORK"),
        ("retries: 3", "retries is not a known key"),
    ],
)
def test_values_that_are_none(tmp_path: Path, keys: str, word: str) -> None:
    assert word in refused(tmp_path, keys)


def test_a_name_is_short_and_plain(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="1 to 32 letters, digits"):
        loaded(tmp_path, "webhooks:\n  'to the mes':\n    url: https://mes.example/\n")


def test_a_webhook_needs_its_url(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"webhooks\.mes\.url field required"):
        loaded(tmp_path, "webhooks:\n  mes:\n    verdicts: [FAIL]\n")


@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n"])
def test_the_key_is_the_file_without_its_line_break(tmp_path: Path, ending: bytes) -> None:
    key = tmp_path / "mes.key"
    key.write_bytes(b" sixteen bytes.. " + ending)
    settings = loaded(tmp_path, f"webhooks:\n  mes:\n    url: {URL}\n    key_file: {key}\n")
    assert settings.webhooks["mes"].read_key("mes") == b" sixteen bytes.. "
    assert loaded(tmp_path).webhooks["mes"].read_key("mes") is None


def test_keys_that_are_none(tmp_path: Path) -> None:
    key = tmp_path / "mes.key"
    settings = loaded(tmp_path, f"webhooks:\n  mes:\n    url: {URL}\n    key_file: {key}\n")
    with pytest.raises(ConfigurationError, match=r"webhooks\.mes\.key_file: .* cannot be read"):
        settings.webhooks["mes"].read_key("mes")
    key.write_text("too short\n")
    with pytest.raises(
        ConfigurationError, match="9 bytes, and a key needs at least 16; make one with"
    ) as caught:
        settings.webhooks["mes"].read_key("mes")
    assert "too short" not in str(caught.value)


def test_a_key_that_everybody_may_read_is_named() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        key = folder / "mes.key"
        key.write_text("0" * 32)
        key.chmod(0o644)
        settings = loaded(folder, f"webhooks:\n  mes:\n    url: {URL}\n    key_file: {key}\n")
        (sentence,) = open_secrets(settings)
        assert "(webhooks.mes.key_file); keep others out with chmod 600" in sentence
        key.chmod(0o600)
        assert open_secrets(settings) == []


def test_the_schema_describes_a_webhook() -> None:
    schema = json_schema()
    assert schema["properties"]["webhooks"]["additionalProperties"] == {"$ref": "#/$defs/WebhookSettings"}
    webhook = schema["$defs"]["WebhookSettings"]
    assert webhook["required"] == ["url"]
    assert {"url", "verdicts", "key_file", "allowed_addresses"} <= set(webhook["properties"])
