"""Revision -> commit and files, with the unmodified huggingface_hub against a static hub behind nginx."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from thorctl.errors import ThorError
from thorctl.registry import hub as source
from thorctl.release.model_config import ModelFigures, UnknownModel
from thorctl.release.profile import Checkpoint

if TYPE_CHECKING:
    from tests.support.hub_files import HubFiles
    from thorctl.release.lock import CheckpointLock

FILES = {
    "model.safetensors": b"\x00" * 4096,
    "config.json": b"{}\n",
    "sub/a b.txt": "grün".encode(),
    ".gitattributes": b"",
}


def resolve(hub: HubFiles, repository: str = "team/model", revision: str = "main") -> CheckpointLock:
    checkpoint = Checkpoint(repository=repository, revision=revision, endpoint="http://hub.example.test")
    return source.resolve(checkpoint, hub.url).checkpoint


def test_every_file_has_its_size_and_hash(hub: HubFiles, capfd: pytest.CaptureFixture[str]) -> None:
    commit = hub.add("team/model", "main", FILES, large=("model.safetensors",))
    lock = resolve(hub)
    assert lock.commit == commit
    assert (lock.repository, lock.revision, lock.endpoint) == (
        "team/model",
        "main",
        "http://hub.example.test",
    )
    assert [(file.path, file.size, file.sha256) for file in lock.files] == [
        (path, len(content), hashlib.sha256(content).hexdigest()) for path, content in sorted(FILES.items())
    ]
    assert lock.total_bytes == sum(map(len, FILES.values()))
    assert capfd.readouterr() == ("", "")  # no progress bars of the library's own


def test_large_files_are_not_downloaded(hub: HubFiles) -> None:
    commit = hub.add("team/model", "main", FILES, large=("model.safetensors",))
    (hub.folder / f"team/model/resolve/{commit}/model.safetensors").unlink()
    assert resolve(hub).files[-1].path == "sub/a b.txt"


def test_a_small_file_that_is_not_what_git_has(hub: HubFiles) -> None:
    commit = hub.add("team/model", "main", FILES, large=("model.safetensors",))
    hub.write(f"team/model/resolve/{commit}/config.json", b"[]\n")
    with pytest.raises(ThorError, match=r"config\.json has the size 3") as caught:
        resolve(hub)
    assert caught.value.code == "hub_invalid"


def test_an_absent_repository_and_an_absent_revision(hub: HubFiles) -> None:
    hub.add("team/model", "main", FILES)
    for repository, revision in (("team/other", "main"), ("team/model", "v2")):
        with pytest.raises(ThorError, match=f"no {repository} at revision '{revision}'") as caught:
            resolve(hub, repository, revision)
        assert caught.value.code == "checkpoint_not_found"


def test_a_gated_repository_names_the_login(hub: HubFiles) -> None:
    with pytest.raises(ThorError) as caught:
        resolve(hub, "gated/model")
    assert caught.value.code == "hub_denied"
    assert "hf auth login" in caught.value.remedy


def test_a_hub_in_trouble(hub: HubFiles) -> None:
    with pytest.raises(ThorError, match="answered 502") as caught:
        resolve(hub, "broken/model")
    assert caught.value.code == "hub_unavailable"


def test_a_hub_that_does_not_answer() -> None:
    checkpoint = Checkpoint(repository="team/model", revision="main")
    with pytest.raises(ThorError, match="cannot be reached") as caught:
        source.resolve(checkpoint, "http://127.0.0.1:9")
    assert caught.value.code == "hub_unreachable"
    assert "network" in caught.value.remedy


def test_a_path_outside_the_checkpoint_is_refused(hub: HubFiles) -> None:
    commit = hub.add("team/model", "main", FILES)
    listed = [
        {
            "type": "file",
            "path": "../evil",
            "size": 1,
            "oid": "0",
            "lfs": {"oid": "a" * 64, "size": 1, "pointerSize": 1},
        }
    ]
    hub.write(f"api/models/team/model/tree/{commit}", json.dumps(listed).encode())
    with pytest.raises(ThorError, match="not a plain relative path") as caught:
        resolve(hub)
    assert caught.value.code == "hub_invalid"


def test_a_repository_without_files(hub: HubFiles) -> None:
    hub.add("team/model", "main", {})
    with pytest.raises(ThorError, match="has no files"):
        resolve(hub)


def test_the_lock_has_the_figures_of_the_model(hub: HubFiles) -> None:
    tiny = (Path(__file__).resolve().parents[2] / "images/tiny-qwable/model/config.json").read_bytes()
    hub.add("team/model", "main", {**FILES, "config.json": tiny}, large=("model.safetensors",))
    model = resolve(hub).model
    assert isinstance(model, ModelFigures)
    assert model.gdn is not None
    assert (model.model_type, model.attention_layers, model.gdn.layers) == ("qwen3_5_moe_text", 1, 3)


def test_a_model_of_no_known_type_is_locked_as_unknown(hub: HubFiles) -> None:
    hub.add("team/model", "main", FILES, large=("model.safetensors",))
    assert isinstance(resolve(hub).model, UnknownModel)
    hub.add("team/model", "main", FILES, large=("model.safetensors", "config.json"))
    assert isinstance(resolve(hub).model, UnknownModel)


def test_a_model_configuration_of_another_form_is_named(hub: HubFiles) -> None:
    for content in (b"[]\n", b'{"model_type": "qwen3", "num_hidden_layers": "36"}'):
        hub.add("team/model", "main", {**FILES, "config.json": content}, large=("model.safetensors",))
        with pytest.raises(ThorError) as caught:
            resolve(hub)
        assert caught.value.code == "model_config_invalid"
