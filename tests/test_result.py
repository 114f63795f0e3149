"""The envelope is a contract: programs read these keys."""

from __future__ import annotations

import pytest

from thorctl.errors import ThorError
from thorctl.result import Exit, Problem, Result, exit_code_for


def test_the_envelopes_keys_are_pinned() -> None:
    problem = Problem("engine_died", "It died.", "Look at the log.", "thor-01")
    result = Result("status", {"devices": []}, (problem,), exit_code=Exit.PARTIAL)
    assert result.envelope() == {
        "schema": 1,
        "command": "status",
        "status": "partial",
        "exit_code": 3,
        "data": {"devices": []},
        "errors": [
            {"code": "engine_died", "message": "It died.", "remedy": "Look at the log.", "device": "thor-01"}
        ],
    }


def test_exit_codes_are_pinned() -> None:
    assert {one.name: int(one) for one in Exit} == {
        "SUCCESS": 0,
        "ERROR": 1,
        "USAGE": 2,
        "PARTIAL": 3,
        "LEASED": 4,
        "DECLINED": 5,
    }


@pytest.mark.parametrize(("good", "bad", "code"), [(2, 0, 0), (0, 0, 0), (1, 1, 3), (0, 2, 1)])
def test_the_exit_code_of_many_devices(good: int, bad: int, code: int) -> None:
    assert exit_code_for(good, bad) == code


@pytest.mark.parametrize(
    ("code", "status"),
    [(0, "success"), (1, "error"), (2, "error"), (3, "partial"), (4, "error"), (130, "error")],
)
def test_the_status_follows_the_exit_code(code: int, status: str) -> None:
    assert Result("x", exit_code=code).status == status


def test_an_exception_becomes_a_result() -> None:
    error = ThorError("leased", "Someone holds it.", "Wait.", device="thor-02")
    result = Result.failure("rollback", error)
    assert (result.exit_code, result.data) == (4, {})
    assert result.errors == (Problem("leased", "Someone holds it.", "Wait.", "thor-02"),)
