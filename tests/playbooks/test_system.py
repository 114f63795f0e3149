"""What thor_system judges: packages to hold, units to start, whose an account is, which clock is wrong."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.playbooks.load_plugin import load

if TYPE_CHECKING:
    from collections.abc import Callable

system = load("modules", "thor_system")

# dpkg-query of a simulated R38.4 device, shortened: a held one, a removed one, one of another architecture.
LISTING = """\
adduser install installed
containerd install installed
docker.io hold installed
libnvidia-container1:arm64 install installed
linux-image-6.8.12-tegra install installed
linux-image-6.6.0 deinstall config-files
nvidia-l4t-core install installed
nvidia-l4t-kernel hold installed
"""


def test_what_matches_and_is_free_is_held() -> None:
    patterns = ["nvidia-l4t-*", "linux-image*", "libnvidia-container*"]
    wrong = ["libnvidia-container1:arm64", "linux-image-6.8.12-tegra", "nvidia-l4t-core"]
    assert system.holds_to_change(LISTING, patterns, held=True) == wrong
    assert system.holds_to_change(LISTING, ["no-such-*"], held=True) == []


def test_what_matches_and_is_held_is_released() -> None:
    assert system.holds_to_change(LISTING, ["nvidia-*"], held=False) == ["nvidia-l4t-kernel"]
    assert system.holds_to_change(LISTING, ["docker.io"], held=False) == ["docker.io"]


# What apt-mark says while unattended-upgrades is at work (dpkg 1.22).
LOCKED = (
    "dpkg: error: dpkg database lock was locked by another process with pid 812\nE: Executing dpkg failed."
)


def test_holding_waits_for_an_upgrade_that_is_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    said = [(100, LOCKED), (100, LOCKED), (0, "")]
    monkeypatch.setattr(
        system, "run", lambda *words: subprocess.CompletedProcess(words, said[0][0], "", said.pop(0)[1])
    )
    monkeypatch.setattr(system.time, "sleep", lambda _: None)
    system.do_unlocked("apt-mark", "hold", "docker.io")
    assert said == []


def test_holding_does_not_wait_for_ever_nor_for_another_reason(
    answers: Callable[..., list[tuple[str, ...]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system, "LOCK_SECONDS", 0.0)
    answers({"apt-mark hold": (100, LOCKED)})
    with pytest.raises(system.HostError, match="packages_locked: "):
        system.do_unlocked("apt-mark", "hold", "docker.io")
    answers({"apt-mark hold": (100, "E: no such package")})
    with pytest.raises(system.HostError, match=r"apt-mark_failed: .*: E: no such package"):
        system.do_unlocked("apt-mark", "hold", "docker.io")


def test_what_programs_say_is_read_in_english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    assert system.run("printenv", "LC_ALL").stdout == "C\n"


# `systemctl show` of three units: running, never started, started where its condition is not met.
SHOWN = """\
Id=ssh.service
ActiveState=active
NeedDaemonReload=no
ConditionResult=yes
ConditionTimestampMonotonic=1141955174

Id=thor-clocks.service
ActiveState=inactive
NeedDaemonReload=no
ConditionResult=no
ConditionTimestampMonotonic=0

Id=other.service
ActiveState=inactive
NeedDaemonReload=no
ConditionResult=no
ConditionTimestampMonotonic=7
"""


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[tuple[str, ...]]]:
    """Has each program answer what is given for its first two words; returns what was run."""
    ran: list[tuple[str, ...]] = []

    def install(said: dict[str, str | tuple[int, str]]) -> list[tuple[str, ...]]:
        def run(*words: str) -> subprocess.CompletedProcess[str]:
            ran.append(words)
            answer = said[" ".join(words[:2])]
            code, text = answer if isinstance(answer, tuple) else (0, answer)
            return subprocess.CompletedProcess(words, code, text, text if code else "")

        monkeypatch.setattr(system, "run", run)
        return ran

    return install


def test_only_what_could_run_and_does_not_is_started(answers: Callable[..., list[tuple[str, ...]]]) -> None:
    ran = answers({"systemctl show": SHOWN, "systemctl start": ""})
    notes: list[str] = []
    names = ["ssh.service", "thor-clocks.service", "other.service"]
    changes = list(system.units(names, notes))
    assert [(change.what, change.before, change.after) for change in changes] == [
        ("thor-clocks.service", "inactive", "active")
    ]
    assert notes == ["other.service: its condition is not met here"]
    changes[0].make()
    assert ran[-1] == ("systemctl", "start", "thor-clocks.service")


def test_a_unit_that_does_not_start_says_why(answers: Callable[..., list[tuple[str, ...]]]) -> None:
    answers({"systemctl start": (1, "Job failed."), "journalctl --unit": "jetson_clocks: no such clock"})
    with pytest.raises(
        system.HostError, match=r"unit_failed: x does not start — Job failed\.\njetson_clocks"
    ):
        system.start("x")


def test_a_missing_group_is_made_before_any_account(answers: Callable[..., list[tuple[str, ...]]]) -> None:
    ran = answers({"groupadd --system": ""})
    (change,) = system.groups(["root", "nobody-has-this-group"])
    assert (change.what, change.before) == ("group nobody-has-this-group", "absent")
    change.make()
    assert ran == [("groupadd", "--system", "nobody-has-this-group")]


def test_a_persons_account_is_never_the_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "is_system_account", lambda *_: False)
    with pytest.raises(system.HostError, match="account_taken: root"):
        list(system.engine_account("root"))


def test_a_device_that_is_as_wanted_needs_nothing(answers: Callable[..., list[tuple[str, ...]]]) -> None:
    ran = answers({"systemctl get-default": "multi-user.target\n", "dpkg-query --show": LISTING})
    wanted: dict[str, Any] = {
        **dict.fromkeys(("account", "account_before", "engine_account", "watchdog_seconds", "clock_seconds")),
        "snaps_held": False,
        "active": [],
        "groups": [],
        "packages": ["docker.io"],
        "packages_state": "held",
        "target": "multi-user.target",
    }
    assert list(system.differences(wanted, [])) == []
    assert [words[0] for words in ran] == ["dpkg-query", "systemctl"]
    wanted["target"] = "graphical.target"
    (change,) = system.differences(wanted, [])
    assert (change.what, change.before, change.after) == (
        "boot target",
        "multi-user.target",
        "graphical.target",
    )


WATCHDOG_FILES = """\
# /etc/systemd/system.conf
[Manager]
#RuntimeWatchdogSec=off

# /etc/systemd/system.conf.d/watchdog.conf
[Manager]
RuntimeWatchdogSec = 120

# /etc/systemd/system.conf.d/zzz-site.conf
[Manager]
RuntimeWatchdogSec=15
"""


def test_a_watchdog_that_systemd_does_not_take_is_a_failure_that_names_the_file(
    answers: Callable[..., list[tuple[str, ...]]],
) -> None:
    said = {"systemctl daemon-reexec": "", "systemd-analyze cat-config": WATCHDOG_FILES}
    answers({**said, "busctl get-property": "t 15000000\n"})
    with pytest.raises(system.HostError) as caught:
        system.set_watchdog({"RuntimeWatchdogSec": 60.0})
    assert "watchdog_not_taken: systemd has RuntimeWatchdogSec 15 s, not 60 s" in str(caught.value)
    assert "/etc/systemd/system.conf.d/zzz-site.conf says RuntimeWatchdogSec=15" in str(caught.value)
    answers({**said, "busctl get-property": "t 60000000\n"})
    system.set_watchdog({"RuntimeWatchdogSec": 60.0})


def test_both_watchdogs_are_looked_at(
    answers: Callable[..., list[tuple[str, ...]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = answers({"busctl get-property": "t 0\n"})
    monkeypatch.setattr(system.Path, "exists", lambda _: True)
    assert list(system.watchdog(0, 0, [])) == []
    assert [words[-1] for words in ran] == ["RuntimeWatchdogUSec", "RebootWatchdogUSec"]
    (change,) = system.watchdog(0, 240, [])
    assert (change.before, change.after) == (
        "RuntimeWatchdogSec 0 s; RebootWatchdogSec 0 s",
        "RuntimeWatchdogSec 0 s; RebootWatchdogSec 240 s",
    )


NO_HOLD = 'error: snap "core" has no "refresh.hold" configuration option\n'


@pytest.mark.parametrize(
    ("said", "before"),
    [
        ((1, NO_HOLD), "not held"),
        ("2026-12-01T10:00:00Z\n", "2026-12-01T10:00:00Z"),
        ("forever\n", None),
        ((1, "error: cannot communicate with server: connection refused\n"), None),
    ],
)
def test_snaps_are_held_for_ever(
    answers: Callable[..., list[tuple[str, ...]]],
    monkeypatch: pytest.MonkeyPatch,
    said: str | tuple[int, str],
    before: str | None,
) -> None:
    ran = answers({"snap get": said, "snap set": ""})
    monkeypatch.setattr(system.Path, "exists", lambda _: True)
    notes: list[str] = []
    changes = list(system.snaps(notes))
    assert [change.before for change in changes] == ([before] if before else [])
    for change in changes:
        change.make()
        assert ran[-1] == ("snap", "set", "system", "refresh.hold=forever")
    assert bool(notes) == ("communicate" in str(said))


def test_a_snapd_that_knows_no_hold_is_a_note(
    answers: Callable[..., list[tuple[str, ...]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers({"snap get": (1, NO_HOLD), "snap set": (1, 'error: cannot parse "forever"')})
    monkeypatch.setattr(system.Path, "exists", lambda _: True)
    notes: list[str] = []
    (change,) = system.snaps(notes)
    change.make()
    assert notes == ['snaps are not held: error: cannot parse "forever"']
    monkeypatch.setattr(system.Path, "exists", lambda _: False)
    assert list(system.snaps(notes)) == []


@pytest.mark.parametrize(
    ("uid", "shell", "is_one"),
    [
        (998, "/usr/sbin/nologin", True),
        (998, "/bin/false", True),
        (1000, "/bin/bash", False),
        (1000, "/usr/sbin/nologin", False),
        (998, "/bin/sh", False),
        (0, "/usr/sbin/nologin", False),
    ],
)
def test_whose_account_it_is(uid: int, shell: str, is_one: bool) -> None:
    assert system.is_system_account(uid, shell) is is_one


def test_an_account_that_somebody_logs_in_to_is_left_alone() -> None:
    notes: list[str] = []
    assert list(system.account("root", notes)) == []
    assert notes == [
        "root is an account that somebody logs in to: left alone (thor_host_account names another)"
    ]
    (change,) = system.account("no-such-account", [])
    assert change.before == "absent"


@pytest.mark.parametrize(
    ("comment", "uid", "shell", "renamed"),
    [
        ("thorctl", 997, "/usr/sbin/nologin", True),
        ("Thor the robot", 997, "/usr/sbin/nologin", False),
        ("thorctl", 1000, "/bin/bash", False),
    ],
)
def test_account_of_an_earlier_version_is_renamed(
    monkeypatch: pytest.MonkeyPatch, comment: str, uid: int, shell: str, renamed: bool
) -> None:
    entry = system.pwd.struct_passwd(("thor", "x", uid, uid, comment, "/nonexistent", shell))
    monkeypatch.setattr(system.pwd, "getpwnam", lambda name: {"thor": entry}[name])
    said: list[tuple[str, ...]] = []
    monkeypatch.setattr(system, "do", lambda *words: said.append(words))
    (change,) = system.account("thor-fetch", [], before="thor")
    change.make()
    assert (change.before, said[0][0]) == (("named thor", "usermod") if renamed else ("absent", "useradd"))


UNWATCHED = "the clock is plausible, but nothing keeps it right"
NOW = 1_795_600_000.0  # in November 2026


@pytest.mark.parametrize(
    ("clock", "controller", "wrong"),
    [
        (NOW, NOW, False),
        (NOW + 3000, NOW, False),
        (NOW, None, False),
        (NOW + 4000, NOW, True),
        (NOW - 4000, NOW, True),
        (12.0, NOW, True),
        (12.0, None, True),
        (1_755_000_000.0, 1_755_000_000.0, True),
    ],
)
def test_which_clock_is_wrong(clock: float, controller: float | None, wrong: bool) -> None:
    assert system.is_wrong(clock, controller) is wrong


def clock_of(**more: Any) -> tuple[list[Any], list[str]]:
    notes: list[str] = []
    wanted = {"clock_seconds": 0, "controller_time": NOW, "set_clock": False} | more
    return list(system.clock(wanted, notes)), notes


class TestClock:
    @pytest.fixture(autouse=True)
    def device(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """No container, a clock in time that nobody synchronises."""
        monkeypatch.setattr(system, "Path", lambda _: type("P", (), {"exists": staticmethod(lambda: False)}))
        monkeypatch.setattr(system, "may_set_clock", lambda: True)
        monkeypatch.setattr(system, "synchronized", lambda: False)
        monkeypatch.setattr(system.time, "time", lambda: NOW)

    def test_in_time_is_nothing_to_do(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(system, "synchronized", lambda: True)
        assert clock_of() == ([], [])

    def test_clock_that_the_device_may_not_set_is_left_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(system, "may_set_clock", lambda: False)
        assert clock_of(set_clock=True) == ([], ["the clock is the host's"])

    def test_off_is_switched_on_and_waited_for(self, answers: Callable[..., list[tuple[str, ...]]]) -> None:
        ran = answers({"timedatectl show": "CanNTP=yes\nNTP=no\n", "timedatectl set-ntp": ""})
        changes, notes = clock_of()
        assert [change.what for change in changes] == ["time synchronisation", "clock"]
        for change in changes:
            change.make()
        assert ("timedatectl", "set-ntp", "true") in ran
        assert notes == [UNWATCHED]

    def test_a_plausible_clock_is_told_not_refused(
        self, answers: Callable[..., list[tuple[str, ...]]]
    ) -> None:
        answers({"timedatectl show": "CanNTP=yes\nNTP=yes\n"})
        assert clock_of()[0] == []
        answers({"timedatectl show": "CanNTP=no\nNTP=no\n"})
        assert clock_of()[1] == [
            "no service for time synchronisation is installed: apt-get install systemd-timesyncd"
        ]
        notes: list[str] = []
        system.wait({"clock_seconds": 0, "controller_time": NOW}, notes)
        assert notes == [UNWATCHED]

    def test_a_clock_of_1970_is_refused_with_three_ways_out(
        self, answers: Callable[..., list[tuple[str, ...]]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(system.time, "time", lambda: 12.0)
        answers({"timedatectl show": "CanNTP=yes\nNTP=yes\n"})
        ((change,), _) = clock_of()
        with pytest.raises(system.HostError) as caught:
            change.make()
        for part in (
            "clock_wrong: ",
            "1970-01-01 00:00:12 UTC",
            "thor_time_servers",
            "thor_time_from_controller",
        ):
            assert part in str(caught.value)

    def test_it_is_set_by_the_controller_s_if_allowed(
        self, answers: Callable[..., list[tuple[str, ...]]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        told: list[float] = []
        monkeypatch.setattr(system.time, "time", lambda: told[-1] if told else 12.0)
        monkeypatch.setattr(system.time, "clock_settime", lambda _, seconds: told.append(seconds))
        answers({"timedatectl show": "CanNTP=yes\nNTP=yes\n"})
        changes, notes = clock_of(set_clock=True)
        for change in changes:
            change.make()
        assert told == [NOW]
        assert notes == [UNWATCHED]
