"""What the device reads of a rendered serve.yaml is what the profile says, switches and all."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.documents import changed, lock_for
from thorctl.agent.release import serve_yaml
from thorctl.agent.release.document import Release
from thorctl.release import device_class, profile
from thorctl.release.memory import effective
from thorctl.release.render import render_release

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"
TRICKY = {"hf-overrides": {"rope": {"theta": 1e-05, "names": ["a: b", "#c", "ü"]}}, "seed": 3}


@pytest.mark.parametrize("name", profile.names(DEPLOY))
@pytest.mark.parametrize("switches", [{}, {"mtp": True, "fp8_kv_cache": True}])
def test_every_profile(name: str, switches: dict[str, bool]) -> None:
    plain = profile.load(DEPLOY, name)
    of = changed(plain, switches=switches, serve={**plain.serve, **TRICKY})
    made_for = device_class.load(DEPLOY, of.device_classes[0])
    release = render_release(of, lock_for(of, made_for.platforms[0]), made_for, DEPLOY / "templates")
    found = serve_yaml.options(Release(release.document()))
    sized = effective(of, lock_for(of, made_for.platforms[0]), made_for)[0]
    port = sized.pop("port")
    assert found == {
        **sized,
        "model": "/models/checkpoint",
        "uds": "/run/engine/engine.sock",
        "shutdown-timeout": 60,
    }
    assert port == of.port
    assert ("speculative-config" in found) == bool(switches)
