"""Releases: the id is the content's hash, on any machine; `thorctl release show` and `thorctl render`."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from rich.console import Console

from tests.support.documents import changed, lock_for, release_of
from thorctl.cli.main import run
from thorctl.errors import ThorError
from thorctl.registry import resolve
from thorctl.release import document as release
from thorctl.release import lock as locks
from thorctl.release import profile

if TYPE_CHECKING:
    from thorctl.result import Result

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


@pytest.fixture
def locked(project: Path) -> Path:
    """The project, with a lock for tiny-qwable on amd64."""
    of = profile.load(project / "deploy", "tiny-qwable")
    resolve.write(locks.path_of(project / "deploy", "tiny-qwable"), lock_for(of))
    return project


def thorctl(project: Path, *words: object) -> Result:
    result = run(["--project", str(project), *map(str, words)])
    assert result is not None
    return result


def shown(result: Result) -> str:
    console = Console(width=200, record=True, file=None, quiet=False, color_system=None)
    with console.capture() as capture:
        console.print(result.view)
    return capture.get()


def test_the_id_is_the_hash_of_the_document_without_it() -> None:
    document = release_of(DEPLOY).document()
    content = {key: value for key, value in document.items() if key != "id"}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert document["id"] == f"tiny-qwable-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def test_the_same_input_gives_the_same_release_anywhere(project: Path) -> None:
    assert release_of(project / "deploy") == release_of(DEPLOY)
    assert str(project) not in release_of(project / "deploy").text()


def test_the_document_survives_json(tmp_path: Path) -> None:
    made = release_of(DEPLOY)
    path = tmp_path / "release.json"
    path.write_text(json.dumps(made.document(), indent=4))  # other spelling, same content
    assert release.load(path) == made


def test_whatever_changes_changes_the_id() -> None:
    of = profile.load(DEPLOY, "tiny-qwable")
    ids = {release_of(DEPLOY).id, release_of(DEPLOY, class_name="simulated-vm").id}
    for keys in ({"description": "x"}, {"serve": {**of.serve, "max-num-seqs": 5}}, {"license": "MIT"}):
        other = changed(of, **keys)
        made_for = release_of(DEPLOY).device_class
        ids.add(release.make(other, lock_for(other), made_for, options={}, memory=None, files={}).id)
    assert len(ids) == 5


def _damage(document: dict[str, Any], kind: str) -> dict[str, Any]:
    match kind:
        case "content":
            document["files"]["serve.yaml"]["content"] += "host: 0.0.0.0\n"
        case "id":
            document["id"] = "tiny-qwable-000000000000"
        case "mode":
            document["files"]["serve.yaml"]["mode"] = "0777"
        case "file name":
            document["files"]["../../etc/passwd"] = document["files"]["serve.yaml"]
        case "missing":
            del document["lock"]
    return document


@pytest.mark.parametrize("kind", ["content", "id", "mode", "file name", "missing"])
def test_an_edited_release_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "release.json"
    path.write_text(json.dumps(_damage(release_of(DEPLOY).document(), kind)))
    with pytest.raises(ThorError) as caught:
        release.load(path)
    assert caught.value.code == "release_invalid"
    assert "thorctl render" in caught.value.remedy


def test_show_a_profile_an_id_a_folder_and_a_file(locked: Path, tmp_path: Path) -> None:
    made = thorctl(locked, "release", "show", "tiny-qwable")
    assert made.data == release_of(locked / "deploy").document()
    out = tmp_path / "out"
    thorctl(locked, "render", "tiny-qwable", "--out", out)
    for wanted in (made.data["id"], out, out / "release.json"):
        assert thorctl(locked, "release", "show", wanted).data == made.data
    text = shown(made)
    for part in (
        made.data["id"],
        "sha256:" + "a" * 64,
        "b" * 40,
        "1.2 GB",
        "5.0 GB",
        "d" * 64,
        "max-model-len: 2048",
    ):
        assert part in text


def test_show_what_is_not_there(locked: Path, tmp_path: Path) -> None:
    expected = {
        "tiny-qwable-000000000000": "release_unknown",
        "nobody": "profile_unknown",
        "qwable-v1-nvfp4a16": "lock_missing",
        str(tmp_path / "none.json"): "profile_unknown",
        str(tmp_path): "file_unreadable",
    }
    for wanted, code in expected.items():
        result = thorctl(locked, "release", "show", wanted)
        assert (result.exit_code, [problem.code for problem in result.errors]) == (1, [code])
        assert result.errors[0].remedy


def test_show_tells_the_switches_options_and_the_licence(locked: Path) -> None:
    source = locked / "deploy" / "profiles" / "tiny-qwable.yml"
    text = source.read_text().replace("license: Apache-2.0", "license: AGPL-3.0-only\nswitches: {mtp: true}")
    source.write_text(text)
    of = profile.load(locked / "deploy", "tiny-qwable")
    resolve.write(locks.path_of(locked / "deploy", "tiny-qwable"), lock_for(of))
    told = shown(thorctl(locked, "release", "show", "tiny-qwable"))
    assert 'speculative-config: {"method": "mtp"' in told
    assert "AGPL-3.0-only, accepted; the model card has none" in told


def locked_thor(project: Path, **serve: object) -> None:
    """The card's profile with a lock, and other options."""
    deploy = project / "deploy"
    source = deploy / "profiles" / "qwable-v1-nvfp4a16.yml"
    lines = "".join(f"  {option.replace('_', '-')}: {value}\n" for option, value in serve.items())
    source.write_text(source.read_text().replace("serve:\n", f"serve:\n{lines}", 1))
    of = profile.load(deploy, "qwable-v1-nvfp4a16")
    resolve.write(locks.path_of(deploy, of.name), lock_for(of, "linux/arm64"))


def test_show_lists_the_memory_that_the_engine_needs_and_why(locked: Path) -> None:
    locked_thor(locked)
    result = thorctl(locked, "release", "show", "qwable-v1-nvfp4a16")
    memory, told = result.data["memory"], " ".join(shown(result).split())
    assert memory["kv_cache_bytes"] == 6_596_198_400
    parts = [value for key, value in memory.items() if key.endswith("_bytes") and key != "total_bytes"]
    assert memory["total_bytes"] == sum(parts)
    assert "KV cache 6.1 GiB 16 contexts of 16384 tokens" in told
    assert "gpu-memory-utilization 0.14 of 120 GiB or more of a jetson-agx-thor" in told
    assert "gpu-memory-utilization: 0.14" in told  # among the options
    assert "warning" not in told


def test_show_warns_where_the_profile_s_own_cache_is_too_small(locked: Path) -> None:
    locked_thor(locked, kv_cache_memory_bytes="3G")
    told = " ".join(shown(thorctl(locked, "release", "show", "qwable-v1-nvfp4a16")).split())
    assert "warning" in told
    assert "7.8 fit at once" in told


def test_show_says_where_vllm_sizes_its_cache_itself(locked: Path) -> None:
    locked_thor(locked, gpu_memory_utilization=0.5)
    result = thorctl(locked, "release", "show", "qwable-v1-nvfp4a16")
    assert result.data["memory"] is None
    assert "vLLM sizes its cache itself" in " ".join(shown(result).split())


def test_an_earlier_lock_is_to_be_made_again(locked: Path) -> None:
    locked_thor(locked)
    path = locks.path_of(locked / "deploy", "qwable-v1-nvfp4a16")
    document = json.loads(path.read_text())
    del document["checkpoint"]["model"]
    document.pop("sha256", None)
    path.write_text(json.dumps(document))
    result = thorctl(locked, "release", "show", "qwable-v1-nvfp4a16")
    assert [problem.code for problem in result.errors] == ["model_not_locked"]


def test_render_writes_what_the_release_holds(locked: Path, tmp_path: Path) -> None:
    out = tmp_path / "a" / "out"
    result = thorctl(locked, "render", "tiny-qwable", "--out", out)
    made = release.load(out / "release.json")
    assert result.data["release"] == made.id
    assert made.memory is not None
    assert result.data["memory_bytes"] == made.memory.total_bytes
    assert "memory of the engine: " in shown(result)
    assert {path.name: path.read_text() for path in out.iterdir() if path.name != "release.json"} == {
        name: file.content for name, file in made.files.items()
    }
    assert made.id in shown(result)
    assert "thor-engine.service" in shown(result)


def test_render_replaces_only_what_it_wrote(locked: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    thorctl(locked, "render", "tiny-qwable", "--out", out)
    refused = thorctl(locked, "render", "tiny-qwable", "--out", out)
    assert (refused.exit_code, refused.errors[0].code) == (2, "out_not_empty")
    assert thorctl(locked, "render", "tiny-qwable", "--out", out, "--force").exit_code == 0
    (out / "precious.txt").write_text("mine")
    foreign = thorctl(locked, "render", "tiny-qwable", "--out", out, "--force")
    assert (foreign.exit_code, foreign.errors[0].code) == (2, "out_foreign")
    files = release.load(out / "release.json").files
    assert {path.name for path in out.iterdir()} == {*files, "release.json", "precious.txt"}


def test_render_shows_the_difference(locked: Path, tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    first = thorctl(locked, "render", "tiny-qwable", "--out", old)
    assert thorctl(locked, "render", "tiny-qwable", "--out", new, "--diff", old).data["diff"] == {}
    source = locked / "deploy" / "profiles" / "tiny-qwable.yml"
    source.write_text(source.read_text().replace("max-num-seqs: 4", "max-num-seqs: 5"))
    result = thorctl(locked, "render", "tiny-qwable", "--out", new, "--force", "--diff", old)
    assert list(result.data["diff"]) == ["serve.yaml"]
    assert "-max-num-seqs: 4\n+max-num-seqs: 5" in result.data["diff"]["serve.yaml"]
    assert first.data["release"] in result.data["diff"]["serve.yaml"]
    assert "+max-num-seqs: 5" in shown(result)


def test_the_device_class_is_the_first_that_can_run_the_image(locked: Path, tmp_path: Path) -> None:
    of = profile.load(locked / "deploy", "tiny-qwable")
    resolve.write(locks.path_of(locked / "deploy", "tiny-qwable"), lock_for(of, "linux/arm64"))
    made = {
        name: thorctl(locked, "release", "show", "tiny-qwable", "--device-class", name).data
        for name in of.device_classes
    }
    assert thorctl(locked, "release", "show", "tiny-qwable").data == made["simulated-container"]
    assert made["simulated-vm"]["device_class"]["name"] == "simulated-vm"
    assert thorctl(locked, "release", "show", made["simulated-vm"]["id"]).data == made["simulated-vm"]
    wrong = thorctl(
        locked, "render", "tiny-qwable", "--device-class", "jetson-agx-thor", "--out", tmp_path / "x"
    )
    assert wrong.errors[0].code == "device_class_mismatch"
    assert not (tmp_path / "x").exists()


def test_a_lock_that_does_not_match_is_refused_before_anything_is_written(
    locked: Path, tmp_path: Path
) -> None:
    source = locked / "deploy" / "profiles" / "tiny-qwable.yml"
    source.write_text(source.read_text().replace("revision: main", "revision: v2"))
    result = thorctl(locked, "render", "tiny-qwable", "--out", tmp_path / "x")
    assert (result.exit_code, result.errors[0].code) == (1, "lock_mismatch")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("verb", ["lock", "release show", "render"])
def test_help_has_examples(verb: str) -> None:
    from thorctl.cli.main import cli

    output = CliRunner().invoke(cli, [*verb.split(), "--help"]).output
    assert "Examples:" in output
    assert f"thorctl {verb} tiny-qwable" in output
