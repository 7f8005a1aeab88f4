"""Weights from a hub on this machine, from folders, and what is remembered of them."""

from __future__ import annotations

import hashlib
import random
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.models.weights.catalogue import BUNDLED, KNOWN, KnownModel, find
from adapters.models.weights.checksums import LockFile
from adapters.models.weights.hub import Hub, offline
from adapters.models.weights.pull import pull
from adapters.models.weights.store import WeightStore
from agent.domain.errors import ModelError
from tests.adapters.models.hub_server import HubServer

CLIP = KNOWN["ViT-B-16-plus-240"]
DETECTOR = KNOWN["grounding-dino-tiny"]
SAM = KNOWN["sam_vit_b"]
BY_HAND = KNOWN["mobilenetv2_100"]
WEIGHTS = random.Random(1).randbytes(300_000)
PUBLISHED = {
    f"{CLIP.repo}/open_clip_model.safetensors": WEIGHTS,
    f"{DETECTOR.repo}/model.safetensors": WEIGHTS[::-1],
    **{
        f"{DETECTOR.repo}/{name}": f'{{"file": "{name}"}}'.encode()
        for name in DETECTOR.remote
        if name.endswith(".json")
    },
}


@pytest.fixture
def server() -> Iterator[HubServer]:
    with HubServer(dict(PUBLISHED)) as started:
        yield started


@pytest.fixture
def hub(server: HubServer) -> Hub:
    return Hub(server.url, timeout_s=10, pause_s=0)


@pytest.fixture
def store(tmp_path: Path) -> WeightStore:
    return WeightStore(tmp_path / "models")


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _looks(store: WeightStore) -> list[tuple[str, str]]:
    """Model and soundness of all but the bundled model."""
    return [(found.model, found.soundness) for found in store.verify() if found.model != BUNDLED]


def _leftovers(store: WeightStore) -> list[str]:
    return [path.name for path in store.folder.rglob("*.part")]


def test_a_file_is_pulled_pinned_and_found(hub: Hub, store: WeightStore) -> None:
    seen: list[tuple[str, int, int | None]] = []
    pulled = pull(CLIP, store, hub=hub, progress=lambda *step: seen.append(step))
    assert pulled.outcome == "pulled"
    assert pulled.paths == (store.folder / CLIP.file_name,)
    assert pulled.paths[0].read_bytes() == WEIGHTS
    assert store.locate(CLIP.name) == pulled.paths[0]
    assert store.lock.read() == {CLIP.file_name: _sha(WEIGHTS)}
    assert seen[-1] == ("open_clip_model.safetensors", len(WEIGHTS), len(WEIGHTS))
    assert not _leftovers(store)
    assert pull(CLIP, store, hub=None).outcome == "already there"


def test_the_lock_file_is_one_that_sha256sum_reads(hub: Hub, store: WeightStore) -> None:
    pull(DETECTOR, store, hub=hub)
    checked = subprocess.run(
        ["sha256sum", "--strict", "-c", "SHA256SUMS"], cwd=store.folder, check=True, capture_output=True
    )
    assert checked.stdout.decode().count(": OK") == len(DETECTOR.remote)


def test_a_model_of_several_files_becomes_a_folder(hub: Hub, store: WeightStore) -> None:
    with pytest.raises(ModelError, match="sightline models pull grounding-dino-tiny"):
        store.locate(DETECTOR.name)
    pull(DETECTOR, store, hub=hub)
    folder = store.locate(DETECTOR.name)
    assert sorted(path.name for path in folder.iterdir()) == sorted(DETECTOR.remote)
    (folder / "tokenizer.json").unlink()
    assert store.holding(DETECTOR).presence == "incomplete"
    with pytest.raises(ModelError, match=r"lacks tokenizer.json.*sightline models pull"):
        store.locate(DETECTOR.name)
    assert pull(DETECTOR, store, hub=hub).outcome == "pulled"
    assert store.holding(DETECTOR).presence == "present"


def test_a_broken_off_transfer_goes_on_within_a_run(hub: Hub, server: HubServer, store: WeightStore) -> None:
    server.cut_after = [100_000, 50_000]
    pulled = pull(CLIP, store, hub=hub)
    assert pulled.paths[0].read_bytes() == WEIGHTS
    assert server.ranges == ["", "bytes=100000-", "bytes=150000-"]


def test_a_broken_off_transfer_goes_on_in_the_next_run(
    hub: Hub, server: HubServer, store: WeightStore
) -> None:
    server.cut_after = [120_000, 0, 0, 0, 0, 0]
    with pytest.raises(ModelError, match=r"broke off after 120,000 of 300,000 bytes.*goes on from there"):
        pull(CLIP, store, hub=hub)
    assert not (store.folder / CLIP.file_name).exists()
    server.ranges.clear()
    assert pull(CLIP, store, hub=Hub(server.url)).paths[0].read_bytes() == WEIGHTS
    assert server.ranges == ["bytes=120000-"]
    assert not _leftovers(store)


def test_a_new_version_is_not_glued_to_the_old_one(hub: Hub, server: HubServer, store: WeightStore) -> None:
    server.cut_after = [120_000, 0, 0, 0, 0, 0]
    with pytest.raises(ModelError):
        pull(CLIP, store, hub=hub)
    newer = WEIGHTS[:100] + b"newer" + WEIGHTS[105:]
    server.files[f"{CLIP.repo}/open_clip_model.safetensors"] = newer
    assert pull(CLIP, store, hub=hub).paths[0].read_bytes() == newer


def test_a_server_that_knows_no_ranges(hub: Hub, server: HubServer, store: WeightStore) -> None:
    server.cut_after, server.ignores_ranges = [100_000], True
    assert pull(CLIP, store, hub=hub).paths[0].read_bytes() == WEIGHTS


def test_what_differs_from_the_expected_digest_is_deleted(
    hub: Hub, server: HubServer, store: WeightStore
) -> None:
    server.lies = True
    with pytest.raises(ModelError, match="damaged"):
        pull(CLIP, store, hub=hub)
    assert store.holding(CLIP).presence == "missing"
    assert not _leftovers(store)


def test_a_renamed_repository_is_followed(hub: Hub, server: HubServer, store: WeightStore) -> None:
    server.moved["old/name"] = str(CLIP.repo)
    assert pull(replace(CLIP, repo="old/name"), store, hub=hub).paths[0].read_bytes() == WEIGHTS


def test_an_altered_file_is_replaced_and_another_version_refused(
    hub: Hub, server: HubServer, store: WeightStore
) -> None:
    (path,) = pull(CLIP, store, hub=hub).paths
    path.write_bytes(b"altered")
    assert _looks(store) == [(CLIP.name, "altered")]
    assert pull(CLIP, store, hub=hub).outcome == "replaced"
    assert _looks(store) == [(CLIP.name, "ok")]

    server.files[f"{CLIP.repo}/open_clip_model.safetensors"] = b"another version"
    with pytest.raises(ModelError, match=r"another version.*delete the line"):
        pull(CLIP, store, hub=hub, force=True)
    assert path.read_bytes() == WEIGHTS
    store.lock.path.unlink()
    assert pull(CLIP, store, hub=hub, force=True).outcome == "replaced"
    assert path.read_bytes() == b"another version"


def test_a_registered_digest_stands_over_everything(hub: Hub, store: WeightStore) -> None:
    with pytest.raises(ModelError, match="was expected"):
        pull(replace(CLIP, sha256="0" * 64), store, hub=hub)
    assert not (store.folder / CLIP.file_name).exists()


def test_nothing_there_and_nobody_there(hub: Hub, store: WeightStore, server: HubServer) -> None:
    with pytest.raises(ModelError, match=r"HTTP 404.*--from FOLDER"):
        pull(KNOWN["ViT-B-16"], store, hub=hub)
    away = Hub("http://127.0.0.1:9", timeout_s=1, pause_s=0)
    with pytest.raises(ModelError, match=r"cannot be reached.*--from FOLDER"):
        pull(CLIP, store, hub=away)
    with pytest.raises(ModelError, match=r"HF_HUB_OFFLINE.*--from FOLDER"):
        pull(CLIP, store, hub=None)
    assert not server.ranges


def test_from_an_address_outside_of_the_hub(
    server: HubServer, hub: Hub, store: WeightStore, tmp_path: Path
) -> None:
    server.files["segment_anything/sam.pth"] = WEIGHTS
    model = replace(SAM, url=f"{server.url}/storage/segment_anything/sam.pth", sha256=_sha(WEIGHTS))
    server.cut_after = [1000]
    assert pull(model, store, hub=hub).outcome == "pulled"
    assert server.ranges == ["", "bytes=1000-"]
    assert (store.folder / SAM.file_name).read_bytes() == WEIGHTS
    assert pull(model, store, hub=hub).outcome == "already there"
    server.files["segment_anything/sam.pth"] = WEIGHTS[::-1]
    with pytest.raises(ModelError, match="another version was published"):
        pull(model, store, hub=hub, force=True)
    with pytest.raises(ModelError, match=rf"{server.url} does not give gone.pth \(HTTP 404\)"):
        pull(replace(model, url=f"{server.url}/storage/gone.pth"), WeightStore(tmp_path / "other"), hub=hub)
    with pytest.raises(ModelError, match=r"HF_HUB_OFFLINE.*segment_anything/sam_vit_b.*--from FOLDER"):
        pull(SAM, WeightStore(tmp_path / "other"), hub=None)


def test_by_hand(hub: Hub, store: WeightStore, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"mobilenetv2_100.safetensors.*--from FOLDER"):
        pull(BY_HAND, store, hub=hub)
    with pytest.raises(ModelError, match=r"by hand.*--from FOLDER"):
        store.locate(BY_HAND.name)
    carried = tmp_path / "stick"
    carried.mkdir()
    with pytest.raises(ModelError, match=r"holds nothing for mobilenetv2_100.*mobilenetv2_100.safetensors"):
        pull(BY_HAND, store, hub=hub, source=carried)
    (carried / BY_HAND.file_name).write_bytes(b"weights")
    assert pull(BY_HAND, store, hub=None, source=carried).outcome == "pulled"
    assert store.locate(BY_HAND.name).read_bytes() == b"weights"
    assert store.lock.read() == {BY_HAND.file_name: _sha(b"weights")}


def test_from_another_machines_models_folder(hub: Hub, store: WeightStore, tmp_path: Path) -> None:
    other = WeightStore(tmp_path / "other")
    pull(CLIP, other, hub=hub)
    pull(DETECTOR, other, hub=hub)
    for model in (CLIP, DETECTOR):
        pull(model, store, hub=None, source=other.folder)
    assert store.lock.read() == other.lock.read()
    third = WeightStore(tmp_path / "third")
    other.locate(CLIP.name).write_bytes(b"damaged on the way")
    with pytest.raises(ModelError, match="damaged on the way"):
        pull(CLIP, third, hub=None, source=other.folder)
    assert third.holding(CLIP).presence == "missing"


def test_the_same_weights_under_another_name_that_begins_their_sha256(
    store: WeightStore, tmp_path: Path
) -> None:
    (tmp_path / CLIP.alternatives[0]).write_bytes(b"something else")
    with pytest.raises(ModelError, match=r"8fb26589\.\.\. was expected"):
        pull(CLIP, store, hub=None, source=tmp_path)
    named = f"weights-{_sha(WEIGHTS)[:8]}.pt"
    (tmp_path / named).write_bytes(WEIGHTS)
    pulled = pull(replace(CLIP, alternatives=(named,)), store, hub=None, source=tmp_path)
    assert pulled.paths == (store.folder / named,)
    assert store.lock.read() == {named: _sha(WEIGHTS)}


@pytest.mark.parametrize("layout", [".", "grounding-dino-tiny"])
def test_from_a_clone_of_the_repository(layout: str, store: WeightStore, tmp_path: Path) -> None:
    clone = tmp_path / "clone" / layout
    clone.mkdir(parents=True)
    for name in DETECTOR.remote:
        (clone / name).write_bytes(name.encode())
    pull(DETECTOR, store, hub=None, source=tmp_path / "clone")
    assert store.holding(DETECTOR).presence == "present"


def test_files_of_the_user_are_never_touched(hub: Hub, tmp_path: Path) -> None:
    own = tmp_path / "own.pt"
    own.write_bytes(b"mine")
    store = WeightStore(tmp_path / "models", {CLIP.name: own})
    assert pull(CLIP, store, hub=hub, force=True).outcome == "own file"
    assert own.read_bytes() == b"mine"
    assert store.expected(CLIP, own) is None
    own.unlink()
    with pytest.raises(ModelError, match=r"models.files names"):
        pull(CLIP, store, hub=hub)


def test_what_was_put_there_by_hand_is_pinned_on_demand(store: WeightStore) -> None:
    store.folder.mkdir()
    (store.folder / BY_HAND.file_name).write_bytes(b"sam")
    assert _looks(store) == [(BY_HAND.name, "unpinned")]
    assert {found.soundness for found in store.verify(pin=True)} == {"ok"}
    assert _looks(store) == [(BY_HAND.name, "ok")]
    (store.folder / BY_HAND.file_name).write_bytes(b"other")
    assert _looks(store) == [(BY_HAND.name, "altered")]


def test_a_file_with_a_digest_in_this_release_needs_no_pin(store: WeightStore) -> None:
    store.folder.mkdir()
    (store.folder / SAM.file_name).write_bytes(b"not the checkpoint")
    assert _looks(store) == [(SAM.name, "altered")]


def test_a_file_name_that_begins_its_sha256(store: WeightStore) -> None:
    store.folder.mkdir()
    path = store.folder / CLIP.alternatives[0]
    path.write_bytes(b"not those weights")
    assert store.locate(CLIP.name) == path
    assert store.expected(CLIP, path) == "8fb26589"
    assert _looks(store) == [(CLIP.name, "altered")]


def test_timm_weights_by_a_tagged_name(hub: Hub, server: HubServer, store: WeightStore) -> None:
    server.files["timm/resnet18.a1_in1k/model.safetensors"] = b"resnet"
    model = find("timm:resnet18.a1_in1k")
    assert isinstance(model, KnownModel)
    pull(model, store, hub=hub)
    assert store.locate("timm:resnet18.a1_in1k").read_bytes() == b"resnet"
    assert _looks(store) == [("resnet18.a1_in1k", "ok")]
    assert find("timm:resnet18") is None


def test_the_hub_switched_off() -> None:
    assert offline({"HF_HUB_OFFLINE": "1"})
    assert offline({"TRANSFORMERS_OFFLINE": "yes"})
    assert not offline({"HF_HUB_OFFLINE": "0"})
    assert not offline({})


_NAME = st.from_regex(r"[a-zA-Z0-9_][a-zA-Z0-9_. /-]{0,20}[a-z]", fullmatch=True)


@given(st.dictionaries(_NAME, st.from_regex(r"[0-9a-f]{64}", fullmatch=True), max_size=5))
def test_what_is_pinned_is_read_back(pinned: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        lock = LockFile(Path(folder))
        lock.pin(pinned)
        assert lock.read() == pinned
        assert [path.name for path in Path(folder).iterdir()] == ["SHA256SUMS"]


def test_a_broken_lock_file_is_named(tmp_path: Path) -> None:
    lock = LockFile(tmp_path)
    assert lock.read() == {}
    lock.pin({"b/c.json": "A" * 64, "a.pt": "0" * 64})
    assert lock.read() == {"a.pt": "0" * 64, "b/c.json": "a" * 64}
    assert lock.expected(tmp_path / "a.pt") == "0" * 64
    assert lock.expected(Path("/elsewhere/a.pt")) is None
    lock.path.write_text(f"{'0' * 64}  a.pt\nnonsense\n")
    with pytest.raises(ModelError, match=r"line 2 of .*SHA256SUMS"):
        lock.read()
