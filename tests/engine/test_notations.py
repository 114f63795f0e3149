"""What is taken for a call, and what is left as text: one row a notation."""

from __future__ import annotations

import json
from typing import Any

import pytest
from qwable_tool_calls import Call, Reader

SCHEMAS: dict[str, dict[str, Any]] = {
    "Read": {
        "type": "object",
        "properties": {
            "file_path": {"type": "string"},
            "limit": {"type": "integer"},
            "ratio": {"type": "number"},
            "whole": {"type": "boolean"},
            "tags": {"type": "array"},
            "where": {"type": "object"},
            "maybe": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "either": {"type": ["integer", "string"]},
        },
    }
}
PATH = {"file_path": "/etc/motd"}
BODY = json.dumps(PATH)


def read(text: str, taken: set[str] | None = None) -> tuple[str, list[tuple[str, Any, str | None]]]:
    """Content, and each call as name, arguments, id."""
    reader = Reader(SCHEMAS, taken)
    found = [*reader.feed(text), *reader.finish()]
    content = "".join(one for one in found if isinstance(one, str))
    return content, [(one.name, json.loads(one.arguments), one.id) for one in found if isinstance(one, Call)]


ONE = [("Read", PATH, "toolu_01")]
NAMELESS = [("Read", PATH, None)]
NOTATIONS = {
    "as trained": (f'<tool_use name="Read" id="toolu_01">\n{BODY}\n</tool_use>', ONE),
    "on one line": (f'<tool_use name="Read" id="toolu_01">{BODY}</tool_use>', ONE),
    "id first": (f'<tool_use id="toolu_01" name="Read">{BODY}</tool_use>', ONE),
    "single quotes": (f"<tool_use name='Read' id='toolu_01'>{BODY}</tool_use>", ONE),
    "no quotes": (f"<tool_use name=Read id=toolu_01>{BODY}</tool_use>", ONE),
    "white space in the tags": (f'<tool_use\n  name = "Read"\n  id="toolu_01" >{BODY}</tool_use >', ONE),
    "no id": (f'<tool_use name="Read">{BODY}</tool_use>', NAMELESS),
    "an id that no client takes": (f'<tool_use name="Read" id="a b">{BODY}</tool_use>', NAMELESS),
    "a code fence": (f'<tool_use name="Read" id="toolu_01">\n```json\n{BODY}\n```\n</tool_use>', ONE),
    "a bare code fence": (f'<tool_use name="Read" id="toolu_01">\n```\n{BODY}\n```\n</tool_use>', ONE),
    "JSON as a whole": (
        '<tool_use>{"name": "Read", "id": "toolu_01", "input": ' + BODY + "}</tool_use>",
        ONE,
    ),
    "JSON as a whole, OpenAI's words": (
        '<tool_use>{"name": "Read", "arguments": ' + json.dumps(BODY) + "}</tool_use>",
        NAMELESS,
    ),
    "JSON as a whole, its source's words": (
        '<tool_use>{"tool": "Read", "input": ' + BODY + "}</tool_use>",
        NAMELESS,
    ),
    "children": (f"<tool_use><name>Read</name><input>{BODY}</input></tool_use>", NAMELESS),
    "children with an id": (
        f"<tool_use>\n<id>toolu_01</id>\n<name>Read</name>\n<input>\n{BODY}\n</input>\n</tool_use>",
        ONE,
    ),
    "parameters": (
        '<tool_use name="Read" id="toolu_01"><parameter name="file_path">/etc/motd</parameter></tool_use>',
        ONE,
    ),
    "Qwen, JSON": (
        '<tool_call>\n{"name": "Read", "arguments": ' + BODY + "}\n</tool_call>",
        NAMELESS,
    ),
    "Qwen, XML": (
        "<tool_call>\n<function=Read>\n<parameter=file_path>\n/etc/motd\n</parameter>\n</function>\n</tool_call>",
        NAMELESS,
    ),
    "no arguments": (
        '<tool_use name="get_battery" id="toolu_01">\n\n</tool_use>',
        [("get_battery", {}, "toolu_01")],
    ),
    "a tag that closes itself": (
        '<tool_use name="get_battery" id="toolu_01"/>',
        [("get_battery", {}, "toolu_01")],
    ),
    "a tool that nobody offered": (
        '<tool_use name="str_replace_editor">{}</tool_use>',
        [("str_replace_editor", {}, None)],
    ),
    "no closing tag at the end": (f'<tool_use name="Read" id="toolu_01">\n{BODY}\n', ONE),
    "half a closing tag at the end": (f'<tool_use name="Read" id="toolu_01">\n{BODY}\n</tool_', ONE),
}


@pytest.mark.parametrize(("text", "calls"), NOTATIONS.values(), ids=NOTATIONS)
def test_a_call(text: str, calls: list[Any]) -> None:
    assert read(text) == ("", calls)
    assert read(f"I look at it.\n{text}") == ("I look at it.", calls)


TEXTS = {
    "plain": "It is 4.",
    "white space": "\n\n It is 4. \n",
    "JSON that is none": '<tool_use name="Read" id="toolu_01">\n{"file_path": \n</tool_use>',
    "JSON that was cut off": '<tool_use name="Read" id="toolu_01">\n{"file_path": "/etc/mo',
    "a list": '<tool_use name="Read">[1]</tool_use>',
    "a number that JSON has not": '<tool_use name="Read">{"limit": NaN}</tool_use>',
    "no name": f"<tool_use>{BODY}</tool_use>",
    "a name that is none": '<tool_use name="rm -rf /">{}</tool_use>',
    "words around the JSON": f'<tool_use name="Read">the file {BODY}</tool_use>',
    "words between the children": "<tool_use><name>Read</name> and <input>{}</input></tool_use>",
    "an unknown child": "<tool_use><name>Read</name><hint>x</hint></tool_use>",
    "an empty block without its end": '<tool_use name="Read">\n',
    "a tag cut off": '<tool_use name="Re',
    "the beginning of a tag": "One more: <tool_u",
    "another tag": '<tool_user name="Read">{}</tool_user>',
    "a tag that is no tag": "<tool_use, they say, is a tag.",
    "a tag with a broken attribute": '<tool_use name="Read\n">{}</tool_use>',
    "the closing tag alone": "That ends with </tool_use>.",
    "a result": '<tool_result tool_use_id="toolu_01">\nsunny\n</tool_result>',
    "code": "if a <tool and b> c: pass",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_no_call_stays_as_it_stands(text: str) -> None:
    assert read(text) == (text, [])


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_no_call_hides_the_call_before_it(text: str) -> None:
    call, calls = NOTATIONS["as trained"]
    content, found = read(f"{call}\n{text}")
    assert found == calls
    assert content.strip() == text.strip()


def test_text_before_between_and_after() -> None:
    call, _ = NOTATIONS["as trained"]
    other = '<tool_use name="Bash" id="toolu_02">\n{"command": "ls"}\n</tool_use>'
    content, calls = read(f"First this.\n\n{call}\nThen that.\n{other}\n\nDone.\n")
    assert content == "First this.\n\n\nThen that.\n\n\nDone.\n"
    assert [name for name, *_ in calls] == ["Read", "Bash"]


def test_white_space_that_only_sets_calls_apart_is_no_content() -> None:
    call, _ = NOTATIONS["as trained"]
    content, calls = read(f"\n\n{call}\n\n{call.replace('_01', '_02')}\n")
    assert (content, len(calls)) == ("", 2)
    assert read(f"\n{call}\n\nDone.")[0] == "Done."


def test_a_broken_block_does_not_hide_the_next() -> None:
    broken = '<tool_use name="Read">\n{"file_path": }\n</tool_use>'
    call, calls = NOTATIONS["as trained"]
    assert read(f"{broken}\n{call}") == (broken, calls)


def test_a_block_that_was_never_closed_is_text_and_the_call_in_it_a_call() -> None:
    call, calls = NOTATIONS["as trained"]
    content, found = read(f'<tool_use name="Bash">oh, wait: {call}')
    assert found == calls
    assert content.startswith('<tool_use name="Bash">oh, wait:')


@pytest.mark.parametrize(
    "value",
    [
        "</tool_use>",
        'say "</tool_use>"',
        '\\"</tool_use>',
        '<tool_use name="X">{}</tool_use>',
        "</tool_call>\n</input>",
    ],
)
def test_files_about_this_very_format_can_be_written(value: str) -> None:
    body = json.dumps({"content": value})
    assert read(f'<tool_use name="Write">{body}</tool_use>') == ("", [("Write", {"content": value}, None)])
    assert read(f"<tool_use><name>Write</name><input>{body}</input></tool_use>")[1] == [
        ("Write", {"content": value}, None)
    ]


def test_a_parameter_holds_any_text() -> None:
    code = 'print("</tool_use>")\n<b>"</b>'
    text = f'<tool_use name="Write"><parameter name="content">\n{code}\n</parameter></tool_use>'
    assert read(text) == ("", [("Write", {"content": code}, None)])


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("file_path", "12", "12"),
        ("file_path", " \n two lines\n", " \n two lines"),
        ("limit", "12", 12),
        ("limit", " 12\n", 12),
        ("limit", "12.0", 12),
        ("limit", "twelve", "twelve"),
        ("ratio", "0.5", 0.5),
        ("ratio", "2", 2),
        ("whole", "true", True),
        ("whole", "False", False),
        ("tags", '["a"]', ["a"]),
        ("where", '{"a": 1}', {"a": 1}),
        ("where", "[1]", "[1]"),
        ("maybe", "null", None),
        ("maybe", "12", "12"),
        ("either", "12", 12),
        ("either", "12b", "12b"),
        ("unknown", "12", "12"),
    ],
)
def test_a_parameter_takes_the_type_of_the_tools_schema(key: str, text: str, value: object) -> None:
    block = f"<tool_call><function=Read><parameter={key}>{text}</parameter></function></tool_call>"
    ((_, arguments, _),) = read(block)[1]
    assert arguments == {key: value}
    assert type(arguments[key]) is type(value)


def test_arguments_are_json_that_every_client_reads() -> None:
    raw = '{"text": "two\nlines", "half": "\\ud83d", "ä": 1}'
    (call,) = (
        one for one in Reader().feed(f'<tool_use name="Write">{raw}</tool_use>') if isinstance(one, Call)
    )
    call.arguments.encode()
    assert json.loads(call.arguments) == json.loads(raw, strict=False)


def test_an_id_is_given_once_in_a_conversation() -> None:
    call, _ = NOTATIONS["as trained"]
    assert [ident for *_, ident in read(f"{call}{call}")[1]] == ["toolu_01", None]
    assert [ident for *_, ident in read(call, taken={"toolu_01"})[1]] == [None]


def test_what_is_thought_is_never_a_call() -> None:
    call, calls = NOTATIONS["as trained"]
    content, found = read(f"<think>\nI might write {call}.\n</think>\n\n{call}")
    assert found == calls
    assert call in content


def test_a_thinking_tag_in_the_middle_of_an_answer_is_text() -> None:
    call, calls = NOTATIONS["as trained"]
    assert read(f"The tag is <think>. {call}") == ("The tag is <think>.", calls)
