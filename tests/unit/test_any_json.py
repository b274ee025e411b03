"""JSON of any shape is decoded within the bounds of a thread's stack."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinformer import KubeObject
from kinformer._any_json import MAX_DEPTH, MAX_DEPTH_IN_MAIN_THREAD, check_depth, decode_any
from kinformer.errors import DecodeError
from kinformer.resources import CONFIGMAPS

if TYPE_CHECKING:
    from collections.abc import Callable

SHAPES: dict[str, tuple[bytes, bytes]] = {
    "lists": (b"[", b"]"),
    "objects": (b'{"a":', b"}"),
    "both": (b'{"a":[', b"]}"),
    "lists with strings": (b'["]}\\"",', b"]"),
}


def nested(shape: str, depth: int) -> bytes:
    before, after = SHAPES[shape]
    levels = depth // (before.count(b"[") + before.count(b"{"))
    return before * levels + b"1" + after * levels


def in_a_thread(call: Callable[[], Any]) -> Any:
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append(call())
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if isinstance(outcome[0], Exception):
        raise outcome[0]
    return outcome[0]


IN: dict[str, tuple[int, Callable[[Callable[[], Any]], Any]]] = {
    "in a thread": (MAX_DEPTH, in_a_thread),
    "in the main thread": (MAX_DEPTH_IN_MAIN_THREAD, lambda call: call()),
}


@pytest.mark.parametrize("where", IN)
@pytest.mark.parametrize("shape", SHAPES)
def test_nesting_has_our_bound_on_each_python(shape: str, where: str) -> None:
    bound, run = IN[where]
    at_most, more = nested(shape, bound), nested(shape, bound + 2)
    assert run(lambda: decode_any(at_most)) == json.loads(at_most)
    assert run(lambda: check_depth(at_most)) is None
    for read in (decode_any, check_depth):
        with pytest.raises(RecursionError, match=f"nested more deeply than {bound} levels"):
            run(functools.partial(read, more))


@pytest.mark.parametrize("where", IN)
def test_many_brackets_are_not_deep(where: str) -> None:
    text = b"[" + b",".join([b'{"a":["[[[","\\\\","\\\\\\"[",{}]}'] * 5_000) + b"]"
    _, run = IN[where]
    assert run(lambda: decode_any(text)) == json.loads(text)
    assert run(lambda: check_depth(text)) is None


@settings(max_examples=60)
@given(
    st.recursive(
        st.text('[]{}"\\a', max_size=6),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('{"\\', max_size=3), inner, max_size=3),
        max_leaves=6,
    )
)
def test_brackets_in_strings_count_for_nothing(value: Any) -> None:
    around = MAX_DEPTH - 2
    text = b'["]",' * around + msgspec.json.encode(value) + b"]" * around
    if around + depth(value) <= MAX_DEPTH:
        assert in_a_thread(lambda: decode_any(text)) == json.loads(text)
    else:
        with pytest.raises(RecursionError, match="nested more deeply"):
            in_a_thread(lambda: decode_any(text))


def depth(value: Any) -> int:
    if not isinstance(value, (dict, list)):
        return 0
    return 1 + max((depth(inner) for inner in (value.values() if isinstance(value, dict) else value)), default=0)


def test_a_text_that_is_no_json_is_refused_as_such() -> None:
    for text in (b'{"a', b'{"a' + b"[" * 600, b"]" * 600):
        with pytest.raises((msgspec.DecodeError, RecursionError)):
            in_a_thread(functools.partial(decode_any, text))


READS: dict[str, Callable[[KubeObject], Any]] = {
    "to_dict": lambda obj: obj.to_dict(),
    "[]": lambda obj: obj["data"]["k"],
    "at": lambda obj: obj.at(("data", "k", 0)),
    "decode": lambda obj: obj.decode(dict),
    "==": lambda obj: obj == {},
}


@pytest.mark.parametrize("where", IN)
@pytest.mark.parametrize("read", READS)
def test_an_object_that_is_nested_too_deeply_cannot_be_read(read: str, where: str) -> None:
    raw = b'{"metadata":{"name":"a"},"data":{"k":' + nested("lists", 600) + b"}}"
    obj = KubeObject.from_json(raw, CONFIGMAPS)
    bound, run = IN[where]
    with pytest.raises((RecursionError, DecodeError), match=f"nested more deeply than {bound}"):
        run(lambda: READS[read](obj.view()))


def test_no_object_crashes_a_thread_whose_stack_is_that_of_musl() -> None:
    code = f"""
import threading
from kinformer import KubeObject
from kinformer.resources import CONFIGMAPS
def read():
    for levels in (250, 900):
        raw = b'{{"metadata":{{"name":"a"}},"data":{{"k":' + b'{{"a":' * levels + b"1" + b"}}" * levels + b"}}}}"
        try:
            KubeObject.from_json(raw, CONFIGMAPS).to_dict()
            print("read")
        except RecursionError as error:
            print(error)
threading.stack_size({128 * 1024})
thread = threading.Thread(target=read)
thread.start()
thread.join()
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    shallow, deep = run.stdout.split("\n")[:2]
    assert (run.returncode, deep) == (0, "nested more deeply than 256 levels")
    # Python 3.14 looks at the stack itself, and keeps a part of it for its own use.
    assert shallow == "read" or (sys.version_info >= (3, 14) and shallow.startswith("Stack overflow"))
