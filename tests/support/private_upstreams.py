"""A registry and a hub that want to know who asks, behind a real nginx with TLS; and a store they send to."""

from __future__ import annotations

import base64
import datetime as dt
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from thorctl.edge import authority

if TYPE_CHECKING:
    from pathlib import Path

PASSWORD = "pw-7d1f0c3e9b2a4856"
USERS = "thor:$2b$05$abcdefghijklmnopqrstuuTUKiv6yV.YwAFZSCHrgDzkrUykqeytu"  # as `htpasswd -B` writes it
# Small files and blobs lie on another host, as at the real ones; it notes what it is told.
NGINX = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{}}
http {{
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  log_format told '$request_uri authorization=$http_authorization';
  ssl_certificate {folder}/tls.crt; ssl_certificate_key {folder}/tls.key;
  default_type application/json;
  server {{
    listen 127.0.0.1:{hub} ssl; access_log off; root {folder}/hub;
    add_header X-Repo-Commit $commit;
    set $commit "";
    if ($http_authorization != "Bearer {token}") {{ return 401; }}
    location ~ ^/[^/]+/[^/]+/resolve/([0-9a-f]+)/ {{
      set $commit $1;
      if ($request_method = GET) {{ return 302 https://localhost:{store}/hub$request_uri; }}
    }}
  }}
  server {{
    listen 127.0.0.1:{registry} ssl; access_log off;
    location / {{ proxy_pass {behind}; }}
    location ~ ^/v2/[a-z/-]+/blobs/sha256: {{ return 307 https://localhost:{store}/registry$request_uri; }}
  }}
  server {{
    listen 127.0.0.1:{store} ssl; access_log {folder}/told.log told;
    location /hub/ {{ alias {folder}/hub/; }}
    location /registry/ {{ alias {folder}/blobs/; }}
  }}
}}
"""


@dataclass(frozen=True)
class Ports:
    """Of the loopback."""

    hub: int
    registry: int
    store: int


def configure(folder: Path, ports: Ports, *, token: str, behind: str) -> Path:
    """Writes certificate and configuration; nginx is to read the latter."""
    now = dt.datetime.now(dt.UTC)
    ca = authority.new_authority("test", now, 30)
    pair = authority.new_certificate(ca, "localhost", ["localhost", "127.0.0.1"], now=now, days=30)
    (folder / "ca.crt").write_text(ca.certificate)
    (folder / "tls.crt").write_text(pair.certificate)
    (folder / "tls.key").write_text(pair.private_key)
    config = folder / "nginx.conf"
    config.write_text(
        NGINX.format(
            folder=folder,
            hub=ports.hub,
            registry=ports.registry,
            store=ports.store,
            token=token,
            behind=behind,
        )
    )
    return config


def publish_blobs(folder: Path, path: str, data: Path) -> None:
    """What the registry has stored, where the store serves it from."""
    for found in data.glob("docker/registry/v2/blobs/sha256/*/*/data"):
        target = folder / "blobs" / "v2" / path / "blobs" / f"sha256:{found.parent.name}"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(found.read_bytes())


def login(folder: Path, host: str, user: str, password: str) -> Path:
    """What ``docker login`` leaves behind, made by its format; the folder for DOCKER_CONFIG."""
    pair = base64.b64encode(f"{user}:{password}".encode()).decode()
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"auths": {host: {"auth": pair}}}))
    return folder
