"""Drift of what is used: units as systemd has them, Docker's settings as it has them, the way back."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.device_double import Programs, make_context, make_release, serving
from tests.support.stateful_device import Device, Images
from tests.support.trial_steps import commit_one
from thorctl.agent.drift import actual, docker_settings, units
from thorctl.agent.state.journal import load_journal
from thorctl.protocol.paths import DOCKER_SETTINGS

if TYPE_CHECKING:
    from pathlib import Path

    from thorctl.protocol.status import Comparison

LOADED = {
    "LoadState": "loaded",
    "UnitFileState": "enabled",
    "FragmentPath": "",
    "DropInPaths": "",
    "NeedDaemonReload": "no",
}
OVERRIDE = "/etc/systemd/system/thor-engine.service.d/override.conf"


def shown(**changed: dict[str, str]) -> str:
    """As `systemctl show` prints units, by their name without suffix."""
    blocks = [
        {"Id": f"{name.replace('_', '-')}.service", **LOADED, **values} for name, values in changed.items()
    ]
    return "\n\n".join("\n".join(f"{key}={value}" for key, value in one.items()) for one in blocks) + "\n"


def compared(tmp_path: Path, *, engine: bool = True, **changed: dict[str, str]) -> dict[str, Comparison]:
    answers: dict[str, str | int] = {
        "systemctl": shown(**{"thor_engine": {}, "thor_recover": {}, "docker": {}, **changed})
    }
    ctx = make_context(tmp_path, Programs(answers))
    ctx.paths.device_json.parent.mkdir(parents=True, exist_ok=True)
    ctx.paths.device_json.write_text("{}")
    ctx.paths.engine_unit.parent.mkdir(parents=True, exist_ok=True)
    for name in ("thor-engine", "thor-recover"):
        ctx.paths.engine_unit.with_name(f"{name}.service").write_text("[Install]\n")
    ctx.paths.engine_unit.with_name("thor-bridge.service").write_text("[Service]\n")
    return {item.what: item for item in units.compared(ctx, engine=engine)}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"DropInPaths": OVERRIDE}, f"changed by {OVERRIDE}"),
        (
            {"DropInPaths": "/run/systemd/system.control/thor-engine.service.d/50-MemoryMax.conf"},
            "changed by /run/",
        ),
        ({"DropInPaths": "/usr/local/lib/systemd/system/service.d/all.conf"}, "changed by /usr/local/lib/"),
        ({"LoadState": "masked", "UnitFileState": "masked-runtime"}, "masked"),
        ({"UnitFileState": "disabled"}, "disabled"),
        ({"UnitFileState": "enabled-runtime"}, "enabled-runtime"),
        ({"LoadState": "bad-setting"}, "bad-setting"),
        ({"NeedDaemonReload": "yes"}, "changed and not loaded"),
        ({"FragmentPath": "/run/systemd/system/thor-engine.service"}, "used from /run/systemd/system/"),
    ],
)
def test_unit_that_systemd_uses_otherwise_has_drifted(
    tmp_path: Path, change: dict[str, str], told: str
) -> None:
    item = compared(tmp_path, thor_engine=change)["unit thor-engine.service"]
    assert item.same is False
    assert told in str(item.found)


def test_units_as_installed_have_not_drifted(tmp_path: Path) -> None:
    vendor = {"DropInPaths": "/usr/lib/systemd/system/service.d/10-timeout-abort.conf"}
    found = compared(tmp_path, thor_engine=vendor, thor_bridge={"UnitFileState": "static"})
    units = ("docker", "thor-bridge", "thor-engine", "thor-recover")
    assert set(found) == {f"unit {name}.service" for name in units}
    assert {item.same for item in found.values()} == {True}
    assert "unit thor-engine.service" not in compared(tmp_path, engine=False)


def test_docker_that_is_masked_has_drifted_and_its_drop_ins_are_the_operator_s(tmp_path: Path) -> None:
    proxy = {
        "DropInPaths": "/etc/systemd/system/docker.service.d/http-proxy.conf",
        "UnitFileState": "disabled",
    }
    assert compared(tmp_path, docker=proxy)["unit docker.service"].same is True
    masked = compared(tmp_path, docker={"LoadState": "masked"})["unit docker.service"]
    assert (masked.found, masked.same) == ("masked", False)


def test_unit_that_is_gone_is_missing_and_silence_is_unknown(tmp_path: Path) -> None:
    gone = compared(tmp_path, thor_recover={"LoadState": "not-found"})["unit thor-recover.service"]
    assert (gone.same, gone.found) == (False, None)
    ctx = make_context(tmp_path, Programs({"systemctl": 1}))
    assert {item.same for item in units.compared(ctx, engine=True)} == {None}
    assert compared(tmp_path)["unit thor-bridge.service"].same is None  # systemd did not speak of it


INFO: dict[str, Any] = {
    "DockerRootDir": "/mnt/docker",
    "DefaultRuntime": "runc",
    "LiveRestoreEnabled": False,
    "LoggingDriver": "json-file",
    "Driver": "overlay2",
    "Runtimes": {"runc": {}, "io.containerd.runc.v2": {}, "nvidia": {}},
    "RegistryConfig": {
        "InsecureRegistryCIDRs": ["127.0.0.0/8"],
        "IndexConfigs": {"docker.io": {"Secure": True}, "hub:5000": {"Secure": False}},
        "Mirrors": ["https://mirror.test/"],
    },
}
ASKED: dict[str, Any] = {
    "data-root": "/mnt/docker",
    "insecure-registries": ["hub:5000"],
    "live-restore": False,
    "log-driver": "json-file",
    "log-opts": {"max-size": "10m"},
    "registry-mirrors": ["https://mirror.test"],
    "storage-driver": "overlay2",
}


def told(info: dict[str, Any] | None) -> dict[str, Any]:
    return {item.what: (item.found, item.same) for item in docker_settings.items(ASKED, "nvidia", info)}


def test_docker_that_uses_what_it_was_given_has_not_drifted() -> None:
    found = told(INFO)
    assert {same for _, same in found.values()} == {True}
    assert set(found) == {f"docker {name}" for name in ASKED if name != "log-opts"} | {"docker runtimes"}


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"LiveRestoreEnabled": True}, "live-restore"),
        ({"LoggingDriver": "none"}, "log-driver"),
        ({"DockerRootDir": "/var/lib/docker"}, "data-root"),
        ({"Driver": "vfs"}, "storage-driver"),
        ({"Runtimes": {"runc": {}}}, "runtimes"),
        ({"RegistryConfig": {}}, "insecure-registries"),
        ({"RegistryConfig": {}}, "registry-mirrors"),
    ],
)
def test_setting_that_docker_does_not_use_has_drifted(change: dict[str, Any], what: str) -> None:
    assert told({**INFO, **change})[f"docker {what}"][1] is False


def test_without_docker_its_settings_are_unknown() -> None:
    assert {same for _, same in told(None).values()} == {None}


@pytest.mark.parametrize("record", ["{", "[]", "7"])
def test_settings_that_cannot_be_read_are_unknown(tmp_path: Path, record: str) -> None:
    ctx = make_context(tmp_path)
    path = ctx.paths.at(DOCKER_SETTINGS)
    path.parent.mkdir(parents=True)
    path.write_text(record)
    (item,) = docker_settings.compared(ctx, None)
    assert item.same is None


def test_record_of_the_role_comes_before_docker_s_own_file(tmp_path: Path) -> None:
    """Somebody edited daemon.json and restarted Docker: file and Docker agree on it."""

    class Engine(Images):
        def info(self) -> dict[str, Any]:
            return {**INFO, "LoggingDriver": "none"}

    ctx = replace(make_context(tmp_path), docker=Engine("/nowhere"))
    for name, driver in ((DOCKER_SETTINGS, "json-file"), (docker_settings.DAEMON_JSON, "none")):
        path = ctx.paths.at(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"log-driver": driver}))
    (item,) = docker_settings.compared(ctx, None)
    assert (item.what, item.found, item.same) == ("docker log-driver", "none", False)


class Pruned(Images):
    """Has no image any more."""

    def image(self, reference: str) -> Any:  # noqa: ARG002 - the API's signature
        return None


def test_status_on_trial_tells_what_the_way_back_lacks(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = commit_one(device, 1), device.release(2)
    device.done("activate", new.id)
    whole = device.done("status")
    assert whole["rollback"] == {"release": old.id, "lacking": []}
    (weights,) = (device.paths.checkpoints / old.checkpoint_name).glob("*.safetensors")
    weights.unlink()
    monkeypatch.setattr("tests.support.stateful_device.Images.image", Pruned.image)
    data = device.done("status")
    assert data["rollback"]["lacking"] == [f"image {old.image}", "model.safetensors (file_missing)"]
    drift = {item["what"]: item["found"] for item in data["drift"]}
    assert f"without image {old.image}" in drift["rollback release"]


def test_committed_device_tells_of_the_release_before(device: Device) -> None:
    assert device.done("status")["rollback"] is None
    old, _ = commit_one(device, 1), commit_one(device, 2)
    assert device.done("status")["rollback"] == {"release": old.id, "lacking": []}
    (device.paths.release_dir(old.id) / "release.json").unlink()
    assert "is not on this device" in device.done("status")["rollback"]["lacking"][0]


def test_cache_that_somebody_deleted_has_drifted(tmp_path: Path) -> None:
    from thorctl.agent.engine import cache

    release = make_release()
    release.document.update({"schema": 2, "options": {}, "memory": None})
    release.document["profile"]["image"] = {"user": "own"}
    ctx = serving(make_context(tmp_path), make_release())

    def told() -> dict[str, Comparison]:
        return {item.what: item for item in actual.compared(ctx, load_journal(ctx.paths), release, None)}

    assert "compile cache" not in told()
    mark = cache.ready_mark(ctx, release)
    mark.parent.mkdir(parents=True)
    mark.touch()
    assert told()["compile cache"].same is False
    cache.directory(ctx, release).mkdir(parents=True)
    assert told()["compile cache"].same is True


def test_image_that_a_rollback_needs_is_pulled_before_the_engine_is_switched(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = commit_one(device, 1), device.release(2)
    device.done("activate", new.id)
    monkeypatch.setattr("tests.support.stateful_device.Images.image", Pruned.image)
    pulled: list[tuple[str, str | None]] = []

    def ensure(_: object, release: Any) -> int:
        pulled.append((release.id, device.systemd.running_release()))
        return 1

    monkeypatch.setattr("thorctl.agent.staging.image.ensure", ensure)
    device.done("rollback")
    assert pulled == [(old.id, new.id)]
    assert device.systemd.running_release() == old.id


def test_rollback_goes_on_where_its_image_cannot_be_pulled(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = commit_one(device, 1), device.release(2)
    device.done("activate", new.id)
    monkeypatch.setattr("tests.support.stateful_device.Images.image", Pruned.image)
    device.done("rollback")  # its double's pull reaches nothing
    assert device.systemd.running_release() == old.id
