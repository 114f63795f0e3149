"""Validated settings of edge and door. Messages name keys by their name and never contain a secret."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import ConfigDict, Field, SecretStr, StringConstraints, ValidationError, field_validator

from thorctl.errors import ThorError
from thorctl.files.schema import Model

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# nginx looks keys up in a hash that ignores case. Keys have no upper case, and a token with upper case is
# never a key, so the comparison is exact, and its time does not depend on a guess.
KEY = re.compile(r"[a-z0-9_-]{32,128}")
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")  # RFC 6750, b64token
# Shorter than any key: one entered as a name is rejected, and the message has only its position.
KeyName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,30}$")]
MIB = 1024 * 1024
S = TypeVar("S", bound="Common")


class Common(Model):
    """The common settings of edge and door. Keys are ``{name: key}``; the log has the name, never the key.

    Attributes:
        keys: may use the engine.
        metrics_keys: may read ``/metrics`` only.
        engine_key: the engine's own VLLM_API_KEY, if it has one.
        requests_per_minute: per key, with a burst of ``burst``.
        concurrent: concurrent requests per key.
        body_bytes: largest request body; kept in memory, so that no prompt is written to disk.
        client_seconds: longest pause of a client that sends a request.
        engine_seconds: longest silence of the engine; without streaming the time of a whole generation.
        bodies_bytes: of all concurrent requests, in memory until each is answered. MemoryMax= of the unit
            allows twice as much, because workers that finish after a reload keep theirs.
    """

    bodies_bytes: ClassVar[int]
    model_config = ConfigDict(hide_input_in_errors=True)

    keys: dict[KeyName, SecretStr] = Field(default_factory=dict)
    metrics_keys: dict[KeyName, SecretStr] = Field(default_factory=dict)
    engine_key: SecretStr | None = None
    requests_per_minute: int = Field(default=600, ge=1)
    burst: int = Field(default=60, ge=0)
    concurrent: int = Field(default=32, ge=1)
    body_bytes: int = Field(default=4 * MIB, ge=1024, le=64 * MIB)
    client_seconds: int = Field(default=15, ge=1)
    engine_seconds: int = Field(default=1800, ge=1)

    @property
    def requests_at_once(self) -> int:
        """The concurrent requests of all clients, health checks excluded, limited by their bodies."""
        return min(512, self.bodies_bytes // self.body_bytes)


class Settings(Common):
    """One device's edge.

    Attributes:
        metrics_addresses: addresses or networks that may read ``/metrics`` without a key.
        connections_per_address: concurrent requests per client address (of IPv6: per /64), for all keys;
            ``open_connections`` is the limit of TCP connections.
    """

    bodies_bytes = 1024 * MIB
    metrics_addresses: tuple[str, ...] = ()
    certificate: str
    private_key: SecretStr
    addresses: tuple[str, ...] = Field(default=("0.0.0.0",), min_length=1)  # noqa: S104 - serves the network
    port: int = Field(default=8443, ge=1, le=65535)
    connections_per_address: int = Field(default=64, ge=1, le=1024)

    @field_validator("addresses")
    @classmethod
    def _addresses(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(ipaddress.ip_address(value)) for value in values)

    @field_validator("metrics_addresses")
    @classmethod
    def _networks(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(ipaddress.ip_network(value)) for value in values)

    @property
    def listen(self) -> tuple[str, ...]:
        """The ``address:port`` list for nginx: IPv6 in brackets."""
        return tuple(f"[{a}]:{self.port}" if ":" in a else f"{a}:{self.port}" for a in self.addresses)

    @property
    def metrics(self) -> bool:
        """Whether ``/metrics`` is served at all."""
        return bool(self.metrics_keys or self.metrics_addresses)

    @property
    def open_connections(self) -> int:
        """The TCP connections per client address, idle ones included."""
        return 2 * self.connections_per_address

    @property
    def worker_connections(self) -> int:
        """The connections of each of two workers: an eighth for one address, four per client connection."""
        return max(2048, 16 * self.open_connections)


class DoorSettings(Common):
    """One device's door: the engine's API on 127.0.0.1.

    Attributes:
        mode: ``open``: local programs need no key; ``keyed``: as the edge; ``closed``: no listener.
        metrics: whether ``/metrics`` is served: to all (``open``) or with ``metrics_keys`` (``keyed``).
        port: on 127.0.0.1.
    """

    bodies_bytes = 512 * MIB
    mode: Literal["open", "keyed", "closed"] = "open"
    metrics: bool = False
    port: int = Field(default=8000, ge=1024, le=65535)

    @property
    def listen(self) -> tuple[str, ...]:
        """The ``address:port`` list for nginx."""
        return (f"127.0.0.1:{self.port}",)

    @property
    def worker_connections(self) -> int:
        """The connections of each of two workers: two per request, and as many idle or sending headers."""
        return max(1024, 4 * self.requests_at_once)


def checked(raw: Mapping[str, Any]) -> Settings:
    """Validate the edge's settings from variables; null ones have their default.

    Raises:
        ThorError: ``edge_keys_missing``, ``edge_key_weak``, ``edge_key_twice``, ``edge_settings_invalid``.
    """
    if not raw.get("keys"):
        raise ThorError(
            "edge_keys_missing",
            "The edge has no API key; without one it would be open to all clients.",
            "Make one with `thorctl edge keys new NAME` and put it, vaulted, into thor_edge_keys; "
            "or switch the edge off: thor_edge_enabled: false.",
        )
    return _checked(Settings, raw, "edge", "docs/how-to/edge.md")


def checked_door(raw: Mapping[str, Any]) -> DoorSettings:
    """Validate the door's settings from variables; null ones have their default.

    Raises:
        ThorError: ``edge_keys_missing``, ``edge_key_weak``, ``edge_key_twice``, ``edge_settings_invalid``.
    """
    settings = _checked(DoorSettings, raw, "door", "docs/reference/door.md")
    if settings.mode == "keyed" and not settings.keys:
        raise ThorError(
            "edge_keys_missing",
            "thor_door_mode is keyed and thor_door_keys is empty.",
            "Make a key with `thorctl edge keys new NAME` and put it, vaulted, into thor_edge_keys or "
            "thor_door_keys; or set thor_door_mode to open or closed.",
        )
    return settings


def _checked(model: type[S], raw: Mapping[str, Any], name: str, page: str) -> S:
    try:
        settings = model.model_validate(
            {k: v for k, v in raw.items() if v is not None and (k, v) != ("engine_key", "")}
        )
    except ValidationError as error:
        # Neither input nor context: either may contain a secret.
        found = error.errors(include_url=False, include_input=False, include_context=False)
        wrong = "; ".join(f"{item['loc'][0]}: {item['msg']}" for item in found)
        raise ThorError(
            "edge_settings_invalid",
            f"The setting thor_{name}_{wrong}.",
            f"Correct it in the inventory; see {page}.",
        ) from None
    _check_keys([*settings.keys.items(), *settings.metrics_keys.items()])
    if settings.engine_key and not _TOKEN.fullmatch(settings.engine_key.get_secret_value()):
        raise ThorError(
            "edge_settings_invalid",
            "thor_edge_engine_key has characters that are invalid in a bearer token.",
            "Use only letters, digits and the characters `._~+/=-`.",
        )
    return settings


def _check_keys(pairs: Iterable[tuple[str, SecretStr]]) -> None:
    owners: dict[str, str] = {}
    for name, secret in pairs:
        key = secret.get_secret_value()
        if not KEY.fullmatch(key):
            raise ThorError(
                "edge_key_weak",
                f"The key of {name!r} is not 32 to 128 characters of a-z, 0-9, _ or -.",
                f"Make another: `thorctl edge keys new {name}`.",
            )
        if key in owners:
            raise ThorError(
                "edge_key_twice",
                f"{owners[key]!r} and {name!r} have the same key.",
                f"Give each its own: `thorctl edge keys new {name}`.",
            )
        owners[key] = name
