"""A volume that an image declares gives it no disk: neither where it is proved nor where it serves."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from tests.agent.engine.test_image_user import Docker
from tests.agent.verbs.test_engine_prepare import WithProgram, ctx, prepared, release, root_only  # noqa: F401
from tests.support.device_double import make_context
from thorctl.agent.core.outcome import AgentError
from thorctl.agent.engine import account, image_user, volumes
from thorctl.agent.engine.account import Account

if TYPE_CHECKING:
    from pathlib import Path

    from thorctl.agent.core.context import Context


class Declaring(WithProgram):
    """A Docker engine whose images declare volumes."""

    def __init__(self, *places: str) -> None:
        super().__init__("/nowhere")
        self.places = places

    def image(self, reference: str) -> dict[str, Any]:
        found = super().image(reference)
        return {**found, "Config": {**found["Config"], "Volumes": {place: {} for place in self.places}}}


def options(root: Path, *places: str) -> list[str]:
    return volumes.options(dataclasses.replace(make_context(root), docker=Declaring(*places)), "image")


def mount(place: str) -> list[str]:
    return ["--mount", f"type=tmpfs,dst={place},readonly,tmpfs-size=4096"]


def test_image_without_volumes_has_no_mounts(tmp_path: Path) -> None:
    assert options(tmp_path) == []


def test_each_volume_is_read_only_memory(tmp_path: Path) -> None:
    found = options(tmp_path, "/workspace/", "/root/.cache/huggingface", "/models", f"{volumes.TMP}/x")
    places = ("/models", "/root/.cache/huggingface", f"{volumes.TMP}/x", "/workspace")
    assert found == [word for place in places for word in mount(place)]


def test_places_of_the_engines_own_mounts_stay_theirs(tmp_path: Path) -> None:
    assert options(tmp_path, "/cache", f"{volumes.TMP}/", "/models/checkpoint", "/run/engine") == []


@pytest.mark.parametrize(
    "place",
    [
        "",
        "/",
        "relative",
        "/a/../../etc",
        "/a/./b",
        "/a//b",
        "/a,readonly=false",
        "/a,src=/etc",
        "/a --privileged",
        "/a\n--privileged",
        "/a\rTHOR_ENGINE_USER=0",
        "/$HOME",
        "/%h",
        "/a:rw",
        "/'a'",
        "/ä",
        "/dev",
        "/dev/fd",
        "/proc/x",
        "/sys",
        "/cache/x",
        "/run/engine/engine.sock",
        "/etc/thor-engine/serve.yaml",
        "/models/checkpoint/x",
        "/a" * 17,
    ],
)
def test_a_hostile_volume_is_refused_by_name(tmp_path: Path, place: str) -> None:
    with pytest.raises(AgentError) as refused:
        options(tmp_path, place)
    assert refused.value.code == "image_volume_refused"
    assert "VOLUME" in refused.value.remedy


def test_more_volumes_than_an_image_needs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match="17 volumes"):
        options(tmp_path, *(f"/v{number}" for number in range(17)))


def test_the_proof_gives_the_image_no_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account, "of_engine", lambda _: Account(990, 991))
    docker = Docker(0)
    engine = Declaring("/data", "/cache", "/models/checkpoint", volumes.TMP)
    image_user.verify(dataclasses.replace(make_context(tmp_path, docker), docker=engine), release())
    (call,) = docker.calls
    given = [call[at + 1] for at, word in enumerate(call) if word == "--mount"]
    # The engine's mounts are not there yet: its places are the image's to fill.
    assert given == [mount(one)[1] for one in ("/cache", "/data", "/models/checkpoint")]
    assert call.index("--mount") < call.index("--entrypoint")


def test_a_hostile_volume_never_runs_the_proof(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account, "of_engine", lambda _: Account(990, 991))
    docker = Docker(0)
    hostile = dataclasses.replace(make_context(tmp_path, docker), docker=Declaring("/a,src=/etc"))
    with pytest.raises(AgentError, match="no plain absolute path"):
        image_user.verify(hostile, release())
    assert docker.calls == []


@root_only
def test_the_engine_gets_what_stands_in_for_its_volumes(ctx: Context) -> None:  # noqa: F811 - a fixture
    data = prepared(dataclasses.replace(ctx, docker=Declaring("/data", "/cache")), release())
    assert data["THOR_ENGINE_VOLUMES"] == " ".join(mount("/data"))
    assert f"THOR_ENGINE_VOLUMES={' '.join(mount('/data'))}\n" in ctx.paths.engine_settings.read_text()
