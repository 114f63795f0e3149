"""Locks: models, comparison with the profile, and `thorctl lock` from tag and branch to the file."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError
from rich.console import Console

from tests.support.documents import changed, lock_document, lock_for
from thorctl.cli.main import run
from thorctl.errors import ThorError
from thorctl.protocol import canonical_json
from thorctl.registry import resolve
from thorctl.release import device_class, profile
from thorctl.release import find as releases
from thorctl.release import lock as locks
from thorctl.release.lock import Lock
from thorctl.release.render import render_release

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.hub_files import HubFiles
    from tests.support.images import RegistryProcess
    from thorctl.result import Result

REGISTRY = "registry.thorctl.test:5000"
HUB = "hub.thorctl.test"


def thorctl(project: Path, *words: str) -> Result:
    result = run(["--project", str(project), "--json", "--quiet", *words])
    assert result is not None
    return result


@pytest.fixture
def upstream(registry: RegistryProcess, hub: HubFiles) -> list[str]:
    """Image and checkpoint of the demo, and the words that lead there."""
    registry.image("thorctl/cpu-vllm", "0.32.0", "amd64")
    files = {"config.json": b"{}", "model.safetensors": b"\x01" * 999}
    hub.add("thorctl/tiny-qwable", "main", files, large=("model.safetensors",))
    return ["--platform", "linux/amd64", "--via", f"{REGISTRY}={registry.url}", "--via", f"{HUB}={hub.url}"]


def test_lock_writes_the_file_and_says_what_changed(project: Path, upstream: list[str]) -> None:
    result = thorctl(project, "lock", "tiny-qwable", *upstream)
    assert (result.exit_code, result.data["written"]) == (0, True)
    path = project / "deploy" / "locks" / "tiny-qwable.lock.json"
    written = locks.load(project / "deploy", "tiny-qwable")
    document = json.loads(path.read_text())
    assert document.pop("sha256") == canonical_json.sha256(document)
    assert document == result.data["lock"] == written.model_dump(mode="json")
    locks.require_match(profile.load(project / "deploy", "tiny-qwable"), written)
    assert written.checkpoint.total_bytes == 1001
    assert [entry for entry in path.parent.iterdir() if entry != path] == []


def test_the_same_bytes_give_the_same_lock(project: Path, upstream: list[str]) -> None:
    thorctl(project, "lock", "tiny-qwable", *upstream)
    path = project / "deploy" / "locks" / "tiny-qwable.lock.json"
    first = path.read_bytes(), path.stat().st_mtime_ns
    again = thorctl(project, "lock", "tiny-qwable", *upstream)
    assert (again.data["changes"], again.data["written"]) == ([], False)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == first


def test_check_and_dry_run_write_nothing(
    project: Path, upstream: list[str], registry: RegistryProcess
) -> None:
    path = project / "deploy" / "locks" / "tiny-qwable.lock.json"
    absent = thorctl(project, "lock", "tiny-qwable", "--check", *upstream)
    assert (absent.exit_code, absent.errors[0].code) == (1, "lock_stale")
    assert thorctl(project, "lock", "tiny-qwable", "--dry-run", *upstream).exit_code == 0
    assert not path.exists()

    thorctl(project, "lock", "tiny-qwable", *upstream)
    assert thorctl(project, "lock", "tiny-qwable", "--check", *upstream).exit_code == 0
    before = path.read_bytes()
    moved = registry.image("thorctl/cpu-vllm", "0.32.0", "amd64", b"another layer")
    stale = thorctl(project, "lock", "tiny-qwable", "--check", *upstream)
    assert (stale.exit_code, stale.errors[0].code) == (1, "lock_stale")
    assert {"image.digest", "image.compressed_bytes"} == {one["key"] for one in stale.data["changes"]}
    assert stale.data["lock"]["image"]["digest"] == moved.digest
    assert path.read_bytes() == before


@pytest.mark.parametrize(("name", "code"), [(REGISTRY, "registry_unreachable"), (HUB, "hub_unreachable")])
def test_without_network_nothing_is_made_up(project: Path, upstream: list[str], name: str, code: str) -> None:
    result = thorctl(project, "lock", "tiny-qwable", *upstream, "--via", f"{name}=http://127.0.0.1:9")
    assert (result.exit_code, result.errors[0].code) == (1, code)
    assert not (project / "deploy" / "locks" / "tiny-qwable.lock.json").exists()


def test_an_absent_image_leaves_the_lock_alone(
    project: Path, upstream: list[str], registry: RegistryProcess
) -> None:
    thorctl(project, "lock", "tiny-qwable", *upstream)
    path = project / "deploy" / "locks" / "tiny-qwable.lock.json"
    before = path.read_bytes()
    source = project / "deploy" / "profiles" / "tiny-qwable.yml"
    source.write_text(source.read_text().replace("cpu-vllm:0.32.0", "cpu-vllm:0.33.0"))
    result = thorctl(project, "lock", "tiny-qwable", *upstream)
    assert result.errors[0].code == "image_not_found"
    assert path.read_bytes() == before


def test_a_broken_lock_is_replaced(project: Path, upstream: list[str]) -> None:
    path = project / "deploy" / "locks" / "tiny-qwable.lock.json"
    path.parent.mkdir()
    path.write_text("{")
    assert thorctl(project, "lock", "tiny-qwable", *upstream).exit_code == 0
    locks.load(project / "deploy", "tiny-qwable")


EDITS: dict[str, Callable[[str], str]] = {
    "another image": lambda text: re.sub(r'(?<="digest": "sha256:)[0-9a-f]{64}', "0" * 64, text),
    "another branch": lambda text: text.replace('"revision": "main"', '"revision": "other"'),
    "a file left out, the sum corrected": lambda text: json.dumps(
        _without_a_file(json.loads(text)), indent=2
    ),
    "a key that nobody knows": lambda text: text.replace('"schema": 1,', '"schema": 1, "note": "mine",'),
    "another hash": lambda text: re.sub(r'(?<="sha256": ")[0-9a-f]{64}(?="\n}\s*$)', "0" * 64, text),
    "a hash of another kind": lambda text: re.sub(r'"sha256": "[0-9a-f]{64}"\n}\s*$', '"sha256": 1}', text),
}


def _without_a_file(document: dict[str, Any]) -> dict[str, Any]:
    gone = document["checkpoint"]["files"].pop()
    document["checkpoint"]["total_bytes"] -= gone["size"]
    return document


def test_an_edited_lock_is_named_as_edited(project: Path, upstream: list[str]) -> None:
    thorctl(project, "lock", "tiny-qwable", *upstream)
    path = project / "deploy" / "locks" / "tiny-qwable.lock.json"
    written = path.read_text()
    for name, edit in EDITS.items():
        path.write_text(edit(written))
        assert path.read_text() != written, name
        rendered = thorctl(project, "render", "tiny-qwable", "--out", str(project / "out"))
        assert [one.code for one in rendered.errors] == ["lock_edited"], name
        assert "thorctl lock tiny-qwable" in rendered.errors[0].remedy
        assert not (project / "out").exists()
    checked = thorctl(project, "lock", "tiny-qwable", "--check", *upstream)
    assert [one.code for one in checked.errors] == ["lock_edited"]
    assert thorctl(project, "lock", "tiny-qwable", *upstream).data["written"] is True
    assert path.read_text() == written


def test_a_lock_that_is_only_laid_out_anew_is_the_same(project: Path, upstream: list[str]) -> None:
    thorctl(project, "lock", "tiny-qwable", *upstream)
    path = project / "deploy" / "locks" / "tiny-qwable.lock.json"
    before = locks.load(project / "deploy", "tiny-qwable")
    path.write_text(json.dumps(dict(reversed(json.loads(path.read_text()).items()))))
    assert locks.load(project / "deploy", "tiny-qwable") == before


def test_a_lock_without_a_hash_reads_and_makes_the_same_release(project: Path, upstream: list[str]) -> None:
    """Earlier versions wrote none; the hash is no part of a release."""
    thorctl(project, "lock", "tiny-qwable", *upstream)
    path = project / "deploy" / "locks" / "tiny-qwable.lock.json"
    release = releases.build(project / "deploy", "tiny-qwable").id
    document = json.loads(path.read_text())
    del document["sha256"]
    path.write_text(json.dumps(document))
    assert releases.build(project / "deploy", "tiny-qwable").id == release


@pytest.mark.parametrize("content", [b"\xff\xfe", b"<<<<<<< HEAD\n{}\n", b"[]", b"null", b"[" * 100_000])
def test_a_lock_that_is_no_json_object(project: Path, content: bytes) -> None:
    path = project / "deploy" / "locks" / "tiny-qwable.lock.json"
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(ThorError) as caught:
        locks.load(project / "deploy", "tiny-qwable")
    assert caught.value.code == "lock_invalid"


def test_a_lock_that_cannot_be_read_is_not_replaced(project: Path, upstream: list[str]) -> None:
    path = project / "deploy" / "locks" / "tiny-qwable.lock.json"
    path.mkdir(parents=True)
    result = thorctl(project, "lock", "tiny-qwable", *upstream)
    assert [one.code for one in result.errors] == ["lock_unreadable"]


@pytest.mark.parametrize(
    "pair",
    ["registry", "=http://x", "a=ftp://x", "a=http://", "a=http://h:99999", "a=http://[::1", "a=http://:1"],
)
def test_a_wrong_via_is_a_usage_error(project: Path, pair: str) -> None:
    result = thorctl(project, "lock", "tiny-qwable", "--platform", "linux/amd64", "--via", pair)
    assert (result.exit_code, result.errors[0].code) == (2, "usage")


def test_the_platform_is_the_classes_or_this_machines(project: Path) -> None:
    deploy = project / "deploy"
    both = profile.load(deploy, "tiny-qwable")
    thor = profile.load(deploy, "qwable-v1-nvfp4a16")
    assert resolve.platform_of(thor, deploy, None, "x86_64") == "linux/arm64"
    assert resolve.platform_of(both, deploy, None, "x86_64") == "linux/amd64"
    assert resolve.platform_of(both, deploy, None, "aarch64") == "linux/arm64"
    assert resolve.platform_of(both, deploy, "linux/arm64", "x86_64") == "linux/arm64"
    for chosen, here in (("linux/amd64", "x86_64"), ("linux/amd64", "aarch64")):
        with pytest.raises(ThorError, match=r"run linux/arm64, not linux/amd64"):
            resolve.platform_of(thor, deploy, chosen, here)
    with pytest.raises(ThorError) as caught:
        resolve.platform_of(both, deploy, None, "riscv64")
    assert caught.value.code == "platform_mismatch"


def test_a_missing_lock_names_the_command(project: Path) -> None:
    with pytest.raises(ThorError) as caught:
        locks.load(project / "deploy", "tiny-qwable")
    assert caught.value.code == "lock_missing"
    assert "thorctl lock tiny-qwable" in caught.value.remedy


@pytest.mark.parametrize("part", ["reference", "repository", "revision", "endpoint"])
def test_a_lock_of_another_profile_is_refused(project: Path, part: str) -> None:
    of = profile.load(project / "deploy", "tiny-qwable")
    lock = lock_for(of)
    locks.require_match(of, lock)
    others = {
        "reference": {"image": {**of.image.model_dump(), "reference": f"{REGISTRY}/thorctl/cpu-vllm:0.33.0"}},
        "repository": {"checkpoint": {**of.checkpoint.model_dump(), "repository": "thorctl/other"}},
        "revision": {"checkpoint": {**of.checkpoint.model_dump(), "revision": "v2"}},
        "endpoint": {"checkpoint": {**of.checkpoint.model_dump(), "endpoint": "https://huggingface.co"}},
    }
    with pytest.raises(ThorError, match=rf"\.{part} is .* in the profile but .* in the lock") as caught:
        locks.require_match(changed(of, **others[part]), lock)
    assert caught.value.code == "lock_mismatch"
    assert "thorctl lock tiny-qwable" in caught.value.remedy


SWAPPED = [
    ("image.reference", "attacker.example/backdoor:1"),
    ("image.repository", "attacker.example/backdoor"),
    ("image.repository", "docker.io/thorctl/cpu-vllm"),
    ("image.repository", "REGISTRY.thorctl.test:5000/thorctl/cpu-vllm"),
    ("checkpoint.repository", "attacker/backdoor"),
    ("checkpoint.revision", "v2"),
    ("checkpoint.endpoint", "https://attacker.example"),
    ("profile", "other"),
]


@pytest.mark.parametrize(("path", "value"), SWAPPED, ids=[f"{path}={value}" for path, value in SWAPPED])
def test_a_lock_that_names_other_bytes_is_refused(project: Path, path: str, value: str) -> None:
    of = profile.load(project / "deploy", "tiny-qwable")
    document = lock_document(of)
    part, _, key = path.rpartition(".")
    (document[part] if part else document)[key] = value
    with pytest.raises(ThorError) as caught:
        render_release(
            of,
            Lock.model_validate(document),
            device_class.load(project / "deploy", "simulated-container"),
            project / "deploy" / "templates",
        )
    assert caught.value.code == "lock_mismatch"
    assert value in caught.value.message


@pytest.mark.parametrize(
    ("reference", "repository"),
    [
        ("docker.io/vllm/vllm-openai:v1", "docker.io/vllm/vllm-openai"),
        ("index.docker.io/vllm/vllm-openai:v1", "docker.io/vllm/vllm-openai"),
        ("docker.io/ubuntu:1", "docker.io/ubuntu"),  # locked before names were normalized
        ("docker.io/ubuntu:1", "docker.io/library/ubuntu"),
    ],
)
def test_names_of_docker_hub_match_in_every_spelling(project: Path, reference: str, repository: str) -> None:
    of = profile.load(project / "deploy", "tiny-qwable")
    of = changed(of, image={**of.image.model_dump(), "reference": reference})
    document = lock_document(of)
    document["image"] |= {"reference": reference, "repository": repository}
    locks.require_match(of, Lock.model_validate(document))


def _set(path: str, value: object) -> dict[str, object]:
    return {"path": path, "value": value}


DAMAGE = [
    _set("image.digest", "sha256:abc"),
    _set("image.digest", "latest"),
    _set("image.platform", "linux/riscv64"),
    _set("image.compressed_bytes", 0),
    _set("image.repository", "x y"),
    _set("image.repository", "registry.thorctl.test:5000/thorctl/cpu-vllm:0.32.0"),
    _set("checkpoint.commit", "main"),
    _set("checkpoint.total_bytes", 1),
    _set("checkpoint.files", []),
    _set("checkpoint.files.0.path", "../evil"),
    _set("checkpoint.files.0.path", "/etc/passwd"),
    _set("checkpoint.files.0.path", "a//b"),
    _set("checkpoint.files.0.path", "z"),
    _set("checkpoint.files.0.size", -1),
    _set("checkpoint.files.0.sha256", "C" * 64),
    _set("extra", 1),
]


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda one: f"{one['path']}={str(one['value'])[:12]}")
def test_what_is_no_lock(project: Path, damage: dict[str, Any]) -> None:
    document = lock_document(profile.load(project / "deploy", "tiny-qwable"))
    Lock.model_validate(document)
    target: Any = document
    *way, last = damage["path"].split(".")
    for key in way:
        target = target[int(key)] if key.isdecimal() else target[key]
    target[last] = damage["value"]
    with pytest.raises(ValidationError):
        Lock.model_validate(document)
    path = locks.path_of(project / "deploy", "tiny-qwable")
    path.parent.mkdir()
    path.write_text(json.dumps(document))
    with pytest.raises(ThorError) as caught:
        locks.load(project / "deploy", "tiny-qwable")
    assert caught.value.code == "lock_invalid"
    assert "thorctl lock tiny-qwable" in caught.value.remedy


def test_changes_are_named_by_file(project: Path) -> None:
    of = profile.load(project / "deploy", "tiny-qwable")
    before = lock_for(of)
    document = lock_document(of)
    document["checkpoint"]["files"][0]["sha256"] = "e" * 64
    document["checkpoint"]["files"][1]["path"] = "other.safetensors"
    keys = [key for key, _, _ in locks.changes(before, Lock.model_validate(document))]
    assert keys == ["file config.json", "file model.safetensors", "file other.safetensors"]
    assert locks.changes(before, before) == []


def test_people_see_what_changed_with_short_hashes(
    project: Path, upstream: list[str], registry: RegistryProcess
) -> None:
    def shown() -> str:
        console = Console(width=120, color_system=None)
        with console.capture() as capture:
            console.print(thorctl(project, "lock", "tiny-qwable", *upstream).view)
        return capture.get()

    first = locks.load(project / "deploy", "tiny-qwable") if "locked" in shown() else None
    assert first is not None
    assert "up to date" in shown()
    moved = registry.image("thorctl/cpu-vllm", "0.32.0", "amd64", b"another layer")
    table = shown()
    assert f"{first.image.digest[:19]}…" in table
    assert f"{moved.digest[:19]}…" in table
    assert moved.digest not in table
    assert "checkpoint" not in table


def test_the_simulations_addresses_are_used_and_overruled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from thorctl.cli.lock import addresses
    from thorctl.sim.state import Simulation

    assert addresses(()) == {}
    monkeypatch.setenv("THORCTL_SIM_DIR", str(tmp_path))
    Simulation(name="demo", subnet="10.9.8.0/24", registry_address="10.9.8.2", hub_address="10.9.8.3").save()
    assert addresses(()) == {REGISTRY: "http://10.9.8.2:5000", HUB: "http://10.9.8.3"}
    assert addresses((f"{HUB}=http://127.0.0.1:1",))[HUB] == "http://127.0.0.1:1"


def test_a_lock_of_an_earlier_version_reads_and_keeps_its_text(project: Path) -> None:
    """Releases made from it keep their id: what is absent is not written as null."""
    document = lock_document(profile.load(project / "deploy", "tiny-qwable"))
    del document["checkpoint"]["model"]
    lock = Lock.model_validate(document)
    assert lock.checkpoint.model is None
    assert "model" not in lock.model_dump(mode="json")["checkpoint"]
    assert "model" not in json.loads(lock.text())["checkpoint"]


@pytest.mark.parametrize("via", [(), ("--via", "hub.thorctl.test=http://127.0.0.1:9")])
def test_profile_of_the_simulation_without_one_names_it(project: Path, via: tuple[str, ...]) -> None:
    result = thorctl(project, "lock", "tiny-qwable", *via)
    (error,) = result.errors
    assert error.code == "simulation_missing"
    assert "registry.thorctl.test:5000" in error.message
    assert ("hub.thorctl.test" in error.message) == (not via)
    assert "thorctl sim up" in error.remedy


def test_the_command_of_the_remedy_makes_any_bad_lock_good(project: Path, upstream: list[str]) -> None:
    deploy = project / "deploy"
    path = locks.path_of(deploy, "tiny-qwable")

    def bad(code: str) -> None:
        with pytest.raises(ThorError) as caught:
            locks.load(deploy, "tiny-qwable")
        assert caught.value.code == code
        assert "`thorctl lock tiny-qwable`" in caught.value.remedy
        assert thorctl(project, "lock", "tiny-qwable", *upstream).exit_code == 0
        assert locks.load(deploy, "tiny-qwable")

    bad("lock_missing")
    path.write_text("{}")
    bad("lock_invalid")
    path.unlink()
    path.mkdir()
    with pytest.raises(ThorError) as caught:
        locks.load(deploy, "tiny-qwable")
    assert caught.value.code == "lock_unreadable"
    path.rmdir()  # "or delete it"
    bad("lock_missing")
