"""The table of error codes: what the source raises is in it, and it has nothing else."""

from __future__ import annotations

import pytest

from tests.support.error_sites import codes
from thorctl.agent.core.outcome import AgentError
from thorctl.errors import ThorError
from thorctl.protocol.controller_errors import ERRORS, exit_code
from thorctl.protocol.errors import AGENT_ERRORS


def test_table_has_exactly_the_codes_that_the_source_raises() -> None:
    assert set(ERRORS) == codes()


def test_part_of_the_agent_has_exactly_the_codes_that_the_agent_raises() -> None:
    assert set(AGENT_ERRORS) == codes("thorctl/agent")


def test_meanings_are_sentences_of_one_line_and_say_different_things() -> None:
    meanings = [one.meaning for one in ERRORS.values()]
    assert all(
        text[:1].isupper() or text.startswith(("known_hosts", "sshd", "sudo", "vLLM")) for text in meanings
    )
    assert all(text.endswith(".") and "\n" not in text for text in meanings)
    assert len(set(meanings)) == len(meanings)


@pytest.mark.parametrize(
    ("code", "thorctl", "agent"),
    [
        ("leased", 4, 3),
        ("busy", 4, 3),
        ("held", 1, 3),
        ("bad_state", 1, 2),
        ("bad_call", 2, 2),
        ("declined", 5, 1),
        ("rollout_interrupted", 130, 1),
        ("smoke_failed", 1, 1),
        ("of_a_newer_agent", 1, 1),
    ],
)
def test_exit_codes_of_processes_are_those_of_the_table(code: str, thorctl: int, agent: int) -> None:
    assert ThorError(code, "It failed.", "Try again.").exit_code == thorctl == exit_code(code)
    assert AgentError(code, "It failed.", "Try again.").exit_code == agent
