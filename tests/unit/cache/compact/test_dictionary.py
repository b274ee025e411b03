"""zstd with a dictionary of a few objects: what goes in comes out, from any thread, and damage is told."""

from __future__ import annotations

import gzip
import subprocess
import sys
import threading

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinformer.cache._compact.dictionary import make_dictionary
from kinformer.cache._compact.packed_head import pack_state
from kinformer.cache._compact.packed_object import PackedObject
from kinformer.errors import DecodeError, MissingDependencyError
from kinformer.informer import SharedInformer
from tests.paths import DATA
from tests.sources import FakeSource, pod


def recorded() -> list[bytes]:
    items = msgspec.json.decode(
        gzip.decompress((DATA / "bulk-pods-300.list.json.gz").read_bytes()), type=dict[str, msgspec.Raw]
    )["items"]
    return [bytes(item) for item in msgspec.json.decode(items, type=list[msgspec.Raw])]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.binary(max_size=300) | st.text(max_size=300).map(str.encode), min_size=1, max_size=20),
    st.lists(st.binary(max_size=2000), max_size=5),
)
def test_what_goes_in_comes_out_whatever_the_dictionary_was_made_of(samples: list[bytes], texts: list[bytes]) -> None:
    dictionary = make_dictionary(samples, 1)
    for text in [*texts, *samples]:
        assert dictionary.decompress(dictionary.compress(text)) == text


def test_recorded_pods_come_to_a_twelfth_with_a_dictionary_of_the_first_hundred() -> None:
    pods = recorded()
    dictionary = make_dictionary(pods[:100], 1)
    frames = [dictionary.compress(raw) for raw in pods[100:]]
    assert [dictionary.decompress(frame) for frame in frames] == pods[100:]
    assert sum(map(len, frames)) < sum(map(len, pods[100:])) / 12
    assert dictionary.size < 64_000


def test_a_dictionary_of_huge_objects_is_small_all_the_same() -> None:
    huge = [pod(f"p{n}", data="x" * 3_000_000).raw for n in range(3)]
    dictionary = make_dictionary(huge, 1)
    assert dictionary.size < 64_000
    assert dictionary.decompress(dictionary.compress(huge[2])) == huge[2]


def test_a_compression_that_fails_midway_spoils_none_that_follow() -> None:
    dictionary = make_dictionary([b"a" * 100], 1)
    broken = dictionary._compressor
    broken.compress(b"half of an object", broken.CONTINUE)
    with pytest.raises(Exception, match="FLUSH_FRAME"):
        dictionary.compress(b"b" * 100)
    assert dictionary.decompress(dictionary.compress(b"c" * 100)) == b"c" * 100


def test_threads_may_decompress_with_one_dictionary_at_once() -> None:
    pods = recorded()
    dictionary = make_dictionary(pods[:100], 1)
    frames = [dictionary.compress(raw) for raw in pods]
    wrong: list[object] = []

    def read(start: int) -> None:
        for turn in range(3):
            for number in range(start, len(pods)):
                if dictionary.decompress(frames[number]) != pods[number]:
                    wrong.append((turn, number))

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=read, args=(start,)) for start in (0, 7, 91, 150)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert wrong == []


@pytest.mark.parametrize("damage", [lambda frame: frame[:-3], lambda _: b"", lambda frame: b"\0" * len(frame)])
def test_a_damaged_frame_is_told_with_the_key_and_without_the_body(damage: object) -> None:
    whole = pod("a", data={"secret": "hunter2"})
    dictionary = make_dictionary([whole.raw], 1)
    frame = damage(dictionary.compress(whole.raw))  # type: ignore[operator]
    packed = PackedObject(
        pack_state(whole.metadata, len(whole.raw), frame),
        whole.metadata,
        whole.resource,
        whole.key,
        None,
        None,
        dictionary,
    )
    for _ in range(2):
        with pytest.raises(DecodeError, match=r"default/a: .* damaged: .*; relist the informer") as info:
            packed["data"]
        assert "hunter2" not in str(info.value)


async def test_compact_storage_without_its_extra_is_refused_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'kinformer\[compact\]'"):
        SharedInformer(FakeSource(), storage="compact")
    SharedInformer(FakeSource())


def test_zstd_is_imported_only_when_it_is_used() -> None:
    program = (
        "import sys, kinformer\n"
        "kinformer.SharedInformer, kinformer.SharedInformerFactory\n"
        "assert not [name for name in sys.modules if 'zstd' in name]\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
