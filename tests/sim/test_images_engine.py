"""The images as the real engine builds them here: what they hold, what they do not, what they can do."""

from __future__ import annotations

import json
import re
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.sim.test_hub_tree import BIG_BYTES, REPOSITORY, served, visible
from tests.support.simulated import CHECKOUT
from thorctl.checkpoint import hub_tree
from thorctl.remote import docker_engine
from thorctl.sim import host_apt, images
from thorctl.sim.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from docker import DockerClient
    from docker.models.containers import Container

EMPTY = ("mnt", "srv", "tmp", "var/tmp")

pytestmark = pytest.mark.sim


def quiet(step: str, detail: str, seconds: float | None) -> None:
    """An ``images.Report`` that shows nothing."""


@pytest.fixture(scope="module")
def client() -> Iterator[DockerClient]:
    client = docker_engine.connect()
    yield client
    client.close()


@pytest.fixture(scope="module", params=["debian-12", "debian-13", "cpu-vllm", "sim-origin"])
def image(request: pytest.FixtureRequest, client: DockerClient) -> images.ImageTag:
    return images.ensure(client, request.param, quiet)


@pytest.fixture(scope="module")
def cpu_vllm(client: DockerClient) -> images.ImageTag:
    return images.ensure(client, "cpu-vllm", quiet)


def output(client: DockerClient, image: images.ImageTag, *command: str) -> str:
    options: dict[str, Any] = {"entrypoint": [], "remove": True, "network_mode": "none", "read_only": True}
    printed: bytes = client.containers.run(
        image.name, list(command), tmpfs={"/run": ""}, environment={"TMPDIR": "/run"}, **options
    )
    return printed.decode()


def test_an_image_is_built_once(client: DockerClient, image: images.ImageTag) -> None:
    again = images.ensure(client, image.kind, quiet)
    assert (again.name, again.id, again.built) == (image.name, image.id, False)
    assert client.images.get(image.name).labels[images.LABEL] == image.kind


def test_an_image_holds_nothing_of_the_host(client: DockerClient, image: images.ImageTag) -> None:
    left = output(
        client,
        image,
        "sh",
        "-c",
        "cd /; ls -A mnt srv tmp var/tmp root; find var/lib/apt/lists -size +0 -type f",
    )
    assert set(left.split()) - {".bashrc", ".profile"} == {f"{folder}:" for folder in EMPTY} | {"root:"}
    settings = output(
        client, image, "sh", "-c", "cat /etc/apt/apt.conf.d/* /etc/apt/apt.conf 2>/dev/null || :"
    )
    assert "Acquire::http" not in settings
    assert "Check-Valid-Until" not in settings
    sources = output(client, image, "sh", "-c", "cat /etc/apt/sources.list; ls /etc/apt/sources.list.d")
    # Where the host names no mirror (Ubuntu), mmdebstrap chose one, which the images on top need too.
    ours = host_apt.mirrors(host_apt.read_sources()).main is None
    assert bool(re.findall(r"https?://\S+", sources)) == ours
    assert not client.images.get(image.name).attrs["Config"]["Volumes"]
    variables = {
        entry.partition("=")[0].lower()
        for entry in client.images.get(image.name).attrs["Config"]["Env"] or []
    }
    assert not {name for name in variables if "proxy" in name or name.startswith(("pip_", "ssl_"))}


def test_the_engine_image_starts_vllm_serve(client: DockerClient, cpu_vllm: images.ImageTag) -> None:
    config = client.images.get(cpu_vllm.name).attrs["Config"]
    assert config["Entrypoint"] == ["vllm", "serve"]
    assert config["Labels"]["dev.thorctl.vllm_version"] == "0.32.0"
    assert (
        output(client, cpu_vllm, "python3", "-c", "import vllm; print(vllm.__version__)").split()[-1]
        == "0.32.0"
    )


def test_the_engine_image_carries_its_bytecode(client: DockerClient, cpu_vllm: images.ImageTag) -> None:
    where = "/usr/local/lib/python3.11/dist-packages"
    for module in ("vllm/v1/engine", "torch", "transformers/models/auto"):
        assert "__init__.cpython-311.pyc" in output(client, cpu_vllm, "ls", f"{where}/{module}/__pycache__")


# What vLLM compiles at its first use, and what its CPU kernels treat on their own.
REQUESTS: dict[str, dict[str, Any]] = {
    "logprobs of a chat": {
        "messages": [{"role": "user", "content": "2 + 2?"}],
        "logprobs": True,
        "top_logprobs": 2,
    },
    "logprobs": {"prompt": "What is it?", "logprobs": 2},
    "logprobs of the prompt": {"prompt": "What is it?", "prompt_logprobs": 2},
    "beam search": {"prompt": "What is it?", "use_beam_search": True, "n": 2},
    "penalties": {
        "prompt": "What is it?",
        "repetition_penalty": 1.2,
        "min_p": 0.1,
        "logit_bias": {"5": 1},
        "seed": 3,
    },
    "a grammar": {
        "messages": [{"role": "user", "content": "Go"}],
        "response_format": {"type": "json_object"},
    },
    "a single token": {"prompt": "a"},
}
ASK = """
import json, sys, time, urllib.error, urllib.request
def ask(path, body=None):
    data = None if body is None else json.dumps({"model": "tiny", "max_tokens": 4, **body}).encode()
    json_body = {"Content-Type": "application/json"}
    request = urllib.request.Request("http://127.0.0.1:8000" + path, data, json_body)
    try:
        return urllib.request.urlopen(request, timeout=300).status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0
while ask("/health") != 200:
    time.sleep(0.5)
answers = {}
for name, body in json.loads(sys.argv[1]).items():
    answers[name] = ask("/v1/chat/completions" if "messages" in body else "/v1/completions", body)
time.sleep(2)
print(json.dumps({**answers, "health": ask("/health")}))
"""


@pytest.mark.vllm
def test_the_engine_survives_every_kind_of_request(client: DockerClient, cpu_vllm: images.ImageTag) -> None:
    server = client.containers.run(
        cpu_vllm.name,
        [
            "/model",
            "--served-model-name",
            "tiny",
            "--enforce-eager",
            "--language-model-only",
            "--max-model-len",
            "512",
        ],
        detach=True,
        network_mode="none",
        shm_size="1g",
        environment={"VLLM_CPU_KVCACHE_SPACE": "1", "GLOO_SOCKET_IFNAME": "lo", "VLLM_HOST_IP": "127.0.0.1"},
        volumes={str(CHECKOUT / "images" / "tiny-qwable" / "model"): {"bind": "/model", "mode": "ro"}},
    )
    try:
        asked = server.exec_run(["timeout", "600", "python3", "-c", ASK, json.dumps(REQUESTS)], stderr=False)
        log = server.logs(tail=40).decode()
    finally:
        server.remove(force=True, v=True)
    assert asked.exit_code == 0, log
    assert isinstance(asked.output, bytes)
    assert json.loads(asked.output) == dict.fromkeys([*REQUESTS, "health"], 200), log


def test_hf_in_the_engine_image_goes_on_after_a_kill(
    client: DockerClient, cpu_vllm: images.ImageTag, tmp_path: Path
) -> None:
    source, target, root, port = tmp_path / "source", tmp_path / "target", tmp_path / "hub", free_port()
    source.mkdir()
    target.mkdir()
    (source / "model.safetensors").write_bytes(bytes(range(256)) * (BIG_BYTES // 256))
    commit = hub_tree.publish(root, REPOSITORY, source)
    with served(tmp_path / "slow", root, port=port, rate="limit_rate 2m;") as hub:
        download = start_hf(client, cpu_vllm, hub, commit, target)
        kept = wait_for_partial(target, download)
        download.remove(force=True)
    with served(tmp_path / "fast", root, port=port) as hub:
        download = start_hf(client, cpu_vllm, hub, commit, target)
        status = download.wait(timeout=300)["StatusCode"]
        log = download.logs().decode()
        download.remove(force=True)
    assert status == 0, log
    resumed = re.search(
        r"^GET 206 \[bytes=(\d+)-\]", (tmp_path / "fast" / "access").read_text(), re.MULTILINE
    )
    assert resumed is not None
    assert kept <= int(resumed[1]) < BIG_BYTES
    subprocess.run(["rm", "-rf", str(target / ".cache")], check=True)
    assert visible(target) == visible(source)


def start_hf(client: DockerClient, image: images.ImageTag, hub: str, commit: str, target: Path) -> Container:
    return client.containers.run(
        image.name,
        ["download", REPOSITORY, "--revision", commit, "--local-dir", "/out"],
        entrypoint=["hf"],
        detach=True,
        network_mode="host",
        environment={"HF_ENDPOINT": hub, "HF_HOME": "/tmp/hf"},  # noqa: S108 - inside the container
        volumes={str(target): {"bind": "/out", "mode": "rw"}},
    )


def wait_for_partial(target: Path, download: Container) -> int:
    for _ in range(2400):
        sizes = [path.stat().st_size for path in target.rglob("*.incomplete")]
        if any(sizes):
            return max(sizes)
        download.reload()
        assert download.status != "exited", download.logs().decode()
        time.sleep(0.05)
    raise AssertionError("no partial file appeared")
