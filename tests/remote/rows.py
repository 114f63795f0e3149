"""Over a hundred configurations, and what ssh, Ansible and thorctl make of them."""

from __future__ import annotations

from tests.remote.world import Row

KNOWN = "-o UserKnownHostsFile={known} -o StrictHostKeyChecking=yes"
BASTION = """Host gate
  HostName 127.0.0.1
  Port {bastion_port}
  IdentityFile {bastion_key}
  IdentitiesOnly yes
Host *
  UserKnownHostsFile {known}
  StrictHostKeyChecking yes
"""
# The representative that runs each time.
SHORT = {
    "plain",
    "old-names",
    "alias",
    "jump-alias",
    "jump-without-a-key",
    "proxycommand-tokens",
    "host-key-alias",
    "wrong-host-key",
    "certificate",
    "times",
    "local",
    "missing-key-agent",
}


def _args(text: str) -> dict[str, str]:
    return {"ansible_ssh_common_args": f"{KNOWN} {text}"}


def _known(name: str, more: str = "") -> dict[str, str]:
    return {"ansible_ssh_common_args": f"-o UserKnownHostsFile={name} -o StrictHostKeyChecking=yes {more}"}


def _key(name: str | None) -> dict[str, str | None]:
    return {"ansible_ssh_private_key_file": name}


NO_PORT = {"ansible_port": None}
ALIAS = """Host nick
  HostName 127.0.0.1
  Port {port}
  User {user}
  IdentityFile {key}
"""
ROWS = [
    Row("plain"),
    Row(
        "old-names",
        variables={
            "ansible_host": None,
            "ansible_port": None,
            "ansible_user": None,
            "ansible_ssh_host": "127.0.0.1",
            "ansible_ssh_port": "{port}",
            "ansible_ssh_user": "{user}",
        },
    ),
    Row("closed-port", "device_unreachable", variables={"ansible_port": "{closed}"}),
    Row("no-such-name", "device_unreachable", variables={"ansible_host": "no-such-device.invalid"}),
    # Names, ports, users, keys from wherever ssh takes them.
    Row(
        "alias",
        variables={"ansible_host": "nick", "ansible_port": None, "ansible_user": None, **_key(None)},
        config=ALIAS,
    ),
    Row(
        "alias-port-overridden",
        "device_unreachable",
        variables={"ansible_host": "nick", "ansible_port": "{closed}"},
        config=ALIAS,
    ),
    Row(
        "options",
        variables={
            **NO_PORT,
            **_key(None),
            "ansible_user": None,
            **_args("-o Port={port} -o User={user} -o IdentityFile={key}"),
        },
    ),
    Row(
        "flags",
        variables={
            **NO_PORT,
            **_key(None),
            "ansible_user": None,
            "ansible_ssh_extra_args": "-p {port} -l {user} -i {key}",
        },
    ),
    Row("ssh-args", variables={"ansible_port": "{closed}", "ansible_ssh_args": "-o Port={port}"}),
    Row(
        "args-too-late",
        "device_unreachable",
        variables={"ansible_port": "{closed}", **_args("-o Port={port}")},
    ),
    Row("pattern", variables={**NO_PORT}, config="Host 127.0.*\n  Port {port}\n"),
    Row(
        "negated",
        "device_unreachable",
        variables={**NO_PORT},
        config="Host 127.0.* !127.0.0.1\n  Port {port}\nHost *\n  Port {closed}\n",
    ),
    Row(
        "include",
        variables={**NO_PORT, "ansible_host": "inc", **_known("{known}")},
        config="Include {folder}/included/*.conf\n",
    ),
    Row("match-exec", variables=NO_PORT, config='Match exec "test %h = 127.0.0.1"\n  Port {port}\n'),
    Row(
        "match-exec-false",
        "device_unreachable",
        variables=NO_PORT,
        config="Match exec false\n  Port {port}\nMatch all\n  Port {closed}\n",
    ),
    Row(
        "match-originalhost",
        variables={**NO_PORT, "ansible_host": "orig"},
        config="Match originalhost orig\n  HostName 127.0.0.1\n  Port {port}\n",
    ),
    Row(
        "hostname-token",
        variables={**NO_PORT, "ansible_host": "1"},
        config="Host 1\n  HostName 127.0.0.%h\n  Port {port}\n",
    ),
    Row("capitals", variables={"ansible_host": "LOCALHOST"}),
    Row("ipv6", variables={"ansible_host": "::1", "ansible_port": "{six}"}),
    Row(
        "family",
        "device_unreachable",
        variables={"ansible_host": "::1", "ansible_port": "{six}", **_args("-o AddressFamily=inet")},
    ),
    Row("bind-address", variables=_args("-o BindAddress=127.0.0.1")),
    Row("times", variables=_args("-o ServerAliveInterval=2m -o ConnectTimeout=1m -o ServerAliveCountMax=2")),
    Row("timeout", variables={"ansible_ssh_timeout": 15}),
    Row("wrapper", variables={**NO_PORT, "ansible_ssh_executable": "{folder}/wrapped-ssh"}),
    Row("no-ssh-at-all", "ssh_options_invalid", variables={"ansible_ssh_executable": "{folder}/no-ssh"}),
    Row("bad-option", "ssh_options_invalid", variables=_args("-o NoSuchOption=1")),
    Row("bad-value", "ssh_options_invalid", variables=_args("-o ServerAliveInterval=often")),
    Row("bad-config", "ssh_options_invalid", config="Nonsense 1\n"),
    Row(
        "templated",
        variables={
            "ansible_port": "{{ 1 + {port} - 1 }}",
            "ansible_ssh_private_key_file": "{{ lookup('env', 'NOTHING') or '{key}' }}",
        },
        plain=False,
    ),
    # The way.
    Row("jump-alias", variables={**_args("-J gate")}, config=BASTION),
    Row(
        "jump-address",
        variables=_args("-o ProxyJump={user}@127.0.0.1:{bastion_port}"),
        config="UserKnownHostsFile {known}\n",
    ),
    Row(
        "jump-without-a-key",
        "auth_failed",
        variables=_args("-J gate"),
        config=BASTION.replace("{bastion_key}", "{folder}/stranger"),
    ),
    Row(
        "jump-unknown-host-key",
        "host_key_unknown",
        variables=_args("-J gate"),
        config=BASTION.replace("{known}", "{known_device}"),
    ),
    Row(
        "jump-in-config",
        config="Host 127.0.0.1\n  ProxyJump gate\n"
        + BASTION.replace(
            "HostName 127.0.0.1", "HostName localhost\n  HostKeyAlias [127.0.0.1]:{bastion_port}"
        ),
    ),
    Row(
        "jump-twice", variables=_args("-J gate,again"), config=BASTION.replace("Host gate", "Host gate again")
    ),
    Row("jump-none", variables=_args("-o ProxyJump=none"), config="Host 127.0.0.1\n  ProxyJump nowhere\n"),
    Row(
        "jump-to-itself",
        "ssh_options_invalid",
        variables=_args("-J gate"),
        config="Host gate\n  ProxyJump gate\n",
    ),
    Row("jump-user", "auth_failed", variables=_args("-J nobody@gate"), config=BASTION),
    Row(
        "proxycommand-tokens",
        variables=_args(
            '-o ProxyCommand="ssh -q -W %h:%p -l %r -p {bastion_port} -i {bastion_key} '
            '-o UserKnownHostsFile={known} 127.0.0.1"'
        ),
    ),
    Row(
        "proxycommand-noise",
        variables=_args(
            "-o ProxyCommand=\"sh -c 'echo noise >&2; "
            "ssh -q -F {folder}/proxycommand-noise.cfg -W %h:%p gate; echo more >&2'\""
        ),
        config=BASTION,
    ),
    Row("proxycommand-fails", "device_unreachable", variables=_args('-o ProxyCommand="echo no >&2; exit 7"')),
    Row(
        "proxycommand-percent",
        variables=_args(
            '-o ProxyCommand="ssh -q -F {folder}/proxycommand-percent.cfg -o SetEnv=A=%% '
            '-W 127.0.0.1:%p gate"'
        ),
        config=BASTION,
    ),
    Row("proxycommand-none", variables=_args("-o ProxyCommand=none"), config="ProxyCommand false\n"),
    # Host keys.
    Row("unknown-host-key", "host_key_unknown", variables=_known("{known_empty}")),
    Row("wrong-host-key", "host_key_mismatch", variables=_known("{known_wrong}")),
    Row("revoked-host-key", "host_key_mismatch", variables=_known("{known_revoked}")),
    Row(
        "not-strict",
        "host_key_unknown",
        ssh=True,
        variables={"ansible_ssh_common_args": "-o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=no"},
    ),
    Row("hashed", variables=_known("{known_hashed}")),
    Row("two-files", variables=_known('"{known_empty} {known_device}"')),
    Row(
        "spaced-file",
        variables={
            "ansible_ssh_common_args": "-o 'UserKnownHostsFile=\"{known_spaced}\"' "
            "-o StrictHostKeyChecking=yes"
        },
    ),
    Row("odd-lines", variables=_known("{known_odd}")),
    Row("bare-name", variables=_known("{known_bare}")),
    Row("host-key-alias", variables=_known("{known_alias}", "-o HostKeyAlias=my-thor")),
    Row("host-key-alias-unknown", "host_key_unknown", variables=_known("{known}", "-o HostKeyAlias=my-thor")),
    Row("authority", variables={"ansible_port": "{certified_port}", **_known("{known_ca}")}),
    Row(
        "authority-for-another",
        "host_key_mismatch",
        variables={
            "ansible_port": "{certified_port}",
            **_known("{known_ca}", "-o HostKeyAlias=[127.0.0.1]:1"),
        },
    ),
    Row(
        "known-hosts-command",
        "ssh_option_not_followed",
        ssh=False,
        variables=_known("{known_empty}", "-o KnownHostsCommand=/bin/true"),
    ),
    # Keys.
    Row("stranger", "auth_failed", variables={**_key("{folder}/stranger"), **_args("-o IdentitiesOnly=yes")}),
    Row(
        "missing-key",
        "key_unreadable",
        variables={**_key("{folder}/nothing"), **_args("-o IdentitiesOnly=yes")},
    ),
    Row("missing-key-agent", variables=_key("{folder}/nothing")),
    Row("open-key", "key_unreadable", variables={**_key("{folder}/open"), **_args("-o IdentityAgent=none")}),
    Row("agent-only", variables=_key(None)),
    Row(
        "no-agent", "key_unreadable", variables={**_key("{folder}/locked"), **_args("-o IdentityAgent=none")}
    ),
    Row("passphrase-agent", variables={**_key("{folder}/locked"), **_args("-o IdentitiesOnly=yes")}),
    Row("agent-variable", variables={**_key(None), **_args("-o IdentityAgent=SSH_AUTH_SOCK")}),
    Row("public-half", variables={**_key("{folder}/public_only"), **_args("-o IdentitiesOnly=yes")}),
    Row(
        "key-in-config",
        variables=_key(None),
        config="IdentityAgent none\nIdentityFile {folder}/d/%%none\nIdentityFile {key}\n",
    ),
    Row(
        "certificate",
        variables={
            **_key("{folder}/certified"),
            **_args("-o IdentityAgent=none -o CertificateFile={folder}/elsewhere-cert.pub"),
        },
    ),
    Row("certificate-beside", variables={**_key("{folder}/beside"), **_args("-o IdentityAgent=none")}),
    Row(
        "certificate-of-another",
        "auth_failed",
        variables={
            **_key("{folder}/certified"),
            **_args("-o IdentityAgent=none -o CertificateFile={folder}/wrong-cert.pub"),
        },
    ),
    Row("no-publickey", "auth_failed", variables=_args("-o PubkeyAuthentication=no")),
    # What is not followed.
    Row("local", "connection_not_followed", ssh=True, variables={"ansible_connection": "local"}, plain=False),
    Row("remote-command", "ssh_option_not_followed", ssh=False, variables=_args("-o RemoteCommand=true")),
    Row(
        "cipher",
        variables=_args("-o Ciphers=aes256-ctr -o MACs=hmac-sha2-256 -o KexAlgorithms=ecdh-sha2-nistp256"),
    ),
    Row(
        "host-key-algorithm",
        "device_unreachable",
        variables=_args("-o HostKeyAlgorithms=ecdsa-sha2-nistp256"),
    ),
    # What ansible.cfg files and ssh configurations hold beside what matters here.
    Row(
        "control-master",
        variables={
            "ansible_ssh_args": "-C -o ControlMaster=auto -o ControlPersist=2s -o ControlPath={folder}/cm-%C"
        },
    ),
    Row("control-path-gone", variables=_args("-o ControlPath={folder}/none/%C -o ControlMaster=no")),
    Row("gssapi", variables=_args("-o GSSAPIAuthentication=yes -o GSSAPIDelegateCredentials=yes -K")),
    Row(
        "gssapi-only",
        "auth_failed",
        variables={**_key("{folder}/stranger"), **_args("-o GSSAPIAuthentication=yes -o IdentitiesOnly=yes")},
    ),
    Row("pkcs11", variables=_args("-o PKCS11Provider={folder}/none.so")),
    Row(
        "pkcs11-only",
        "login_not_followed",
        variables={
            **_key("{folder}/stranger"),
            **_args("-o PKCS11Provider={folder}/none.so -o IdentityAgent=none"),
        },
    ),
    Row("security-key", variables=_args("-o SecurityKeyProvider={folder}/none.so")),
    Row(
        "canonical",
        variables={**NO_PORT, "ansible_host": "localhost"},
        config="CanonicalizeHostname always\nCanonicalizeFallbackLocal yes\n"
        "Match canonical host localhost\n  Port {port}\n",
    ),
    Row(
        "canonical-fails",
        "ssh_options_invalid",
        variables={"ansible_host": "thor-nowhere"},
        config="CanonicalizeHostname yes\nCanonicalDomains invalid\nCanonicalizeFallbackLocal no\n",
    ),
    Row("match-final", variables=NO_PORT, config="Match final host 127.0.0.1\n  Port {port}\n"),
    Row("match-user", variables=NO_PORT, config="Match user {user} host 127.*\n  Port {port}\n"),
    Row("match-localuser", variables=NO_PORT, config="Match localuser {user}\n  Port {port}\n"),
    Row(
        "include-in-host",
        variables=NO_PORT,
        config="Host 127.0.0.1\n  Include {folder}/port.conf\nHost *\n  Port {closed}\n",
    ),
    Row("include-of-nothing", config="Include {folder}/absent/*.conf\n"),
    Row("identity-agent-socket", variables={**_key(None), **_args("-o IdentityAgent={SSH_AUTH_SOCK}")}),
    Row(
        "identity-agent-gone",
        "auth_failed",
        variables={**_key("{folder}/stranger"), **_args("-o IdentityAgent={folder}/none")},
    ),
    Row("identity-none", variables={**_key(None), **_args("-o IdentityFile=none")}),
    Row(
        "identities-only-none",
        "auth_failed",
        variables={
            **_key("{folder}/stranger"),
            **_args("-o IdentitiesOnly=yes -o IdentityAgent={SSH_AUTH_SOCK}"),
        },
    ),
    Row("key-tokens", variables=_key(None), config="IdentityAgent none\nIdentityFile {folder}/key-%h-%r\n"),
    Row(
        "revoked-keys-file",
        "ssh_option_not_followed",
        ssh=True,
        variables=_args("-o RevokedHostKeys={folder}/stranger.pub"),
    ),
    Row("three-files", variables=_known('"{folder}/none {known_empty} {known_device}"')),
    Row(
        "global-file",
        variables={
            "ansible_ssh_common_args": "-o UserKnownHostsFile=none -o GlobalKnownHostsFile={known_device} "
            "-o StrictHostKeyChecking=yes"
        },
    ),
    Row("wrong-then-right", variables=_known('"{known_wrong} {known_device}"')),
    Row(
        "no-auth-for-localhost",
        "host_key_unknown",
        ssh=True,
        variables=_known("{known_empty}", "-o NoHostAuthenticationForLocalhost=yes"),
    ),
    Row(
        "accept-new",
        "host_key_unknown",
        ssh=True,
        variables={
            "ansible_ssh_common_args": "-o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=accept-new"
        },
    ),
    Row(
        "jump-ipv6",
        variables={"ansible_host": "::1", "ansible_port": "{six}", **_args("-J gate")},
        config=BASTION,
    ),
    Row(
        "ipv6-in-brackets", "device_unreachable", variables={"ansible_host": "[::1]", "ansible_port": "{six}"}
    ),
    Row(
        "family-flag",
        "device_unreachable",
        variables={"ansible_host": "::1", "ansible_port": "{six}", **_args("-4")},
    ),
    Row("bind-flag", variables=_args("-b 127.0.0.1")),
    Row("bind-impossible", "device_unreachable", variables=_args("-o BindAddress=192.0.2.7")),
    Row("bind-interface", "ssh_option_not_followed", ssh=True, variables=_args("-B lo")),
    Row(
        "attached-flags",
        variables={**NO_PORT, "ansible_user": None, **_args("-p{port} -l{user} -oCompression=yes -q -A -x")},
    ),
    Row("password-first", variables=_args("-o PreferredAuthentications=password,publickey")),
    Row("password-only", variables=_args("-o PreferredAuthentications=password"), plain=False),
    Row("key-algorithms", "auth_failed", variables={**_args("-o PubkeyAcceptedAlgorithms=rsa-sha2-512")}),
    Row(
        "key-algorithms-of-certificates",
        "auth_failed",
        variables={
            **_key("{folder}/beside"),
            **_args("-o IdentityAgent=none -o PubkeyAcceptedAlgorithms=ssh-ed25519"),
        },
    ),
    Row("key-algorithms-more", variables=_args("-o PubkeyAcceptedAlgorithms=+ssh-rsa")),
    Row("local-command", variables=_args("-o PermitLocalCommand=yes -o LocalCommand=true")),
    Row(
        "forwards",
        variables=_args(
            "-o 'LocalForward={closed} localhost:1' -o SendEnv=LANG -o SetEnv=A=b -o RequestTTY=no"
        ),
    ),
    Row(
        "fdpass",
        "ssh_option_not_followed",
        ssh=False,
        variables=_args("-o ProxyUseFdpass=yes -o ProxyCommand=false"),
    ),
    Row("jump-and-proxycommand", variables=_args("-J gate -o ProxyCommand=false"), config=BASTION),
    Row("canonical-no", variables=_args("-o CanonicalizeHostname=no -o CanonicalDomains=example.test")),
]
