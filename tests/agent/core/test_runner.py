"""Programs that the agent starts, some of which say what an image or the engine in it has them say."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from thorctl.agent.core import runner
from thorctl.agent.core.runner import RC_NOT_FOUND, RC_TIMED_OUT, Runner


def test_a_program_that_writes_without_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "OUTPUT_BYTES", 1_000_000)
    for stream in ("", " >&2"):
        done = Runner().run(["sh", "-c", f"yes{stream}"], timeout=60)
        assert not done.ok
        assert done.rc != RC_TIMED_OUT
        assert "more than 1000000 bytes" in done.stderr
        assert len(done.stdout) < 2_000_000


@pytest.mark.parametrize("program", ["sleep 60", "sleep 60 & exit 0", "exec >&- 2>&-; sleep 60"])
def test_time_is_up_for_the_program_and_for_who_has_its_output(program: str) -> None:
    began = time.monotonic()
    done = Runner().run(["sh", "-c", program], timeout=0.5)
    assert (done.rc, "no answer within 0.5 s" in done.stderr) == (RC_TIMED_OUT, True)
    assert time.monotonic() - began < 30


def test_what_goes_in_and_comes_out() -> None:
    text = "grün\n" * 100_000  # more than a pipe holds
    done = Runner().run(
        ["sh", "-c", 'cat; printf "one\\r\\ntwo\\377" >&2; exit $A'], stdin=text, env={"A": "3"}
    )
    assert (done.rc, done.stdout, done.stderr) == (3, text, "one\ntwo\ufffd")
    assert Runner().run(["cat"]).stdout == ""
    assert Runner().run(["true"], stdin=text).ok  # it reads nothing
    assert Runner().run(["no-such-program"]).rc == RC_NOT_FOUND


def test_an_interrupt_ends_the_program_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class ToldError(BaseException):
        pass

    def told(*_: object) -> None:
        while not (tmp_path / "pid").exists():
            time.sleep(0.01)
        raise ToldError

    monkeypatch.setattr(runner._Reader, "join", told)
    with pytest.raises(ToldError):
        Runner().run(["sh", "-c", f"cd {tmp_path}; echo $$ >new; mv new pid; exec sleep 60"])
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()
