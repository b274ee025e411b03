"""`storage="compact"`: small, and otherwise as if it were not there.

The suites of the cache run over both storages (`tests/storages.py`); here is what only this one has.
"""

from __future__ import annotations

import asyncio
import base64
import copy
import gc
import gzip
import pickle
import random
import sys
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from kinformer import Client, ClusterConfig
from kinformer.cache._compact import indexer as compact_indexer
from kinformer.cache._compact.indexer import CompactIndexer, CompactPolicy
from kinformer.cache._compact.interning import HeadSharing
from kinformer.cache._compact.packed_head import common_of, pack_common, pack_state
from kinformer.cache._compact.packed_object import PackedObject
from kinformer.cache.storage import checked_storage
from kinformer.errors import DecodeError
from kinformer.events import Added, Deleted, Event, Updated
from kinformer.informer import SharedInformer
from kinformer.informer.factory import SharedInformerFactory
from kinformer.objects import KubeObject, Metadata
from kinformer.reflector.trim import Trim
from kinformer.resources import CONFIGMAPS, PODS
from kinformer.testing import ApiServer
from tests.paths import DATA
from tests.sources import FakeSource, pod, settled

if TYPE_CHECKING:
    from kinformer.cache.storage import Storage


def recorded() -> list[KubeObject]:
    items = msgspec.json.decode(
        gzip.decompress((DATA / "bulk-pods-300.list.json.gz").read_bytes()), type=dict[str, msgspec.Raw]
    )["items"]
    return [KubeObject.from_json(bytes(i), PODS) for i in msgspec.json.decode(items, type=list[msgspec.Raw])]


def filled(*objects: KubeObject, **policy: Any) -> CompactIndexer:
    indexer = CompactIndexer(policy=CompactPolicy(**policy))
    for obj in objects:
        indexer.put(obj.key, obj)
    return indexer


def work(indexer: CompactIndexer) -> int:
    """Do what is due; in how many steps."""
    return sum(1 for _ in indexer.work())


def packed(indexer: CompactIndexer) -> int:
    return sum(isinstance(stored, PackedObject) for stored in indexer.copy().values())


def wordy(number: int, words: str, version: int = 1) -> KubeObject:
    """Long, of the same few words in an order of its own."""
    rng = random.Random(number)
    return pod(f"p{number}", version, data=" ".join(rng.choices(words.split(), k=60)), number=number)


GREEK = "alphabetical betamethasone gammaglobulin deltawing epsilonian zetafunction etagroup thetarhythm"
TREES = "sycamoretree hornbeamhedge lindenavenue beechforest whitewillow blackpoplar mountainash silverbirch"


def test_objects_are_held_as_they_came_until_a_dictionary_is_worth_it() -> None:
    pods = recorded()
    indexer = filled(*pods[:50])
    assert not indexer._due
    assert packed(indexer) == 0
    assert indexer.storage_status.ratio == 1.0
    for obj in pods[50:200]:
        indexer.put(obj.key, obj)
    assert indexer._due
    work(indexer)
    assert packed(indexer) == 200
    before = indexer.storage_status
    assert before.ratio < 0.09
    assert (before.generation, before.trials) == (1, 1)
    assert 8_000 < before.dictionary_bytes < 64_000
    for obj in pods[200:]:
        indexer.put(obj.key, obj)
    assert packed(indexer) == 300
    assert indexer.list() == pods
    assert indexer.storage_status.json_bytes == sum(len(obj.raw) for obj in pods)
    for obj in pods:
        indexer.delete(obj.key)
    assert (indexer.storage_status.json_bytes, indexer.storage_status.stored_bytes) == (0, 0)


def test_recorded_pods_with_everything_that_python_has_of_them_take_less_than_an_eighth_of_their_json() -> None:
    indexer = filled(*recorded())
    work(indexer)
    sizes: dict[int, int] = {}
    for key, stored in indexer.copy().items():
        assert isinstance(stored, PackedObject)
        for part in [stored, *stored.packed, key, stored.key, key.name, key.namespace]:
            sizes[id(part)] = (sys.getsizeof(part) + 15) // 16 * 16
    # Two dicts have a place for each object: the cache, and the index by namespace.
    whole = sum(sizes.values()) + 2 * 60 * len(indexer)
    assert whole < indexer.storage_status.json_bytes * 0.125


def test_work_is_done_in_small_steps_between_which_the_cache_may_change() -> None:
    pods = recorded()
    indexer = filled(*pods)
    steps = indexer.work()
    for count, _ in enumerate(steps):
        if count == 3:
            for obj in pods[:250]:
                indexer.delete(obj.key)
    assert count >= 300 // 32
    assert indexer.list() == pods[250:]
    assert packed(indexer) == 50


def test_what_does_not_become_smaller_is_held_as_it_is() -> None:
    rng = random.Random(1)
    noise = [pod(f"p{n}", data=base64.b64encode(rng.randbytes(900)).decode()) for n in range(200)]
    indexer = filled(*noise, first_bytes=1, worth=0.5)
    work(indexer)
    # Those that the dictionary is made of come to next to nothing; of the others none does.
    assert packed(indexer) * 1300 < 50_000
    assert indexer.list() == noise


def test_a_view_stays_what_it_was_when_the_cache_has_moved_on_and_changed_its_dictionary() -> None:
    indexer = filled(*(wordy(n, GREEK) for n in range(50)), first_bytes=1)
    work(indexer)
    views = [indexer.get_by_key(wordy(n, GREEK).key) for n in range(50)]
    olds = [indexer.put(wordy(n, TREES, 2).key, wordy(n, TREES, 2)) for n in range(50)]
    indexer._now_due()
    work(indexer)
    assert indexer.storage_status.generation == 2
    assert [obj and obj["data"] for obj in views] == [wordy(n, GREEK)["data"] for n in range(50)]
    assert olds == views
    assert indexer.list() == [wordy(n, TREES, 2) for n in range(50)]


def test_a_dictionary_is_made_anew_when_what_arrives_has_become_something_else() -> None:
    indexer = filled(*(wordy(n, GREEK) for n in range(200)), first_bytes=1, look_every=50)
    work(indexer)
    for n in range(200):
        indexer.put(wordy(n, GREEK, 2).key, wordy(n, GREEK, 2))
    assert not indexer._due, "the same words compress as before"
    for n in range(200):
        indexer.put(wordy(n, TREES, 3).key, wordy(n, TREES, 3))
    assert indexer._due
    worse = indexer.storage_status
    work(indexer)
    better = indexer.storage_status
    assert (worse.generation, better.generation, better.trials) == (1, 2, 2)
    assert better.stored_bytes < worse.stored_bytes * 0.9
    assert better.json_bytes == worse.json_bytes
    assert {stored.dictionary for stored in indexer.copy().values() if isinstance(stored, PackedObject)} == {
        indexer._dictionary
    }


def test_a_new_dictionary_that_is_no_better_is_not_taken_and_the_next_try_waits_longer() -> None:
    indexer = filled(*(wordy(n, GREEK) for n in range(100)), first_bytes=1, look_every=10)
    work(indexer)
    waits = []
    for _ in range(4):
        indexer._now_due()
        work(indexer)
        waits.append(indexer._wait)
    assert waits == [20, 40, 80, 160]
    assert (indexer.storage_status.generation, indexer.storage_status.trials) == (1, 5)


def test_a_cache_that_has_grown_looks_for_a_better_dictionary() -> None:
    indexer = filled(*(wordy(n, GREEK) for n in range(20)), first_bytes=1, look_every=10)
    work(indexer)
    for n in range(20, 150):
        indexer.put(wordy(n, GREEK).key, wordy(n, GREEK))
    assert not indexer._due
    for n in range(150, 180):
        indexer.put(wordy(n, GREEK).key, wordy(n, GREEK))
    assert indexer._due, "eight times as many"


def test_a_damaged_object_stops_nothing_but_who_reads_it() -> None:
    indexer = filled(*(wordy(n, GREEK) for n in range(50)), first_bytes=1)
    work(indexer)
    key = wordy(7, GREEK).key
    stored = indexer.copy()[key]
    assert isinstance(stored, PackedObject)
    assert stored.dictionary is not None
    indexer._objects[key] = PackedObject(
        pack_state(stored.metadata, 6, b"damage"),
        pack_common(stored.metadata),
        PODS,
        key,
        None,
        None,
        stored.dictionary,
    )
    for n in [*range(7), *range(8, 50)]:
        indexer.put(wordy(n, TREES, 2).key, wordy(n, TREES, 2))
    indexer._now_due()
    work(indexer)
    assert indexer.storage_status.generation == 2
    assert [obj["number"] for obj in indexer.list() if obj.name != "p7"] == [*range(7), *range(8, 50)]
    damaged = indexer.get_by_key(key)
    assert damaged is not None
    assert damaged.resource_version == "1"
    with pytest.raises(DecodeError, match="default/p7"):
        damaged["number"]


def test_an_old_dictionary_goes_with_the_last_view_that_needs_it() -> None:
    indexer = filled(*(wordy(n, GREEK) for n in range(50)), first_bytes=1)
    work(indexer)
    view = indexer.list()[0]
    assert isinstance(view, PackedObject)
    for n in range(50):
        indexer.put(wordy(n, TREES, 2).key, wordy(n, TREES, 2))
    indexer._now_due()
    work(indexer)
    old = view.dictionary
    assert old is not indexer._dictionary
    assert sum(ref is not None for ref in gc.get_referrers(old)) <= 2
    assert view["number"] == 0


def test_equal_labels_and_namespaces_are_held_once() -> None:
    indexer = filled(*(pod(f"p{n}", labels={"app": f"a{n // 10}", "tier": "web"}) for n in range(100)))
    heads = [stored.metadata for stored in indexer.copy().values()]
    assert len({id(head.labels) for head in heads}) == 10
    assert len({id(head.labels["tier"]) for head in heads if head.labels}) == 1
    assert len({id(head.namespace) for head in heads}) == 1
    assert all(head.name is key.name for key, head in zip(indexer.list_keys(), heads, strict=True))
    before = heads[0]
    changed = pod("p0", 2, labels={"app": "a0", "tier": "web"})
    indexer.put(changed.key, changed)
    after = indexer.copy()[changed.key]
    assert (after.metadata.labels, after.metadata.uid) == (before.labels, before.uid)
    assert after.metadata.labels is before.labels
    assert after.metadata.uid is before.uid
    assert after.key is next(iter(indexer.list_keys()))


def test_a_state_shares_the_owners_of_the_state_before_it_however_many_owners_came_between() -> None:
    def owned(version: int, owner: str) -> KubeObject:
        reference = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "uid": owner}
        manifest = {"metadata": {"name": "a", "resourceVersion": str(version), "ownerReferences": [reference]}}
        return KubeObject.from_dict(manifest, PODS)

    heads, key = HeadSharing(), owned(1, "web").key
    first = heads.shared(owned(1, "web").metadata, key, None)
    packed = heads.common(first, None)
    for number in range(2_000):
        assert owned(number, f"other-{number}").owner_references
        assert heads.common(owned(number, f"other-{number}").metadata, packed) is not packed
    before = KubeObject(b"{}", first, PODS, key)
    assert heads.shared(owned(2, "web").metadata, key, before).owner_references is first.owner_references
    assert heads.shared(owned(3, "db").metadata, key, before).owner_references[0].name == "db"
    assert heads.common(owned(2, "web").metadata, packed) is packed
    assert common_of[heads.common(owned(3, "db").metadata, packed)].owner_references[0].name == "db"


def test_what_heads_share_is_bounded_however_many_come_and_go() -> None:
    heads = HeadSharing()
    most = 0
    for n in range(10_000):
        obj = pod("a", n, namespace=f"n{n}", labels={f"k{n}": f"v{n}"})
        shared = heads.shared(obj.metadata, heads.key(obj), None)
        assert shared == Metadata("a", f"n{n}", f"uid-n{n}-a", str(n), {f"k{n}": f"v{n}"})
        assert common_of[heads.common(obj.metadata, None)].labels == shared.labels
        most = max(most, len(heads))
    assert most <= 2 * 2048 + 512


def test_labels_are_taken_over_from_the_state_before_also_when_they_are_no_more_remembered() -> None:
    obj = pod("a", labels={"app": "web"})
    indexer = filled(obj)
    before = indexer.copy()[obj.key].metadata.labels
    changed = pod("a", 2, labels={"app": "web"})
    changed.metadata.labels = dict(changed.labels)
    indexer.put(changed.key, changed)
    assert indexer.copy()[obj.key].metadata.labels is before


def test_a_packed_view_is_a_kube_object_in_every_respect() -> None:
    obj = pod("a", 3, labels={"app": "web"}, spec={"nodeName": "n"})
    indexer = filled(obj, first_bytes=1)
    work(indexer)

    def view() -> KubeObject:
        found = indexer.get_by_key(obj.key)
        assert isinstance(found, PackedObject)
        return found

    assert view() == obj
    assert obj == view()
    assert not view() != obj  # noqa: SIM202 - each operator has a method of its own
    assert view() == obj.to_dict()
    assert {view(), view(), obj} == {obj}
    assert repr(view()) == repr(obj)
    assert (view().labels, view().uid, view().kind) == (obj.labels, obj.uid, obj.kind)
    assert view().raw == obj.raw
    assert view().to_json() == obj.to_json()
    assert sorted(view()) == sorted(obj)
    assert len(view()) == len(obj)
    assert "spec" in view()
    assert view().at("spec.nodeName") == "n"
    assert view().decode(dict[str, Any]) == obj.to_dict()
    for clone in (pickle.loads(pickle.dumps(view())), copy.deepcopy(view())):
        assert type(clone) is KubeObject
        assert clone == obj
    assert copy.copy(view()) == obj
    assert KubeObject.from_dict(view(), PODS) == obj
    read = view()
    first = read.raw
    assert read.raw is first, "decompressed once"
    assert read.view().raw is first
    match view():
        case {"kind": "Pod", "metadata": {"name": name}}:
            assert name == "a"
        case _:
            raise AssertionError


@pytest.mark.looptime
async def test_an_informer_holds_recorded_pods_small_and_tells_of_each_change_rightly() -> None:
    pods = recorded()
    source = FakeSource(*pods, version=10**6)
    source.page_size = 60
    seen: list[Event] = []
    async with SharedInformer(source, storage="compact") as informer:
        informer.add_indexers({"node": lambda obj: [obj["spec"]["nodeName"]]})
        informer.add_event_handler(seen.append)
        stream = await source.watched()
        await settled()
        held = informer.status.storage
        assert (held.storage, held.objects, held.generation) == ("compact", 300, 1)
        assert held.ratio < 0.1
        assert informer.lister.list() == pods
        assert [type(event) for event in seen] == [Added] * 300
        # The list was compressed page by page, from the second on, and not only when all of it was there.
        assert sum(isinstance(event.obj, PackedObject) for event in seen) == 180
        node = pods[7]["spec"]["nodeName"]
        assert pods[7] in informer.lister.by_index("node", node)
        changed = KubeObject.from_dict(
            {**pods[7].to_dict(), "metadata": {**pods[7]["metadata"], "resourceVersion": "1000001"}}, PODS
        )
        snapshot = informer.snapshot()
        stream.modified(changed)
        stream.deleted(pods[8])
        await settled()
        assert seen[300:] == [Updated(pods[7], changed), Deleted(pods[8])]
        assert snapshot[pods[7].key] == pods[7]
        assert snapshot[pods[8].key] == pods[8]
        assert informer.lister.get(changed.key) == changed


@pytest.mark.looptime
async def test_a_relist_of_unchanged_objects_neither_decompresses_nor_compresses_any() -> None:
    pods = recorded()
    source = FakeSource(*pods, version=10**6)
    async with SharedInformer(source, storage="compact") as informer:
        await source.watched()
        await settled()
        before = informer.indexer.copy()
        source.objects = [KubeObject.from_json(obj.raw, PODS) for obj in pods]
        await informer.relist(timeout=10)
        after = informer.indexer.copy()
        assert len(source.lists) == 2
        assert all(after[key] is stored for key, stored in before.items())


@pytest.mark.looptime
async def test_when_a_list_has_come_in_free_memory_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []
    source = FakeSource(pod("a"), version=10)
    monkeypatch.setattr(compact_indexer, "give_back_free_memory", lambda: given.append(len(source.lists)))
    async with SharedInformer(source, storage="compact") as informer:
        stream = await source.watched()
        await settled()
        assert given == [], "handlers are at work on it"
        await asyncio.sleep(1)
        assert given == [1]
        stream.modified(pod("a", 11))
        await asyncio.sleep(1)
        assert given == [1]
        source.version = 11
        await informer.relist(timeout=10)
        await asyncio.sleep(1.1)
        assert given == [1, 2]


@pytest.mark.looptime
async def test_trim_transform_and_compact_storage_work_together() -> None:
    pods = recorded()

    def transform(manifest: dict[str, Any]) -> dict[str, Any] | None:
        if manifest["metadata"]["name"] == pods[3].name:
            return None
        del manifest["status"]
        return manifest

    source = FakeSource(*pods, version=10**6)
    async with SharedInformer(source, storage="compact", trim=Trim(), transform=transform) as informer:
        await source.watched()
        await settled()
        held = informer.status.storage
        assert held.objects == 299
        assert held.json_bytes < 0.5 * sum(len(obj.raw) for obj in pods)
        for obj in informer.lister:
            assert "status" not in obj
            assert "managedFields" not in obj["metadata"]
            assert obj["spec"]


async def test_metadata_alone_trimmed_and_compressed_comes_over_the_wire_and_follows_it() -> None:
    async with ApiServer() as server, Client(ClusterConfig.for_server(server.url)) as client:
        annotations = {"example.com/build-log": "x" * 500, "example.com/owner": "me"}
        for number in range(20):
            metadata = {"name": f"c{number}", "namespace": "default", "annotations": annotations}
            server.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "b" * 1000}})
        trim = Trim(annotations=("example.com/build-log",))
        factory = SharedInformerFactory(client, storage="compact", trim=trim)
        names = factory.informer(CONFIGMAPS, metadata_only=True, namespace="default")
        indexer = names.indexer
        assert isinstance(indexer, CompactIndexer)
        indexer._policy = CompactPolicy(first_bytes=2000)
        async with factory:
            await factory.wait_for_cache_sync(timeout=10)
            await client.patch(CONFIGMAPS, "c7", {"metadata": {"labels": {"changed": "yes"}}}, namespace="default")
            await names.wait_for("c7", lambda obj: obj is not None and "changed" in obj.labels, timeout=10)
            await asyncio.sleep(0.05)
            assert names.status.storage.generation == 1
            assert packed(indexer) == 20
            for obj in names.lister:
                assert obj["metadata"]["annotations"] == {"example.com/owner": "me"}
                assert "managedFields" not in obj["metadata"]
                assert "data" not in obj


@pytest.mark.looptime
async def test_status_tells_what_is_held_in_either_storage() -> None:
    for storage in ("plain", "compact"):
        source = FakeSource(pod("a"), pod("b"))
        async with SharedInformer(source, storage=checked_storage(storage)) as informer:
            await source.watched()
            await settled()
            held = informer.status.storage
            assert held.storage == storage
            size = len(pod("a").raw) + len(pod("b").raw)
            assert (held.objects, held.json_bytes, held.stored_bytes) == (2, size, size)
            source.stream.deleted(pod("a", 11))
            await settled()
            assert informer.status.storage.json_bytes == len(pod("b").raw)


class Sources:
    """A client for a factory."""

    def list_watch(self, resource: Any, **scope: Any) -> FakeSource:
        del scope
        return FakeSource(resource=resource)

    async def resolve(self, name: str) -> Any:
        raise AssertionError(name)


async def test_a_factory_has_a_storage_for_all_and_an_informer_may_have_its_own() -> None:
    factory = SharedInformerFactory(Sources(), storage="compact")

    def kind(informer: SharedInformer) -> Storage:
        return informer.status.storage.storage

    assert kind(factory.core.v1.pods) == "compact"
    config_maps = factory.informer(CONFIGMAPS, storage="plain")
    assert kind(config_maps) == "plain"
    assert factory.informer(CONFIGMAPS) is config_maps
    assert factory.informer(CONFIGMAPS, storage="plain") is config_maps
    with pytest.raises(ValueError, match="exists already, with another storage"):
        factory.informer(CONFIGMAPS, storage="compact")
    for wrong in (
        lambda: SharedInformerFactory(Sources(), storage="zip"),  # type: ignore[arg-type]
        lambda: SharedInformer(FakeSource(), storage="zip"),  # type: ignore[arg-type]
        lambda: factory.informer("secrets", storage="zip"),  # type: ignore[call-overload]
    ):
        with pytest.raises(ValueError, match="storage='zip' is unknown; it is 'plain' .* or 'compact'"):
            wrong()


def test_an_index_holds_each_value_once() -> None:
    objects = [pod(f"p{n}", spec={"nodeName": "a-node-of-that-name"}) for n in range(10)]
    indexer = CompactIndexer({"node": lambda obj: [str(obj["spec"]["nodeName"])]})
    for obj in objects:
        indexer.put(obj.key, obj)
    assert len({id(values) for values in indexer._indexes["node"].values_by_key.values()}) == 1
    for obj in objects:
        indexer.delete(obj.key)
    assert indexer._indexes["node"].alone == {}


def test_the_collector_has_nothing_to_look_at() -> None:
    stored = filled(pod("a", labels={"app": "web"})).copy()[pod("a").key]
    assert not gc.is_tracked(stored)
    assert not gc.is_tracked(stored.metadata)
    # Python 3.14 tracks each dict; the labels of one set are one dict.
    assert gc.is_tracked(stored.metadata.labels) is (sys.version_info >= (3, 14))
