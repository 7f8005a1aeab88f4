"""Secrets come from files or the environment, and are seen nowhere."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from agent.domain.errors import ConfigurationError
from config import load, open_secrets, show
from config.sections.base import MASK

SECRET = "hunter2:with/odd@signs"
ENVIRON = {
    "SIGHTLINE_BROKER__USERNAME": "agent",
    "SIGHTLINE_BROKER__PASSWORD": SECRET,
    "SIGHTLINE_DATABASE__URL": "postgresql://agent@db/history",
    "SIGHTLINE_DATABASE__PASSWORD": SECRET,
}


def test_secrets_from_the_environment_are_masked_everywhere() -> None:
    loaded = load(environ=ENVIRON)
    for text in (
        show(loaded.settings, loaded.sources),
        repr(loaded),
        str(loaded.settings),
        loaded.settings.model_dump_json(),
    ):
        assert "hunter2" not in text
    assert f"password: '{MASK}'" in show(loaded.settings)
    assert loaded.settings.broker.read_password() == SECRET


@pytest.mark.parametrize(
    ("url", "bare", "password"),
    [
        ("postgresql://agent:hunter2@db:5432/history", "postgresql://agent@db:5432/history", "hunter2"),
        ("postgresql://agent:hunter%402@db/history", "postgresql://agent@db/history", "hunter@2"),
        ("postgresql://agent:hunter@2@db/history", "postgresql://agent@db/history", "hunter@2"),
        ("postgresql://agent:hunter/2@db/history", "postgresql://agent@db/history", "hunter/2"),
    ],
)
def test_a_password_in_the_database_url_is_taken_out_of_it(url: str, bare: str, password: str) -> None:
    loaded = load(overrides=[f"database.url={url}"])
    assert loaded.settings.database.url == bare
    assert loaded.settings.database.password is not None
    assert loaded.settings.database.password.get_secret_value() == password
    assert "hunter" not in show(loaded.settings, loaded.sources) + repr(loaded)


@given(
    st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1).filter(
        lambda text: text != MASK
    )
)
def test_sqlalchemy_reads_the_same_password_from_the_full_url(password: str) -> None:
    from sqlalchemy import make_url

    environ = {**ENVIRON, "SIGHTLINE_DATABASE__PASSWORD": password}
    if password.strip().lower() in ("", "null"):
        return  # no password at all
    url = make_url(load(environ=environ).settings.database.full_url())
    assert (url.drivername, url.username, url.password) == ("postgresql+psycopg", "agent", password)
    assert (url.host, url.database) == ("db", "history")


def test_a_sqlite_path_may_hold_any_sign() -> None:
    url = "sqlite:////srv/a:b@c/history.db"
    assert load(overrides=[f"database.url={url}"]).settings.database.full_url() == url


@pytest.mark.parametrize(
    "text",
    [
        "broker:\n  password: *hunter2\n",
        "broker:\n  password: !hunter2 x\n",
        "broker:\n  password: @hunter2\n",
        "broker:\n  password: hunter2: x\n",
        "broker:\n  password: [hunter2]\n",
        "broker:\n  password: {hunter2: x}\n",
        "broker:\n  passwort: hunter2\n",
        "broker:\n  password: hunter2\n",
        "broker:\n  url: mqtt://agent:hunter2@host\n",
        "broker:\n  url: mqtt://agent:hunter2@host:99999\n",
        "broker: {username: a, password: hunter2, password_file: x}\n",
        "database:\n  url: postgresql://agent:hunter2@host:port/x\n",
        "database:\n  url: mysql://agent:hunter2@host/x\n",
        "database:\n  url: agent:hunter2@host/x\n",
        "database:\n  url: postgresql://host/x?password=hunter2\n",
        "database:\n  url: [postgresql://agent:hunter2@host/x]\n",
        "ollama:\n  url: http://agent:hunter2@host\n",
        'broker: "hunter2\n',
    ],
)
def test_no_error_quotes_a_secret(tmp_path: Path, text: str) -> None:
    file = tmp_path / "sightline.yaml"
    file.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load(file)
    assert "hunter2" not in str(caught.value)
    assert str(file) in str(caught.value)


def test_a_lost_key_does_not_print_the_password() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(overrides=["hunter2"])
    assert "hunter2" not in str(caught.value)


def test_secrets_from_files(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(f"{SECRET}\n")
    settings = load(
        overrides=[
            "broker.username=agent",
            f"broker.password_file={file}",
            "database.url=postgresql://agent@db/history",
            f"database.password_file={file}",
        ]
    ).settings
    assert settings.broker.read_password() == SECRET
    assert "hunter2%3Awith%2Fodd%40signs@db" in settings.database.full_url()
    assert str(file) in show(settings)


def test_a_secret_file_that_is_missing_or_empty_is_named(tmp_path: Path) -> None:
    missing = load(overrides=["broker.username=a", f"broker.password_file={tmp_path / 'none'}"]).settings
    with pytest.raises(
        ConfigurationError, match=r"broker\.password_file: .*none cannot be read: No such file"
    ):
        missing.broker.read_password()
    (tmp_path / "empty").write_text("\n")
    empty = load(overrides=["broker.username=a", f"broker.password_file={tmp_path / 'empty'}"]).settings
    with pytest.raises(ConfigurationError, match=r"the first line of .*empty is empty"):
        empty.broker.read_password()


def test_a_later_source_replaces_a_password_file(tmp_path: Path) -> None:
    file = tmp_path / "sightline.yaml"
    file.write_text("broker: {username: a, password_file: /run/secrets/none}")
    assert load(file, environ={"SIGHTLINE_BROKER__PASSWORD": "b"}).settings.broker.read_password() == "b"


def test_a_masked_configuration_is_not_taken_for_a_real_one(tmp_path: Path) -> None:
    loaded = load(environ=ENVIRON)
    file = tmp_path / "copied.yaml"
    file.write_text(show(loaded.settings, loaded.sources))
    with pytest.raises(ConfigurationError, match="is the mask"):
        load(file)


def test_the_password_never_stands_in_the_shown_yaml_whatever_it_is() -> None:
    shown = yaml.safe_load(show(load(environ=ENVIRON).settings))
    assert shown["broker"]["password"] == shown["database"]["password"] == MASK


def test_the_key_of_the_language_model_is_a_secret_like_the_others() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        file = folder / "ollama.key"
        file.write_text(f"{SECRET}\n")
        loaded = load(overrides=[f"ollama.key_file={file}"])
        assert loaded.settings.ollama.read_key() == SECRET
        for text in (show(loaded.settings, loaded.sources), repr(loaded), loaded.settings.model_dump_json()):
            assert "hunter2" not in text
        file.chmod(0o644)
        assert "(ollama.key_file); keep others out" in "".join(open_secrets(loaded.settings))
        file.chmod(0o600)
        assert open_secrets(loaded.settings) == []
