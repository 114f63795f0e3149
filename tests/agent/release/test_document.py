"""A device refuses every document that is not whole, safe and truly of its id."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.device_double import make_release
from thorctl.agent.core.outcome import AgentError
from thorctl.agent.release.document import Release, parse
from thorctl.agent.staging import takeover
from thorctl.protocol import canonical_json

if TYPE_CHECKING:
    from collections.abc import Callable


def changed(change: Callable[[dict[str, Any]], object], *, id_too: bool = True) -> bytes:
    document = copy.deepcopy(make_release().document)
    change(document)
    if id_too:
        document["id"] = canonical_json.release_id(document)
    return canonical_json.encode(document)


def first_file(document: dict[str, Any]) -> dict[str, Any]:
    file: dict[str, Any] = document["lock"]["checkpoint"]["files"][0]
    return file


BAD: dict[str, Callable[[dict[str, Any]], object]] = {
    "schema": lambda d: d.update(schema=3),
    "no schema": lambda d: d.pop("schema"),
    "no lock": lambda d: d.pop("lock"),
    "no profile": lambda d: d.pop("profile"),
    "upper-case name": lambda d: d.update(name="Tiny"),
    "name with a slash": lambda d: d.update(name="../tiny"),
    "digest": lambda d: d["lock"]["image"].update(digest="latest"),
    "repository that is an option": lambda d: d["lock"]["image"].update(repository="--privileged"),
    "image size": lambda d: d["lock"]["image"].update(compressed_bytes="big"),
    "hub repository that is an option": lambda d: d["lock"]["checkpoint"].update(repository="-x/y"),
    "hub repository that climbs": lambda d: d["lock"]["checkpoint"].update(repository="../y"),
    "commit": lambda d: d["lock"]["checkpoint"].update(commit="main"),
    "endpoint": lambda d: d["lock"]["checkpoint"].update(endpoint="file:///etc"),
    "no files": lambda d: d["lock"]["checkpoint"].update(files=[]),
    "file that climbs": lambda d: first_file(d).update(path="../../etc/passwd"),
    "file that climbs later": lambda d: first_file(d).update(path="a/../../b"),
    "absolute file": lambda d: first_file(d).update(path="/etc/passwd"),
    "file that is an option": lambda d: first_file(d).update(path="--local-dir"),
    "file with a pattern": lambda d: first_file(d).update(path="*.safetensors"),
    "file on its way": lambda d: first_file(d).update(path=f"a/{takeover.NEW_PREFIX}{'a' * 64}"),
    "file size": lambda d: first_file(d).update(size=-1),
    "file hash": lambda d: first_file(d).update(sha256="abc"),
    "no unit": lambda d: d["files"].pop("thor-engine.service"),
    "rendered file elsewhere": lambda d: d["files"].update({"../x": {"mode": "0444", "content": ""}}),
    "rendered release.json": lambda d: d["files"].update({"release.json": {"mode": "0444", "content": ""}}),
    "set-uid file": lambda d: d["files"]["thor-engine.service"].update(mode="4755"),
    "content that is no text": lambda d: d["files"]["thor-engine.service"].update(content=None),
    "port": lambda d: d["profile"]["serve"].update(port=0),
    "no model name": lambda d: d["profile"]["serve"].update({"served-model-name": []}),
    "no time to get ready": lambda d: d["profile"]["ready"].update(start_seconds=0),
    "no reserve": lambda d: d["device_class"].pop("reserve"),
}


@pytest.mark.parametrize("name", BAD)
def test_refused(name: str) -> None:
    with pytest.raises(AgentError) as refused:
        parse(changed(BAD[name])).files()
    assert (refused.value.code, refused.value.exit_code) == ("release_invalid", 2)


@pytest.mark.parametrize("text", [b"", b"null", b"[]", b"{}", b"\xff", b'{"schema": 1}', b'"text"'])
def test_no_release_at_all_is_refused(text: bytes) -> None:
    with pytest.raises(AgentError, match="release document"):
        parse(text)


def test_any_changed_byte_is_noticed() -> None:
    with pytest.raises(AgentError, match="the id of its content is"):
        parse(changed(lambda d: first_file(d).update(size=501), id_too=False))


def test_key_order_and_white_space_do_not_matter() -> None:
    release = make_release()
    shuffled = dict(reversed(list(release.document.items())))
    assert parse(json.dumps(shuffled, indent=3).encode()).id == release.id


def test_what_the_device_needs_of_it() -> None:
    release = make_release()
    assert release.image == f"registry.test/engine@sha256:{'a' * 64}"
    assert release.checkpoint_name == f"thorctl--tiny@{'b' * 40}"
    assert (release.port, release.model) == (8000, "tiny")
    assert release.ready_seconds(first_start=True) == 60
    assert set(release.files()) == {"thor-engine.service", "release.json"}


def test_the_id_is_put_into_the_files() -> None:
    release = parse(
        changed(lambda d: d["files"]["thor-engine.service"].update(content="/x/@RELEASE_ID@/serve.yaml"))
    )
    assert release.files()["thor-engine.service"] == (0o444, f"/x/{release.id}/serve.yaml".encode())
    assert parse(release.files()["release.json"][1]).id == release.id


def test_one_model_name_may_be_given_plainly() -> None:
    release = parse(changed(lambda d: d["profile"]["serve"].update({"served-model-name": "solo"})))
    assert Release(release.document).model == "solo"


SOCKET_PARTS: dict[str, Any] = {"schema": 2, "options": {"max-num-seqs": 4}, "memory": None}
BAD_ON_SOCKET: dict[str, Callable[[dict[str, Any]], object]] = {
    "no options": lambda d: d.pop("options"),
    "options that are none": lambda d: d.update(options=None),
    "no memory": lambda d: d.pop("memory"),
    "memory that is a number": lambda d: d.update(memory=7),
    "no user": lambda d: d["profile"]["image"].pop("user"),
    "user that is a name": lambda d: d["profile"]["image"].update(user="www-data"),
}


def on_socket(document: dict[str, Any]) -> dict[str, Any]:
    document.update(SOCKET_PARTS)
    document["profile"]["image"] = {"user": "own"}
    return document


@pytest.mark.parametrize("name", BAD_ON_SOCKET)
def test_a_bad_document_of_layout_2_is_refused(name: str) -> None:
    with pytest.raises(AgentError) as refused:
        parse(changed(lambda d: BAD_ON_SOCKET[name](on_socket(d))))
    assert refused.value.code == "release_invalid"


def test_both_layouts_are_read() -> None:
    assert make_release().layout == 1
    of = parse(changed(on_socket))
    assert (of.layout, of.image_user) == (2, "own")
