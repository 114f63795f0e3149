"""What is made before each start of the engine, where the engine of the last one left traps."""

from __future__ import annotations

import dataclasses
import os
import shutil
import stat
import subprocess
import tempfile
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.device_double import make_context, make_release
from tests.support.stateful_device import Images
from tests.support.trial_steps import commit_one
from thorctl.agent.core.outcome import AgentError
from thorctl.agent.engine import account, cache
from thorctl.agent.engine.account import Account
from thorctl.agent.release import store as release_store
from thorctl.agent.release.document import SOCKET_LAYOUT, Release, parse
from thorctl.agent.staging import image
from thorctl.agent.state.journal import Journal, load_journal
from thorctl.agent.verbs import engine_prepare, gc
from thorctl.protocol import canonical_json
from thorctl.protocol.paths import ENGINE_SOCKET
from thorctl.protocol.states import COMMITTED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.stateful_device import Device
    from thorctl.agent.core.context import Context

UID = GID = MEMBERS = 4242
root_only = pytest.mark.root  # gives directories to another user


class WithProgram(Images):
    """A Docker engine whose images start ``vllm serve``."""

    def image(self, reference: str) -> dict[str, Any]:
        return {**super().image(reference), "Config": {"Entrypoint": ["vllm", "serve"]}}


@pytest.fixture
def ctx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    monkeypatch.setattr(account, "of_engine", lambda _: Account(UID, GID))
    monkeypatch.setattr(account, "api_group", lambda: MEMBERS)
    return dataclasses.replace(make_context(tmp_path), docker=WithProgram("/nowhere"))


def release(**changes: Any) -> Release:
    """A release of layout 2; ``changes`` as of ``make_release``."""
    document = make_release(**changes).document
    document = {**document, "schema": 2, "options": {"max-num-seqs": 4}, "memory": None}
    document["profile"] = {**document["profile"], "image": {"user": "own", "entrypoint": []}}
    return parse(canonical_json.encode({**document, "id": canonical_json.release_id(document)}))


def prepared(ctx: Context, of: Release) -> dict[str, Any]:
    release_store.write(ctx, of)
    return engine_prepare.run(ctx, Namespace(id=of.id)).json


def changed_files(text: str) -> dict[str, Any]:
    return {"files": {"parser.py": {"mode": "0444", "content": text}}}


@root_only
def test_the_directory_is_the_engines_and_the_groups(ctx: Context) -> None:
    data = prepared(ctx, release())
    found = ctx.paths.at(ENGINE_SOCKET).parent.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (UID, MEMBERS, 0o750)
    made = cache.directory(ctx, release()).stat()
    assert (made.st_uid, made.st_gid, stat.S_IMODE(made.st_mode)) == (UID, GID, 0o700)
    assert stat.S_IMODE(ctx.paths.cache.stat().st_mode) == 0o700
    assert data["THOR_ENGINE_USER"] == f"{UID}:{GID}"
    assert data["THOR_ENGINE_COMMAND"] == "vllm serve"
    settings = ctx.paths.engine_settings
    assert stat.S_IMODE(settings.stat().st_mode) == 0o600
    assert f"THOR_ENGINE_CACHE={cache.directory(ctx, release())}" in settings.read_text().splitlines()


@root_only
def test_a_left_over_socket_is_gone(ctx: Context) -> None:
    directory = ctx.paths.at(ENGINE_SOCKET).parent
    directory.mkdir(parents=True)
    (directory / "engine.sock").touch()
    prepared(ctx, release())
    assert list(directory.iterdir()) == []


@root_only
@pytest.mark.parametrize("place", ["directory", "entry"])
def test_a_symlink_in_the_socket_directory_is_not_followed(ctx: Context, place: str) -> None:
    directory, precious = ctx.paths.at(ENGINE_SOCKET).parent, ctx.paths.at("/etc/precious")
    precious.mkdir(parents=True)
    (precious / "file").touch()
    before = precious.stat()
    if place == "directory":
        directory.parent.mkdir(parents=True)
        directory.symlink_to(precious)
    else:
        directory.mkdir(parents=True)
        (directory / "engine.sock").symlink_to(precious)
    prepared(ctx, release())
    assert (precious / "file").exists()
    assert (precious.stat().st_uid, precious.stat().st_mode) == (before.st_uid, before.st_mode)
    assert not directory.is_symlink()


@pytest.fixture
def _emptied(tmp_path: Path) -> Iterator[None]:
    """pytest cannot delete what a failed test leaves."""
    yield
    subprocess.run(["rm", "-rf", "--", tmp_path], check=True)


def nest(place: Path) -> None:
    """More directories in one another than Python calls functions; a path does not reach the last."""
    place.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(place, os.O_RDONLY)
    for _ in range(2500):
        os.mkdir("d", dir_fd=descriptor)
        deeper = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = deeper
    os.close(os.open("kernel.so", os.O_CREAT, dir_fd=descriptor))
    os.close(descriptor)


@root_only
@pytest.mark.usefixtures("_emptied")
def test_no_depth_of_the_engines_directories_keeps_the_next_one_from_starting(ctx: Context) -> None:
    prepared(ctx, release())
    directory, cached = ctx.paths.at(ENGINE_SOCKET).parent, cache.directory(ctx, release())
    nest(directory)
    nest(cached)
    cache.mark_shared(ctx)
    prepared(ctx, release())
    assert list(directory.iterdir()) == list(cached.iterdir()) == []


@root_only
@pytest.mark.usefixtures("_emptied")
def test_gc_deletes_a_cache_of_any_depth(ctx: Context) -> None:
    prepared(ctx, release())
    nest(cache.directory(ctx, release()))
    removed = gc.run(ctx, Namespace(keep=0, dry_run=False)).json["removed"]
    assert "cache" in {one["kind"] for one in removed}
    assert list(ctx.paths.engine_cache.iterdir()) == []


@pytest.mark.parametrize(
    "word", ["vllm\rTHOR_ENGINE_CACHE=/", "vllm\x0b", "vllm\u2028", "$vllm", "v llm", ""]
)
def test_an_images_entrypoint_sets_nothing_but_the_command(ctx: Context, word: str) -> None:
    """systemd ends a line of an EnvironmentFile= at a carriage return, too."""

    class Hostile(WithProgram):
        def image(self, reference: str) -> dict[str, Any]:
            return {**super().image(reference), "Config": {"Entrypoint": ["vllm", word]}}

    with pytest.raises(AgentError) as refused:
        prepared(dataclasses.replace(ctx, docker=Hostile("/nowhere")), release())
    assert refused.value.code == "image_entrypoint_missing"
    assert not ctx.paths.engine_settings.exists()


@root_only
def test_a_symlink_in_place_of_the_cache_is_not_followed(ctx: Context) -> None:
    prepared(ctx, release())
    of, precious = cache.directory(ctx, release()), ctx.paths.at("/etc/precious")
    precious.mkdir(parents=True)
    of.rmdir()
    of.symlink_to(precious)
    prepared(ctx, release())
    assert not of.is_symlink()
    assert of.stat().st_uid == UID
    assert precious.stat().st_uid == os.getuid()


@root_only
def test_the_cache_outlives_a_restart(ctx: Context) -> None:
    prepared(ctx, release())
    kernel = cache.directory(ctx, release()) / "kernel.so"
    kernel.touch()
    prepared(ctx, release())
    assert kernel.exists()


@root_only
def test_code_left_by_one_release_is_not_in_anothers_cache(ctx: Context) -> None:
    """A usercustomize.py or a kernel that one image's engine leaves is no code of the next one's."""
    first, second = release(), release(**changed_files("other code"))
    prepared(ctx, first)
    trap = (
        cache.directory(ctx, first) / ".local" / "lib" / "python3.12" / "site-packages" / "usercustomize.py"
    )
    trap.parent.mkdir(parents=True)
    trap.touch()
    data = prepared(ctx, second)
    assert not trap.is_relative_to(data["THOR_ENGINE_CACHE"])


@root_only
def test_all_caches_are_emptied_after_an_engine_of_layout_1(ctx: Context) -> None:
    prepared(ctx, release())
    trap = cache.directory(ctx, release()) / "kernel.so"
    trap.touch()
    mark = cache.ready_mark(ctx, release())
    mark.parent.mkdir(parents=True)
    mark.touch()
    cache.mark_shared(ctx)
    prepared(ctx, release())
    assert not trap.exists()
    assert not mark.exists()


@root_only
def test_gc_keeps_the_caches_in_use_only(ctx: Context) -> None:
    first, second = release(), release(**changed_files("other code"))
    for one in (first, second):
        prepared(ctx, one)
    ctx.files.write_json(ctx.paths.journal, Journal(state=COMMITTED, current=second.id).document())
    assert load_journal(ctx.paths).needed == {second.id}
    removed = gc.run(ctx, Namespace(keep=5, dry_run=False)).json["removed"]
    assert [(one["kind"], one["name"]) for one in removed] == [("cache", cache.key(ctx, first))]
    assert cache.directory(ctx, second).exists()
    assert not cache.directory(ctx, first).exists()


def test_a_mark_is_not_in_the_engines_cache(ctx: Context) -> None:
    """A symlink there would have root make any file: /etc/nologin, say."""
    for one in (make_release(), release()):
        assert not cache.ready_mark(ctx, one).is_relative_to(ctx.paths.cache)


def test_links_in_the_cache_have_root_make_no_file(device: Device, tmp_path: Path) -> None:
    """The engine puts a link in the place of each file that an activation made there."""
    commit_one(device, 1)
    second = device.release(2)
    device.done("activate", second.id)
    device.done("rollback")
    victim = tmp_path / "nologin"
    for path in list(device.paths.cache.rglob("*")):
        if path.is_file():
            path.unlink()
            path.symlink_to(victim)
    device.done("activate", second.id)
    device.done("rollback")
    assert not victim.exists()


@pytest.fixture
def entered() -> Iterator[Path]:
    """A place that others may enter, as /var/lib is."""
    with tempfile.TemporaryDirectory(prefix="device-") as folder:
        place = Path(folder)
        place.chmod(0o755)
        yield place


@root_only
def test_a_setuid_program_in_the_cache_is_out_of_a_local_user_s_reach(ctx: Context, entered: Path) -> None:
    """Also where nosuid is not mounted. An engine of uid 0 makes it, and a local user knows the path."""
    there = dataclasses.replace(make_context(entered), docker=ctx.docker)
    cached = prepared(there, release())["THOR_ENGINE_CACHE"]
    program = shutil.copy("/usr/bin/id", f"{cached}/id")
    os.chmod(program, 0o4755)  # noqa: PTH101, S103 - the attack
    done = subprocess.run(
        ["/bin/sh", "-c", f"{program} -u; cd {cached} && ./id -u"],
        user=65534,
        group=65534,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.returncode != 0) == ("", True)


@pytest.mark.parametrize("layout", [1, 2])
@pytest.mark.parametrize("changed", ["serve.yaml", "engine.env"])
def test_a_mark_is_of_what_the_engine_is_started_with(ctx: Context, layout: int, changed: str) -> None:
    """A switch or a variable alone is a start with cold caches: it gets that start's time limit."""
    first = release() if layout == SOCKET_LAYOUT else make_release()

    def with_files(**content: str) -> Release:
        files = first.document["files"] | {
            name: {"mode": "0444", "content": content.get(name, "")} for name in ("serve.yaml", "engine.env")
        }
        return Release({**first.document, "files": files})

    of, other = with_files(), with_files(**{changed: "enforce-eager: true\n"})
    assert of.document["profile"] == other.document["profile"]
    assert cache.ready_mark(ctx, of) != cache.ready_mark(ctx, other)
    if layout == SOCKET_LAYOUT:
        assert cache.key(ctx, of) == cache.key(ctx, other)


def test_an_older_layout_is_not_prepared(ctx: Context) -> None:
    with pytest.raises(AgentError) as refused:
        prepared(ctx, make_release())
    assert refused.value.code == "bad_call"


def test_no_account_is_an_error_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account, "NAME", "nobody-has-this-name")
    with pytest.raises(AgentError) as refused:
        account.of_engine(release())
    assert refused.value.code == "account_missing"
    assert "site.yml" in refused.value.remedy


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("docker.io/vllm/vllm-openai", "vllm/vllm-openai"),
        ("docker.io/library/debian", "debian"),
        ("index.docker.io/library/debian", "debian"),
        ("registry.test:5000/library/debian", "registry.test:5000/library/debian"),
        ("GHCR.io/nvidia-ai-iot/vllm", "ghcr.io/nvidia-ai-iot/vllm"),
        ("vllm/vllm-openai", "vllm/vllm-openai"),
    ],
)
def test_a_name_is_compared_as_docker_shows_it(name: str, shown: str) -> None:
    assert image.familiar(name) == shown


def test_an_image_of_docker_hub_is_present(ctx: Context) -> None:
    class Hub(WithProgram):
        def image(self, reference: str) -> dict[str, Any]:
            return {**super().image(reference), "RepoDigests": [reference.removeprefix("docker.io/")]}

    lock = make_release().document["lock"]
    of = make_release(lock={"image": {**lock["image"], "repository": "docker.io/vllm/vllm-openai"}})
    assert image.present(dataclasses.replace(ctx, docker=Hub("/nowhere")), of)


def test_a_tag_that_names_another_image_is_set_again(ctx: Context) -> None:
    tagged: list[tuple[str, ...]] = []

    class Moved(WithProgram):
        def image(self, reference: str) -> dict[str, Any]:
            return {**super().image(reference), "Id": "right" if "@" in reference else "other"}

        def tag_image(self, *words: str) -> bool:
            tagged.append(words)
            return True

    image.pin(dataclasses.replace(ctx, docker=Moved("/nowhere")), release())
    assert tagged == [(release().image, "registry.test/engine", f"thor-{'a' * 12}")]
