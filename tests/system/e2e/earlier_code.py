"""Earlier code, from this repository's history: what provisioned devices in the field."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.simulated import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Mapping

LAYOUT_1 = "d679725d6b091f8d59d51946b1a1266f2cd2a433"  # the last one that knows release layout 1 only
BEFORE_CONTRACT = "257c6f35a324f3fc356dc9a6d193262adb2fb2c4"  # the last one without thorctl/protocol/verbs.py
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class EarlierCode:
    """A tree of an earlier commit; its programs run in this environment."""

    tree: Path

    @classmethod
    def unpacked(cls, folder: Path, commit: str) -> EarlierCode:
        """The tree below ``folder``. A shallow clone has no such commit: `git fetch --unshallow`."""
        words = ["git", "-C", str(CHECKOUT), "archive", commit]
        archive = subprocess.run(words, capture_output=True, check=True).stdout
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            tar.extractall(folder, filter="data")
        return cls(folder)

    def run(self, *words: str, cwd: Path | None = None, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """A program whose ``import thorctl`` is that tree's."""
        return subprocess.run(
            words,
            cwd=cwd or self.tree,
            env=self.environment(),
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )

    def environment(self, **more: str) -> dict[str, str]:
        """Variables with which a program imports that tree's ``thorctl``."""
        own = {
            key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "THORCTL_"))
        }
        return {
            **own,
            "PYTHONPATH": str(self.tree),
            "LC_ALL": "C.UTF-8",
            "ANSIBLE_NOCOLOR": "1",
            "THORCTL_SIM_DIR": str(self.tree / "no-simulation"),
            **more,
        }

    def python(self, program: str) -> Any:
        """What a program prints, as JSON."""
        done = self.run(sys.executable, "-c", program)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def command(self, project: Path, *words: str) -> list[str]:
        """The command line of that tree's ``thorctl --project PROJECT WORDS``."""
        main = "import sys; from thorctl.cli.main import main; sys.exit(main())"
        return [sys.executable, "-c", main, "--project", str(project), *words]

    def thorctl(self, project: Path, *words: str) -> str:
        """``thorctl --project PROJECT WORDS``; it has to succeed."""
        done = self.run(*self.command(project, *words))
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def playbook(self, name: str, inventory: Path, project: Path, profile: str, **variables: str) -> str:
        """``<name>.yml`` of that tree; it has to succeed."""
        given = {"thor_deploy": str(project / "deploy"), "thor_profile": profile, **variables}
        options = [word for key, value in given.items() for word in ("-e", f"{key}={value}")]
        words = [str(BIN / "ansible-playbook"), "-i", str(inventory), f"{name}.yml", *options]
        done = self.run(*words, cwd=self.tree / "playbooks")
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def project(self, folder: Path, profiles: Mapping[str, Any]) -> Path:
        """A project of that time with these profiles, not locked yet."""
        for part in ("device_classes", "engine", "policies", "templates"):
            words = ("cp", "-r", str(self.tree / "deploy" / part), str(folder / "deploy"))
            (folder / "deploy").mkdir(parents=True, exist_ok=True)
            subprocess.run(words, check=True)
        (folder / "deploy" / "profiles").mkdir()
        for name, document in profiles.items():
            text = f"---\n{json.dumps(document, indent=1)}\n"
            (folder / "deploy" / "profiles" / f"{name}.yml").write_text(text)
        return folder
