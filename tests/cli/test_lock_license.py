"""`thorctl lock` and the checkpoint's licence: shown, accepted once, and asked again when it changes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pexpect  # type: ignore[import-untyped]  # has no types
import pytest

from tests.support.documents import lock_document
from thorctl.cli.main import run
from thorctl.errors import ThorError
from thorctl.release import device_class, profile
from thorctl.release import lock as locks
from thorctl.release.lock import Lock
from thorctl.release.render import render_release

if TYPE_CHECKING:
    from tests.support.hub_files import HubFiles
    from tests.support.images import RegistryProcess
    from thorctl.result import Result

REGISTRY = "registry.thorctl.test:5000"
HUB = "hub.thorctl.test"
THORCTL = Path(sys.executable).parent / "thorctl"
ACCEPT = ("--accept-license", "AGPL-3.0-only")


class Upstream:
    """The demo's image and a checkpoint under AGPL, and a profile that says so."""

    def __init__(self, project: Path, registry: RegistryProcess, hub: HubFiles) -> None:
        self.project, self.hub = project, hub
        registry.image("thorctl/cpu-vllm", "0.32.0", "amd64")
        self.card("agpl-3.0")
        self.profile("AGPL-3.0-only")
        self.words = [
            *("--platform", "linux/amd64"),
            *("--via", f"{REGISTRY}={registry.url}", "--via", f"{HUB}={hub.url}"),
        ]

    @property
    def path(self) -> Path:
        return self.project / "deploy" / "locks" / "tiny-qwable.lock.json"

    def card(self, license_: str | None) -> None:
        """The checkpoint with that licence in its model card."""
        head = f"---\nlicense: {license_}\n---\n" if license_ else ""
        files = {"README.md": f"{head}# A model\n".encode(), "model.safetensors": b"\x01" * 999}
        self.hub.add("thorctl/tiny-qwable", "main", files, large=("model.safetensors",))

    def profile(self, license_: str) -> None:
        """The profile with that licence."""
        source = self.project / "deploy" / "profiles" / "tiny-qwable.yml"
        lines = source.read_text().splitlines()
        kept = [line for line in lines if not line.startswith("license:")]
        source.write_text("\n".join([*kept, f"license: {license_}", ""]))

    def lock(self, *words: str) -> Result:
        result = run(
            ["--project", str(self.project), "--json", "--quiet", "lock", "tiny-qwable", *self.words, *words]
        )
        assert result is not None
        return result

    def locked(self) -> Lock:
        return locks.load(self.project / "deploy", "tiny-qwable")


@pytest.fixture
def upstream(project: Path, registry: RegistryProcess, hub: HubFiles) -> Upstream:
    return Upstream(project, registry, hub)


def code(result: Result) -> str | None:
    return result.errors[0].code if result.errors else None


def test_without_an_answer_nothing_is_written(upstream: Upstream) -> None:
    result = upstream.lock()
    assert (result.exit_code, code(result)) == (1, "license_not_accepted")
    assert "thorctl lock tiny-qwable --accept-license AGPL-3.0-only" in result.errors[0].remedy
    assert not upstream.path.exists()


def test_accepted_once_it_is_not_asked_again(upstream: Upstream) -> None:
    first = upstream.lock(*ACCEPT)
    assert (first.exit_code, first.data["written"]) == (0, True)
    assert upstream.locked().license.model_dump() == {"hub": "agpl-3.0", "accepted": "AGPL-3.0-only"}
    assert first.data["license"] == {
        "profile": "AGPL-3.0-only",
        "hub": "agpl-3.0",
        "accepted": "AGPL-3.0-only",
        "problem": None,
    }
    again = upstream.lock()
    assert (again.exit_code, again.data["written"]) == (0, False)
    upstream.hub.add("thorctl/tiny-qwable", "main", {"README.md": b"---\nlicense: agpl-3.0\n---\nnew\n"})
    moved = upstream.lock()
    assert (moved.exit_code, moved.data["written"]) == (0, True)
    assert upstream.locked().license.accepted == "AGPL-3.0-only"


def test_a_licence_that_changes_upstream_is_reported_and_asked_for_again(upstream: Upstream) -> None:
    upstream.lock(*ACCEPT)
    before = upstream.path.read_bytes()
    upstream.card("other\nlicense_name: house-terms")
    check = upstream.lock("--check")
    assert [problem.code for problem in check.errors] == ["lock_stale", "license_mismatch"]
    sentences = [one["sentence"] for one in check.data["moved"] if one["what"] == "license"]
    assert sentences == ["the model card's licence was agpl-3.0, and is house-terms now"]
    refused = upstream.lock(*ACCEPT)
    assert (refused.exit_code, code(refused)) == (1, "license_mismatch")
    upstream.profile("house-terms")
    asked = upstream.lock()
    assert code(asked) == "license_not_accepted"
    assert "The accepted licence is AGPL-3.0-only." in asked.errors[0].message
    assert upstream.path.read_bytes() == before
    assert upstream.lock("--accept-license", "house-terms").exit_code == 0
    assert upstream.locked().license.accepted == "house-terms"


def test_a_check_of_a_lock_nobody_accepted_says_so(upstream: Upstream) -> None:
    upstream.lock(*ACCEPT)
    document = json.loads(upstream.path.read_text())
    document["license"]["accepted"] = None
    del document["sha256"]
    upstream.path.write_text(json.dumps(document))
    check = upstream.lock("--check")
    assert (check.exit_code, [problem.code for problem in check.errors]) == (1, ["license_not_accepted"])


def test_a_dry_run_asks_nobody(upstream: Upstream) -> None:
    result = upstream.lock("--dry-run")
    assert (result.exit_code, result.data["license"]["problem"]) == (0, "license_not_accepted")
    assert not upstream.path.exists()


@pytest.mark.parametrize("license_", [None, "[unclosed"])
def test_a_card_that_says_nothing_leaves_the_profiles_word(upstream: Upstream, license_: str | None) -> None:
    upstream.card(license_)
    assert code(upstream.lock()) == "license_not_accepted"
    assert upstream.lock(*ACCEPT).exit_code == 0
    assert upstream.locked().license.hub is None


def test_the_hubs_own_reading_of_the_card_comes_first(upstream: Upstream) -> None:
    info = upstream.hub.folder / "api/models/thorctl/tiny-qwable/revision/main"
    document = json.loads(info.read_text()) | {"cardData": {"license": "other", "license_name": "terms"}}
    info.write_text(json.dumps(document))
    assert code(upstream.lock()) == "license_mismatch"


def test_what_asks_for_attribution_only_is_not_asked_about(upstream: Upstream) -> None:
    upstream.card("apache-2.0")
    upstream.profile("Apache-2.0")
    assert upstream.lock().exit_code == 0
    assert upstream.locked().license.model_dump() == {"hub": "apache-2.0", "accepted": None}


@pytest.mark.parametrize(("answer", "written"), [("y", True), ("n", False), ("", False)])
def test_a_person_at_a_terminal_is_asked(upstream: Upstream, answer: str, written: bool) -> None:
    words = ["--project", str(upstream.project), "lock", "tiny-qwable", *upstream.words]
    terminal = pexpect.spawn(str(THORCTL), words, timeout=120, encoding="utf-8", dimensions=(40, 200))
    terminal.expect("under AGPL-3.0-only.*Do you accept these terms.*y/N")
    terminal.sendline(answer)
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert (terminal.exitstatus, upstream.path.exists()) == (0 if written else 1, written)
    assert ("license_not_accepted" in str(terminal.before)) is not written


def test_what_was_not_accepted_is_not_rendered(project: Path) -> None:
    of = profile.load(project / "deploy", "qwable-v1-nvfp4a16")
    thor = device_class.load(project / "deploy", "jetson-agx-thor")
    templates = project / "deploy" / "templates"
    document = lock_document(of, "linux/arm64")
    render_release(of, Lock.model_validate(document), thor, templates)
    for license_, wanted in (
        ({"hub": "agpl-3.0", "accepted": None}, "license_not_accepted"),
        ({"hub": "other", "accepted": of.license}, "license_mismatch"),
    ):
        with pytest.raises(ThorError) as caught:
            render_release(of, Lock.model_validate({**document, "license": license_}), thor, templates)
        assert caught.value.code == wanted
    del document["license"]
    with pytest.raises(ThorError, match="It has not been accepted"):
        render_release(of, Lock.model_validate(document), thor, templates)
