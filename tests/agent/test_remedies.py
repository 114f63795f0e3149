"""Each remedy of the agent's errors is done as it is worded, and the refused verb then succeeds."""

from __future__ import annotations

import errno
import json
import pwd
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.agent.checks.test_preflight import situation
from tests.agent.core.test_docker_busy import REMOVING, docker, quick
from tests.agent.engine.test_image_user import Docker
from tests.agent.engine.test_volumes import Declaring
from tests.agent.release.test_store import malicious, put_on_disk
from tests.agent.staging.test_image import PULL, Engine
from tests.agent.verbs.test_engine_prepare import WithProgram, release
from tests.support.device_double import make_context, make_release
from tests.support.hub_stage import (
    FILES,
    TOKEN,
    NoContainers,
    Sandboxless,
    give_token,
    refused,
    release_of,
    say,
)
from tests.support.trial_steps import code, commit_one
from thorctl.agent.checks.judge import judge
from thorctl.agent.core import account
from thorctl.agent.core.account import Account
from thorctl.agent.core.docker_api import DockerApi
from thorctl.agent.core.files import Files
from thorctl.agent.core.outcome import AgentError
from thorctl.agent.engine import image_user, volumes
from thorctl.agent.release.document import parse
from thorctl.agent.staging import fetcher, image
from thorctl.agent.verbs import engine_prepare, preflight
from thorctl.protocol import canonical_json
from thorctl.protocol.paths import REGISTRY_LOGIN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from http.server import BaseHTTPRequestHandler
    from pathlib import Path

    from tests.support.cutting_hub import CuttingHub
    from tests.support.stateful_device import Device
    from thorctl.agent.core.context import Context
    from thorctl.agent.core.runner import Completed
    from thorctl.agent.release.document import Release


def refusal(act: Callable[[], object]) -> AgentError:
    """The error with which ``act`` is refused."""
    with pytest.raises(AgentError) as caught:
        act()
    assert caught.value.remedy
    return caught.value


def failing_writes(monkeypatch: pytest.MonkeyPatch, number: int, while_there: Callable[[], bool]) -> None:
    write = Files.write

    def refuse(self: Files, path: Path, content: bytes, mode: int = 0o644) -> None:
        if while_there():
            raise OSError(number, "no", str(path))
        write(self, path, content, mode)

    monkeypatch.setattr(Files, "write", refuse)


def test_disk_too_small_gc_makes_room_for_the_activation(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """gc itself works on a disk that takes no further byte."""
    commit_one(device, 1)
    old = device.release(2)
    new = device.release(3)
    full = device.paths.release_dir(old.id)
    failing_writes(monkeypatch, errno.ENOSPC, full.exists)
    outcome = device.say("activate", new.id)
    assert code(outcome) == ("disk_too_small", 1)
    assert outcome.error is not None
    assert "thor-agent gc" in outcome.error.remedy
    removed = device.done("gc", "--keep", "0")["removed"]
    assert {one["name"] for one in removed} >= {old.id}
    device.release(3)
    assert device.done("activate", new.id)["release"] == new.id


def test_disk_read_only_activation_succeeds_once_the_disk_is_writable(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit_one(device, 1)
    new = device.release(2)
    with monkeypatch.context() as patch:
        failing_writes(patch, errno.EROFS, lambda: True)
        assert code(device.say("activate", new.id)) == ("disk_read_only", 1)
    assert device.done("activate", new.id)["release"] == new.id


def test_docker_unavailable_until_it_is_started(tmp_path: Path) -> None:
    path = tmp_path / "d.sock"
    ctx = replace(make_context(tmp_path), docker=DockerApi(str(path)))
    error = refusal(lambda: image.present(ctx, make_release()))
    assert error.code == "docker_unavailable"
    assert "systemctl start docker" in error.remedy
    with docker(path, [(200, {"RepoDigests": [make_release().image]})]):
        assert image.present(ctx, make_release())


def test_docker_busy_until_it_is_restarted(tmp_path: Path) -> None:
    path = tmp_path / "d.sock"
    with docker(path, [REMOVING]):
        error = refusal(lambda: quick(path).remove_container("thor-engine"))
    assert error.code == "docker_busy"
    assert "systemctl restart docker" in error.remedy
    with docker(path, [(404, {"message": "No such container"})]):
        assert quick(path).remove_container("thor-engine") is False


def test_fetcher_exceeded_stages_again_from_an_emptied_directory(
    ctx: Context, hub: CuttingHub, runner: Sandboxless, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetcher, "SLACK_BYTES", 1_000_000)
    release = release_of(hub)
    more = ctx.paths.incoming / release.checkpoint_name / "more"
    runner.program = ["sh", "-c", f"head -c 50000000 /dev/zero > {more}; sleep 60"]
    error = refused(ctx, release)
    assert error.code == "fetcher_exceeded"
    assert str(ctx.paths.incoming).endswith(error.remedy.split("delete ")[1].split(" ")[0])
    runner.program = None  # the hub or mirror is repaired
    shutil.rmtree(ctx.paths.incoming)
    assert say(ctx, release).changed


def test_incoming_unsafe_stages_again_from_an_emptied_directory(
    ctx: Context, hub: CuttingHub, runner: Sandboxless
) -> None:
    release = release_of(hub)
    link = ctx.paths.incoming / release.checkpoint_name / "link"
    runner.program = ["sh", "-c", f"ln -s /etc {link}; sleep 60"]
    error = refused(ctx, release)
    assert error.code == "incoming_unsafe"
    assert "/var/lib/thor/incoming" in error.remedy
    runner.program = None
    shutil.rmtree(ctx.paths.incoming)
    assert say(ctx, release).changed


def test_fetcher_not_stopped_until_the_device_was_rebooted(ctx: Context, hub: CuttingHub) -> None:
    procs = ctx.paths.at("/sys/fs/cgroup/system.slice") / fetcher.UNIT / "cgroup.procs"
    procs.parent.mkdir(parents=True)
    procs.write_text("4711\n")
    release = release_of(hub)
    error = refused(ctx, release)
    assert error.code == "fetcher_not_stopped"
    assert "reboot" in error.remedy
    procs.unlink()
    assert say(ctx, release).changed


def test_account_missing_until_the_role_has_made_it(
    ctx: Context, hub: CuttingHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: dict[str, pwd.struct_passwd] = {}
    monkeypatch.undo()  # of the fixture: every account is found
    monkeypatch.setattr(pwd, "getpwnam", made.__getitem__)
    error = refused(ctx, release_of(hub))
    assert error.code == "account_missing"
    assert "site.yml" in error.remedy
    made["thor-fetch"] = pwd.struct_passwd(("thor-fetch", "x", 990, 989, "", "/", account.NO_LOGIN[0]))
    assert account.find(ctx) == Account("thor-fetch", 990, 989)


def test_image_volume_refused_until_the_dockerfile_has_none(tmp_path: Path) -> None:
    def options(*places: str) -> list[str]:
        return volumes.options(replace(make_context(tmp_path), docker=Declaring(*places)), "image")

    assert refusal(lambda: options("/a,src=/etc")).code == "image_volume_refused"
    assert options() == []


class OfRoot(Docker):
    """An image whose programs only root may run."""

    def run(self, argv: Sequence[str], **options: Any) -> Completed:
        self.status = 0 if "0:0" in argv else 1
        return super().run(argv, **options)


def with_image(**image_of: Any) -> Release:
    document = release().document
    document["profile"]["image"] |= image_of
    return parse(canonical_json.encode({**document, "id": canonical_json.release_id(document)}))


def test_image_user_unusable_until_the_profile_names_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = pwd.struct_passwd(("thor-engine", "x", 990, 991, "", "/", account.NO_LOGIN[0]))
    monkeypatch.setattr(pwd, "getpwnam", lambda _: entry)
    ctx = replace(make_context(tmp_path, OfRoot(1, "Permission denied")), docker=WithProgram("/nowhere"))
    error = refusal(lambda: image_user.verify(ctx, with_image(user="own")))
    assert error.code == "image_user_unusable"
    assert "image.user: root" in error.remedy
    image_user.verify(ctx, with_image(user="root"))


def test_image_entrypoint_missing_until_the_profile_names_one(tmp_path: Path) -> None:
    ctx = replace(make_context(tmp_path), docker=NoContainers("/nowhere"))
    error = refusal(lambda: engine_prepare.command(ctx, "image", []))
    assert error.code == "image_entrypoint_missing"
    assert "[vllm, serve]" in error.remedy
    assert engine_prepare.command(ctx, "image", ["vllm", "serve"]) == ["vllm", "serve"]


# What Docker says -> the code; once the cause is gone, the same stage succeeds.
PULLS = {
    "x509: certificate has expired or is not yet valid: current time 1970": "registry_clock",
    "tls: failed to verify certificate: x509: certificate signed by unknown": "registry_untrusted",
    "toomanyrequests: You have reached your pull rate limit.": "registry_limited",
    "received unexpected HTTP status: 502 Bad Gateway": "registry_unavailable",
    "proxyconnect tcp: dial tcp 10.0.0.9:3128: connect: connection refused": "registry_proxy_failed",
    "Get http://r:5000/v2/: dial tcp 10.0.0.1:5000: connect: connection refused": "image_pull_failed",
    "manifest for r/e@sha256:aa not found: manifest unknown: manifest unknown": "image_not_found",
    "write /var/lib/docker/tmp/x: no space left on device": "disk_too_small",
}


@pytest.mark.parametrize("words", PULLS, ids=PULLS.values())
def test_a_pull_succeeds_once_its_cause_is_gone(tmp_path: Path, words: str) -> None:
    docker = Engine([*PULL[:3], {"error": words}])
    ctx = replace(make_context(tmp_path), docker=docker)
    assert refusal(lambda: image.ensure(ctx, make_release())).code == PULLS[words]
    docker.messages = PULL
    assert image.ensure(ctx, make_release()) == 1000


def test_image_digest_mismatch_until_the_registry_serves_the_locked_one(tmp_path: Path) -> None:
    docker = Engine(PULL, delivers=False)
    ctx = replace(make_context(tmp_path), docker=docker)
    assert refusal(lambda: image.ensure(ctx, make_release())).code == "image_digest_mismatch"
    docker.delivers = True
    image.ensure(ctx, make_release())


class Gated(Engine):
    """A registry that asks for a login."""

    def pull(self, *words: Any) -> Iterator[dict[str, Any]]:
        self.messages = (
            PULL if words[-1].get("X-Registry-Auth") else [{"error": "pull access denied for r/e"}]
        )
        yield from super().pull(*words)


def test_registry_denied_until_the_device_has_a_login(tmp_path: Path) -> None:
    ctx = replace(make_context(tmp_path), docker=Gated(PULL))
    error = refusal(lambda: image.ensure(ctx, make_release()))
    assert error.code == "registry_denied"
    assert "thor_registry_logins" in error.remedy
    file = ctx.paths.at(REGISTRY_LOGIN)  # what site.yml makes of it
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"registry.test": {"username": "robot", "password": "x"}}))
    assert image.ensure(ctx, make_release()) == 1000


def test_hub_denied_until_the_device_has_a_token(ctx: Context, hub: CuttingHub) -> None:
    hub.token = TOKEN
    error = refused(ctx, release_of(hub))
    assert error.code == "hub_denied"
    assert "thor_hub_token" in error.remedy
    give_token(ctx)  # as site.yml does
    assert say(ctx, release_of(hub)).changed


def test_hub_unreachable_until_it_runs_at_the_endpoint_of_the_site(ctx: Context, hub: CuttingHub) -> None:
    release = release_of(hub, endpoint="http://127.0.0.1:9")
    assert refused(ctx, release).code == "hub_unreachable"
    ctx.paths.device_json.parent.mkdir(parents=True)
    ctx.paths.device_json.write_text(json.dumps({"hub_endpoint": hub.url}))
    assert say(ctx, release).changed


@pytest.mark.parametrize(("status", "code"), [(429, "hub_limited"), (503, "hub_unavailable")])
def test_a_hub_that_refuses_for_a_while_is_staged_from_later(
    ctx: Context, hub: CuttingHub, status: int, code: str
) -> None:
    def odd(request: BaseHTTPRequestHandler, _: bytes) -> bool:
        hub.plain(request, status, b"later", {})
        return True

    usual, hub.odd = hub.odd, odd
    error = refused(ctx, release_of(hub))
    assert (error.code, error.details["retriable"]) == (code, True)
    hub.odd = usual
    assert say(ctx, release_of(hub)).changed


def test_file_missing_until_the_hub_has_it(ctx: Context, hub: CuttingHub) -> None:
    hub.files["thorctl/tiny"] = {"config.json": FILES["config.json"]}
    assert refused(ctx, release_of(hub)).code == "file_missing"
    hub.files["thorctl/tiny"] = FILES
    assert say(ctx, release_of(hub)).changed


@pytest.mark.parametrize(
    "code",
    [
        *("hub_clock", "hub_untrusted", "hub_name_unknown", "hub_proxy_failed", "hub_stalled"),
        *("hub_answer_invalid", "disk_too_small", "disk_read_only", "fetcher_failed"),
    ],
)
def test_what_the_fetcher_ended_with_is_staged_again(
    ctx: Context, hub: CuttingHub, runner: Sandboxless, code: str
) -> None:
    runner.program = ["printf", "%s\\n", json.dumps({"end": {"code": code, "reason": "why"}})]
    assert refused(ctx, release_of(hub)).code == code
    runner.program = None
    assert say(ctx, release_of(hub)).changed


def test_not_staged_until_it_is_staged(device: Device) -> None:
    wanted = device.release(1)
    weights = device.paths.checkpoints / wanted.checkpoint_name / "model.safetensors"
    weights.chmod(0o644)
    weights.unlink()
    assert code(device.say("activate", wanted.id)) == ("not_staged", 2)
    device.release(1)  # stages it
    assert device.done("activate", wanted.id)["release"] == wanted.id


def test_release_invalid_until_it_is_staged_again(device: Device) -> None:
    wanted = device.release(1)
    file = device.paths.release_dir(wanted.id) / "serve.yaml"
    file.chmod(0o644)
    file.write_text("a: 2\n")
    assert code(device.say("activate", wanted.id)) == ("release_invalid", 2)
    device.release(1)
    assert device.done("activate", wanted.id)["release"] == wanted.id


def test_release_conflict_until_gc_has_deleted_the_other(
    device: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit_one(device, 1)
    wanted = device.release(2)
    offered = tmp_path / "offered.json"
    offered.write_bytes(canonical_json.encode(wanted.document))
    with monkeypatch.context() as patch:
        put_on_disk(device, malicious(wanted, patch))
        assert code(device.say("plan", "--release", str(offered))) == ("release_conflict", 2)
    device.done("gc", "--keep", "0")
    assert device.say("plan", "--release", str(offered)).error is None


@pytest.mark.parametrize("fault", ["engine_died", "engine_not_ready"])
def test_an_engine_that_failed_is_activated_once_its_cause_is_gone(device: Device, fault: str) -> None:
    old, new = commit_one(device, 1), device.release(2)
    faulty = device.systemd.broken if fault == "engine_died" else device.unready
    faulty.add(new.id)
    assert code(device.say("activate", new.id)) == (fault, 1)
    assert device.systemd.running_release() == old.id
    faulty.clear()
    assert device.done("activate", new.id)["release"] == new.id


@pytest.mark.parametrize("verb", ["commit", "rollback"])
def test_bad_state_of_a_trial_until_it_is_ended(device: Device, verb: str) -> None:
    commit_one(device, 1)
    new, other = device.release(2), device.release(3)
    device.done("activate", new.id)
    outcome = device.say("activate", other.id)
    assert code(outcome) == ("bad_state", 2)
    assert outcome.error is not None
    assert f"thorctl {verb} DEVICE" in outcome.error.remedy
    device.smoke_passed(new)
    device.done(verb)
    assert device.done("activate", other.id)["release"] == other.id


def test_nothing_to_roll_back_until_another_release_is_activated(device: Device) -> None:
    commit_one(device, 1)
    assert code(device.say("rollback")) == ("nothing_to_roll_back", 2)
    device.done("activate", device.release(2).id)
    device.done("rollback")


def test_held_until_the_hold_is_released_or_passed_over(device: Device) -> None:
    new = device.release(1)
    device.done("hold", "set", "on patrol")
    outcome = device.say("activate", new.id)
    assert code(outcome) == ("held", 3)
    assert outcome.error is not None
    assert "--over-hold 'on patrol'" in outcome.error.remedy
    device.done("activate", "--over-hold", "on patrol", new.id)
    device.done("rollback")
    device.done("hold", "clear")  # `thorctl hold release`
    device.done("activate", new.id)


def test_leased_until_the_lease_is_given_back(device: Device) -> None:
    new = device.release(1)
    device.done("--holder", "ann@desk", "lease", "take", "--ttl", "600", "--reason", "antenna")
    outcome = device.say("activate", new.id)
    assert code(outcome) == ("leased", 3)
    assert outcome.error is not None
    assert "thorctl lease give DEVICE --force" in outcome.error.remedy
    device.done("lease", "give", "--force")
    device.done("activate", new.id)


def test_preflight_failed_until_its_check_is_lowered() -> None:
    def failure(*skip: str) -> AgentError | None:
        items = judge(situation("l4t", {"revision_full": "36.4.3"}), skip=skip)
        return preflight.failure(items, preflight.report("r", items))

    error = failure()
    assert error is not None
    assert error.code == "preflight_failed"
    assert "--skip l4t" in error.remedy
    assert failure("l4t") is None
