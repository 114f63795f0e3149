"""Documents and refusals from outside: what Docker pulls is locked, all else is refused by its own name."""

from __future__ import annotations

import http.server
import json
import threading
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from huggingface_hub import constants

from tests.agent.staging.test_fetch import certificate
from tests.support.hub_files import HubFiles
from tests.support.images import DOCKER_MANIFEST, INDEX, MANIFEST, digest_of
from thorctl.doctor import machine
from thorctl.errors import ThorError
from thorctl.registry import auth as registry_auth
from thorctl.registry import environment, oci
from thorctl.registry import hub as hubs
from thorctl.registry.client import Registry
from thorctl.release.image_reference import ImageReference
from thorctl.release.profile import Checkpoint
from thorctl.sim.ports import free_port

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator
    from pathlib import Path

NAME = "registry.example.test:5000"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
ARM, AMD = {"os": "linux", "architecture": "arm64"}, {"os": "linux", "architecture": "amd64"}


class Site:
    """Answers by path: (status, media type, body)."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, str, bytes]] = {}

    def put(self, path: str, content: Any, type_: str = "application/json", status: int = 200) -> bytes:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.answers[path] = status, type_, body
        return body


@contextmanager
def serving(site: Site, context: ssl.SSLContext | None = None) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, type_, body = site.answers.get(self.path.partition("?")[0], (404, "text/plain", b""))
            self.send_response(status)
            self.send_header("Content-Type", type_)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", free_port()), Handler)
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http{'s' if context else ''}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class Images(Site):
    """A registry of static documents."""

    def manifest(self, document: Any, type_: str = MANIFEST, tag: str | None = None) -> str:
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        for name in (digest_of(body), tag):
            if name:
                self.put(f"/v2/engine/manifests/{name}", body, type_)
        return digest_of(body)

    def blob(self, content: Any) -> dict[str, Any]:
        body = json.dumps(content).encode()
        self.put(f"/v2/engine/blobs/{digest_of(body)}", body, "application/octet-stream")
        return {"digest": digest_of(body), "size": len(body)}

    def image(self, config: Any, type_: str = MANIFEST, tag: str | None = None, **more: Any) -> str:
        layers = [{"digest": "sha256:" + "0" * 64, "size": 10}]
        document = {"mediaType": type_, "config": self.blob(config), "layers": layers, **more}
        return self.manifest(document, type_, tag)

    def index(self, *entries: dict[str, Any], type_: str = INDEX, tag: str | None = "1.0") -> str:
        return self.manifest({"mediaType": type_, "manifests": list(entries)}, type_, tag)


def entry(digest: str, platform: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"digest": digest, **({"platform": platform} if platform is not None else {}), **more}


def only_nameless(site: Images) -> str:
    site.index(entry(found := site.image(ARM)))
    return found


def nameless_after_another(site: Images) -> str:
    site.index(entry(site.image(AMD)), entry(found := site.image(ARM)))
    return found


def named_before_nameless(site: Images) -> str:
    other = site.image({**ARM, "author": "another"})
    site.index(entry(other), entry(found := site.image(ARM), ARM))
    return found


def index_in_index(site: Images) -> str:
    inner = site.index(entry(found := site.image(ARM), ARM), tag=None)
    site.index(entry(site.image(AMD), AMD), entry(inner))
    return found


def docker_list(site: Images) -> str:
    found = site.image(ARM, DOCKER_MANIFEST)
    site.index(entry(found, {**ARM, "variant": "v8"}), type_=DOCKER_LIST)
    return found


def usual_variant_after_a_newer(site: Images) -> str:
    newer = site.image({**ARM, "variant": "v9"})
    site.index(entry(newer, {**ARM, "variant": "v9"}), entry(found := site.image(ARM), ARM))
    return found


def machine_by_its_other_name(site: Images) -> str:
    found = site.image({"os": "linux", "architecture": "aarch64"})
    site.index(entry(found, {"os": "Linux", "architecture": "aarch64"}))
    return found


def beside_attestations(site: Images) -> str:
    note = {"vnd.docker.reference.type": "attestation-manifest"}
    unknown = {"os": "unknown", "architecture": "unknown"}
    site.index(
        entry("sha256:" + "1" * 64, annotations=note),
        entry("sha256:" + "2" * 64, unknown),
        entry("sha256:" + "3" * 64, artifactType="application/vnd.dev.cosign.artifact.sig.v1+json"),
        entry(site.image({}, artifactType="x")),
        entry(found := site.image(ARM)),
    )
    return found


def without_its_own_type(site: Images) -> str:
    document = {"config": site.blob(ARM), "layers": []}
    return site.manifest(document, MANIFEST, "1.0")


PULLED = [
    only_nameless,
    nameless_after_another,
    named_before_nameless,
    index_in_index,
    docker_list,
    usual_variant_after_a_newer,
    machine_by_its_other_name,
    beside_attestations,
    without_its_own_type,
]


def locked(site: Images, warn: Callable[[str], None] = lambda _: None) -> str:
    with serving(site) as url, Registry(NAME, url, warn) as client:
        return oci.resolve(ImageReference.parse(f"{NAME}/engine:1.0"), "linux/arm64", client).digest


@pytest.mark.parametrize("build", PULLED)
def test_what_docker_pulls_is_locked(build: Callable[[Images], str]) -> None:
    site = Images()
    expected = build(site)
    assert locked(site) == expected


def _deep(site: Images) -> None:
    digest = site.image(ARM)
    for _ in range(6):
        digest = site.index(entry(digest), tag=None)
    site.index(entry(digest))


def _both(site: Images) -> None:
    site.manifest({"mediaType": INDEX, "manifests": [], "config": site.blob(ARM), "layers": []}, INDEX, "1.0")


REFUSED: dict[str, tuple[Callable[[Images], Any], str]] = {
    "no config": (lambda s: s.manifest({"mediaType": MANIFEST, "layers": []}, tag="1.0"), "registry_invalid"),
    "layers null": (
        lambda s: s.manifest({"config": s.blob(ARM), "layers": None}, tag="1.0"),
        "registry_invalid",
    ),
    "manifests null": (lambda s: s.manifest({"manifests": None}, INDEX, "1.0"), "registry_invalid"),
    "manifests of text": (lambda s: s.manifest({"manifests": ["a"]}, INDEX, "1.0"), "registry_invalid"),
    "platform of text": (lambda s: s.index(entry(s.image(ARM), platform="arm64")), "registry_invalid"),  # type: ignore[arg-type]
    "index and manifest": (_both, "registry_invalid"),
    "served as another type": (
        lambda s: s.manifest({"mediaType": MANIFEST, "config": s.blob(ARM), "layers": []}, INDEX, "1.0"),
        "registry_invalid",
    ),
    "sha512": (lambda s: s.index(entry("sha512:" + "a" * 128, ARM)), "registry_invalid"),
    "indexes without end": (_deep, "registry_invalid"),
    "a login page": (lambda s: s.manifest(b"<html>Log in</html>", "text/html", "1.0"), "registry_invalid"),
    "deep JSON": (lambda s: s.manifest(b"[" * 100_000, MANIFEST, "1.0"), "registry_invalid"),
    "a list": (lambda s: s.manifest(b"[]", MANIFEST, "1.0"), "registry_invalid"),
    "a config of text": (lambda s: s.image("arm64", tag="1.0"), "registry_invalid"),
    "labels of another kind": (
        lambda s: s.image({**ARM, "config": {"Labels": [1]}}, tag="1.0"),
        "registry_invalid",
    ),
    "a size of text": (
        lambda s: s.manifest(
            {"config": s.blob(ARM), "layers": [{"digest": "sha256:" + "0" * 64, "size": "10"}]}, tag="1.0"
        ),
        "registry_invalid",
    ),
    "only a newer variant": (
        lambda s: s.index(entry(s.image(ARM), {**ARM, "variant": "v9"})),
        "platform_not_found",
    ),
    "a machine that is not named": (lambda s: s.image({}, tag="1.0"), "platform_not_found"),
    "an index of nothing": (lambda s: s.index(), "platform_not_found"),
    "schema 1": (
        lambda s: s.manifest(
            {"schemaVersion": 1}, "application/vnd.docker.distribution.manifest.v1+prettyjws", "1.0"
        ),
        "manifest_unsupported",
    ),
    "a lost manifest": (lambda s: s.index(entry("sha256:" + "4" * 64, ARM)), "image_not_found"),
}


@pytest.mark.parametrize(("build", "code"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_image_is_refused_by_name(build: Callable[[Images], Any], code: str) -> None:
    site = Images()
    build(site)
    with pytest.raises(ThorError) as caught:
        locked(site)
    assert caught.value.code == code
    assert "None" not in caught.value.message
    pushed = site.image(ARM, tag="1.0")  # again, with a current Docker, for the devices' platform
    assert locked(site) == pushed


def _answers(status: int, body: bytes = b"{}") -> Callable[[httpx.Request], httpx.Response]:
    return lambda _: httpx.Response(status, content=body)


def _fails(_: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused")


TOKENS: list[tuple[Callable[[httpx.Request], httpx.Response], str]] = [
    (_answers(401), "registry_denied"),
    (_answers(403), "registry_denied"),
    (_answers(429), "registry_limited"),
    (_answers(500), "registry_unavailable"),
    (_answers(503), "registry_unavailable"),
    (_answers(400), "registry_failed"),
    (_answers(200, b"<html>Log in</html>"), "registry_invalid"),
    (_answers(200, b"{}"), "registry_invalid"),
    (_answers(200, b"[]"), "registry_invalid"),
    (_answers(200, b'{"token": "a\\nb"}'), "registry_invalid"),
    (_answers(200, b'{"token": 7}'), "registry_invalid"),
    (_fails, "registry_unreachable"),
]


@pytest.mark.parametrize(("behaviour", "code"), TOKENS)
def test_a_token_service_is_told_by_its_own_cause(
    behaviour: Callable[[httpx.Request], httpx.Response], code: str
) -> None:
    client = httpx.Client(transport=httpx.MockTransport(behaviour))
    credentials = registry_auth.Credentials("r.test")
    with pytest.raises(ThorError) as caught:
        registry_auth.answer('Bearer realm="https://token.test/t"', "engine", credentials, client, "r.test")
    assert caught.value.code == code
    assert ("docker login" in caught.value.remedy) == (code == "registry_denied")


# What may stand in ~/.docker/config.json and cannot be read.
LOGINS = {
    "helper not there": '{"auths": {}, "credsStore": "not-there"}',
    "helper of one registry not there": '{"credHelpers": {"r.test": "not-there"}}',
    "helper fails": '{"credsStore": "fails"}',
    "helper babbles": '{"credsStore": "babbles"}',
    "not JSON": '{"auths": ',
    "JSON of another kind": "[]",
    "a login that is no base64": '{"auths": {"r.test": {"auth": "%%%"}}}',
    "an identity token": '{"auths": {"r.test": {"identitytoken": "t", "auth": "dTpw"}}}',
}


@pytest.mark.parametrize("content", LOGINS.values(), ids=LOGINS)
def test_a_login_that_cannot_be_read_fails_only_what_needs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    for name, script in (("fails", "echo no keyring >&2; exit 1"), ("babbles", "echo hello")):
        helper = tmp_path / f"docker-credential-{name}"
        helper.write_text(f"#!/bin/sh\n{script}\n")
        helper.chmod(0o755)
    (tmp_path / "config.json").write_text(content)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    def token(status: int) -> tuple[str, list[str]]:
        client = httpx.Client(transport=httpx.MockTransport(_answers(status, b'{"token": "anonymous"}')))
        told: list[str] = []
        credentials = registry_auth.Credentials("r.test", told.append)
        challenge = 'Bearer realm="https://token.test/t"'
        return registry_auth.answer(challenge, "engine", credentials, client, "r.test"), told

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Python's own, which a person would see
        header, told = token(200)
        assert header == "Bearer anonymous"
        (warning,) = told
        with pytest.raises(ThorError) as caught:
            token(401)
    assert caught.value.code in {"docker_login_unreadable", "docker_login_unusable"}
    assert caught.value.message in warning
    assert "r.test" in warning


FILES = {"config.json": b"{}\n", "model.safetensors": b"\x00" * 99}


def test_a_mirror_below_a_path_and_without_headers_is_served(hub: HubFiles) -> None:
    """As Artifactory and Nexus: no X-Repo-Commit, and no ETag that is a hash."""
    (hub.folder / "artifactory").mkdir()
    below = HubFiles(f"{hub.url}/artifactory/hf", hub.folder / "artifactory" / "hf")
    commit = below.add("team/model", "main", FILES, large=("model.safetensors",))
    checkpoint = Checkpoint(repository="team/model", revision="main", endpoint=below.url)
    assert hubs.resolve(checkpoint).checkpoint.commit == commit
    elsewhere = Checkpoint(
        repository="team/model", revision="main", endpoint="https://mirror.example.test/artifactory/hf"
    )
    address = hubs.address_of(elsewhere, {"mirror.example.test": hub.url})
    assert hubs.resolve(elsewhere, address).checkpoint.commit == commit


@pytest.mark.parametrize(
    "endpoint", ["https://h/", "https://h/a/", "https://h/../a", "https://h/a?b", "https://h/a b", "ftp://h"]
)
def test_an_endpoint_of_another_form_is_refused(endpoint: str) -> None:
    with pytest.raises(ValueError, match="endpoint"):
        Checkpoint(repository="team/model", revision="main", endpoint=endpoint)


INFO, TREE = "/api/models/team/model/revision/main", f"/api/models/team/model/tree/{'a' * 40}"
WELL = {"id": "team/model", "sha": "a" * 40}
FILE = {"type": "file", "path": "a", "size": 1, "oid": "0" * 40}
STRANGE: dict[str, list[tuple[str, Any]]] = {
    "a login page": [(INFO, b"<html>Log in</html>")],
    "a list": [(INFO, [])],
    "nothing": [(INFO, b"")],
    "deep JSON": [(INFO, b"[" * 100_000)],
    "no commit": [(INFO, {"id": "team/model"})],
    "a commit of another kind": [(INFO, {**WELL, "sha": 7})],
    "a branch as commit": [(INFO, {**WELL, "sha": "main"})],
    "no tree": [(INFO, WELL)],
    "a tree that is a page": [(INFO, WELL), (TREE, b"<html>")],
    "a tree that is an object": [(INFO, WELL), (TREE, {"error": "no"})],
    "a file without a hash": [(INFO, WELL), (TREE, [{"type": "file", "path": "a", "size": 1}])],
    "a size of text": [
        (INFO, WELL),
        (TREE, [{**FILE, "lfs": {"oid": "b" * 64, "size": "x", "pointerSize": 1}}]),
    ],
    "another hash": [(INFO, WELL), (TREE, [{**FILE, "lfs": {"oid": "md5:1", "size": 1, "pointerSize": 1}}])],
    "a file that is a page": [(INFO, WELL), (TREE, [FILE]), (f"/team/model/resolve/{'a' * 40}/a", b"<html>")],
}


@pytest.mark.parametrize("answers", STRANGE.values(), ids=STRANGE)
def test_what_is_no_hub_is_refused_by_name(answers: list[tuple[str, Any]]) -> None:
    site = Site()
    for path, content in answers:
        site.put(path, content)
    with serving(site) as url, pytest.raises(ThorError) as caught:
        hubs.resolve(Checkpoint(repository="team/model", revision="main"), url)
    assert caught.value.code == "hub_invalid"


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, "hub_denied"),
        (403, "hub_denied"),
        (404, "checkpoint_not_found"),
        (407, "hub_proxy_failed"),
        (418, "hub_failed"),
        (429, "hub_limited"),
        (500, "hub_unavailable"),
        (503, "hub_unavailable"),
    ],
)
def test_a_status_of_the_hub_is_told(status: int, code: str) -> None:
    site = Site()
    site.put(INFO, b"", status=status)
    with serving(site) as url, pytest.raises(ThorError) as caught:
        hubs.resolve(Checkpoint(repository="team/model", revision="main"), url)
    assert caught.value.code == code


def ask(kind: str, url: str) -> ThorError:
    """What keeps registry or hub away."""
    try:
        if kind == "hub":
            hubs.resolve(Checkpoint(repository="team/model", revision="main"), url)
        else:
            with Registry(NAME, url) as client:
                oci.resolve(ImageReference.parse(f"{NAME}/engine:1.0"), "linux/arm64", client)
    except ThorError as error:
        return error
    pytest.fail(f"{kind} at {url} was reached")


@pytest.mark.parametrize("kind", ["hub", "registry"])
def test_what_keeps_them_away_is_told(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask(kind, f"http://127.0.0.1:{free_port()}").code == f"{kind}_unreachable"
    assert ask(kind, "http://no-such-host.invalid").code == f"{kind}_name_unknown"
    with serving(Site(), certificate(tmp_path)) as url:
        untrusted = ask(kind, url)
        assert untrusted.code == f"{kind}_untrusted"
        assert "SSL_CERT_FILE" in untrusted.remedy
    expired = certificate(tmp_path, begins=-2, ends=-1)
    monkeypatch.setenv("SSL_CERT_FILE", str(next(tmp_path.glob("*.pem"))))
    with serving(Site(), expired) as url:
        late = ask(kind, url)
        assert late.code == f"{kind}_clock"
        assert "clock" in late.remedy


def test_a_dead_proxy_is_told_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "no_proxy", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("https_proxy", f"http://me:s3cret@127.0.0.1:{free_port()}")
    told = ask("hub", "https://hub.example.test")
    assert told.code == "hub_proxy_failed"
    assert "s3cret" not in told.message
    assert "127.0.0.1" in told.message


def test_a_token_file_that_cannot_be_read_fails_only_what_needs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    for content in (None, b"\xff\xfe", "geh\u00f6rt mir".encode()):
        token = tmp_path / str(len(list(tmp_path.iterdir())))
        token.mkdir() if content is None else token.write_bytes(content)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(token))
        told: list[str] = []
        assert hubs.token_for("https://hub.example.test", told.append) is False
        assert str(token) in told[0]


# One value that cannot be used, and words of what is said of it.
VARIABLES: list[tuple[str, str, str]] = [
    ("ALL_PROXY", "socks5://127.0.0.1:9", "SOCKS"),
    ("https_proxy", "socks5h://me:s3cret@127.0.0.1:9", "SOCKS"),
    ("all_proxy", "socks://127.0.0.1:7890", "not a proxy's address"),
    ("HTTP_PROXY", "http://", "no host"),
    ("HTTPS_PROXY", "http://h:port", "not a proxy's address"),
    ("HTTPS_PROXY", "http://me:s3cret@h:99999999", "port"),
    ("http_proxy", "http://[::1", "not a proxy's address"),
    ("HTTPS_PROXY", "file:///etc/proxy", "not a proxy's address"),
    ("NO_PROXY", "[::1],localhost", "write ::1"),
    ("no_proxy", "localhost,[fe80::1", "'[fe80::1'"),
    ("SSL_CERT_FILE", "/nowhere/ca.pem", "No such file"),
    ("SSL_CERT_FILE", "/etc/hostname", "not a file of certificates"),
    ("SSL_CERT_FILE", "/etc", "directory"),
    ("SSL_CERT_DIR", "/nowhere", "No such file"),
    ("SSL_CERT_DIR", "/etc/hostname", "Not a directory"),
    ("HF_HUB_ETAG_TIMEOUT", "10s", "whole number"),
    ("HF_HUB_DOWNLOAD_TIMEOUT", "-1", "whole number"),
]


@pytest.mark.parametrize(("name", "value", "said"), VARIABLES)
def test_a_variable_that_cannot_be_used_is_named(name: str, value: str, said: str) -> None:
    """In place of a traceback: by the verb that would use it, and by doctor."""
    with pytest.raises(ThorError) as caught:
        environment.require({name: value})
    assert caught.value.code == "environment_invalid"
    assert f"{name}=" in caught.value.message
    assert said in caught.value.message
    assert "s3cret" not in caught.value.message
    (check,) = machine.environment_variables({name: value})
    assert (check.status, check.found) == ("fail", caught.value.message)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, "no proxy"),
        (
            {
                "HTTPS_PROXY": "proxy.example.test:3128",
                "NO_PROXY": "localhost,127.0.0.1,::1,10.0.0.0/8,.lab,a.b:80",
            },
            "HTTPS_PROXY=proxy.example.test:3128",
        ),
        (
            {"ALL_PROXY": "http://me:s3cret@10.0.0.1:3128", "no_proxy": "*"},
            "ALL_PROXY=http://…@10.0.0.1:3128",
        ),
        (
            {"https_proxy": "http://10.0.0.1:3128", "HTTPS_PROXY": "socks://overruled"},
            "https_proxy=http://10.0.0.1:3128",
        ),
        ({"HTTP_PROXY": "", "NO_PROXY": "", "SSL_CERT_FILE": "", "HF_HUB_ETAG_TIMEOUT": ""}, "no proxy"),
    ],
)
def test_an_environment_that_can_be_used(
    given: dict[str, str], found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """httpx itself makes a client of it, and doctor names the proxies."""
    environment.require(given)
    (check,) = machine.environment_variables(given)
    assert (check.status, check.found) == ("pass", found)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    httpx.Client().close()
