"""What a process is started with: no verb ends in a traceback, and doctor does not say ready."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from thorctl.ansible_support.environment import clean, explain
from thorctl.cli import process
from thorctl.doctor.inventory import checks
from thorctl.errors import ThorError
from thorctl.inventory import devices as fleet
from thorctl.remote.endpoint import resolve
from thorctl.rollout.run import preparation

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = pytest.mark.slow

THORCTL = str(Path(sys.executable).parent / "thorctl")
HOSTS = """
thor:
  hosts:
    thor-01: {ansible_host: 127.0.0.1, ansible_port: 9, ansible_user: x, thor_profile: tiny-qwable,
              thor_device_class: simulated-container}
"""


@pytest.fixture
def words(project: Path) -> list[str]:
    """A command line up to its verb."""
    (project / "hosts.yml").write_text(HOSTS)
    return [THORCTL, "--project", str(project), "-i", str(project / "hosts.yml")]


def thorctl(words: list[str], verb: str, given: Mapping[str, str | None], **more: Any) -> tuple[int, str]:
    """Exit code, and everything that was printed."""
    environment = {name: value for name, value in {**os.environ, **given}.items() if value is not None}
    settings = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, **more}
    done = subprocess.run(
        [*words, *verb.split()], env=environment, stdin=subprocess.DEVNULL, check=False, **settings
    )
    return done.returncode, (done.stdout or b"").decode(errors="replace")


# Variables, and for each verb the code that is told; None: it does its work as without them.
STATUS, DOCTOR, HISTORY = "status --connect-timeout 2", "doctor", "history"
TABLE: list[tuple[Mapping[str, str | None], str, str | None]] = [
    ({"LC_ALL": "C"}, STATUS, "device_unreachable"),
    ({"HOME": "/proc/none", "THORCTL_STATE_DIR": None}, DOCTOR, "THORCTL_STATE_DIR=DIR"),
    ({"COLUMNS": "0"}, DOCTOR, "device class"),
    ({"HTTPS_PROXY": "socks5://127.0.0.1:9"}, DOCTOR, "HTTPS_PROXY"),
    ({"PYTHONWARNINGS": "error", "PYTHONIOENCODING": "ascii"}, HISTORY, None),
]
# These change nothing, or what doctor says.
HARMLESS: list[Mapping[str, str | None]] = [
    *({"HOME": one} for one in ("", None, "relative")),
    *({"COLUMNS": one} for one in ("1", "-5", "abc", "100000")),
    *({"TERM": one} for one in ("dumb", "nope")),
    *({"DOCKER_HOST": one} for one in ("garbage", "tcp://h:99999999", "ssh://x", "unix://")),
    {"LC_ALL": "xx_YY.UTF-8"},
    {"LANG": "C", "LC_ALL": None},
    {"LINES": "0"},
    {"NO_COLOR": "1", "FORCE_COLOR": "1"},
    {"PYTHONOPTIMIZE": "2"},
    {"PYTHONPATH": "/proc"},
    {"PYTHONUTF8": "0", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"},
    {"TMPDIR": "/proc/x"},
    {"XDG_CONFIG_HOME": "/proc/x"},
    {"DOCKER_CONFIG": "/proc/x"},
    {"DOCKER_TLS_VERIFY": "1"},
    {"SSH_AUTH_SOCK": "/nowhere"},
    {"HF_HOME": "/proc/x"},
    {"ANSIBLE_CONFIG": "/nowhere"},
    {"ANSIBLE_STDOUT_CALLBACK": "nope"},
    {"ANSIBLE_DEBUG": "1"},
    {"ANSIBLE_LOG_PATH": "/proc/x"},
    {"TZ": "Nowhere/Land"},
]
LONG: list[tuple[Mapping[str, str | None], str, str | None]] = [
    *((given, verb, None) for given in HARMLESS for verb in (STATUS, DOCTOR, HISTORY)),
    ({"XDG_STATE_HOME": "/proc/x", "THORCTL_STATE_DIR": None}, HISTORY, "store_unusable"),
    ({"XDG_STATE_HOME": "/proc/x", "THORCTL_STATE_DIR": None}, DOCTOR, "THORCTL_STATE_DIR=DIR"),
    ({"THORCTL_SIM": "../x"}, STATUS, "sim_name_invalid"),
    ({"ANSIBLE_FORKS": "abc"}, STATUS, "ansible_setting"),
    ({"ANSIBLE_FORKS": "abc"}, DOCTOR, "ANSIBLE_FORKS"),
    ({"ANSIBLE_VAULT_PASSWORD_FILE": "/nowhere"}, STATUS, "vault_password_unreadable"),
    ({"ANSIBLE_VAULT_PASSWORD_FILE": "/nowhere"}, DOCTOR, "ANSIBLE_VAULT_PASSWORD_FILE"),
]


def _is_told(words: list[str], given: Mapping[str, str | None], verb: str, told: str | None) -> None:
    code, printed = thorctl(words, verb, given)
    assert "Traceback" not in printed, printed
    assert "error internal" not in printed, printed
    assert code in {0, 1, 2}
    assert printed.strip() or verb == HISTORY
    assert told is None or told in printed, printed
    if verb == DOCTOR and told and told != "device class":
        assert (code, "This machine is ready" in printed) == (1, False)


@pytest.mark.parametrize(("given", "verb", "told"), TABLE, ids=str)
def test_variables_break_no_verb(
    words: list[str], given: Mapping[str, str | None], verb: str, told: str | None
) -> None:
    _is_told(words, given, verb, told)


@pytest.mark.long
@pytest.mark.parametrize(("given", "verb", "told"), LONG, ids=str)
def test_more_variables_break_no_verb(
    words: list[str], given: Mapping[str, str | None], verb: str, told: str | None
) -> None:
    _is_told(words, given, verb, told)


def test_a_working_directory_that_is_gone_is_told(words: list[str], tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    code, printed = thorctl(["sh", "-c", f'rmdir "{gone}" && exec "$0" "$@"', *words], DOCTOR, {}, cwd=gone)
    assert code == 2
    assert "working_directory_gone" in printed


def test_streams_that_are_closed_or_full_end_in_no_traceback(words: list[str], tmp_path: Path) -> None:
    shell = ["sh", "-c", 'exec "$0" "$@" >&- 2>&- <&-', *words]
    assert thorctl(shell, f"render tiny-qwable --out {tmp_path}/out", {})[0] == 1  # there is no lock
    errors = tmp_path / "errors"
    with Path("/dev/full").open("wb") as full, errors.open("wb") as told:
        code, _ = thorctl(words, f"--json {HISTORY}", {}, stdout=full, stderr=told)
    assert code == 1
    assert errors.read_text().startswith("error output_failed")
    shell = ["sh", "-c", '("$0" "$@" || echo failed) 2>&1 >/dev/null | head -c 1000', *words]
    assert "Traceback" not in thorctl(shell, HISTORY, {})[1]


def test_an_unforeseen_failure_is_an_error_and_a_traceback_on_request(
    words: list[str], tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import platformdirs\ndef fails(*_): raise ZeroDivisionError('by nobody')\n"
        "platformdirs.user_state_path = fails\n"
    )
    given: Mapping[str, str | None] = {"PYTHONPATH": str(tmp_path), "THORCTL_STATE_DIR": None}
    code, printed = thorctl(words, f"--json {HISTORY}", given)
    (error,) = json.loads(printed)["errors"]
    assert (code, error["code"]) == (1, "internal")
    assert "ZeroDivisionError: by nobody" in error["message"]
    assert "Traceback" in thorctl(words, HISTORY, {**given, process.TRACEBACK: "1"})[1]


VAULTED = """$ANSIBLE_VAULT;1.1;AES256
30333339303136333531303963623464303335323165666232326362366465393234353339323137
3164353466336563353036333464366132393866636261340a333761616238393237616234303364
64376463393365396534373736666134666135333631323436336165393030613264356165336436
3838306231306461330a613565643565303466393339636262306437346336333939623632623235
65346566643232316466653536376531646439623561663137393663623162653036636235663838
3031323434663632336164393536383431316166613836643066
"""


def test_a_vaulted_file_is_read_with_its_password_or_the_way_to_give_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inventory, secrets = tmp_path / "hosts.yml", tmp_path / "group_vars" / "thor" / "secrets.yml"
    inventory.write_text(HOSTS)
    secrets.parent.mkdir(parents=True)
    secrets.write_text(VAULTED)
    (tmp_path / "right").write_text("pw\n")
    (tmp_path / "wrong").write_text("other\n")
    for given, code in (
        (None, "vault_password_missing"),
        ("wrong", "vault_password_wrong"),
        ("absent", "vault_password_unreadable"),
    ):
        if given:
            monkeypatch.setenv("ANSIBLE_VAULT_PASSWORD_FILE", str(tmp_path / given))
        with pytest.raises(ThorError) as caught:
            fleet.load(inventory)
        assert caught.value.code == code
        assert "ANSIBLE_VAULT_PASSWORD_FILE" in caught.value.remedy
        assert code == "vault_password_unreadable" or str(secrets) in caught.value.message
    monkeypatch.setenv("ANSIBLE_VAULT_PASSWORD_FILE", str(tmp_path / "right"))
    assert [one.name for one in fleet.load(inventory)] == ["thor-01"]


def test_a_vaulted_file_of_one_device_fails_that_device_alone(tmp_path: Path) -> None:
    inventory, secrets = tmp_path / "hosts.yml", tmp_path / "host_vars" / "thor-02" / "secrets.yml"
    sealed = "".join(f"          {line}\n" for line in VAULTED.splitlines())
    inventory.write_text(f"{HOSTS}    thor-02:\n    thor-03:\n      thor_hub_token: !vault |\n{sealed}")
    secrets.parent.mkdir(parents=True)
    secrets.write_text(VAULTED)
    devices = first, second, third = fleet.load(inventory)
    assert (first.profile, first.unread, first.sealed) == ("tiny-qwable", None, ())
    assert third.sealed == ("thor_hub_token",)
    with pytest.raises(ThorError) as caught:
        resolve(second)
    assert (caught.value.code, caught.value.device) == ("vault_password_missing", "thor-02")
    assert str(secrets) in caught.value.message
    with pytest.raises(ThorError) as caught:
        preparation.releases(tmp_path, "tiny-qwable", tmp_path, devices)
    assert caught.value.code == "vault_password_missing"
    found = {check.name: check for check in checks(inventory, devices, tmp_path)}
    assert (found["secrets"].status, "thor-03" in found["secrets"].found) == ("warn", True)
    assert found["ways"].status == "fail"
    (alone,) = fleet.load(inventory, "thor-01")
    assert alone == first


def test_ansible_gets_what_it_starts_with(tmp_path: Path) -> None:
    given = {"LC_ALL": "C", "ANSIBLE_DEBUG": "1", "PYTHONWARNINGS": "error", "HOME": "/proc/none", "A": "b"}
    found = clean(given)
    assert (found["LC_ALL"], found["A"], found["HOME"]) == ("C.UTF-8", "b", "/proc/none")
    assert not {"ANSIBLE_DEBUG", "PYTHONWARNINGS"} & set(found)
    assert "ANSIBLE_LOCAL_TEMP" in found
    assert "ANSIBLE_LOCAL_TEMP" not in clean({"HOME": str(tmp_path)})
    assert explain(tmp_path, "[ERROR]: hosts.yml: a bad line") is None
