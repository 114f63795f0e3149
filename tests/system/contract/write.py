"""Writes ``thorctl/vllm_options/*.json`` from the real parsers: ``python -m tests.system.contract.write``."""

from __future__ import annotations

import json

from tests.system.contract import parsers
from thorctl.release import vllm_options
from thorctl.remote import docker_engine


def main() -> None:
    """See the module."""
    image = parsers.engine_image(docker_engine.connect())
    for version in parsers.VERSIONS:
        answer = parsers.ask(image, {}, parsers.packages(version))
        rows = [f"  {json.dumps(name)}: {json.dumps(row)}" for name, row in sorted(answer["options"].items())]
        (vllm_options.FOLDER / f"{version}.json").write_text("{\n" + ",\n".join(rows) + "\n}\n")


if __name__ == "__main__":
    main()
