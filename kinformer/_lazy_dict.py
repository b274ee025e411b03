"""A dict whose values stay JSON until they are read: a section of an object, of which readers want two or three fields.

Decoding the whole `spec` of a recorded pod takes 1.35 times as long as skipping over the whole pod; finding the fields
of the spec takes 0.4 times. For `metadata` it is 2.9 and 0.6 (docs/design/0005). The garbage collector, too, has less
to walk over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from kinformer._any_json import SHORT, decode_any, decode_short
from kinformer._pydantic import PydanticSerializer

if TYPE_CHECKING:
    from collections.abc import ItemsView, Iterator, ValuesView

__all__ = ["LazyDict", "decode_lazily"]

_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_ABSENT: Final[Any] = object()


class LazyDict(dict[str, Any]):
    """A JSON object as a dict. Each value is decoded when it is first read, and kept.

    In Python code it behaves as the plain dict of the same fields: comparison both ways, `|`, `**`, `match`, `copy`,
    `deepcopy`, `json.dumps`, `pickle` (which makes a plain dict of it). The values are plain dicts, lists, strings and
    numbers. pydantic and FastAPI write it as that dict, too. Another C extension that reads the table of the dict finds
    `msgspec.Raw` there (orjson, `msgspec.convert`, a pydantic model made without validation), and `yaml.safe_dump`
    refuses every subclass of dict; give them `whole()`.
    """

    __slots__ = ()

    __pydantic_serializer__ = PydanticSerializer(lambda lazy: lazy.whole())

    def whole(self) -> dict[str, Any]:
        """A plain dict of all fields, decoded. The values are those of this dict, not copies."""
        return {name: self[name] for name in _iterate(self)}

    def __getitem__(self, name: str) -> Any:
        value = _get(self, name)
        if type(value) is msgspec.Raw:
            # As `decode_any` does, without its call for most values.
            value = decode_short(value) if len(value) <= SHORT else decode_any(value)
            _set(self, name, value)
        return value

    def get(self, name: str, default: Any = None) -> Any:
        value = _get_or(self, name, default)
        if type(value) is msgspec.Raw:
            value = decode_short(value) if len(value) <= SHORT else decode_any(value)
            _set(self, name, value)
        return value

    def __iter__(self) -> Iterator[str]:
        # `dict(lazy)`, `update` and `**` read the table itself, and so undecoded values, unless a subclass has this.
        return _iterate(self)

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override]  # typeshed has classes of its own for dict
        return _items(self._decoded())

    def values(self) -> ValuesView[Any]:  # type: ignore[override]
        return _values(self._decoded())

    def copy(self) -> dict[str, Any]:
        return self.whole()

    def pop(self, name: str, *default: Any) -> Any:
        value = _pop(self, name, *default)
        return decode_any(value) if type(value) is msgspec.Raw else value

    def popitem(self) -> tuple[str, Any]:
        name, value = _popitem(self)
        return name, decode_any(value) if type(value) is msgspec.Raw else value

    def setdefault(self, name: str, default: Any = None) -> Any:
        _setdefault(self, name, default)
        return self[name]

    def __eq__(self, other: object) -> bool:
        if type(other) is LazyDict:
            return self is other or self._equals(other)
        return _equal(self._decoded(), other)

    def __ne__(self, other: object) -> bool:
        equal = self.__eq__(other)
        return equal if equal is NotImplemented else not equal

    __hash__ = None

    def __or__(self, other: Any) -> Any:
        return self.whole() | other if isinstance(other, dict) else NotImplemented

    def __ror__(self, other: Any) -> Any:
        return other | self.whole() if isinstance(other, dict) else NotImplemented

    def __repr__(self) -> str:
        return repr(self.whole())

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return dict, (self.whole(),)

    def _decoded(self) -> LazyDict:
        """This dict, with every value decoded."""
        for name, value in _items(self):
            if type(value) is msgspec.Raw:
                _set(self, name, decode_any(value))  # a loop over a dict allows another value for a key
        return self

    def _equals(self, other: LazyDict) -> bool:
        """Compare with another one. Values with equal JSON are equal, and are not decoded."""
        if len(self) != len(other):
            return False
        for name, value in _items(self):
            its = _get_or(other, name, _ABSENT)
            if its is _ABSENT:
                return False
            undecoded = type(value) is msgspec.Raw and type(its) is msgspec.Raw
            if undecoded and bytes(value) == bytes(its):
                continue
            if self[name] != other[name]:
                return False
        return True


_get: Final = dict.__getitem__
_set: Final = dict.__setitem__
_get_or: Final = dict.get
_iterate: Final = dict.__iter__
_items: Final = dict.items
_values: Final = dict.values
_pop: Final = dict.pop
_popitem: Final = dict.popitem
_setdefault: Final = dict.setdefault
_equal: Final = dict.__eq__


def decode_lazily(text: msgspec.Raw | bytes) -> Any:
    """Decode JSON: an object into a `LazyDict`, any other value as a whole."""
    try:
        return LazyDict(_decode_fields(text))
    except msgspec.ValidationError:
        return decode_any(text)
