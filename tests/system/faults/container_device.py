"""One container device under a fault: verbs over SSH, and a hand inside the container for everything else."""

from __future__ import annotations

import json
import subprocess
import time
from typing import TYPE_CHECKING, Any, cast

from thorctl.sim import devices, power

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.simulated import Simulated

PATIENCE_SECONDS = 600  # a loaded machine; nothing is judged by how long it took
MOST_READS = 20  # of what a loaded Docker engine does not hand over whole
TEST_DIR = "/run/faults"  # memory: a restart clears it
SHIM = "/usr/local/bin/systemctl"  # found before the real one, by the agent alone


class Saying:
    """A verb at work, asked over SSH."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._error: dict[str, Any] | None = None

    def answer(self) -> str:
        """The code of its error, "done", or "died" where nobody was left to answer."""
        out, _ = self.process.communicate(timeout=PATIENCE_SECONDS)
        try:
            self._error = json.loads(out)["error"]
        except ValueError:
            return "died"
        return str(self._error["code"]) if self._error else "done"

    def message(self) -> str:
        """What is wrong, once it has answered: empty if nothing is."""
        return str(self._error["message"]) if self._error else ""


class DeviceAtHand:
    """The device ``name`` of a simulation."""

    def __init__(self, sim: Simulated, name: str) -> None:
        self.sim, self.name = sim, name

    def tries(self, script: str) -> tuple[int, str]:
        """Exit status and output of a shell script run as root, by way of the container.

        A loaded Docker engine may lose the output, never the status: what is to be read takes ``read``.
        """
        done = self.sim.container(self.name).exec_run(["sh", "-c", script])
        return cast("int", done.exit_code), cast("bytes", done.output).decode(errors="replace")

    def sh(self, script: str) -> None:
        """As ``tries``; it has to succeed."""
        code, out = self.tries(script)
        assert code == 0, f"{self.name}: {script}: exit {code}: {out}"

    def read(self, script: str) -> str:
        """The output of a script that changes nothing and succeeds, asked for until it came whole."""
        counted = f'out=$( {script}\n) && printf \'%d:%s\' "${{#out}}" "$out"'  # dash counts bytes
        for _ in range(MOST_READS):
            code, out = self.tries(counted)
            assert code == 0, f"{self.name}: {script}: exit {code}: {out}"
            length, _, text = out.partition(":")
            if length.isdigit() and len(text.encode()) == int(length):
                return text
        raise AssertionError(f"{self.name}: {script}: never came whole, last: {out!r}")

    def beside(self, script: str) -> None:
        """A script that goes on after this call."""
        self.sim.container(self.name).exec_run(["sh", "-c", script], detach=True)

    def say(self, *words: str) -> Saying:
        """Begin a verb."""
        command = " ".join(["sudo", "thor-agent", *(f"'{word}'" for word in words)])
        return Saying(
            subprocess.Popen(
                self.sim.ssh_words(self.name, command, options=("-o", "ServerAliveInterval=30")),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        )

    def done(self, *words: str) -> None:
        """A verb that has to succeed."""
        answer = self.say(*words).answer()
        assert answer == "done", f"{self.name}: {words}: {answer}"

    def journal(self) -> dict[str, Any]:
        """What the disk says."""
        found: dict[str, Any] = json.loads(self.read("cat /var/lib/thor/state.json"))
        return found

    def events(self) -> list[dict[str, Any]]:
        """events.jsonl, whole lines only."""
        text = self.read("cat /var/lib/thor/events.jsonl 2>/dev/null || true")
        return [json.loads(line) for line in text.splitlines() if line.strip()]

    def idle(self) -> bool:
        """Whether no verb is at work: nobody but the tests themselves holds a lock."""
        free = "[ ! -e /run/thor/private/$lock ] || flock -n /run/thor/private/$lock true || exit 1"
        own = f"[ -e {TEST_DIR}/busy.pid ] && exit 0"
        return self.tries(f"{own}; for lock in lock stage.lock; do {free}; done")[0] == 0

    def wait(self, what: str, condition: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
        """Until ``condition`` holds."""
        until = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < until, f"{self.name}: {what}: not within {seconds:.0f} s"
            time.sleep(0.2)

    def modes(self, modes: dict[str, str]) -> None:
        """Tell engines by their labels what to do wrong."""
        text = json.dumps(modes)
        write = f"printf %s '{text}' > $place/.modes && mv $place/.modes $place/engine-modes.json"
        self.sh(f"for place in /var/lib/thor/checkpoints/*--*; do {write}; done")

    # The agent is stopped at one of its calls of systemctl, so that a fault falls on that very moment.

    def stop_at(self, call: str) -> None:
        """The next ``systemctl CALL`` (a pattern of sh) of the agent waits for ``go_on``."""
        self._shim(
            call,
            f"if mkdir {TEST_DIR}/reached 2>/dev/null; then echo $$ > {TEST_DIR}/shim; "
            f"while [ ! -e {TEST_DIR}/go-on ]; do sleep 0.1; done; fi",
        )

    def reached(self) -> None:
        """Returns when the agent stands at that call; later ones are not stopped."""
        self.wait("the agent is at that call", lambda: self.tries(f"test -s {TEST_DIR}/shim")[0] == 0)
        self.sh(f"rm -f {SHIM}")

    def go_on(self) -> None:
        """The agent goes on."""
        self.sh(f"touch {TEST_DIR}/go-on")

    def refuse(self, call: str) -> None:
        """``systemctl CALL`` fails, as where systemd cannot be reached, until ``relent``."""
        self._shim(call, "echo 'Failed to connect to bus: Connection timed out' >&2; exit 1")

    def relent(self) -> None:
        """Nothing is refused any more."""
        self.sh(f"rm -f {SHIM}")

    def _shim(self, call: str, action: str) -> None:
        pattern = call.replace(" ", '" "')
        script = f'#!/bin/sh\ncase "$*" in\n{pattern}) {action};;\nesac\nexec /usr/bin/systemctl "$@"\n'
        self.sh(
            f"mkdir -p {TEST_DIR} && cat > {SHIM}.new <<'EOF'\n{script}EOF\n"
            f"chmod 755 {SHIM}.new && mv {SHIM}.new {SHIM}"
        )

    def kill_agent(self) -> None:
        """kill -9 of the verb that holds a lock, and of the systemctl that it waits for."""
        self.sh(
            "killed=; for lock in lock stage.lock; do "
            "pid=$(sed -n 's/.*\"pid\": *\\([0-9]*\\).*/\\1/p' /run/thor/private/$lock 2>/dev/null); "
            'if [ -n "$pid" ] && kill -9 "$pid" 2>/dev/null; then killed=$pid; fi; done; '
            f'[ -e {TEST_DIR}/shim ] && kill -9 "$(cat {TEST_DIR}/shim)"; test -n "$killed"'
        )

    # The power supply, Docker, the deadline.

    def cut_power(self) -> None:
        """Every process dies at once; then it boots."""
        self.sh(f"rm -f {SHIM}")
        device = self.sim.simulation.device(self.name)
        power.cut(self.sim.client, self.sim.name, device)
        power.power_on(self.sim.client, self.sim.name, device)

    def reboot(self) -> None:
        """In order."""
        devices.reboot(self.sim.client, self.sim.name, self.name)

    def kill_dockerd(self) -> None:
        """kill -9; systemd starts it again."""
        self.sh("kill -9 $(systemctl show --property MainPID --value docker.service)")

    def fire_timers(self) -> None:
        """Deadlines pass, the nearest first: what its timer would start is started now, and waited for."""
        nearest = "grep -o 'thor-[a-z0-9-]*.timer' | head -n 1 || true"
        while timer := self.read(f"systemctl list-timers --no-legend --no-pager 'thor-*.timer' | {nearest}"):
            unit = timer.removesuffix(".timer") + ".service"
            if self.tries(f"systemctl is-active {timer}")[0] == 0:  # the one before may have taken it back
                self.sh(f"systemctl start {unit}")
                self.ended(unit)
            self.sh(f"systemctl stop {timer} || true")

    def ended(self, unit: str) -> None:
        """Returns when a transient unit has done its work."""
        shown = f"systemctl show --property ActiveState --value {unit}"
        self.wait(f"{unit} ends", lambda: self.read(shown) in {"inactive", "failed"})
