"""What images are built from and how the host is asked: pure functions, and an engine that is not there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from thorctl.errors import ThorError
from thorctl.remote import docker_engine
from thorctl.sim import host_apt, host_network, host_pip, image_base, image_inputs, image_python

if TYPE_CHECKING:
    from pathlib import Path

DEB822 = """\
Types: deb
# http://snapshot.example/archive/debian/20250520T000000Z
URIs: http://mirror.example/debian
Suites: trixie trixie-updates
Types: deb
URIs: http://mirror.example/debian-security/
"""
ONE_LINE = (
    "#deb http://old.example/debian bookworm main\ndeb [arch=amd64] https://m.example/debian/ bookworm main\n"
)
UBUNTU = "Types: deb\nURIs: http://archive.ubuntu.com/ubuntu/\nSuites: noble\n"


@pytest.mark.parametrize(
    ("sources", "main", "security"),
    [
        (DEB822, "http://mirror.example/debian", "http://mirror.example/debian-security"),
        (ONE_LINE, "https://m.example/debian", None),
        (UBUNTU, None, None),
        ("", None, None),
    ],
    ids=["deb822", "one line", "ubuntu", "no apt"],
)
def test_mirrors(sources: str, main: str | None, security: str | None) -> None:
    assert host_apt.mirrors(sources, {}) == host_apt.Mirrors(main, security)


def test_a_chosen_mirror_wins() -> None:
    chosen = {host_apt.MIRROR_VARIABLE: "http://near.example/debian"}
    assert host_apt.mirrors(DEB822, chosen).main == "http://near.example/debian"


@pytest.mark.parametrize("suite", ["bookworm", "trixie"])
def test_sources_are_of_the_image_s_release_whatever_the_host_is(suite: str) -> None:
    lines = host_apt.mirrors(DEB822, {}).sources(suite)
    assert len(lines) == 3
    for line in lines:
        assert f" {suite}" in line
        assert "signed-by=/usr/share/keyrings/debian-archive-keyring.gpg" in line


def test_apt_options_that_reach_the_mirror_are_passed_on() -> None:
    kept = [
        'Acquire::http::Proxy "http://proxy.example:3128";',
        'Acquire::http::Proxy::mirror.example "DIRECT";',
        'Acquire::Check-Valid-Until "false";',
        'Acquire::Retries "3";',
    ]
    others = [
        'Acquire::AllowInsecureRepositories "1";',
        'APT::Get::AllowUnauthenticated "1";',
        'Acquire::http "";',
        'Acquire::http::Proxy "";',
        'Acquire::Languages "none";',
        'DPkg::Pre-Invoke:: "true";',
    ]
    assert host_apt.options("\n".join([*kept, *others])) == kept


def test_mmdebstrap_leaves_nothing_of_the_host_behind() -> None:
    near = "deb http://near.example/debian bookworm main"
    words = image_base.command("out.tar", "bookworm", ["python3"], sources=[near], apt_options=[])
    assert words[-1] == near
    assert '--customize-hook=: > "$1"/etc/apt/sources.list' in words
    assert any("99mmdebstrap" in word for word in words if word.startswith("--customize-hook=rm"))


def test_without_a_mirror_mmdebstrap_takes_its_own_and_the_image_keeps_it() -> None:
    words = image_base.command("out.tar", "bookworm", ["python3"], sources=[], apt_options=[])
    assert words[-2:] == ["bookworm", "out.tar"]
    assert not [word for word in words if '> "$1"/etc/apt/sources.list' in word]


def test_pip_settings_come_from_files_then_variables(tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    (tmp_path / "index" / "simple").mkdir(parents=True)
    conf = tmp_path / "home" / ".config" / "pip" / "pip.conf"
    conf.parent.mkdir(parents=True)
    conf.write_text(
        f"[global]\nfind_links = /nowhere\nextra-index-url =\n  file://{tmp_path}/index/simple\n  https://i.example/simple\n"
        "target = /somewhere\nuser = true\n[install]\ntrusted-host = i.example\n"
    )
    environment = {
        "PIP_FIND_LINKS": str(tmp_path / "wheels"),
        "PIP_TARGET": "/else",
        "XDG_CONFIG_DIRS": str(tmp_path),
    }
    settings = host_pip.read(environment, tmp_path / "home")
    assert settings.environment["PIP_FIND_LINKS"] == str(tmp_path / "wheels")
    extra = f"file://{tmp_path}/index/simple https://i.example/simple"
    assert settings.environment["PIP_EXTRA_INDEX_URL"] == extra
    assert settings.environment["PIP_TRUSTED_HOST"] == "i.example"
    assert not {"PIP_TARGET", "PIP_USER", "PIP_CERT"} & set(settings.environment)
    # An index's pages point beside themselves: its parent is mounted.
    assert sorted(settings.binds) == [str(tmp_path / "index"), str(tmp_path / "wheels")]


def test_pip_configuration_can_be_switched_off(tmp_path: Path) -> None:
    assert host_pip.config_files({"PIP_CONFIG_FILE": "/dev/null"}, tmp_path) == []


def test_no_bundle_no_certificate_variables(tmp_path: Path) -> None:
    assert host_network.ca_bundle({}, tmp_path / "absent") is None
    assert "PIP_CERT" not in image_python.environment(host_pip.PipSettings(), has_bundle=False)
    bundle = tmp_path / "ca.pem"
    bundle.write_bytes(b"pem")
    assert host_network.ca_bundle({"REQUESTS_CA_BUNDLE": str(bundle)}, tmp_path / "absent") == b"pem"
    assert image_python.environment(host_pip.PipSettings(), has_bundle=True)["PIP_CERT"] == "/mnt/ca.crt"


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for folder in ("base", "sim-origin", "sim-device"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "packages.txt").write_text("python3  # why\n\n# none\nnginx\n")
    for docker in image_inputs.DOCKERS:
        (tmp_path / "sim-device" / f"docker-{docker}.txt").write_text("docker.io\n")
    monkeypatch.setattr(image_inputs, "ROOT", tmp_path)
    return tmp_path


def test_packages(images: Path) -> None:
    assert image_inputs.packages_of("debian-13") == ["python3", "nginx"]
    assert image_inputs.packages_of("sim-device-26.1") == ["python3", "nginx", "docker.io"]
    assert image_inputs.packages_of("cpu-vllm") == []


def test_a_tag_follows_from_the_inputs_and_the_parent(images: Path) -> None:
    first = image_inputs.tag_of("sim-origin")
    assert first.startswith("thorctl/sim-origin:")
    assert len(first.rpartition(":")[2]) == 12
    (images / "sim-origin" / "README.md").write_text("read by people")
    assert image_inputs.tag_of("sim-origin") == first
    (images / "sim-origin" / "hub").write_text("#!/bin/sh\n")
    second = image_inputs.tag_of("sim-origin")
    (images / "sim-origin" / "hub").chmod(0o755)
    third = image_inputs.tag_of("sim-origin")
    (images / "base" / "packages.txt").write_text("python3\n")
    assert len({first, second, third, image_inputs.tag_of("sim-origin")}) == 4


def test_a_device_s_tag_follows_its_own_docker_and_release_alone(images: Path) -> None:
    before = {
        docker: image_inputs.tag_of(image_inputs.device_kind(docker)) for docker in image_inputs.DOCKERS
    }
    assert len({tag.rpartition(":")[2] for tag in before.values()}) == len(image_inputs.DOCKERS)
    (images / "sim-device" / "docker-28.5.txt").write_text("docker.io=28.5.*\n")
    after = {docker: image_inputs.tag_of(image_inputs.device_kind(docker)) for docker in image_inputs.DOCKERS}
    assert {docker for docker in before if before[docker] != after[docker]} == {"28.5"}


def test_unstable_s_packages_are_taken_from_debian_where_no_mirror_is_known() -> None:
    near = host_apt.mirrors(DEB822, {}).with_unstable("trixie")
    assert near[-1].endswith("http://mirror.example/debian sid main")
    none = host_apt.mirrors(UBUNTU, {}).with_unstable("trixie")
    assert [line.split("] ")[1] for line in none] == [
        "http://deb.debian.org/debian trixie main",
        "http://deb.debian.org/debian trixie-updates main",
        "http://deb.debian.org/debian sid main",
    ]


def test_the_engine_is_looked_for_in_order() -> None:
    own = "unix:///run/thorctl/docker.sock"
    assert list(docker_engine.candidates({"DOCKER_HOST": "tcp://e:1"})) == [
        "tcp://e:1",
        "unix:///var/run/docker.sock",
        own,
    ]
    assert list(docker_engine.candidates({})) == ["unix:///var/run/docker.sock", own]


def test_no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker_engine, "DEFAULT_SOCKET", f"unix://{tmp_path}/a.sock")
    monkeypatch.setattr(docker_engine, "OWN_SOCKET", f"unix://{tmp_path}/b.sock")
    with pytest.raises(ThorError, match=r"a\.sock, unix.*b\.sock") as caught:
        docker_engine.connect({})
    assert caught.value.code == "docker_unavailable"
    assert "scripts/engine start" in caught.value.remedy
