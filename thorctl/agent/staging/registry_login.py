"""The device's login to a registry, sent to Docker's socket only (X-Registry-Auth)."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from thorctl.agent.core.outcome import AgentError
from thorctl.agent.facts import device
from thorctl.protocol.paths import REGISTRY_LOGIN

if TYPE_CHECKING:
    from thorctl.agent.core.context import Context

# root, 0600; written by Ansible (role thor_host) as ``{host: {"username": …, "password": …}}``.
DOCKER_HUB = "docker.io"


def headers(ctx: Context, repository: str) -> dict[str, str]:
    """Return the headers that authenticate a pull of ``repository``; {} without a login for its registry.

    Raises:
        AgentError: ``bad_state`` if the file is malformed. Its content is never quoted.
    """
    text = device.text(ctx, REGISTRY_LOGIN)
    if not (text or "").strip():
        return {}
    registry = host_of(repository)
    try:
        login: Any = json.loads(text or "{}").get(registry)
        if login is None:
            return {}
        told = {"username": str(login["username"]), "password": str(login["password"])}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise AgentError(
            "bad_state",
            f"{REGISTRY_LOGIN} is not a map of registries to logins.",
            "Correct thor_registry_logins (docs/how-to/secrets.md), then run `cd playbooks && "
            "ansible-playbook site.yml --limit DEVICE`.",
        ) from None
    document = json.dumps({**told, "serveraddress": registry})
    return {"X-Registry-Auth": base64.urlsafe_b64encode(document.encode()).decode()}


def host_of(repository: str) -> str:
    """Return the registry of ``host[:port]/name``; as in Docker, a host has a dot or a port."""
    first = repository.split("/", 1)[0]
    is_host = "/" in repository and ("." in first or ":" in first or first == "localhost")
    return first if is_host else DOCKER_HUB
