"""What changes while it serves: keys, certificates; and what TLS itself refuses."""

from __future__ import annotations

import datetime as dt
import signal
import socket
import ssl
import time
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.edge.edge_process import ALICE, BOB, issue, now
from tests.edge.given import given_chain
from thorctl.edge import authority
from thorctl.edge.keys import new_key

if TYPE_CHECKING:
    from tests.edge.edge_process import Edge
    from tests.edge.upstream import Upstream


def refused(client: httpx.Client) -> bool:
    """On the connection that the client has kept, or, if the edge has closed that, on a new one."""
    try:
        return client.get("/v1/models").status_code == 401
    except httpx.RemoteProtocolError:
        return client.get("/v1/models").status_code == 401


def test_a_key_is_rotated_while_a_stream_runs(edge: Edge, upstream: Upstream) -> None:
    fresh = new_key()
    with edge.client(ALICE) as client:
        with client.stream("POST", "/v1/chat/completions", json={"stream": True}) as stream:
            arriving = stream.iter_text()
            upstream.pieces.put("before")
            assert next(arriving) == "data: before\n\n"
            edge.reload(keys={"alice": fresh, "bob": BOB})
            with edge.client(ALICE) as other:
                assert other.get("/v1/models").status_code == 401
            with edge.client(fresh) as other:
                assert other.get("/v1/models").status_code == 200
            upstream.pieces.put("after")
            assert next(arriving) == "data: after\n\n"
            upstream.pieces.put(None)
            assert list(arriving) == []
        assert refused(client)


def test_an_idle_connection_does_not_keep_an_old_key_alive(edge: Edge) -> None:
    with edge.client(ALICE) as client:
        assert client.get("/v1/models").status_code == 200
        edge.reload(keys={"bob": BOB})
        assert refused(client)


def test_a_bad_configuration_leaves_the_good_one_at_work(edge: Edge) -> None:
    before = edge.generation()
    (edge.folder / "keys.conf").write_text("nonsense")
    assert edge.process is not None
    edge.process.send_signal(signal.SIGHUP)
    while "[emerg]" not in (edge.folder / "stderr").read_text():
        time.sleep(0.02)
    with edge.client() as client:
        assert client.get("/v1/models").status_code == 200
    assert edge.generation() == before


def test_an_expired_certificate_is_refused_by_clients_and_renewed(edge: Edge) -> None:
    edge.reload(**issue(edge.ca, days=1, issued=now() - dt.timedelta(days=2)))
    with edge.client() as client, pytest.raises(httpx.ConnectError, match="certificate has expired"):
        client.get("/v1/models")
    edge.reload(**issue(edge.ca))
    with edge.client() as client:
        assert client.get("/v1/models").status_code == 200


def test_another_authority_is_not_believed(edge: Edge) -> None:
    edge.reload(**issue(authority.new_authority("test", now(), 30)))
    with edge.client() as client, pytest.raises(httpx.ConnectError, match="certificate verify failed"):
        client.get("/v1/models")


def test_a_given_certificate_with_its_chain_serves(edge: Edge) -> None:
    """Of somebody else's authority: RSA, with an intermediate that clients do not know."""
    root, chain, key = given_chain()
    edge.reload(certificate=chain, private_key=key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=root)
    with socket.create_connection(("127.0.0.1", edge.settings["port"])) as plain:
        context.wrap_socket(plain, server_hostname="127.0.0.1").close()


def test_another_name_is_not_believed(edge: Edge) -> None:
    plain = socket.create_connection(("127.0.0.1", edge.settings["port"]))
    with plain, pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        edge.verifying().wrap_socket(plain, server_hostname="thor-99")


def test_a_strict_client_is_content(edge: Edge) -> None:
    """What Python 3.13 does by default: RFC 5280 to the letter."""
    context = edge.verifying()
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    with socket.create_connection(("127.0.0.1", edge.settings["port"])) as plain:
        context.wrap_socket(plain, server_hostname="127.0.0.1").close()


@pytest.mark.parametrize(
    ("version", "accepted"),
    [
        (ssl.TLSVersion.TLSv1_1, False),
        (ssl.TLSVersion.TLSv1_2, True),
        (ssl.TLSVersion.TLSv1_3, True),
    ],
)
def test_versions_of_tls(edge: Edge, version: ssl.TLSVersion, accepted: bool) -> None:
    context = edge.verifying()
    context.set_ciphers("ALL:@SECLEVEL=0")  # or this side would refuse the old one
    context.minimum_version = context.maximum_version = version
    with socket.create_connection(("127.0.0.1", edge.settings["port"])) as plain:
        if accepted:
            context.wrap_socket(plain, server_hostname="127.0.0.1").close()
        else:
            with pytest.raises(ssl.SSLError, match=r"PROTOCOL_VERSION|protocol version"):
                context.wrap_socket(plain, server_hostname="127.0.0.1")


def test_plain_http_gets_no_answer_but_that(edge: Edge, upstream: Upstream) -> None:
    with httpx.Client(base_url=edge.url.replace("https", "http"), trust_env=False) as client:
        answer = client.get("/v1/models", headers={"Authorization": f"Bearer {ALICE}"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_request")
    assert upstream.requests == []
