"""`thorctl edge` as a person types it: authority, certificates, keys; who may read the files."""

from __future__ import annotations

import datetime as dt
import json
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from tests.support.doubles.command_line import Done, thorctl
from thorctl.edge import authority
from thorctl.edge.settings import KEY

BIN = Path(sys.executable).parent
HOSTS = """
thor:
  vars: {thor_profile: tiny-qwable, thor_device_class: simulated-container, thor_site: lab}
  hosts:
    thor-01: {ansible_host: 192.0.2.1, thor_edge_names: [thor.example.test]}
    thor-02: {ansible_host: 192.0.2.2}
"""


class Fleet:
    """An inventory of two devices in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hosts = folder / "inventory" / "hosts.yml"
        self.hosts.parent.mkdir(parents=True)
        self.hosts.write_text(HOSTS)

    @property
    def pki(self) -> Path:
        return self.folder / "pki"

    def run(self, *words: str) -> Done:
        return thorctl("-i", str(self.hosts), "edge", *words)

    def edge(self, *words: str) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.run(*words, "--json").stdout)
        return answer

    def actions(self, *words: str) -> dict[str, tuple[str, str | None]]:
        """``thorctl edge cert WORDS``: device to (what was done, why)."""
        devices = self.edge("cert", *words)["data"]["devices"]
        return {one["name"]: (one["action"], one["reason"]) for one in devices}


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path / "fleet")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def code(answer: dict[str, Any]) -> str:
    return str(answer["errors"][0]["code"])


def test_from_nothing_to_a_certificate_for_each_device(fleet: Fleet) -> None:
    made = fleet.edge("ca", "init", "--name", "Berlin lab", "--no-passphrase")
    assert made["data"]["ca_certificate"] == str(fleet.pki / "ca.crt")
    assert fleet.actions() == dict.fromkeys(("thor-01", "thor-02"), ("issued", "none yet"))
    root = authority.read((fleet.pki / "ca.crt").read_text())
    leaf = authority.read((fleet.pki / "devices" / "thor-01.crt").read_text())
    leaf.verify_directly_issued_by(root)
    assert authority.names_of(leaf) == {"thor-01", "192.0.2.1", "thor.example.test"}
    assert authority.belongs(leaf, (fleet.pki / "devices" / "thor-01.key").read_text())
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert fleet.actions() == dict.fromkeys(("thor-01", "thor-02"), ("kept", None))


def test_keys_are_for_their_owner_s_eyes_and_no_repository_takes_them(fleet: Fleet) -> None:
    fleet.edge("ca", "init", "--no-passphrase")
    fleet.edge("cert")
    assert {mode(path) for path in fleet.pki.rglob("*.key")} == {0o600}
    assert {mode(path) for path in (fleet.pki, fleet.pki / "devices")} == {0o700}
    subprocess.run(["git", "init", "--quiet", str(fleet.folder)], check=True)
    git = ["git", "-C", str(fleet.folder)]
    subprocess.run([*git, "add", "--all"], check=True)
    added = subprocess.run([*git, "ls-files"], capture_output=True, text=True, check=True).stdout.split()
    assert added == ["inventory/hosts.yml", "pki/ca.crt"]


def test_an_authority_that_is_there_is_never_replaced(fleet: Fleet) -> None:
    fleet.edge("ca", "init", "--no-passphrase")
    before = (fleet.pki / "ca.crt").read_bytes(), (fleet.pki / "ca.key").read_bytes()
    again = fleet.edge("ca", "init", "--no-passphrase")
    assert (again["exit_code"], code(again)) == (1, "edge_ca_exists")
    assert ((fleet.pki / "ca.crt").read_bytes(), (fleet.pki / "ca.key").read_bytes()) == before


def test_without_an_authority_its_command_is_named(fleet: Fleet) -> None:
    answer = fleet.edge("cert")
    assert code(answer) == "edge_ca_missing"
    assert "thorctl edge ca init" in answer["errors"][0]["remedy"]


def test_a_passphrase_is_read_from_a_file(fleet: Fleet, tmp_path: Path) -> None:
    secret = tmp_path / "passphrase"
    secret.write_text("correct horse\n")
    fleet.edge("ca", "init", "--passphrase-file", str(secret))
    assert "ENCRYPTED" in (fleet.pki / "ca.key").read_text()
    assert code(fleet.edge("cert")) == "passphrase_missing"
    wrong = tmp_path / "wrong"
    wrong.write_text("battery staple\n")
    assert code(fleet.edge("cert", "--passphrase-file", str(wrong))) == "edge_ca_unreadable"
    assert list((fleet.pki).glob("devices/*")) == []
    assert fleet.edge("cert", "--passphrase-file", str(secret))["exit_code"] == 0
    assert "ENCRYPTED" not in (fleet.pki / "devices" / "thor-01.key").read_text()  # nginx cannot ask for it


def test_no_key_is_made_without_a_passphrase_unasked(fleet: Fleet, tmp_path: Path) -> None:
    answer = fleet.edge("ca", "init")
    assert (answer["exit_code"], code(answer)) == (2, "passphrase_missing")
    assert "--no-passphrase" in answer["errors"][0]["remedy"]
    assert not fleet.pki.exists()
    secret = tmp_path / "passphrase"
    secret.write_text("x\n")
    both = fleet.edge("ca", "init", "--no-passphrase", "--passphrase-file", str(secret))
    assert (both["exit_code"], code(both)) == (2, "usage")


def test_an_authority_signs_for_what_it_is_permitted_only(fleet: Fleet) -> None:
    permits = ["--permit", "thor-01", "--permit", "example.test", "--permit", "192.0.2.0/24"]
    fleet.edge("ca", "init", "--no-passphrase", *permits)
    assert fleet.edge("cert", "thor-01")["exit_code"] == 0
    root = fleet.pki / "ca.crt"
    verified = ["openssl", "verify", "-CAfile", str(root), str(fleet.pki / "devices" / "thor-01.crt")]
    subprocess.run(verified, check=True, capture_output=True)
    assert code(fleet.edge("cert", "thor-02")) == "edge_san_not_permitted"
    for name in ("bank.example.com", "198.51.100.1", "badexample.test"):
        assert code(fleet.edge("cert", "thor-01", "--san", name)) == "edge_san_not_permitted"
    wrong = fleet.edge("ca", "init", "--pki", str(fleet.folder / "other"), "--no-passphrase", "--permit", "é")
    assert (wrong["exit_code"], code(wrong)) == (2, "edge_permit_invalid")


@pytest.mark.parametrize(
    ("permitted", "sans"),
    [
        (["example.test"], ["bank.example.com"]),
        (["example.test"], ["192.0.2.1"]),
        (["192.0.2.0/24"], ["bank.example.com"]),
        (["192.0.2.0/24"], ["198.51.100.1"]),
        (["192.0.2.0/24"], ["2001:db8::1"]),
    ],
)
def test_a_stolen_key_signs_nothing_that_clients_accept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, permitted: list[str], sans: list[str]
) -> None:
    root = authority.new_authority("test", dt.datetime.now(dt.UTC), 30, None, permitted)
    monkeypatch.setattr(authority, "_require_permitted", lambda *_: None)  # the thief's own program
    leaf = authority.new_certificate(root, "x", sans, now=dt.datetime.now(dt.UTC), days=9)
    (tmp_path / "ca.crt").write_text(root.certificate)
    (tmp_path / "leaf.crt").write_text(leaf.certificate)
    words = ["openssl", "verify", "-CAfile", str(tmp_path / "ca.crt"), str(tmp_path / "leaf.crt")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "subtree violation" in done.stderr


def test_what_is_replaced_and_why(fleet: Fleet) -> None:
    fleet.edge("ca", "init", "--no-passphrase")
    fleet.edge("cert", "--days", "59")
    assert fleet.actions("--dry-run")["thor-01"] == ("would be issued", "expires soon")
    assert fleet.actions("--dry-run", "--renew-before", "30")["thor-01"] == ("kept", None)
    assert fleet.actions("thor-02") == {"thor-02": ("issued", "expires soon")}
    assert fleet.actions("thor-02", "--san", "door") == {"thor-02": ("issued", "not valid for door")}
    assert fleet.actions("thor-02", "--force", "--san", "door") == {"thor-02": ("issued", "asked for")}
    (fleet.pki / "devices" / "thor-02.key").write_text((fleet.pki / "devices" / "thor-01.key").read_text())
    assert fleet.actions("thor-02") == {"thor-02": ("issued", "key and certificate differ")}
    (fleet.pki / "devices" / "thor-02.crt").write_text("nonsense")
    assert fleet.actions("thor-02") == {"thor-02": ("issued", "certificate unreadable")}
    for name in ("ca.crt", "ca.key"):
        (fleet.pki / name).unlink()
    fleet.edge("ca", "init", "--no-passphrase")
    assert fleet.actions("thor-02") == {"thor-02": ("issued", "not signed by this authority")}


def test_a_key_that_is_vaulted_is_not_replaced_for_it(fleet: Fleet, tmp_path: Path) -> None:
    fleet.edge("ca", "init", "--no-passphrase")
    fleet.edge("cert")
    password = tmp_path / "vault"
    password.write_text("vault password\n")
    key = fleet.pki / "devices" / "thor-01.key"
    subprocess.run(
        [str(BIN / "ansible-vault"), "encrypt", "--vault-password-file", str(password), str(key)],
        capture_output=True,
        check=True,
    )
    assert key.read_text().startswith("$ANSIBLE_VAULT;")
    assert fleet.actions("thor-01") == {"thor-01": ("kept", None)}
    assert fleet.actions("thor-01", "--san", "door", "--dry-run")["thor-01"][1] == "not valid for door"


def test_a_key_is_printed_once_and_kept_nowhere(fleet: Fleet) -> None:
    done = fleet.run("keys", "new", "alice")
    key = done.stdout.strip()
    assert KEY.fullmatch(key)
    assert done.stderr == ""
    assert fleet.run("keys", "new", "alice").stdout.strip() != key
    assert [path for path in fleet.folder.rglob("*") if path.is_file()] == [fleet.hosts]


def test_its_vaulted_form_is_what_ansible_reads(fleet: Fleet, tmp_path: Path) -> None:
    password = tmp_path / "vault"
    password.write_text("vault password\n")
    data = fleet.edge("keys", "new", "alice", "--vault-password-file", str(password))["data"]
    variables = fleet.hosts.parent / "group_vars" / "thor" / "edge.yml"
    variables.parent.mkdir(parents=True)
    lines = [f"  {line}" for line in data["vaulted"].splitlines()]
    variables.write_text("\n".join(["thor_edge_keys:", *lines, ""]))
    words = ["-i", str(fleet.hosts), "thor-01", "--connection", "local"]
    words += ["--module-name", "ansible.builtin.debug", "--args", "var=thor_edge_keys"]
    read = subprocess.run(
        [str(BIN / "ansible"), *words, "--vault-password-file", str(password)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert data["key"] in read.stdout, read.stdout + read.stderr
    assert data["key"] not in variables.read_text()


@pytest.mark.parametrize("content", [None, "", "\n"])
def test_a_vault_password_that_is_none(fleet: Fleet, tmp_path: Path, content: str | None) -> None:
    password = tmp_path / "vault"
    if content is not None:
        password.write_text(content)
    answer = fleet.edge("keys", "new", "alice", "--vault-password-file", str(password))
    assert code(answer) == "vault_password_unreadable"
    assert answer["data"] == {}


def test_the_way_out_of_each_refusal_of_the_authority(fleet: Fleet, tmp_path: Path) -> None:
    """What the remedies say is done, in the order in which somebody meets them."""
    assert code(fleet.edge("cert")) == "edge_ca_missing"
    assert code(fleet.edge("ca", "init", "--no-passphrase", "--permit", "é")) == "edge_permit_invalid"
    permits = ["--permit", "thor-01", "--permit", "example.test", "--permit", "192.0.2.0/24"]
    assert fleet.edge("ca", "init", "--no-passphrase", *permits)["exit_code"] == 0
    assert code(fleet.edge("ca", "init", "--no-passphrase")) == "edge_ca_exists"
    assert fleet.edge("cert", "thor-01")["exit_code"] == 0
    assert code(fleet.edge("cert", "thor-02")) == "edge_san_not_permitted"
    other = ["--pki", str(tmp_path / "other")]
    assert (
        fleet.edge("ca", "init", *other, "--no-passphrase", *permits, "--permit", "thor-02")["exit_code"] == 0
    )
    assert fleet.edge("cert", "thor-02", *other)["exit_code"] == 0
    empty = tmp_path / "empty"
    empty.write_text("")
    third = ["ca", "init", "--pki", str(tmp_path / "third"), "--passphrase-file", str(empty)]
    assert code(fleet.edge(*third)) == "passphrase_empty"
    empty.write_text("correct horse\n")
    assert fleet.edge(*third)["exit_code"] == 0
    (tmp_path / "file").write_text("")
    under = ["ca", "init", "--no-passphrase", "--pki"]
    assert code(fleet.edge(*under, str(tmp_path / "file" / "pki"))) == "edge_pki_unwritable"
    assert fleet.edge(*under, str(tmp_path / "fourth"))["exit_code"] == 0
