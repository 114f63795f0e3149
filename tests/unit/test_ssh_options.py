"""ansible_ssh_common_args as ssh would read them."""

from __future__ import annotations

import pytest

from thorctl.ssh_options import SshOptions, parse_ssh_options, split_hop


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("", SshOptions()),
        ("-o UserKnownHostsFile='/a/k' -o StrictHostKeyChecking=yes", SshOptions(("/a/k",))),
        # ssh splits the value once more: only inner quotation marks keep a space.
        ("-o UserKnownHostsFile='/a b/k'", SshOptions(("/a", "b/k"))),
        ("""-o 'UserKnownHostsFile="/a b/k"'""", SshOptions(("/a b/k",))),
        ("-oUserKnownHostsFile=/a", SshOptions(("/a",))),
        ("-o 'UserKnownHostsFile /a /b'", SshOptions(("/a", "/b"))),
        ("-o userknownhostsfile=/a -o UserKnownHostsFile=/b", SshOptions(("/a",))),
        ("-J me@gate:2222,inner", SshOptions(jump=("me@gate:2222", "inner"))),
        ("-o ProxyJump=gate -C -v", SshOptions(jump=("gate",))),
        ("-o ProxyJump=none", SshOptions()),
        ("-o 'ProxyCommand=nc %h %p'", SshOptions(proxy_command="nc %h %p")),
        ("-o HostKeyAlias=thor-01", SshOptions(host_key_alias="thor-01")),
    ],
)
def test_options(text: str, options: SshOptions) -> None:
    assert parse_ssh_options(text) == options


@pytest.mark.parametrize("text", ["-o 'unclosed", "-@", "-o", "host command"])
def test_what_is_no_list_of_options(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_ssh_options(text)


@pytest.mark.parametrize(
    ("hop", "parts"),
    [
        ("gate", (None, "gate", 22)),
        ("me@gate:2222", ("me", "gate", 2222)),
        ("ssh://me@gate:2222", ("me", "gate", 2222)),
        ("[fd00::1]:2222", (None, "fd00::1", 2222)),
        ("me@fd00::1", ("me", "fd00::1", 22)),
    ],
)
def test_hops(hop: str, parts: tuple[str | None, str, int]) -> None:
    assert split_hop(hop) == parts


def test_a_port_that_is_none() -> None:
    with pytest.raises(ValueError, match="ssh"):
        split_hop("gate:ssh")
