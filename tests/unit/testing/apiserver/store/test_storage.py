"""The store of the embedded server, and the pages that are cut from its snapshots."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinformer.testing import ApiServer, Refusal
from kinformer.testing._apiserver.http.reads import Lists
from kinformer.testing._apiserver.http.requests import ListOptions, Target
from kinformer.testing._apiserver.store.catalog import Catalog, ResourceType
from kinformer.testing._apiserver.store.storage import Change, Key, Store, encode, in_order

PODS = ("", "pods")
MAPS = ("", "configmaps")


def manifest(namespace: str, name: str, **fields: Any) -> dict[str, Any]:
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name, "namespace": namespace}, **fields}


def put(store: Store, storage: tuple[str, str], name: str, *, namespace: str = "ns", **fields: Any) -> int:
    return store.put(storage, (namespace, name), manifest(namespace, name, **fields), custom=False).revision


def remove(store: Store, storage: tuple[str, str], name: str) -> int:
    return store.remove(storage, ("ns", name), manifest("ns", name), custom=False).revision


def names(objects: dict[Key, Any]) -> set[str]:
    return {name for _, name in objects}


def test_each_write_of_whatever_resource_takes_the_next_revision() -> None:
    store = Store(history=10, first_revision=100)
    revisions = [put(store, PODS, "a"), put(store, MAPS, "a"), put(store, PODS, "a"), remove(store, PODS, "a")]
    assert revisions == [101, 102, 103, 104]
    assert store.revision == 104


def test_an_object_carries_the_revision_of_its_write_and_its_json_does_too() -> None:
    store = Store(history=10)
    put(store, PODS, "a")
    stored = store.get(PODS, ("ns", "a"))
    assert stored is not None
    assert stored.manifest["metadata"]["resourceVersion"] == str(stored.revision) == "2"
    assert json.loads(stored.raw) == {"metadata": stored.manifest["metadata"]}


def test_the_json_of_a_custom_resource_is_whole_and_sorted() -> None:
    assert encode({"kind": "W", "apiVersion": "x/v1", "b": 1, "a": 2}, custom=True) == (
        b'{"a":2,"apiVersion":"x/v1","b":1,"kind":"W"}'
    )


def test_the_history_tells_what_each_write_did() -> None:
    store = Store(history=10)
    put(store, PODS, "a", data={"v": "1"})
    put(store, PODS, "a", data={"v": "2"})
    remove(store, PODS, "a")
    added, modified, deleted = store.since(PODS, 1)
    assert [change.kind for change in (added, modified, deleted)] == ["ADDED", "MODIFIED", "DELETED"]
    assert added.old is None
    assert modified.old is added.new
    assert deleted.old is modified.new
    assert deleted.new.manifest["metadata"]["resourceVersion"] == "4", "a deletion has a revision of its own"


def test_the_history_of_a_resource_leaves_the_others_out() -> None:
    store = Store(history=10)
    put(store, PODS, "a")
    put(store, MAPS, "b")
    put(store, PODS, "c")
    assert [change.revision for change in store.since(PODS, 1)] == [2, 4]
    assert [change.revision for change in store.since(PODS, 2)] == [4]
    assert store.since(PODS, 4) == []


def test_a_resource_can_be_seen_as_it_was_at_any_revision_that_is_kept() -> None:
    store = Store(history=10)
    put(store, PODS, "a", data={"v": "1"})
    put(store, PODS, "b")
    put(store, PODS, "a", data={"v": "2"})
    remove(store, PODS, "b")
    put(store, MAPS, "x")
    assert [names(store.at(PODS, revision)) for revision in (1, 2, 3, 4, 5, 6)] == [
        *(set(), {"a"}, {"a", "b"}, {"a", "b"}, {"a"}, {"a"}),
    ]
    assert store.at(PODS, 3)["ns", "a"].manifest["data"] == {"v": "1"}
    assert store.at(PODS, 4)["ns", "a"].manifest["data"] == {"v": "2"}


def test_compaction_forgets_the_changes_up_to_a_revision_and_keeps_those_after_it() -> None:
    store = Store(history=10)
    for index in range(5):
        put(store, PODS, f"p{index}")
    store.compact(4)
    assert store.compacted == 4
    assert [change.revision for change in store.since(PODS, 4)] == [5, 6]
    assert names(store.at(PODS, 4)) == {"p0", "p1", "p2"}
    assert names(store.all(PODS)) == {f"p{index}" for index in range(5)}


def test_compaction_never_goes_back_and_never_beyond_the_present() -> None:
    store = Store(history=10)
    put(store, PODS, "a")
    put(store, PODS, "b")
    store.compact(3)
    store.compact(2)
    assert store.compacted == 3
    store.compact(99)
    assert store.compacted == store.revision == 3
    put(store, PODS, "c")
    assert [change.revision for change in store.since(PODS, 3)] == [4]
    store.compact()
    assert store.compacted == 4


def test_the_history_holds_what_was_asked_for_and_at_most_twice_that() -> None:
    store = Store(history=5)
    kept = []
    for index in range(40):
        put(store, PODS, f"p{index}")
        kept.append(store.revision - store.compacted)
        assert [c.revision for c in store.since(PODS, store.compacted)] == [
            *range(store.compacted + 1, store.revision + 1),
        ]
    assert all(kept[index] >= min(5, index + 1) for index in range(40))
    assert max(kept) <= 10


def test_a_history_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="history=0: at least one change must be kept"):
        Store(history=0)


def test_a_listener_is_told_each_change_of_its_resource_until_it_leaves() -> None:
    store, heard = Store(history=10), list[Change]()
    leave = store.listen(PODS, heard.append)
    put(store, PODS, "a")
    put(store, MAPS, "a")
    remove(store, PODS, "a")
    leave()
    leave()
    put(store, PODS, "b")
    assert [(change.kind, change.revision) for change in heard] == [("ADDED", 2), ("DELETED", 4)]


def test_a_listener_may_leave_while_it_is_told() -> None:
    store, heard = Store(history=10), list[int]()

    def once(change: Change) -> None:
        heard.append(change.revision)
        leave()

    leave = store.listen(PODS, once)
    put(store, PODS, "a")
    put(store, PODS, "b")
    assert heard == [2]


# Pages


def built_in(plural: str) -> ResourceType:
    found = Catalog().lookup("", "v1", plural)
    assert found is not None
    return found


class Paged:
    """A store and its lists, page by page."""

    def __init__(self, plural: str = "configmaps", namespace: str = "") -> None:
        self.store = Store(history=1000)
        # Faults of a server of its own: none is set.
        self.lists = Lists(self.store, ApiServer().faults)
        self.target = Target(built_in(plural), namespace)

    def put(self, *paths: str, **fields: Any) -> None:
        for path in paths:
            namespace, _, name = path.rpartition("/")
            put(self.store, self.target.kind.storage, name, namespace=namespace, **fields)

    def page(self, **query: str) -> tuple[list[str], dict[str, Any]]:
        items, metadata = self.lists.page(self.target, ListOptions.parse(query))
        shown = [m["metadata"] for m in (stored.manifest for stored in items)]
        return [f"{m['namespace']}/{m['name']}".lstrip("/") for m in shown], metadata

    def pages(self, limit: int) -> list[list[str]]:
        found, metadata = self.page(limit=str(limit))
        pages = [found]
        while token := metadata.get("continue"):
            found, metadata = self.page(limit=str(limit), **{"continue": token})
            pages.append(found)
        return pages


def test_a_list_is_in_the_order_of_its_names() -> None:
    paged = Paged(namespace="ns")
    paged.put("ns/b", "ns/a", "ns/a-1", "ns/a.b", "other/x")
    assert paged.page()[0] == ["ns/a", "ns/a-1", "ns/a.b", "ns/b"]


def test_pages_together_are_the_list_and_say_how_much_is_left() -> None:
    paged = Paged(namespace="ns")
    paged.put(*(f"ns/c{index}" for index in range(5)))
    assert paged.pages(2) == [["ns/c0", "ns/c1"], ["ns/c2", "ns/c3"], ["ns/c4"]]
    found, metadata = paged.page(limit="2")
    assert metadata["remainingItemCount"] == 3
    found, metadata = paged.page(limit="2", **{"continue": metadata["continue"]})
    assert metadata["remainingItemCount"] == 1
    found, metadata = paged.page(limit="2", **{"continue": metadata["continue"]})
    assert found == ["ns/c4"]
    assert metadata == {"resourceVersion": "6"}, "the last page says nothing of others"


def test_a_page_that_ends_with_the_list_has_no_token() -> None:
    paged = Paged(namespace="ns")
    paged.put("ns/a", "ns/b")
    assert "continue" not in paged.page(limit="2")[1]


def test_a_token_is_what_a_kube_apiserver_makes() -> None:
    paged = Paged(namespace="ns")
    paged.put("ns/a", "ns/b")
    token = paged.page(limit="1")[1]["continue"]
    decoded = json.loads(base64.urlsafe_b64decode(token + "=="))
    # list-page-1.json: the start is behind the last name, and selected lists say no more.
    assert decoded["v"] == "meta.k8s.io/v1"
    assert decoded["rv"] == 3
    assert decoded["start"].removeprefix("/") == "a\0"


def test_pages_over_all_namespaces_lose_nothing_when_one_name_begins_with_another() -> None:
    paged = Paged()
    paged.put("web/a", "web/b", "web-1/a", "web-1/b", "web0/a", "w/a")
    # etcd orders whole keys, in which "-" comes before "/" and digits after it.
    everything = ["w/a", "web-1/a", "web-1/b", "web/a", "web/b", "web0/a"]
    assert paged.page()[0] == everything
    for limit in range(1, 7):
        assert [path for page in paged.pages(limit) for path in page] == everything


def test_pages_of_cluster_scoped_objects_are_the_list() -> None:
    paged = Paged("nodes")
    paged.put("/n1", "/n2", "/n3")
    assert paged.pages(2) == [["n1", "n2"], ["n3"]]


def test_all_pages_show_the_revision_of_the_first_whatever_is_written_meanwhile() -> None:
    paged = Paged(namespace="ns")
    paged.put("ns/a", "ns/b", "ns/c", data={"v": "1"})
    _, metadata = paged.page(limit="1")
    remove(paged.store, MAPS, "c")
    paged.put("ns/b", data={"v": "2"})
    paged.put("ns/bb")
    query = {"limit": "5", "continue": metadata["continue"]}
    items, later = paged.lists.page(paged.target, ListOptions.parse(query))
    assert [stored.manifest["metadata"]["name"] for stored in items] == ["b", "c"]
    assert items[0].manifest["data"] == {"v": "1"}
    assert later["resourceVersion"] == metadata["resourceVersion"] == "4"


def test_a_token_of_a_compacted_revision_is_410_and_comes_with_one_that_goes_on_from_now() -> None:
    paged = Paged(namespace="ns")
    paged.put("ns/a", "ns/b", "ns/c")
    _, metadata = paged.page(limit="1")
    paged.put("ns/bb")
    paged.store.compact()
    with pytest.raises(Refusal) as refused:
        paged.page(limit="5", **{"continue": metadata["continue"]})
    assert (refused.value.code, refused.value.reason) == (410, "Expired")
    found, later = paged.page(limit="5", **{"continue": refused.value.continue_token})
    assert found == ["ns/b", "ns/bb", "ns/c"]
    assert later["resourceVersion"] == "5"


def test_selected_pages_skip_what_is_not_selected_and_count_nothing() -> None:
    paged = Paged(namespace="ns")
    for index in range(6):
        labels = {"even": "yes"} if index % 2 == 0 else {}
        raw = manifest("ns", f"c{index}")
        raw["metadata"]["labels"] = labels
        paged.store.put(MAPS, ("ns", f"c{index}"), raw, custom=False)
    found, metadata = paged.page(limit="2", labelSelector="even=yes")
    assert found == ["ns/c0", "ns/c2"]
    assert "remainingItemCount" not in metadata
    found, metadata = paged.page(limit="2", labelSelector="even=yes", **{"continue": metadata["continue"]})
    assert found == ["ns/c4"]
    assert "continue" not in metadata


@pytest.mark.parametrize("token", ["garbage", "e30", "bnVsbA", "eyJydiI6IngiLCJzdGFydCI6ImEifQ", "\u00e4"])
def test_a_token_that_is_none_is_400(token: str) -> None:
    with pytest.raises(Refusal, match="invalid continue token: ") as refused:
        Paged().page(**{"continue": token})
    assert refused.value.code == 400


def test_a_token_goes_with_no_version() -> None:
    paged = Paged(namespace="ns")
    paged.put("ns/a", "ns/b")
    token = paged.page(limit="1")[1]["continue"]
    with pytest.raises(Refusal, match="specifying resource version is not allowed when using continue"):
        paged.page(resourceVersion="2", **{"continue": token})
    assert paged.page(resourceVersion="0", **{"continue": token})[0] == ["ns/b"]


def test_an_exact_version_shows_what_was_and_any_other_match_what_is() -> None:
    paged = Paged(namespace="ns")
    paged.put("ns/a", "ns/b")
    exact = paged.page(resourceVersion="2", resourceVersionMatch="Exact")
    assert exact == (["ns/a"], {"resourceVersion": "2"})
    for query in ({}, {"resourceVersion": "0"}, {"resourceVersion": "2"}):
        assert paged.page(**query) == (["ns/a", "ns/b"], {"resourceVersion": "3"})
    assert paged.page(resourceVersion="2", resourceVersionMatch="NotOlderThan")[0] == ["ns/a", "ns/b"]


def test_a_compacted_exact_version_is_410_and_a_future_one_504() -> None:
    paged = Paged(namespace="ns")
    paged.put("ns/a", "ns/b", "ns/c")
    paged.store.compact(3)
    assert paged.page(resourceVersion="3", resourceVersionMatch="Exact")[0] == ["ns/a", "ns/b"]
    with pytest.raises(Refusal) as refused:
        paged.page(resourceVersion="2", resourceVersionMatch="Exact")
    assert (refused.value.code, refused.value.reason) == (410, "Expired")
    with pytest.raises(Refusal) as refused:
        paged.page(resourceVersion="99")
    assert (refused.value.code, refused.value.reason, refused.value.retry_after) == (504, "Timeout", 1)


def test_an_update_from_an_old_version_is_409_and_leaves_everything_as_it_is() -> None:
    server = ApiServer()
    first = server.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"v": "1"}})
    second = server.update(first | {"data": {"v": "2"}})
    revision = server.resource_version
    with pytest.raises(Refusal) as refused:
        server.update(first | {"data": {"v": "3"}})
    # update-conflict.json
    assert refused.value.message == (
        'Operation cannot be fulfilled on configmaps "c": the object has been modified; please apply your changes to '
        "the latest version and try again"
    )
    assert (refused.value.code, refused.value.details) == (409, {"name": "c", "kind": "configmaps"})
    assert server.get("v1", "ConfigMap", "c") == second
    assert server.resource_version == revision


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["put", "remove", "list"]), st.sampled_from(["a", "a-b", "a0"]), st.sampled_from("xyz")
        ),
        max_size=40,
    )
)
def test_a_list_of_a_namespace_is_its_part_of_the_whole_list_whatever_was_written_before(
    steps: list[tuple[str, str, str]],
) -> None:
    store = Store(history=10)
    for do, namespace, name in steps:
        key = (namespace, name)
        if do == "put":
            put(store, MAPS, name, namespace=namespace)
        elif do == "remove" and store.get(MAPS, key):
            store.remove(MAPS, key, manifest(*key), custom=False)
        else:
            store.listed(MAPS)
    whole = in_order(store.all(MAPS))
    assert store.listed(MAPS) == whole
    for namespace in ("a", "a-b", "a0", "b"):
        assert store.listed(MAPS, namespace) == [item for item in whole if item[0][0] == namespace]


def test_a_listener_of_a_namespace_gets_its_changes_alone() -> None:
    store, seen = Store(history=10), list[Key]()
    store.listen(MAPS, lambda change: seen.append(change.key), "a")
    for namespace in ("a", "b", "a"):
        put(store, MAPS, "x", namespace=namespace)
    assert seen == [("a", "x"), ("a", "x")]
