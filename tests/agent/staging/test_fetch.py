"""The fetcher against a hub that misbehaves: what it keeps, what it fetches twice, what it reports."""

from __future__ import annotations

import datetime
import gzip
import hashlib
import ipaddress
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.cutting_hub import CuttingHub
from thorctl.agent.staging.fetch import Download
from thorctl.agent.staging.hub import Order, _retry_after
from thorctl.agent.staging.hub import number as number_of
from thorctl.sim.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from http.server import BaseHTTPRequestHandler

    from thorctl.agent.staging.fetch_error import FetchError

COMMIT = "c" * 40
BIG = os.urandom(6_000_000)
FILES = {"config.json": b'{"a": 1}\n', "model.safetensors": BIG}
MIB = 1024 * 1024
CHECKOUT = Path(__file__).parents[3]


@pytest.fixture
def hub() -> Iterator[CuttingHub]:
    one = CuttingHub({"thorctl/tiny": FILES}, COMMIT)
    yield one
    one.close()


def order_for(hub: CuttingHub | str, directory: Path, **changes: Any) -> Order:
    directory.mkdir(exist_ok=True)
    files = [
        {"path": path, "size": len(body), "sha256": hashlib.sha256(body).hexdigest()}
        for path, body in FILES.items()
    ]
    order = Order(
        directory=str(directory),
        endpoint=hub if isinstance(hub, str) else hub.url,
        repository="thorctl/tiny",
        commit=COMMIT,
        files=files,
        part_bytes=2 * MIB,
        record_bytes=256 * 1024,
        stall_seconds=20.0,
        tries=3,
        pause_seconds=0.02,
    )
    return replace(order, **changes)


def fetch(order: Order) -> FetchError | None:
    return Download(order).run(lambda _: None)


def content(order: Order) -> dict[str, bytes]:
    return {
        file["path"]: (Path(order.directory) / f"{file['sha256']}.part").read_bytes() for file in order.files
    }


def whole(hub: CuttingHub, tmp_path: Path, **changes: Any) -> Order:
    """Fetch everything; all of it must be right."""
    order = order_for(hub, tmp_path / "in", **changes)
    failure = fetch(order)
    assert failure is None, failure
    assert content(order) == FILES
    return order


def refused(hub: CuttingHub | str, tmp_path: Path, **changes: Any) -> FetchError:
    failure = fetch(order_for(hub, tmp_path / "in", **changes))
    assert failure is not None
    return failure


def once(answer: Callable[[BaseHTTPRequestHandler, bytes], bool | None], times: int = 1) -> Any:
    """Let ``answer`` answer the first requests for the large file; the hub answers the others."""
    left = [times]

    def odd(request: BaseHTTPRequestHandler, body: bytes) -> bool:
        if body is not BIG or left[0] == 0:
            return False
        left[0] -= 1
        return answer(request, body) is not False

    return odd


def test_file_is_fetched_by_ranges_and_once(hub: CuttingHub, tmp_path: Path) -> None:
    whole(hub, tmp_path)
    assert hub.sent == sum(map(len, FILES.values()))
    assert sorted(one[1] for one in hub.asked if one[1]) == [
        "bytes=0-2097151",
        "bytes=2097152-4194303",
        "bytes=4194304-5999999",
    ]


@pytest.mark.parametrize("budget", [1, 65_537, 700_000, 2_500_000, 5_900_000])
def test_cut_download_continues_at_the_byte(hub: CuttingHub, tmp_path: Path, budget: int) -> None:
    hub.budget = budget
    assert refused(hub, tmp_path).code == "download_interrupted"
    order = order_for(hub, tmp_path / "in")
    kept = sum(file.done_bytes for file in Download(order).files)
    hub.budget, hub.sent = None, 0
    whole(hub, tmp_path)
    assert hub.sent == sum(map(len, FILES.values())) - kept
    assert kept >= budget - 4 * 65_536  # a block on its way on each connection


def slow(*_: object) -> bool:
    time.sleep(0.02)
    return False


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_fetcher_fetches_little_twice(hub: CuttingHub, tmp_path: Path, number: int) -> None:
    order = order_for(hub, tmp_path / "in")
    twice = 0
    for at in (500_000, 2_000_000, 4_500_000):
        hub.odd = slow
        process = subprocess.Popen(
            [sys.executable, "-c", "from thorctl.agent.staging.fetch import main; main()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=CHECKOUT,
        )
        assert process.stdin
        process.stdin.write(json.dumps(asdict(order)).encode())
        process.stdin.close()
        while hub.sent - twice < at and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(number)
        process.wait(20)
        assert process.stdout
        process.stdout.close()
        time.sleep(0.1)  # what the hub still wrote into the closed connections
        kept = sum(file.done_bytes for file in Download(order).files)
        twice = hub.sent - kept
    whole(hub, tmp_path)
    # Four connections, three interruptions: what was not recorded yet, and what lay in socket buffers.
    assert hub.sent - sum(map(len, FILES.values())) <= 3 * 4 * 16 * MIB
    assert content(order) == FILES


def test_redirects_are_followed_and_the_token_stays(hub: CuttingHub, tmp_path: Path) -> None:
    storage = CuttingHub({"thorctl/tiny": FILES}, COMMIT)

    def redirect(request: BaseHTTPRequestHandler, _: bytes) -> bool:
        if "moved" not in request.path:
            hub.plain(request, 307, b"", {"Location": f"{request.path}?moved"})
        else:
            path = request.path.partition("?")[0]
            hub.plain(request, 302, b"", {"Location": f"{storage.url}{path}?signature=s3cret"})
        return True

    hub.odd = redirect
    hub.token = "hf_secret"
    whole(hub, tmp_path, token="hf_secret")
    storage.close()
    assert {one[2] for one in hub.asked} == {"Bearer hf_secret"}
    assert {one[2] for one in storage.asked} == {""}


@pytest.mark.parametrize("status", [401, 403])
def test_expired_address_is_resolved_again(hub: CuttingHub, tmp_path: Path, status: int) -> None:
    storage = CuttingHub({"thorctl/tiny": FILES}, COMMIT)
    resolved: list[str] = []

    def redirect(request: BaseHTTPRequestHandler, _: bytes) -> bool:
        resolved.append(f"{request.path}?signature={len(resolved)}")
        hub.plain(request, 302, b"", {"Location": storage.url + resolved[-1]})
        return True

    def expires(request: BaseHTTPRequestHandler, _: bytes) -> bool:
        number = int(request.path.rpartition("=")[2])
        uses = sum(1 for one in storage.asked if one[0] == request.path)
        if uses > 1 and number < 4:
            storage.plain(request, status, b"expired", {})
            return True
        return False

    hub.odd, storage.odd = redirect, expires
    whole(hub, tmp_path, connections=1)
    storage.close()
    assert len(resolved) > 2


def test_storage_that_denies_is_not_a_hub_that_denies(hub: CuttingHub, tmp_path: Path) -> None:
    storage = CuttingHub({"thorctl/tiny": FILES}, COMMIT)
    storage.odd = lambda request, _: storage.plain(request, 403, b"", {}) is None
    hub.odd = lambda request, _: (
        hub.plain(request, 302, b"", {"Location": storage.url + request.path + "?key=s3cret"}) is None
    )
    failure = refused(hub, tmp_path)
    storage.close()
    assert (failure.code, failure.fatal, "s3cret" in failure.reason) == ("hub_unavailable", False, False)


def test_limit_is_waited_for(hub: CuttingHub, tmp_path: Path) -> None:
    hub.odd = once(lambda request, _: hub.plain(request, 429, b"", {"Retry-After": "1"}))
    began = time.monotonic()
    whole(hub, tmp_path, connections=1)
    assert time.monotonic() - began >= 1


@pytest.mark.parametrize(
    ("asked", "date", "seconds"),
    [
        ("7", "Mon, 30 Nov 2026 10:00:00 GMT", 7.0),
        ("Mon, 30 Nov 2026 10:00:30 GMT", "Mon, 30 Nov 2026 10:00:00 GMT", 30.0),  # whatever year it is here
        ("Mon, 30 Nov 2026 09:00:00 GMT", "Mon, 30 Nov 2026 10:00:00 GMT", 0.0),
        ("Mon, 30 Nov 2026 10:00:30 GMT", None, None),
        ("soon", "Mon, 30 Nov 2026 10:00:00 GMT", None),
        (None, None, None),
    ],
)
def test_time_to_wait_is_read_off_the_hub_s_own_clock(
    asked: str | None, date: str | None, seconds: float | None
) -> None:
    answer: Any = SimpleNamespace(getheader={"Retry-After": asked, "Date": date}.get)
    assert _retry_after(answer) == seconds


def test_range_that_is_not_satisfiable_tells_the_size(hub: CuttingHub, tmp_path: Path) -> None:
    hub.odd = once(lambda request, _: hub.plain(request, 416, b"", {"Content-Range": "bytes */7"}))
    failure = refused(hub, tmp_path)
    assert (failure.code, "7 bytes" in failure.reason) == ("file_wrong_size", True)


@pytest.mark.parametrize(
    "header",
    ["bytes 5-2097151/6000000", "bytes 0-9/6000000", "bytes 0-5999999/6000000", None, "chars 0-1/2"],
)
def test_wrong_range_is_not_written(hub: CuttingHub, tmp_path: Path, header: str | None) -> None:
    """Also one that is shorter than it says, and one that begins elsewhere."""

    def wrong(request: BaseHTTPRequestHandler, _: bytes) -> None:
        headers = {"Content-Range": header} if header else {}
        hub.plain(request, 206, b"X" * 10 if header != "bytes 0-9/6000000" else BIG[:5], headers)

    hub.odd = once(wrong, 3)
    whole(hub, tmp_path, tries=6)


def test_another_version_is_not_mixed_in(hub: CuttingHub, tmp_path: Path) -> None:
    tags = iter(["one", "two", "two", "two", "one", "one"])

    def tagged(request: BaseHTTPRequestHandler, body: bytes) -> None:
        start, end = (int(x) for x in re.findall(r"\d+", request.headers["Range"]))
        tag = next(tags, "one")
        piece = body[start : end + 1] if tag == "one" else b"X" * (end + 1 - start)
        hub.plain(
            request, 206, piece, {"Content-Range": f"bytes {start}-{end}/{len(body)}", "ETag": f'"{tag}"'}
        )

    hub.odd = once(tagged, 99)
    whole(hub, tmp_path, connections=1, tries=6)


def test_other_version_after_an_interruption_begins_anew(hub: CuttingHub, tmp_path: Path) -> None:
    tag = "one"

    def tagged(request: BaseHTTPRequestHandler, body: bytes) -> None:
        start, end = (int(x) for x in re.findall(r"\d+", request.headers["Range"]))
        headers = {"Content-Range": f"bytes {start}-{end}/{len(body)}", "ETag": f'"{tag}"'}
        if tag == "one" and start:
            request.close_connection = True
        else:
            hub.plain(request, 206, body[start : end + 1], headers)

    hub.odd = once(tagged, 99)
    assert refused(hub, tmp_path).code == "download_interrupted"
    tag = "two"
    assert refused(hub, tmp_path).code == "hub_answer_invalid"
    part = tmp_path / "in" / f"{hashlib.sha256(BIG).hexdigest()}.part"
    assert not part.exists()
    whole(hub, tmp_path)


def test_etag_of_the_storage_may_be_of_another_kind(hub: CuttingHub, tmp_path: Path) -> None:
    storage = CuttingHub({"thorctl/tiny": FILES}, COMMIT)
    other = {"ETag": f'"{"f" * 64}"'}
    storage.odd = lambda request, body: storage.plain(request, 200, body, other) is None
    hub.odd = lambda request, _: (
        hub.plain(request, 302, b"", {"Location": storage.url + request.path}) is None
    )
    whole(hub, tmp_path)
    storage.close()


@pytest.mark.parametrize("zipped", [False, True])
def test_server_without_ranges(hub: CuttingHub, tmp_path: Path, zipped: bool) -> None:
    def all_of_it(request: BaseHTTPRequestHandler, body: bytes) -> bool:
        if zipped:
            hub.plain(request, 200, gzip.compress(body, 1), {"Content-Encoding": "gzip"})
        else:
            hub.plain(request, 200, body, {})
        return True

    hub.odd = all_of_it
    whole(hub, tmp_path)


def test_server_that_forgets_ranges_keeps_what_came(hub: CuttingHub, tmp_path: Path) -> None:
    hub.budget = 2_500_000
    refused(hub, tmp_path)
    hub.budget = None
    hub.odd = lambda request, body: hub.plain(request, 200, body, {}) is None
    whole(hub, tmp_path)


@pytest.mark.parametrize("body", [BIG + b"more", BIG[:-1]])
def test_other_size_without_a_length(hub: CuttingHub, tmp_path: Path, body: bytes) -> None:
    """A body that ends with its connection: too long is never written, too short is not taken for whole."""

    def stream(request: BaseHTTPRequestHandler, _: bytes) -> None:
        request.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body)
        request.close_connection = True

    hub.odd = once(stream, 99)
    failure = refused(hub, tmp_path, part_bytes=16 * MIB)
    assert failure.code == ("file_wrong_size" if len(body) > len(BIG) else "download_interrupted")
    part = Path(tmp_path / "in" / f"{hashlib.sha256(BIG).hexdigest()}.part")
    assert part.stat().st_size <= len(BIG)


def test_gzip_without_end_is_cut_at_the_locked_size(hub: CuttingHub, tmp_path: Path) -> None:
    bomb = gzip.compress(bytes(64 * MIB))
    hub.odd = once(lambda request, _: hub.plain(request, 200, bomb, {"Content-Encoding": "gzip"}), 99)
    assert refused(hub, tmp_path, part_bytes=16 * MIB).code == "file_wrong_size"


@pytest.mark.parametrize("trickle", [False, True])
def test_stalled_connection_is_given_up(hub: CuttingHub, tmp_path: Path, trickle: bool) -> None:
    def stall(request: BaseHTTPRequestHandler, body: bytes) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        until = time.monotonic() + 5
        while time.monotonic() < until:
            if trickle:
                request.wfile.write(b"x")
            time.sleep(0.1)

    hub.odd = once(stall, 99)
    failure = refused(hub, tmp_path, part_bytes=16 * MIB, stall_seconds=0.5, tries=2)
    assert (failure.code, failure.fatal) == ("hub_stalled", False)


def test_damaged_record_costs_bytes_only(hub: CuttingHub, tmp_path: Path) -> None:
    order = whole(hub, tmp_path)
    record = Path(order.directory) / f"{hashlib.sha256(BIG).hexdigest()}.ranges"
    record.write_bytes(b"0 2097152\nnonsense\n-4 9\n5 99999999999\n\xff\n4194304 60000")
    whole(hub, tmp_path)


def test_earlier_beginning_is_continued(hub: CuttingHub, tmp_path: Path) -> None:
    order = order_for(hub, tmp_path / "in")
    (tmp_path / "in" / f"{hashlib.sha256(BIG).hexdigest()}.kept").write_bytes(BIG[:4_000_000])
    assert fetch(order) is None
    assert (content(order), hub.sent) == (FILES, sum(map(len, FILES.values())) - 4_000_000)


def certificate(folder: Path, begins: int = -1, ends: int = 1) -> ssl.SSLContext:
    """A server's context with a self-signed certificate for 127.0.0.1 (``ca.pem``), valid in these days."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hub")])
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(days=begins))
        .not_valid_after(now + datetime.timedelta(days=ends))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "ca.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "ca.pem", folder / "key.pem")
    return context


def secure(hub: CuttingHub, context: ssl.SSLContext) -> str:
    hub.server.socket = context.wrap_socket(hub.server.socket, server_side=True)
    return hub.url.replace("http:", "https:")


def test_own_authority_is_trusted_when_it_is_given(hub: CuttingHub, tmp_path: Path) -> None:
    url = secure(hub, certificate(tmp_path))
    failure = refused(url, tmp_path)
    assert (failure.code, failure.fatal) == ("hub_untrusted", True)
    assert "self-signed certificate" in failure.reason
    order = order_for(url, tmp_path / "in", ca=(tmp_path / "ca.pem").read_text())
    assert fetch(order) is None
    assert content(order) == FILES


@pytest.mark.parametrize(("begins", "ends"), [(-9, -1), (1, 9)])
def test_certificate_of_another_time_is_the_clock_s(
    hub: CuttingHub, tmp_path: Path, begins: int, ends: int
) -> None:
    url = secure(hub, certificate(tmp_path, begins, ends))
    failure = refused(url, tmp_path, ca=(tmp_path / "ca.pem").read_text())
    assert (failure.code, failure.fatal) == ("hub_clock", True)


@pytest.mark.parametrize(
    ("endpoint", "proxies", "code"),
    [
        ("http://hub.invalid", {}, "hub_name_unknown"),
        ("http://127.0.0.1:{free}", {}, "hub_unreachable"),
        ("https://hub.example", {"https": "http://127.0.0.1:{free}"}, "hub_proxy_failed"),
        ("http://hub.example", {"http": "http://proxy.invalid:3128"}, "hub_proxy_failed"),
    ],
)
def test_what_keeps_the_hub_away_is_told(
    tmp_path: Path, endpoint: str, proxies: dict[str, str], code: str
) -> None:
    free = str(free_port())
    proxies = {scheme: url.replace("{free}", free) for scheme, url in proxies.items()}
    failure = refused(endpoint.replace("{free}", free), tmp_path, proxies=proxies)
    assert (failure.code, failure.fatal) == (code, False)


@pytest.mark.parametrize(
    ("status", "code", "fatal"),
    [
        (401, "hub_denied", True),
        (403, "hub_denied", True),
        (404, "file_missing", True),
        (429, "hub_limited", False),
        (500, "hub_unavailable", False),
        (503, "hub_unavailable", False),
        (418, "hub_answer_invalid", False),
    ],
)
def test_status_of_the_hub_is_told(
    hub: CuttingHub,
    tmp_path: Path,
    status: int,
    code: str,
    fatal: bool,
) -> None:
    hub.odd = lambda request, _: hub.plain(request, status, b"", {"Retry-After": "0"}) is None
    failure = refused(hub, tmp_path)
    assert (failure.code, failure.fatal, str(status) in failure.reason) == (code, fatal, True)


def test_proxy_is_used_and_passed_by(hub: CuttingHub, tmp_path: Path) -> None:
    """A proxy of http is asked for whole addresses; the hub stands in for it."""
    order = order_for("http://hub.example", tmp_path / "in", proxies={"http": hub.url})
    hub.odd = lambda *_: False
    failure = fetch(order)
    assert failure is not None  # the stand-in knows paths only
    assert failure.code == "file_missing"
    whole(hub, tmp_path, proxies={"http": "http://127.0.0.1:9", "no": "127.0.0.1"})


def test_redirect_from_https_to_http_is_refused(hub: CuttingHub, tmp_path: Path) -> None:
    url = secure(hub, certificate(tmp_path))
    hub.odd = lambda request, _: hub.plain(request, 302, b"", {"Location": "http://127.0.0.1:9/x"}) is None
    failure = refused(url, tmp_path, ca=(tmp_path / "ca.pem").read_text())
    assert (failure.code, failure.fatal) == ("hub_answer_invalid", True)


@pytest.mark.parametrize(
    "proxy", ["socks5://127.0.0.1:9", "http://h:port", "http://me:s3cret@[::1", "https://h:1", "http://"]
)
def test_proxy_that_is_none_is_told(tmp_path: Path, proxy: str) -> None:
    failure = refused("http://hub.example", tmp_path, proxies={"http": proxy})
    assert (failure.code, failure.fatal) == ("hub_proxy_failed", True)
    assert "s3cret" not in failure.reason


@pytest.mark.parametrize("location", ["http://[::1", "https://h:99999/x", "ftp://h/x", "http://", ""])
def test_redirect_to_no_address_is_told(hub: CuttingHub, tmp_path: Path, location: str) -> None:
    def redirect(request: BaseHTTPRequestHandler, _: bytes) -> None:
        request.send_response(302)
        request.send_header("Location", location)
        request.send_header("Content-Length", "0")
        request.end_headers()

    hub.odd = once(redirect, times=99)
    assert refused(hub, tmp_path).code == "hub_answer_invalid"


@pytest.mark.parametrize(
    ("text", "number"), [("12", 12), ("", None), (None, None), ("²", None), ("-1", None), ("9" * 5000, None)]
)
def test_number_of_a_header(text: str | None, number: int | None) -> None:
    assert number_of(text) == number
