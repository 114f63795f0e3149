"""The hub's token and the registry's login: each reaches whom it is for, and no argument, message or log."""

from __future__ import annotations

import base64
import json
import logging
from typing import TYPE_CHECKING

import pytest

from tests.support.device_double import make_context
from tests.support.hub_stage import BIG, TOKEN, Sandboxless, give_token, refused, release_of, say
from thorctl.agent.core.outcome import AgentError
from thorctl.agent.staging import hub_token, registry_login
from thorctl.protocol.paths import HUB_TOKEN, REGISTRY_LOGIN

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.cutting_hub import CuttingHub
    from thorctl.agent.core.context import Context


def test_without_its_token_a_gated_hub_is_closed(ctx: Context, hub: CuttingHub) -> None:
    hub.token = TOKEN
    error = refused(ctx, release_of(hub))
    assert (error.code, "thor_hub_token" in error.remedy) == ("hub_denied", True)


def test_another_token_does_not_open_it_and_is_not_told(
    ctx: Context,
    hub: CuttingHub,
) -> None:
    hub.token = TOKEN
    give_token(ctx, "hf_another")
    error = refused(ctx, release_of(hub))
    assert error.code == "hub_denied"
    assert "hf_another" not in f"{error} {error.details}"


def test_with_it_the_checkpoint_comes_and_nobody_reads_it(
    ctx: Context,
    hub: CuttingHub,
    runner: Sandboxless,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    hub.token = TOKEN
    give_token(ctx)
    outcome = say(ctx, release_of(hub))
    assert outcome.changed
    assert runner.started
    assert TOKEN not in json.dumps(runner.started)
    assert TOKEN not in caplog.text + json.dumps(outcome.json)
    holders = [p for p in tmp_path.rglob("*") if p.is_file() and TOKEN.encode() in p.read_bytes()]
    assert holders == [ctx.paths.at(HUB_TOKEN)]


def test_the_rest_of_a_file_is_fetched_with_it_too(ctx: Context, hub: CuttingHub) -> None:
    hub.token = TOKEN
    give_token(ctx)
    hub.budget = 4_000_000
    assert refused(ctx, release_of(hub)).code == "download_interrupted"
    hub.budget, before = None, hub.sent
    say(ctx, release_of(hub))
    assert hub.sent - before < len(BIG)


@pytest.mark.parametrize(
    ("repository", "host"),
    [
        ("ghcr.io/nvidia-ai-iot/vllm", "ghcr.io"),
        ("registry.test:5000/a", "registry.test:5000"),
        ("localhost/a", "localhost"),
        ("vllm/vllm-openai", "docker.io"),
        ("debian", "docker.io"),
    ],
)
def test_the_registry_of_a_repository(repository: str, host: str) -> None:
    assert registry_login.host_of(repository) == host


def test_a_login_is_for_its_registry_only(tmp_path: Path) -> None:
    device = make_context(tmp_path)
    assert registry_login.headers(device, "ghcr.io/a/b") == {}
    file = device.paths.at(REGISTRY_LOGIN)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"ghcr.io": {"username": "robot", "password": "pässwörd?>"}}))
    assert registry_login.headers(device, "quay.io/a/b") == {}
    told = registry_login.headers(device, "ghcr.io/a/b")["X-Registry-Auth"]
    assert json.loads(base64.urlsafe_b64decode(told)) == {
        "username": "robot",
        "password": "pässwörd?>",
        "serveraddress": "ghcr.io",
    }


@pytest.mark.parametrize(
    "text", ["s3cret", "[]", '{"ghcr.io": "s3cret"}', '{"ghcr.io": {"username": "s3cret"}}']
)
def test_a_file_that_is_none_is_refused_without_its_content(tmp_path: Path, text: str) -> None:
    device = make_context(tmp_path)
    file = device.paths.at(REGISTRY_LOGIN)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    with pytest.raises(AgentError) as failed:
        registry_login.headers(device, "ghcr.io/a/b")
    assert failed.value.code == "bad_state"
    assert "s3cret" not in f"{failed.value} {failed.value.details}"


@pytest.mark.parametrize(
    ("endpoint", "may"),
    [
        ("https://huggingface.co", True),
        ("http://127.0.0.1:8080", True),
        ("http://localhost", True),
        ("http://hub.lab", False),
        ("http://127.0.0.1.lab", False),
        ("http://localhost@hub.lab", False),
        ("ftp://hub.lab", False),
        ("", False),
    ],
)
def test_the_token_goes_where_nobody_on_the_way_can_read_it(ctx: Context, endpoint: str, may: bool) -> None:
    give_token(ctx)
    assert hub_token.may_see(endpoint) is may
    assert hub_token.for_hub(ctx, endpoint) == (TOKEN if may else None)
