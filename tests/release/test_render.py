"""What is rendered: read back by PyYAML as vLLM does, by systemd itself, and word by word."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.support.documents import changed, lock_for, release_of
from thorctl.agent.engine import image_user
from thorctl.agent.engine.unit import STOP_SECONDS
from thorctl.errors import ThorError
from thorctl.release import device_class, profile
from thorctl.release.render import render_release, yaml_value
from thorctl.release.serve_options import RESERVED_ENVIRONMENT
from thorctl.release.systemd_quote import word

if TYPE_CHECKING:
    from thorctl.release.document import Release

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
RELEASES = [
    ("tiny-qwable", "simulated-container"),
    ("tiny-qwable", "simulated-vm"),
    ("qwable-v1-nvfp4a16", "jetson-agx-thor"),
    ("qwable-v1-nvfp4a16", "jetson-t4000"),
    ("qwable-v1-nvfp4a16-upstream", "jetson-agx-thor"),
    ("qwable-v1-bf16", "jetson-agx-thor"),
]


def docker_words(release: Release) -> list[str]:
    """The words of ExecStart."""
    unit = release.files["thor-engine.service"].content.replace("\\\n", " ")
    (line,) = [line for line in unit.splitlines() if line.startswith("ExecStart=")]
    return shlex.split(line.removeprefix("ExecStart="))


@pytest.mark.parametrize(("name", "class_name"), RELEASES)
def test_serve_yaml_is_the_options_and_the_socket(name: str, class_name: str) -> None:
    release = release_of(DEPLOY, name, class_name)
    served = yaml.safe_load(release.files["serve.yaml"].content)
    assert served.pop("uds") == "/run/engine/engine.sock"
    assert not {"host", "port"} & set(served)
    assert served.pop("model") == "/models/checkpoint"
    computed = set() if "simulated" in class_name else {"kv-cache-memory-bytes", "gpu-memory-utilization"}
    assert served == release.options
    assert set(served) - set(release.profile.serve) == computed | {"shutdown-timeout"}
    given = {key: value for key, value in release.profile.serve.items() if key != "port"}
    assert {key: served[key] for key in given} == given
    assert False not in served.values()


def test_engine_env(project: Path) -> None:
    of = changed(profile.load(DEPLOY, "tiny-qwable"), environment={"A_B": "x=1 # $HOME '%i' \"q\""})
    release = render_release(
        of, lock_for(of), device_class.load(DEPLOY, "simulated-container"), DEPLOY / "templates"
    )
    lines = release.files["engine.env"].content.splitlines()
    values = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
    assert values["A_B"] == "x=1 # $HOME '%i' \"q\""
    assert values["HF_HUB_OFFLINE"] == values["TRANSFORMERS_OFFLINE"] == "1"
    assert values["VLLM_NO_USAGE_STATS"] == values["DO_NOT_TRACK"] == "1"
    assert values["HOME"] == "/tmp/home"  # noqa: S108 - the container's own
    assert values["PYTHONNOUSERSITE"] == "1"
    assert values["VLLM_HOST_IP"] == "127.0.0.1"
    assert values["GLOO_SOCKET_IFNAME"] == values["NCCL_SOCKET_IFNAME"] == "lo"
    assert values["USER"] == values["LOGNAME"] == "thor-engine"
    assert values["VLLM_ENGINE_READY_TIMEOUT_S"] == "600"
    assert set(RESERVED_ENVIRONMENT) - {"PATH"} <= set(values)


CACHES = (
    "VLLM_CACHE_ROOT",
    "TORCHINDUCTOR_CACHE_DIR",
    "TRITON_CACHE_DIR",
    "CUDA_CACHE_PATH",
    "FLASHINFER_WORKSPACE_BASE",
)


def test_what_is_compiled_survives_restarts_and_releases() -> None:
    release = release_of(DEPLOY, "qwable-v1-nvfp4a16", "jetson-agx-thor")
    lines = release.files["engine.env"].content.splitlines()
    values = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
    assert all(Path(values[name]).is_relative_to("/cache") for name in CACHES)
    assert len({values[name] for name in CACHES}) == len(CACHES)
    assert int(values["CUDA_CACHE_MAXSIZE"]) == 4 * 2**30
    words = docker_words(release)
    assert "type=bind,src=${THOR_ENGINE_CACHE},dst=/cache" in words
    homes = ("HOME", "HF_HOME", "HF_HUB_CACHE")
    assert not any(Path(values[name]).is_relative_to("/cache") for name in homes)
    assert values["TRITON_PTXAS_PATH"] == "/usr/local/cuda/bin/ptxas"
    assert values["VLLM_ENGINE_READY_TIMEOUT_S"] == "3600"


def test_the_thors_container_gets_the_gpu_by_its_runtime() -> None:
    words = docker_words(release_of(DEPLOY, "qwable-v1-nvfp4a16", "jetson-agx-thor"))
    line = " ".join(words)
    for part in (
        "--runtime nvidia",
        "--ipc private --shm-size 16g",
        "--ulimit memlock=-1",
        "--ulimit nofile=524288",
        "--ulimit stack=67108864",
    ):
        assert part in line
    assert "--gpus" not in words
    unit = release_of(DEPLOY, "qwable-v1-nvfp4a16", "jetson-agx-thor").files["thor-engine.service"].content
    assert unit.count("vm.drop_caches=3") == 2
    assert "NVIDIA_VISIBLE_DEVICES=all" in release_of(DEPLOY, *RELEASES[2]).files["engine.env"].content


def test_the_container_is_confined_and_runs_the_digest() -> None:
    release = release_of(DEPLOY)
    words = docker_words(release)
    assert words[:2] == ["/usr/bin/docker", "run"]
    image = f"{release.lock.image.repository}:thor-{release.lock.image.digest[7:19]}"
    assert words[words.index("--entrypoint") + 1 : words.index("--entrypoint") + 3] == ["/bin/sh", image]
    program = ["-c", 'umask 0; exec "$$0" "$$@"', "$THOR_ENGINE_COMMAND"]
    assert words[words.index(image) + 1 :] == [*program, "--config", "/etc/thor-engine/serve.yaml"]
    line = " ".join(words)
    for part in (
        "--pull never",
        "--network ${THOR_ENGINE_NETWORK} --user ${THOR_ENGINE_USER}",
        "--read-only",
        "--cap-drop ALL",
        "--security-opt no-new-privileges",
        " ".join(image_user.LIMITS[2:4]),  # what the image's proof on the device had
        "--ipc private --shm-size 1g",
    ):
        assert part in line
    mounts = [words[n + 1] for n, one in enumerate(words) if one == "--mount"]
    assert [mount for mount in mounts if not mount.endswith(",readonly")] == [
        "type=bind,src=${THOR_ENGINE_CACHE},dst=/cache",
        "type=bind,src=/run/thor/engines/main,dst=/run/engine",
    ]
    # A word of its own, not a quoted one: systemd splits it into the options that it holds, or none.
    assert words.index("$THOR_ENGINE_VOLUMES") < words.index("--entrypoint")
    assert release.files["thor-engine.service"].content.count("docker rm --force --volumes thor-engine") == 2
    assert "--runtime" not in words
    assert "--gpus" not in words
    assert "drop_caches" not in release.files["thor-engine.service"].content


def test_the_engine_stops_within_the_units_own_limits() -> None:
    """Streams in flight end first, then `docker stop` gives up, then systemd, then the agent."""
    release = release_of(DEPLOY, "qwable-v1-nvfp4a16", "jetson-agx-thor")
    unit = release.files["thor-engine.service"].content
    planned = release.options["shutdown-timeout"]
    (stop,) = re.findall(r"docker stop -t (\d+) thor-engine", unit)
    (outer,) = re.findall(r"timeout --kill-after=5 (\d+) /usr/bin/docker stop", unit)
    (limit,) = re.findall(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)
    assert planned < int(stop) < int(outer) + 5 < int(limit)
    assert int(outer) + 5 + 35 + 35 + int(limit) < STOP_SECONDS


@pytest.mark.parametrize(("name", "class_name"), RELEASES)
def test_systemd_accepts_the_unit(tmp_path: Path, name: str, class_name: str) -> None:
    """systemd-analyze's own verdict, as of the device: with the other units and executables there."""
    release = release_of(DEPLOY, name, class_name)
    root = tmp_path / "root"
    units = root / "etc" / "systemd" / "system"
    units.mkdir(parents=True)
    text = release.files["thor-engine.service"].content.replace("@RELEASE_ID@", release.id)
    (units / "thor-engine.service").write_text(text)
    for other in ("docker.service", "thor-recover.service"):
        (units / other).write_text(
            "[Unit]\nDescription=x\n[Service]\nType=oneshot\nExecStart=/usr/bin/sync\n"
        )
    for target in ("sysinit", "basic", "shutdown", "multi-user", "network", "local-fs", "umount"):
        (units / f"{target}.target").write_text(f"[Unit]\nDescription={target}\n")
    for tool in (
        "usr/local/bin/thor-agent",
        "bin/sh",
        "usr/bin/docker",
        "usr/bin/sync",
        "usr/bin/timeout",
        "usr/sbin/sysctl",
    ):
        path = root / tool
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
    verdict = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", f"--root={root}", "thor-engine.service"],
        capture_output=True,
        text=True,
        check=False,
    )
    newer = ("RestartSteps", "RestartMaxDelaySec")  # systemd 254; what is older ignores them
    said = [line for line in verdict.stderr.splitlines() if not any(f"'{key}'" in line for key in newer)]
    assert (verdict.returncode, said, verdict.stdout) == (0, [], "")


def test_the_unit_survives_what_the_design_says() -> None:
    unit = release_of(DEPLOY).files["thor-engine.service"].content
    for line in (
        "Requires=docker.service thor-recover.service",
        "RequiresMountsFor=/var/lib/thor/cache",
        "ExecStartPre=-/usr/bin/docker rm --force --volumes thor-engine",
        "Restart=always",
        "StartLimitIntervalSec=0",
        "RestartMaxDelaySec=300",
        "ExecStartPre=/usr/local/bin/thor-agent --holder device engine-prepare @RELEASE_ID@",
        "WantedBy=multi-user.target",
        "WantedBy=docker.service",
    ):
        assert line in unit.splitlines()


def test_a_class_the_profile_is_not_made_for() -> None:
    of = profile.load(DEPLOY, "tiny-qwable")
    with pytest.raises(ThorError, match="not made for device class 'jetson-agx-thor'") as caught:
        render_release(of, lock_for(of), device_class.load(DEPLOY, "jetson-agx-thor"), DEPLOY / "templates")
    assert caught.value.code == "device_class_mismatch"


def test_an_image_the_class_cannot_run() -> None:
    of = profile.load(DEPLOY, "tiny-qwable")
    with pytest.raises(ThorError, match="is for linux/amd64; simulated-vm runs linux/arm64") as caught:
        render_release(of, lock_for(of), device_class.load(DEPLOY, "simulated-vm"), DEPLOY / "templates")
    assert caught.value.code == "platform_mismatch"
    assert "thorctl lock tiny-qwable --platform linux/arm64" in caught.value.remedy


def test_a_lock_of_something_else() -> None:
    of = profile.load(DEPLOY, "tiny-qwable")
    lock = lock_for(changed(of, checkpoint={**of.checkpoint.model_dump(), "revision": "other"}))
    with pytest.raises(ThorError) as caught:
        render_release(of, lock, device_class.load(DEPLOY, "simulated-container"), DEPLOY / "templates")
    assert caught.value.code == "lock_mismatch"


def test_an_incomplete_checkout(tmp_path: Path) -> None:
    of = profile.load(DEPLOY, "tiny-qwable")
    with pytest.raises(ThorError, match=r"no serve\.yaml\.j2") as caught:
        render_release(of, lock_for(of), device_class.load(DEPLOY, "simulated-container"), tmp_path)
    assert caught.value.code == "templates_missing"


text = st.text(st.characters(blacklist_categories=("Cs", "Cc", "Cn")), max_size=20)
scalar = st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text
value = st.recursive(
    scalar, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3), max_leaves=8
)


@given(value)
def test_every_value_reads_back_in_pyyaml(given_value: Any) -> None:
    assert yaml.safe_load(f"key: {yaml_value(given_value)}") == {"key": given_value}


QUOTED = {
    "plain-1.0:/x@y=z": "plain-1.0:/x@y=z",
    "two words": '"two words"',
    "100%": '"100%%"',
    "$HOME ${X}": '"$$HOME $${X}"',
    'a"b': '"a\\"b"',
    "a\\nb": '"a\\\\nb"',
    ";": '";"',
    "'": '"\'"',
}


@pytest.mark.parametrize(("raw", "quoted"), QUOTED.items())
def test_a_word_for_systemd(raw: str, quoted: str) -> None:
    assert word(raw) == quoted


@pytest.mark.parametrize("raw", ["", "a\nb", "a\x00", "\x7f", "a\u2028b", "tab\t"])
def test_what_no_unit_can_hold(raw: str) -> None:
    with pytest.raises(ValueError, match="cannot stand in a systemd unit"):
        word(raw)


def test_systemd_accepts_every_quoted_word(tmp_path: Path) -> None:
    unit = tmp_path / "quoted.service"

    def verdict(arguments: str) -> str:
        unit.write_text(f"[Service]\nType=oneshot\nExecStart=/usr/bin/printf {arguments}\n")
        command = ["systemd-analyze", "verify", "--man=no", str(unit)]
        return subprocess.run(command, capture_output=True, text=True, check=False).stderr

    assert verdict(" ".join(word(raw) for raw in QUOTED)) == ""
    assert verdict('50% "open') != ""
