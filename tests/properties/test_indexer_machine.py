"""Indexer against a scan of everything: each lookup finds what a look at each object would."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from kinformer.cache._compact.indexer import CompactIndexer
from kinformer.cache._compact.packed_object import PackedObject
from kinformer.cache._informer_indexer import InformerIndexer
from kinformer.cache.indexer import NAMESPACE_INDEX
from kinformer.errors import IndexConflictError, IndexFunctionError
from kinformer.objects import KubeObject, ObjectKey
from tests import storages
from tests.sources import pod

names = st.sampled_from(["a", "b", "c", "d"])
namespaces = st.sampled_from(["one", "two"])
values = st.lists(st.sampled_from(["x", "y", "z"]), max_size=4)


def zones(obj: KubeObject) -> list[str]:
    """Several values, some of them twice; raises for some objects."""
    found = obj.at("spec.zones", default=[])
    if found == ["x", "x"]:
        raise ZeroDivisionError
    return list(found)


def first_zone(obj: KubeObject) -> list[str]:
    return list(obj.at("spec.zones", default=[]))[:1]


FUNCTIONS = {"zones": zones, "first": first_zone}


def found_by(name: str, obj: KubeObject) -> set[str]:
    try:
        return set(FUNCTIONS[name](obj))
    except ZeroDivisionError:
        return set()


class IndexerMachine(RuleBasedStateMachine):
    make: type[InformerIndexer] = InformerIndexer

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[IndexFunctionError] = []
        self.indexer = self.make(on_error=self.errors.append)
        self.model: dict[ObjectKey, KubeObject] = {}
        self.indexes: set[str] = set()
        self.building: set[str] = set()
        """Indexes that nothing has read since they were added in steps."""
        self.version = 0

    def new(self, name: str, namespace: str, zones: list[str]) -> KubeObject:
        self.version += 1
        return pod(name, self.version, namespace=namespace, spec={"zones": zones})

    @rule(name=names, namespace=namespaces, zones=values)
    def put(self, name: str, namespace: str, zones: list[str]) -> None:
        obj = self.new(name, namespace, zones)
        assert self.indexer.put(obj.key, obj) == self.model.get(obj.key)
        self.model[obj.key] = obj

    @rule(name=names, namespace=namespaces)
    def delete(self, name: str, namespace: str) -> None:
        key = ObjectKey(namespace, name)
        assert self.indexer.delete(key) == self.model.pop(key, None)

    @rule(objects=st.lists(st.tuples(names, namespaces, values), max_size=5))
    def replace(self, objects: list[tuple[str, str, list[str]]]) -> None:
        made = [self.new(*parts) for parts in objects]
        self.indexer.replace(made)
        self.model = {obj.key: obj for obj in made}

    @rule(name=st.sampled_from([*FUNCTIONS]))
    def add_index(self, name: str) -> None:
        try:
            self.indexer.add_indexers({name: FUNCTIONS[name]})
        except IndexConflictError:
            assert name in self.indexes
        self.indexes.add(name)

    @rule(name=st.sampled_from([*FUNCTIONS]))
    def begin_index(self, name: str) -> None:
        try:
            self.indexer.begin_indexers({name: FUNCTIONS[name]})
        except IndexConflictError:
            assert name in self.indexes
        else:
            self.building.add(name)
        self.indexes.add(name)

    @rule(count=st.integers(1, 3))
    def index_some(self, count: int) -> None:
        for name in [*self.building]:
            if not self.indexer.index_some(name, count):
                self.building.discard(name)

    @rule()
    def read_all_indexes(self) -> None:
        self.building.clear()

    @rule(changes=st.lists(st.tuples(names, namespaces, values), max_size=4), namespace=st.sampled_from(["", "one"]))
    def iterate_while_it_changes(self, changes: list[tuple[str, str, list[str]]], namespace: str) -> None:
        """Each object comes once: those that stay in their state at the beginning or a later one."""
        before, found = dict(self.model), []
        for number, chunk in enumerate(self.indexer.chunks(None, namespace, 1)):
            found += chunk
            if number < len(changes):
                (self.put if number % 3 else self.put_then_delete)(*changes[number])
        keys = [obj.key for obj in found]
        assert len(keys) == len(set(keys))
        wanted = {key for key in before if not namespace or key.namespace == namespace}
        assert {key for key in wanted if key in self.model and self.model[key] is before[key]} <= set(keys) <= wanted
        for obj in found:
            assert int(obj.resource_version) >= int(before[obj.key].resource_version)

    def put_then_delete(self, name: str, namespace: str, zones: list[str]) -> None:
        self.put(name, namespace, zones)
        self.delete(name, namespace)

    @invariant()
    def every_lookup_is_a_scan(self) -> None:
        assert {obj.key: obj for obj in self.indexer.list()} == self.model
        for name in self.indexes - self.building:
            for value in ("x", "y", "z", "none"):
                wanted = {key for key, obj in self.model.items() if value in found_by(name, obj)}
                found = self.indexer.by_index(name, value)
                assert {obj.key for obj in found} == wanted
                assert len(found) == len(wanted)
            assert set(self.indexer.index_values(name)) == {
                v for obj in self.model.values() for v in found_by(name, obj)
            }
        for namespace in ("one", "two", "none"):
            wanted = {key for key in self.model if key.namespace == namespace}
            assert {obj.key for obj in self.indexer.by_index(NAMESPACE_INDEX, namespace)} == wanted

    @invariant()
    def what_is_held_is_counted(self) -> None:
        held = self.indexer.storage_status
        assert held.objects == len(self.model)
        assert held.json_bytes == sum(len(obj.raw) for obj in self.model.values())
        stored = self.indexer.copy().values()
        assert held.stored_bytes == sum(len(o.frame if isinstance(o, PackedObject) else o.raw) for o in stored)

    @invariant()
    def every_failure_names_its_object(self) -> None:
        for error in self.errors:
            assert error.key
            assert "zones" in error.reason


class CompactIndexerMachine(IndexerMachine):
    make = storages.EagerIndexer

    @rule()
    def work(self) -> None:
        """A new dictionary, without any need."""
        assert isinstance(self.indexer, CompactIndexer)
        self.indexer._now_due()
        for _ in self.indexer.work():
            pass

    @rule(name=names, namespace=namespaces, zones=values)
    def change_while_it_works(self, name: str, namespace: str, zones: list[str]) -> None:
        assert isinstance(self.indexer, CompactIndexer)
        self.indexer._now_due()
        for count, _ in enumerate(self.indexer.work()):
            (self.put if count % 2 else self.put_packed)(name, namespace, zones)
            if count == 3:
                self.delete(name, namespace)

    @rule(name=names, namespace=namespaces, zones=values)
    def put_packed(self, name: str, namespace: str, zones: list[str]) -> None:
        """As a list comes: packed first, and read, perhaps, before it is stored."""
        assert isinstance(self.indexer, CompactIndexer)
        obj = self.new(name, namespace, zones)
        packed = self.indexer.pack(obj)
        if len(zones) % 2:
            assert packed == obj
        assert self.indexer.put(packed.key, packed) == self.model.get(obj.key)
        self.model[obj.key] = obj

    @invariant()
    def nothing_that_is_stored_has_been_unpacked(self) -> None:
        for stored in self.indexer.copy().values():
            assert not isinstance(stored, PackedObject) or stored.dictionary is not None


TestIndexer = IndexerMachine.TestCase
TestIndexer.settings = settings(max_examples=150, stateful_step_count=40, deadline=None, database=None)
TestCompactIndexer = CompactIndexerMachine.TestCase
TestCompactIndexer.settings = settings(max_examples=75, stateful_step_count=40, deadline=None, database=None)
