"""Host keys: verified against known_hosts by a real login, never added to it."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import pytest

from tests.remote.test_agent_call import STATUS, error_of, says
from tests.support.doubles.sshd import make_key
from thorctl.remote.agent_call import run_verb

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.doubles.sshd import Sshd
    from thorctl.inventory.devices import Device


def test_a_host_key_that_changed_is_refused_and_the_file_left_alone(
    sshd: Sshd, device: Device, tmp_path: Path
) -> None:
    known = tmp_path / "known_hosts"
    known.write_text(f"[127.0.0.1]:{sshd.port} {make_key(tmp_path / 'other')}\n")
    before = known.read_bytes()
    sshd.asked.write_text("")
    problem = error_of(run_verb([dataclasses.replace(device, known_hosts=known)], "status")[0])
    assert problem.code == "host_key_mismatch"
    assert "SHA256:" in problem.message
    assert f"ssh-keygen -R '[127.0.0.1]:{sshd.port}'" in problem.remedy
    assert known.read_bytes() == before
    assert sshd.asked.read_text() == ""


def test_a_host_key_of_another_kind_is_a_mismatch(sshd: Sshd, device: Device, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    known.write_text(f"[127.0.0.1]:{sshd.port} {make_key(tmp_path / 'other', 'ecdsa')}\n")
    device = dataclasses.replace(device, known_hosts=known)
    problem = error_of(run_verb([device], "status")[0])
    assert problem.code == "host_key_mismatch", problem


@pytest.mark.parametrize("content", [None, "", "# nothing yet\n"])
def test_an_unknown_host_is_refused_and_not_added(
    device: Device, tmp_path: Path, content: str | None
) -> None:
    known = tmp_path / "known_hosts"
    if content is not None:
        known.write_text(content)
    problem = error_of(run_verb([dataclasses.replace(device, known_hosts=known)], "status")[0])
    assert problem.code == "host_key_unknown"
    assert "SHA256:" in problem.message
    assert "ssh-keyscan" in problem.remedy
    assert (known.read_text() if known.exists() else None) == content


def test_a_broken_known_hosts_file_is_named(device: Device, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    known.write_text("@nonsense a b c\n")
    problem = error_of(run_verb([dataclasses.replace(device, known_hosts=known)], "status")[0])
    assert problem.code == "known_hosts_unreadable"


def test_the_known_hosts_file_may_stand_in_the_ssh_arguments(sshd: Sshd, device: Device) -> None:
    sshd.behave(says(json.dumps(STATUS)))
    args = f"-o UserKnownHostsFile={sshd.known_hosts} -o StrictHostKeyChecking=yes"
    assert run_verb([dataclasses.replace(device, known_hosts=None, ssh_args=args)], "status")[0].ok


def test_strict_checking_cannot_be_talked_away(device: Device, tmp_path: Path) -> None:
    args = "-o StrictHostKeyChecking=no"
    device = dataclasses.replace(device, known_hosts=tmp_path / "empty", ssh_args=args)
    assert error_of(run_verb([device], "status")[0]).code == "host_key_unknown"
