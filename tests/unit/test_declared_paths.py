"""Declared paths: reads of them return the same as without the declaration, and do not go over the object."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinformer._declared_paths import DeclaredPaths
from kinformer._heads import SMALL
from kinformer.client._decoding.lists import decode_page
from kinformer.client._decoding.watches import WatchDecoder
from kinformer.objects import KubeObject, decode_object
from kinformer.reflector.trim import Trim
from kinformer.resources import PODS

if TYPE_CHECKING:
    from collections.abc import Sequence

MISSING = object()
NAMES = st.sampled_from(["a", "b", "node name", "0", "1", "", "a/b", "x.y", "ü", 'q"q', "back\\slash", "tab\t"])
SECTIONS = st.sampled_from(["spec", "status", "data", "rules", "a"])


def _quoted(name: str) -> str:
    return f"""['{name}']"""


def _step(name: str) -> str:
    return f"[{name}]" if name.lstrip("-").isdecimal() else _quoted(name)


PATHS = st.builds(
    lambda section, names: section + "".join(map(_step, names)),
    SECTIONS | st.just("metadata"),
    st.lists(NAMES | st.sampled_from(["-1", "7", "8", "200"]), max_size=3),
)


def declared(*paths: str) -> DeclaredPaths:
    made = DeclaredPaths()
    made.add(paths)
    return made


@st.composite
def texts(draw: st.DrawFn, depth: int = 0) -> str:
    """JSON of any kind, with names that stand twice, and names and texts with escapes."""
    kind = draw(st.integers(0, 5 if depth < 3 else 2))
    if kind == 0:
        return draw(st.sampled_from(["null", "true", "0", "-1.5e3", "12345678901234567890123", '""', "[]", "{}"]))
    if kind == 1:
        return json.dumps(draw(st.sampled_from(["Running", "ü", '"', "\\", "\n"])), ensure_ascii=draw(st.booleans()))
    if kind == 2:
        return "".join(f"\\u{ord(letter):04x}" for letter in "ab").join('""')
    parts = draw(st.lists(texts(depth + 1), max_size=3))
    if kind == 3:
        return "[" + ",".join(parts) + "]"
    return "{" + ",".join(f"{draw(written_names())}:{part}" for part in parts) + "}"


@st.composite
def written_names(draw: st.DrawFn) -> str:
    name = draw(NAMES)
    return '"\\u0061"' if name == "a" and draw(st.booleans()) else json.dumps(name)


@st.composite
def objects(draw: st.DrawFn) -> bytes:
    sections = draw(st.lists(st.tuples(SECTIONS, texts()), max_size=4))
    fields = ['"metadata":{"name":"n","namespace":"m","labels":{"a":"1","b":""},"annotations":{"a":"x"}}']
    fields += [f"{json.dumps(section)}:{text}" for section, text in sections]
    return ("{" + ",".join(draw(st.permutations(fields))) + "}").encode()


def answer(obj: KubeObject, path: str) -> Any:
    """The value at a path, or the class of the exception."""
    try:
        return obj.at(path, default=MISSING)
    except Exception as error:
        return type(error)


@given(objects(), st.lists(PATHS, min_size=1, max_size=5), st.lists(PATHS, max_size=2), st.booleans())
def test_reads_of_declared_and_undeclared_paths_agree(
    raw: bytes, paths: list[str], others: list[str], reads_whole: bool
) -> None:
    plain = KubeObject.from_json(raw, PODS)
    noted = decode_object(raw, PODS, declared(*paths))
    for path in (*paths, *others):
        assert answer(noted.view(), path) == answer(plain.view(), path), path
    read = noted.view()
    if reads_whole:
        assert {name: read[name] for name in read} == {name: plain[name] for name in plain}
    for path in (*paths, *others):
        assert answer(read, path) == answer(plain.view(), path), path
    for name in ("spec", "status", "data", "rules", "metadata"):
        assert (name in noted.view()) is (name in plain)
        assert noted.view().get(name, MISSING) == plain.get(name, MISSING)
    assert noted == plain
    assert noted.metadata == plain.metadata


POD = json.dumps(
    {
        "metadata": {"name": "a", "namespace": "b", "managedFields": [{"manager": "x"}]},
        "spec": {"nodeName": "n", "containers": [{"image": "web"}, {"image": "log"}], "affinity": None},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    },
    separators=(",", ":"),
).encode()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("spec.nodeName", "n"),
        ("spec.containers[1].image", "log"),
        ("spec.containers[7].image", MISSING),
        ("spec.affinity.nodeAffinity", MISSING),
        ("spec.missing.further", MISSING),
        ("status.phase", "Running"),
        ("status.conditions", [{"type": "Ready", "status": "True"}]),
        ("status.conditions[-1].type", "Ready"),
        ("rules[0].verbs", MISSING),
        ("spec.containers", [{"image": "web"}, {"image": "log"}]),
    ],
)
def test_a_declared_path_is_read_without_going_over_the_object(path: str, expected: Any) -> None:
    noted = decode_object(POD, PODS, declared(path))
    # The bytes are not needed any more: other ones would be found out.
    without = KubeObject(b"not read", noted.metadata, noted.resource, noted.key, noted.places)
    assert without.at(path, default=MISSING) == expected


@pytest.mark.parametrize(
    "paths",
    [
        ("spec.containers", "spec.containers[0].image"),
        ("spec.containers[0].image", "spec.containers"),
        ("spec.x[0]", "spec.x.y", "spec.x.y.z"),
        ("spec[0]", "spec.y"),
    ],
)
def test_one_declared_path_may_lie_in_another(paths: Sequence[str]) -> None:
    plain, noted = KubeObject.from_json(POD, PODS), decode_object(POD, PODS, declared(*paths))
    for path in (*paths, "spec.nodeName"):
        assert noted.at(path, MISSING) == plain.at(path, MISSING)


def test_a_value_of_another_type_on_the_way_takes_nothing_from_the_object() -> None:
    raw = b'{"metadata":{"name":"a"},"spec":["nodeName"],"status":{"phase":"Running"}}'
    noted = decode_object(raw, PODS, declared("spec.nodeName", "status.phase"))
    assert noted.at("spec.nodeName") is None
    assert noted.at("status.phase") == "Running"
    assert noted["spec"] == ["nodeName"]


@pytest.mark.parametrize(
    ("paths", "raw"),
    [
        (("spec.x[0]", "spec.x.y", "spec.z"), b'{"metadata":{"name":"a"},"spec":{"x":[1],"z":2}}'),
        (("spec.x[200]", "spec.z"), b'{"metadata":{"name":"a"},"spec":{"x":[1],"z":2}}'),
        (("data.0", "spec.z"), b'{"metadata":{"name":"a"},"data":{"0":"x"},"spec":{"z":2}}'),
    ],
)
def test_paths_that_could_be_of_lists_and_of_objects_do_not_take_the_others_their_place(
    paths: Sequence[str], raw: bytes
) -> None:
    noted = decode_object(raw, PODS, declared(*paths))
    without = KubeObject(b"not read", noted.metadata, noted.resource, noted.key, noted.places)
    assert without.at("spec.z") == 2
    assert [noted.at(path) for path in paths] == [KubeObject.from_json(raw, PODS).at(path) for path in paths]


def test_each_read_returns_a_value_of_its_own() -> None:
    noted = decode_object(POD, PODS, declared("status.conditions"))
    noted.at("status.conditions").clear()
    assert noted.at("status.conditions") == [{"type": "Ready", "status": "True"}]


def test_a_section_that_was_read_and_changed_is_what_at_reads() -> None:
    noted = decode_object(POD, PODS, declared("spec.nodeName")).view()
    noted["spec"]["nodeName"] = "changed"
    assert noted.at("spec.nodeName") == "changed"


@pytest.mark.parametrize("indent", [None, 1])
def test_trimmed_objects_have_the_values_and_keep_none_of_the_earlier_bytes(indent: int | None) -> None:
    raw = POD if indent is None else json.dumps(json.loads(POD), indent=indent).encode()
    trimmed = Trim()(decode_object(raw, PODS, declared("spec.nodeName")))
    assert b"managedFields" not in trimmed.raw
    without = KubeObject(b"not read", trimmed.metadata, trimmed.resource, trimmed.key, trimmed.places)
    assert without.at("spec.nodeName") == "n"
    assert trimmed.at("status.phase") == "Running"
    assert trimmed["spec"]["nodeName"] == "n"


async def test_lists_note_declared_paths() -> None:
    item = POD.decode()
    for separator in (",", " , "):
        body = f'{{"kind":"PodList","metadata":{{"resourceVersion":"1"}},"items":[{item}{separator}{item}]}}'
        page = await decode_page(body.encode(), PODS, doing="list pods", paths=declared("spec.nodeName"))
        assert [[*obj.places.declared] if obj.places else [] for obj in page.items] == [["spec.nodeName"]] * 2


@pytest.mark.parametrize("line", [b'{"type":"MODIFIED","object":%s}\n', b'{"object": %s, "type": "MODIFIED"}\n'])
def test_watches_note_paths_that_are_declared_while_they_run(line: bytes) -> None:
    paths = DeclaredPaths()
    decoder = WatchDecoder(PODS, doing="watch pods", paths=paths)
    usual = POD.replace(b'{"metadata"', b'{"kind":"Pod","apiVersion":"v1","metadata"', 1)
    [first] = decoder.feed(line % usual)
    paths.add(["spec.nodeName"])
    [second] = decoder.feed(line % usual)
    [third] = decoder.feed((line % usual)[:50]) + decoder.feed((line % usual)[50:])
    found = [batch.events[0].object for batch in (first, second, third)]
    assert [[*obj.places.declared] for obj in found if obj.places] == [[], ["spec.nodeName"], ["spec.nodeName"]]


def test_an_object_that_is_too_large_for_its_labels_is_refused_with_declared_paths_too() -> None:
    labels = json.dumps({"a": "x" * SMALL})
    raw = f'{{"metadata":{{"name":"a","labels":{labels}}},"spec":{{}}}}'.encode()
    with pytest.raises(Exception, match="labels"):
        decode_object(raw, PODS, declared("spec.nodeName"))


def test_what_is_no_path_is_refused_and_nothing_is_declared() -> None:
    paths = DeclaredPaths()
    with pytest.raises(ValueError, match="no path"):
        paths.add(["spec.nodeName", "spec..x"])
    with pytest.raises(TypeError, match="as a list"):
        paths.add("spec.nodeName")
    with pytest.raises(TypeError, match="as a string"):
        paths.add([("spec", "nodeName")])  # type: ignore[list-item]
    assert paths.paths == ()


def test_paths_of_the_head_and_whole_sections_change_no_decoder() -> None:
    paths = declared("metadata.labels.app", "kind", "spec")
    assert paths.decode is DeclaredPaths().decode
    assert isinstance(decode_object(POD, PODS, paths).places.spec, msgspec.Raw)  # type: ignore[union-attr]
