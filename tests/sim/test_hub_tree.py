"""The hub mirror against the real nginx and the unmodified clients."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from huggingface_hub import HfApi, get_hf_file_metadata, hf_hub_url, snapshot_download
from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError

from thorctl.checkpoint import hub_tree
from thorctl.errors import ThorError
from thorctl.sim.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow  # starts nginx

REPOSITORY = "thorctl/test-model"
CONF = Path(__file__).parents[2] / "images" / "sim-origin" / "hub.conf"
BIG_BYTES = 25 << 20  # the client writes in pieces of 10 MB: a cut leaves one or two of them
LOG = "'$request_method $status [$http_range] $uri'"
HF = Path(sys.executable).parent / "hf"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    (source / "nested").mkdir(parents=True)
    (source / ".cache").mkdir()
    (source / ".cache" / "noise").write_text("hidden")
    (source / "config.json").write_text('{"model_type": "qwen3_5_moe"}')
    (source / "nested" / "tokenizer.json").write_text("{}")
    (source / "model.safetensors").write_bytes(os.urandom(BIG_BYTES))
    return source


@pytest.fixture
def root(tmp_path: Path, source: Path) -> Path:
    root = tmp_path / "hub"
    hub_tree.publish(root, REPOSITORY, source)
    return root


@pytest.fixture
def hub(tmp_path: Path, root: Path) -> Iterator[str]:
    with served(tmp_path / "nginx", root) as address:
        yield address


@contextmanager
def served(work: Path, root: Path, *, port: int = 0, rate: str = "") -> Iterator[str]:
    """The image's own nginx configuration, with another port and root, and an access log."""
    work.mkdir(exist_ok=True)
    port = port or free_port()
    conf = CONF.read_text()
    for old, new in {
        "/srv/hub": str(root),
        "listen 80 default_server": f"listen 127.0.0.1:{port}",
        "access_log off;": f"log_format t {LOG}; access_log {work}/access t; {rate}",
        "/dev/stderr": f"{work}/error",
        "/tmp/nginx": f"{work}/nginx",  # noqa: S108 - the configuration's own words
    }.items():
        assert old in conf
        conf = conf.replace(old, new)
    if os.geteuid() != 0:
        conf = conf.replace("user root;", "")
    (work / "hub.conf").write_text(conf)
    nginx = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    assert nginx, "nginx is not on this machine: apt-get install nginx-light"
    with subprocess.Popen([nginx, "-c", str(work / "hub.conf")]) as process:
        try:
            wait_for_port(port)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGTERM)


def wait_for_port(port: int) -> None:
    for _ in range(200):
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"nothing listens on {port}")


def hf_download(hub: str, home: Path, revision: str, target: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "HF_ENDPOINT": hub, "HF_HOME": str(home), "NO_PROXY": "127.0.0.1"}
    environment.pop("HF_HUB_OFFLINE", None)
    words = [str(HF), "download", REPOSITORY, "--revision", revision, "--local-dir", str(target)]
    return subprocess.Popen(words, env=environment, start_new_session=True, stdout=subprocess.DEVNULL)


def visible(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    relative = {path.relative_to(folder): path for path in files}
    return {
        str(name): path.read_bytes() for name, path in relative.items() if not name.parts[0].startswith(".")
    }


def test_same_bytes_have_the_same_commit(tmp_path: Path, source: Path, root: Path) -> None:
    again = hub_tree.publish(tmp_path / "elsewhere", "other/name", source, "v1")
    assert again == hub_tree.publish(root, REPOSITORY, source)
    assert len(again) == 40
    (source / "config.json").write_text("{}")
    assert hub_tree.publish(root, REPOSITORY, source) != again


def test_a_moved_tree_still_resolves(tmp_path: Path, root: Path) -> None:
    root.rename(tmp_path / "moved")
    assert (tmp_path / "moved" / REPOSITORY / "resolve" / "main" / "config.json").read_text().startswith("{")


@pytest.mark.parametrize(
    ("repository", "revision"), [("no-owner", "main"), ("a/../b", "main"), ("a/b", "x/y")]
)
def test_names_that_are_none(root: Path, source: Path, repository: str, revision: str) -> None:
    with pytest.raises(ThorError, match="OWNER/NAME@REVISION"):
        hub_tree.publish(root, repository, source, revision)


def test_nothing_to_publish(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ThorError, match="has no files"):
        hub_tree.publish(tmp_path / "hub", REPOSITORY, tmp_path / "empty")


def test_snapshot_by_branch_and_by_commit(tmp_path: Path, hub: str, source: Path) -> None:
    commit = HfApi(endpoint=hub).model_info(REPOSITORY).sha
    assert commit is not None
    for revision in ("main", commit):
        path = snapshot_download(REPOSITORY, revision=revision, endpoint=hub, cache_dir=tmp_path / revision)
        assert Path(path).name == commit
        assert visible(Path(path)) == visible(source)


def test_metadata_is_what_a_hub_answers(hub: str, root: Path, source: Path) -> None:
    info = HfApi(endpoint=hub).model_info(REPOSITORY, files_metadata=True)
    files = {file.rfilename: file for file in info.siblings or []}
    assert sorted(files) == ["config.json", "model.safetensors", "nested/tokenizer.json"]
    weights = (source / "model.safetensors").read_bytes()
    sha256 = hashlib.sha256(weights).hexdigest()
    lfs = files["model.safetensors"].lfs
    assert lfs is not None
    assert (lfs.sha256, lfs.size) == (sha256, BIG_BYTES)
    config = (source / "config.json").read_bytes()
    git = hashlib.sha1(b"blob %d\0" % len(config) + config, usedforsecurity=False).hexdigest()
    assert files["config.json"].blob_id == git
    for name, etag, size in (("model.safetensors", sha256, BIG_BYTES), ("config.json", git, len(config))):
        head = get_hf_file_metadata(hf_hub_url(REPOSITORY, name, endpoint=hub))
        assert (head.etag, head.size, head.commit_hash) == (etag, size, info.sha)


def test_unknown_things_are_told_apart(hub: str) -> None:
    api = HfApi(endpoint=hub)
    with pytest.raises(RepositoryNotFoundError):
        api.model_info("nobody/nothing")
    with pytest.raises(RevisionNotFoundError):
        api.model_info(REPOSITORY, revision="0" * 40)
    with pytest.raises(EntryNotFoundError):
        get_hf_file_metadata(hf_hub_url(REPOSITORY, "absent.json", endpoint=hub))
    with pytest.raises(RevisionNotFoundError):
        get_hf_file_metadata(hf_hub_url(REPOSITORY, "config.json", revision="v9", endpoint=hub))


def test_hf_download_resumes_where_the_connection_was_cut(tmp_path: Path, root: Path, source: Path) -> None:
    commit = hub_tree.commit_of(hub_tree.scan(source))
    target, port = tmp_path / "target", free_port()
    address = f"http://127.0.0.1:{port}"
    with served(tmp_path / "slow", root, port=port, rate="limit_rate 4m;"):
        download = hf_download(address, tmp_path / "home", commit, target)
        wait_for_partial(target, download)
    with served(tmp_path / "fast", root, port=port), download:
        assert download.wait(120) == 0
    log = (tmp_path / "fast" / "access").read_text()
    resumed = re.search(r"^GET 206 \[bytes=(\d+)-\] (\S+)$", log, re.MULTILINE)
    assert resumed is not None, log
    assert 0 < int(resumed[1]) < BIG_BYTES
    assert resumed[2] == f"/{REPOSITORY}/resolve/{commit}/model.safetensors"
    assert visible(target) == visible(source)


def wait_for_partial(target: Path, process: subprocess.Popen[bytes]) -> None:
    """Returns once a part of the weights is there: the small files have their parts, too, for a moment."""
    for _ in range(1200):
        for path in target.rglob("*.incomplete"):
            with suppress(FileNotFoundError):  # whole by now
                if path.stat().st_size >= BIG_BYTES // 100:
                    return
        assert process.poll() is None, "hf download ended before it could be cut"
        time.sleep(0.05)
    raise AssertionError("no partial file appeared")
