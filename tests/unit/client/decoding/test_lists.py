"""The body of a list becomes its objects, in slices, whatever the objects look like."""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinformer.client._decoding import lists as _listing
from kinformer.client._decoding.lists import ListCutter, decode_page
from kinformer.errors import ProtocolError
from kinformer.listwatch import ListPage
from kinformer.resources import PODS, Resource
from tests.paths import DATA

if TYPE_CHECKING:
    from collections.abc import Coroutine

# Python 3.14 bounds the stack that is used, earlier ones the number of levels.
_LEVELS = 1_000_000 if sys.version_info >= (3, 14) else 200_000
TOO_DEEP = b"[" * _LEVELS + b"]" * _LEVELS

WIDGETS = Resource("example.com", "v1", "widgets", "Widget")


def compact(thing: object) -> bytes:
    return json.dumps(thing, separators=(",", ":")).encode()


def core(items: list[Any], **metadata: Any) -> dict[str, Any]:
    return {"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "9", **metadata}, "items": items}


def custom(items: list[Any]) -> dict[str, Any]:
    full = [{"apiVersion": "example.com/v1", "kind": "Widget", **item} for item in items]
    return {"apiVersion": "example.com/v1", "items": full, "kind": "WidgetList", "metadata": {"resourceVersion": "9"}}


def pod(name: str, **extra: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "web", "resourceVersion": "3"}, **extra}


async def page_of(thing: object, resource: Resource = PODS, *, metadata_only: bool = False) -> ListPage:
    body = thing if isinstance(thing, bytes) else compact(thing)
    return await decode_page(body, resource, doing="list pods", metadata_only=metadata_only)


def driven(decoding: Coroutine[Any, Any, ListPage]) -> ListPage:
    """Run a coroutine that only ever gives way, without a loop."""
    while True:
        try:
            decoding.send(None)
        except StopIteration as end:
            page = end.value
            assert isinstance(page, ListPage)
            return page


NASTY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from(['},{"metadata":{"name":"', "}]"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["metadata", "name", "items", "a"]), inner, max_size=3)
    ),
    max_leaves=8,
)
ITEMS = st.lists(st.builds(lambda name, spec: pod(name, spec=spec), st.text("abc", min_size=1), NASTY), max_size=8)


@given(ITEMS, st.sampled_from([core, custom]), st.booleans())
@settings(max_examples=300, deadline=None)
def test_the_objects_are_those_of_the_json_whatever_is_in_them(items: list[Any], make: Any, pretty: bool) -> None:
    thing = make(items)
    body = json.dumps(thing, indent=1).encode() if pretty else compact(thing)
    page = driven(decode_page(body, WIDGETS if make is custom else PODS, doing="list"))
    assert [json.loads(o.raw) for o in page.items] == thing["items"]
    assert (page.resource_version, page.continue_token, list(page.failures)) == ("9", "", [])


async def test_the_recorded_list_is_cut_without_decoding_it_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(_listing, "_decode_whole")
    body = gzip.decompress((DATA / "bulk-pods-300.list.json.gz").read_bytes())
    page = await page_of(body)
    assert [json.loads(o.raw) for o in page.items] == json.loads(body)["items"]
    assert page.resource_version == "30330"


async def test_a_custom_list_whose_metadata_comes_last_is_cut_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(_listing, "_decode_whole")
    page = await page_of(custom([pod("a"), pod("b", spec={"list": [{"x": 1}]})]), WIDGETS)
    assert [o.name for o in page.items] == ["a", "b"]


async def test_items_with_objects_inside_that_look_like_items_are_cut_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(_listing, "_decode_whole")
    claims = [{"metadata": {"name": f"claim-{n}"}} for n in range(3)]
    page = await page_of(core([pod("a", spec={"volumeClaimTemplates": claims}), pod("b")]))
    assert [o.name for o in page.items] == ["a", "b"]
    assert page.items[0].at("spec.volumeClaimTemplates.2.metadata.name") == "claim-2"


async def test_continue_token_and_remaining_count_are_handed_on() -> None:
    page = await page_of(core([pod("a")], **{"continue": "abc", "remainingItemCount": 4}))
    assert (page.continue_token, page.remaining) == ("abc", 4)


@pytest.mark.parametrize("items", [[], None])
async def test_an_empty_list_is_a_list(items: list[Any] | None) -> None:
    page = await page_of(core(items))  # type: ignore[arg-type]  # a nil slice of Go comes as null
    assert (list(page.items), page.resource_version) == ([], "9")


async def test_a_bad_object_is_left_out_and_reported_with_its_key() -> None:
    bad = {"metadata": {"name": "odd", "namespace": "web", "labels": {"a": 1}}}
    page = await page_of(core([pod("a"), bad, {"metadata": {}}, pod("b")]))
    assert [o.name for o in page.items] == ["a", "b"]
    assert [f.key for f in page.failures] == ["web/odd", None]


async def test_an_object_nested_too_deeply_is_left_out_and_reported() -> None:
    deep = b'{"metadata":{"name":"deep"},"spec":' + TOO_DEEP + b',"s":"}]\\"},{"}'
    body = compact(core([pod("a"), "HERE", pod("b")], **{"continue": "x"})).replace(b'"HERE"', deep)
    page = await page_of(body)
    assert [o.name for o in page.items] == ["a", "b"]
    assert (len(page.failures), page.continue_token) == (1, "x")
    assert "nested too deeply" in str(page.failures[0])


@pytest.mark.parametrize(
    "metadata",
    [{}, {"resourceVersion": ""}, None, {"resourceVersion": None, "continue": None, "remainingItemCount": None}],
)
async def test_a_list_may_have_no_version(metadata: dict[str, Any] | None) -> None:
    page = await page_of(compact({**core([pod("a")]), "metadata": metadata}))
    assert ([o.name for o in page.items], page.resource_version) == (["a"], "")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (compact({**core([]), "metadata": {}, "kind": ""}), "has no resource version"),
        (compact({**core([pod("a")]), "metadata": {"resourceVersion": ""}, "kind": "APIGroup"}), "is no PodList"),
        (compact({**core([]), "kind": "Table"}), "sends Table where PodList was asked for"),
        (
            compact({**core([pod("a")]), "kind": "SecretList"}),
            "the answer is a SecretList, where PodList was asked for",
        ),
        (compact(pod("a", kind="Pod")), "the answer is a Pod, where PodList was asked for"),
        (compact({**core([]), "kind": "Node"}), "the answer is a Node, where PodList was asked for"),
        (b"<html></html>", "is no list"),
        (b"[]", "is no list"),
        (b"", "is no list"),
        (compact(core([pod("a")]))[:-3], "is no list"),
    ],
)
async def test_what_is_no_list_is_a_protocol_error(body: bytes, says: str) -> None:
    with pytest.raises(ProtocolError, match=f"cannot list pods: .*{says}"):
        await page_of(body)


async def test_metadata_only_refuses_a_list_of_whole_objects() -> None:
    with pytest.raises(ProtocolError, match="sends PodList where PartialObjectMetadataList was asked for"):
        await page_of(core([pod("a")]), metadata_only=True)
    partial = {**core([pod("a")]), "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1"}
    assert [o.name for o in (await page_of(partial, metadata_only=True)).items] == ["a"]


@pytest.mark.parametrize("indent", [None, 1])
async def test_the_loop_turns_at_least_once_per_mebibyte(indent: int | None) -> None:
    items = [pod(f"p{n}", data="x" * 9_000) for n in range(1_000)]
    body = json.dumps(core(items), indent=indent, separators=(",", ":")).encode()
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as tasks:
        counting = tasks.create_task(count())
        page = await page_of(body)
        counting.cancel()
    assert len(page.items) == 1_000
    assert turns >= len(body) >> 20


async def test_many_small_objects_do_not_hold_the_loop_either() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as tasks:
        counting = tasks.create_task(count())
        await page_of(core([pod(f"p{n}") for n in range(2_000)]))
        counting.cancel()
    assert turns >= 10


def came(pages: list[ListPage]) -> list[str]:
    return [obj.name for page in pages for obj in page.items]


async def cut(
    body: bytes,
    size: int,
    resource: Resource = PODS,
    *,
    metadata_only: bool = False,
) -> list[ListPage]:
    """The parts of a page whose body comes in pieces of a size, and the rest."""

    async def decode(rest: bytes) -> ListPage:
        return await decode_page(rest, resource, doing="list pods", metadata_only=metadata_only)

    cutter = ListCutter(decode, resource, doing="list pods", metadata_only=metadata_only)
    pages = []
    for start in range(0, len(body), size):
        part = await cutter.take(body[start : start + size])
        if part is not None:
            assert part.partial
            pages.append(part)
    rest = await cutter.finish()
    assert not rest.partial
    return [*pages, rest]


@pytest.fixture
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_listing, "_SLICE_BYTES", 300)


CLAIMS = [{"metadata": {"name": f"claim-{number}"}, "spec": {}} for number in range(4)]


@pytest.mark.usefixtures("small_slices")
@pytest.mark.parametrize("size", [1, 7, 64, 301, 5_000])
async def test_a_list_in_pieces_of_any_size_gives_each_object_once_and_in_order(size: int) -> None:
    items = [pod(f"web-{number}", spec={"claims": CLAIMS[: number % 5]}) for number in range(40)]
    body = compact(core(items, **{"continue": "token", "remainingItemCount": 7}))
    pages = await cut(body, size)
    assert came(pages) == [f"web-{number}" for number in range(40)]
    assert [json.loads(obj.raw) for page in pages for obj in page.items] == items
    assert {page.resource_version for page in pages} == {"9"}
    assert [page.continue_token for page in pages[-1:]] == ["token"]
    assert pages[-1].remaining == 7
    assert len(pages) >= 3


@pytest.mark.usefixtures("small_slices")
async def test_no_part_is_larger_than_a_slice_and_what_came_with_it() -> None:
    body = compact(core([pod(f"web-{number}") for number in range(200)]))
    pages = await cut(body, 100)
    assert max(sum(len(obj.raw) for obj in page.items) for page in pages) <= 400


@pytest.mark.usefixtures("small_slices")
async def test_the_version_of_a_custom_list_comes_with_its_end() -> None:
    body = compact(custom([{"metadata": {"name": f"w-{number}"}} for number in range(30)]))
    pages = await cut(body, 50, WIDGETS)
    assert came(pages) == [f"w-{number}" for number in range(30)]
    assert [page.resource_version for page in pages if page.resource_version] == ["9"]
    assert len(pages) > 3


@pytest.mark.usefixtures("small_slices")
async def test_what_is_inside_of_an_object_is_never_taken_for_one() -> None:
    """Each prefix of this body ends behind something that looks like a whole item."""
    inner = [{"metadata": {"name": f"inner-{number}"}, "spec": {"x": "y" * 20}} for number in range(14)]
    items = [pod(f"web-{number}", spec={"claims": inner}) for number in range(8)]
    for size in (40, 90, 333):
        assert came(await cut(compact(core(items)), size)) == [f"web-{number}" for number in range(8)]


@pytest.mark.usefixtures("small_slices")
async def test_an_object_that_cannot_be_decoded_costs_itself_alone_also_in_pieces() -> None:
    items = [pod(f"web-{number}") for number in range(30)]
    items[17]["metadata"]["labels"] = "none"
    pages = await cut(compact(core(items)), 100)
    assert came(pages) == [f"web-{number}" for number in range(30) if number != 17]
    assert [failure.key for page in pages for failure in page.failures] == ["web/web-17"]


@pytest.mark.usefixtures("small_slices")
async def test_one_object_larger_than_any_slice_is_waited_for() -> None:
    items = [pod("web-0", spec={"x": "y" * 5_000}), pod("web-1"), pod("web-2")]
    assert came(await cut(compact(core(items)), 100)) == ["web-0", "web-1", "web-2"]


@pytest.mark.usefixtures("small_slices")
@pytest.mark.parametrize(
    "body",
    [
        b"<html>" + b"x" * 2_000,
        compact({"kind": "Table", "metadata": {"resourceVersion": "9"}, "items": [pod("a" * 400)] * 5}),
        compact({"kind": "", "metadata": {}, "items": [pod("a" * 400)] * 5}),
        compact(core([pod("a" * 400)] * 5))[:-20],
    ],
    ids=["html", "table", "no kind and version", "cut short"],
)
async def test_what_is_no_list_is_refused_in_pieces_as_it_is_as_a_whole(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        await cut(body, 100)


@pytest.mark.usefixtures("small_slices")
@pytest.mark.parametrize("kind", ["PodList", "PartialObjectMetadataList"])
async def test_whole_objects_where_metadata_was_asked_for_are_refused_at_the_first_part(kind: str) -> None:
    body = compact({**core([pod("a" * 400)] * 5), "kind": kind})
    if kind == "PodList":
        with pytest.raises(ProtocolError, match="sends PodList where PartialObjectMetadataList was asked for"):
            await cut(body, 100, metadata_only=True)
    else:
        assert len(came(await cut(body, 100, metadata_only=True))) == 5


@given(
    sizes=st.lists(st.integers(0, 6), min_size=1, max_size=25),
    piece=st.integers(1, 400),
    pretty=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_however_a_list_is_cut_it_is_the_same_list(sizes: list[int], piece: int, pretty: bool) -> None:
    items = [
        pod(f"web-{number}", spec={"claims": CLAIMS[:size]}, x=["},{"] * size) for number, size in enumerate(sizes)
    ]
    body = json.dumps(core(items), indent=1 if pretty else None, separators=None if pretty else (",", ":")).encode()
    before = _listing._SLICE_BYTES
    _listing._SLICE_BYTES = 200  # type: ignore[misc]
    try:
        pages = asyncio.run(cut(body, piece))
    finally:
        _listing._SLICE_BYTES = before  # type: ignore[misc]
    assert [json.loads(obj.raw) for page in pages for obj in page.items] == items


def _list_of(items: bytes) -> bytes:
    return b'{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"10"},"items":[' + items + b"]}"


GOOD = b'{"metadata":{"name":"a","namespace":"d","uid":"u"}}'
MANY: dict[str, tuple[bytes, str]] = {
    "empty items": (_list_of(b",".join([b"{}"] * 120_000)), "more than 10,000 objects of the list cannot be decoded"),
    "spaced": (_list_of(b" , ".join([b"{ }"] * 120_000)), "more than 10,000 objects of the list cannot be decoded"),
    "a space before the items": (
        _list_of(b",".join([b"{}"] * 120_000)).replace(b'"items":[', b'"items": ['),
        "more than 10,000 objects of the list cannot be decoded",
    ),
    "items that cannot be decoded": (
        _list_of(b",".join([b'{"metadata":{"name":5}}'] * 100_000)),
        "more than 10,000 objects of the list cannot be decoded",
    ),
    "a large item": (
        _list_of(b'{"metadata":{"name":"l"},"spec":"' + b"x" * (17 << 20) + b'"}'),
        "an object of more than 16 MiB",
    ),
}


def longest_turn(body: bytes, error: str) -> float:
    """Return the CPU seconds of the longest turn in which a list is refused: of this thread, by hand."""
    turns: list[float] = []

    async def measured() -> None:
        with pytest.raises(ProtocolError, match=error):
            await decode_page(body, PODS, doing="list pods")

    steps = measured()
    while True:
        began = time.thread_time()
        try:
            steps.send(None)
        except StopIteration:
            turns.append(time.thread_time() - began)
            return max(turns)
        turns.append(time.thread_time() - began)


@pytest.mark.parametrize("what", MANY)
def test_no_turn_of_the_loop_takes_long_however_many_items_are_bad(what: str) -> None:
    # A collection would walk all that earlier tests have left. A busy machine makes one measurement long, but not each
    # of four.
    gc.collect()
    assert any(longest_turn(*MANY[what]) < 0.1 for _ in range(4)), "the loop was held for 0.1 s"


async def test_bad_items_are_errors_and_the_good_ones_come_in_their_order() -> None:
    bad = b'{"metadata":{"name":"bad%d","namespace":"d","labels":5}}'
    items = [GOOD.replace(b'"a"', b'"a%d"' % n) if n % 3 else bad % n for n in range(100)]
    page = await decode_page(_list_of(b",".join(items)), PODS, doing="list pods")
    assert [obj.name for obj in page.items] == [f"a{n}" for n in range(100) if n % 3]
    assert [failure.key for failure in page.failures] == [f"d/bad{n}" for n in range(100) if not n % 3]


@given(
    texts=st.lists(st.text(alphabet='a"\\\\{}[],\\n\\u00e9', max_size=12), max_size=8),
    window=st.integers(2, 9),
    ascii_only=st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_items_are_found_by_their_brackets_whatever_the_strings_and_the_window(
    texts: list[str], window: int, ascii_only: bool
) -> None:
    items = [{"metadata": {"name": text, text: [text, {}]}, text: text} for text in texts]
    body = json.dumps(
        {"kind": "PodList", "metadata": {"resourceVersion": "1"}, "items": items}, ensure_ascii=ascii_only
    )
    raw = body.encode()
    start = raw.index(b'"items": [') + len(b'"items": [')
    before = _listing._WINDOW
    _listing._WINDOW = window  # type: ignore[misc]
    try:
        _, found = asyncio.run(_listing._scanned(raw, start, "list pods"))
    finally:
        _listing._WINDOW = before  # type: ignore[misc]
    assert [json.loads(text) for text in found] == items
