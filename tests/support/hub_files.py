"""A model hub as static files: what huggingface_hub asks for, where it asks for it."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

NGINX = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{}}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port}; root {folder}/hub; default_type application/json;
    location ~ ^/(gated|api/models/gated)/ {{ add_header X-Error-Code GatedRepo always; return 403; }}
    location ~ ^/broken/|^/api/models/broken/ {{ return 502; }}
    location ~ ^/[^/]+/[^/]+/resolve/([0-9a-f]+)/ {{ add_header X-Repo-Commit $1; etag on; }}
  }}
}}
"""


class HubFiles:
    """Writes repositories into the folder that nginx serves."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder
        folder.mkdir()

    def add(
        self, repository: str, revision: str, files: dict[str, bytes], large: tuple[str, ...] = ()
    ) -> str:
        """Puts a repository there; returns its commit. Files named in ``large`` are listed as LFS files."""
        commit = hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()  # noqa: S324 - a name, as git's
        tree = []
        for path, content in files.items():
            oid = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()  # noqa: S324 - as git's
            entry: dict[str, object] = {"type": "file", "path": path, "size": len(content), "oid": oid}
            if path in large:
                sha256 = hashlib.sha256(content).hexdigest()
                entry["lfs"] = {"oid": sha256, "size": len(content), "pointerSize": 130}
            tree.append(entry)
            self.write(f"{repository}/resolve/{commit}/{path}", content)
        for name in {revision, commit}:
            info = {"id": repository, "sha": commit}
            self.write(f"api/models/{repository}/revision/{name}", json.dumps(info).encode())
            self.write(f"api/models/{repository}/tree/{name}", json.dumps(tree).encode())
        return commit

    def write(self, path: str, content: bytes) -> None:
        """One file of the site."""
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
