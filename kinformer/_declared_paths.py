"""Paths that are declared beforehand: the pass over the head of an object notes their values on the way.

The pass skips over the large sections of an object. For a declared path it looks into the section while it skips, which
takes no measurable time: a field that is found is kept as JSON, and decoded when it is read. Without a declaration, a
read of `spec.nodeName` takes a third of the time of that pass, since it goes over the section again.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

import msgspec

from kinformer._any_json import decode_any
from kinformer._heads import ABSENT, Places, as_sent_head, decode_envelope
from kinformer._path_finders import UNWRITABLE
from kinformer._paths import steps_of, value_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kinformer._heads import Envelope

__all__ = ["DeclaredPath", "DeclaredPaths", "NotesPaths", "checked_paths"]

_PLACED: Final = Places.__struct_fields__

# The head has these, or the view adds them.
_KNOWN_OTHERWISE: Final = frozenset({"metadata", "kind", "apiVersion"})

_MAX_POSITION: Final = 7
"""The items before a position in a list are noted, too, so only those near the begin are worth it."""


class DeclaredPath(msgspec.Struct, frozen=True):
    """The place in which the pass over the head keeps the value at one path.

    Attributes:
        section: the top-level field in which the path begins.
        text_in: takes what the pass has decoded, and returns the JSON that it noted; raises `AttributeError` where the
            path leads through a null.
        rest: the steps from that JSON to the value; mostly none.
    """

    section: str
    text_in: Callable[[Places], msgspec.Raw]
    rest: tuple[str, ...]

    def read(self, places: Places, default: Any) -> Any:
        """Return the value, or the default where the path leads nowhere."""
        try:
            text = self.text_in(places)
        except AttributeError:
            return default
        if text is ABSENT:
            return default
        value = decode_any(text)
        return value_at(value, self.rest, default) if self.rest else value


class DeclaredPaths:
    """The declared paths of one source of objects. More can be declared at any time, for objects that arrive later.

    Attributes:
        paths: the declared paths, in the order of their declaration.
        decode: decodes a head as `decode_envelope` does, and notes the values at the paths. It refuses an object in
            which a path leads through a value of another type; `decode_head` then decodes it without the paths.
    """

    __slots__ = ("decode", "paths")

    def __init__(self) -> None:
        self.paths: tuple[str, ...] = ()
        self.decode: Callable[[bytes], Envelope] = decode_envelope

    def add(self, paths: Iterable[str]) -> None:
        """Declare more paths.

        Raises:
            TypeError: a path is not a string.
            ValueError: a text that is no path; nothing was declared.
        """
        found = dict.fromkeys((*self.paths, *checked_paths(paths)))
        if len(found) > len(self.paths):
            self.paths = (*found,)
            self.decode = _decoder_of(self.paths)


def checked_paths(paths: Iterable[str]) -> tuple[str, ...]:
    """Return some paths if each is one.

    Raises:
        TypeError: a path is not a string, or a single string in place of several.
        ValueError: a text that is no path.
    """
    if isinstance(paths, str):
        msg = f"paths={paths!r} is one string; declare paths as a list: [{paths!r}]"
        raise TypeError(msg)
    checked = (*paths,)
    for path in checked:
        if not isinstance(path, str):
            msg = f"{path!r} is no path: write it as a string, as in 'spec.nodeName'"
            raise TypeError(msg)
        steps_of(path)
    return checked


@runtime_checkable
class NotesPaths(Protocol):
    """A source of objects that notes the values at declared paths."""

    declared_paths: DeclaredPaths


def _decoder_of(paths: tuple[str, ...]) -> Callable[[bytes], Envelope]:
    """Return a decoder of heads that notes the values at some paths."""
    wanted = {path: steps for path in paths if (steps := _noted(steps_of(path)))}
    leaves = _leaves({*wanted.values()})
    if not leaves:
        return decode_envelope
    sections = {leaf[0] for leaf in leaves}
    fields: list[Any] = [("metadata", as_sent_head)]
    fields += [(name, msgspec.Raw, ABSENT) for name in _PLACED if name not in sections]
    renamed: dict[str, str] = {}
    attributes: dict[tuple[str, ...], str] = {}
    for number, section in enumerate(sorted(sections)):
        name = f"declared_{number}"
        renamed[name] = section
        below = {leaf[1:]: leaf for leaf in leaves if leaf[0] == section}
        fields.append((name, *_step({*below}, (section,), name, attributes)))
    declared = {
        path: DeclaredPath(steps[0], attrgetter(attributes[leaf]), steps_of(path)[len(leaf) :])
        for path, steps in wanted.items()
        for leaf in [next((steps[:n] for n in range(1, len(steps) + 1) if steps[:n] in attributes), None)]
        if leaf is not None
    }
    # The place of a section that the pass looks into is not noted. It is looked for if someone asks.
    inherited = {name: msgspec.UNSET for name in _PLACED if name in sections} | {"declared": declared}
    envelope = msgspec.defstruct("DeclaredEnvelope", fields, rename=renamed, namespace=inherited, gc=False)
    decode = msgspec.json.Decoder(envelope).decode
    envelope.decoder = staticmethod(decode)  # type: ignore[attr-defined]
    found: Callable[[bytes], Any] = decode
    return found


def _noted(steps: tuple[str, ...]) -> tuple[str, ...]:
    """Return the first steps of a path, up to the value that the pass can note; none if it can note nothing."""
    if steps[0] in _KNOWN_OTHERWISE:
        return ()
    for number, step in enumerate(steps):
        # Fields of ConfigMaps and Secrets may be named by numbers, and there is no list.
        negative_or_far = step.lstrip("-").isdecimal() and (
            number == 0 or steps[0] == "data" or not step.isdecimal() or int(step) > _MAX_POSITION
        )
        if negative_or_far or not UNWRITABLE.isdisjoint(step):
            steps = steps[:number]
            break
    return () if len(steps) == 1 and steps[0] in _PLACED else steps


def _leaves(wanted: set[tuple[str, ...]]) -> set[tuple[str, ...]]:
    """Return the values to note, none of which lies in another. One of them is on the way to each wanted value."""
    leaves = set(wanted)
    while True:
        within = {leaf for leaf in leaves if any(leaf[:n] in leaves for n in range(1, len(leaf)))}
        leaves -= within
        # A value that would have to be a list for one path, and an object for another.
        kinds: dict[tuple[str, ...], set[bool]] = {}
        for leaf in leaves:
            for number in range(1, len(leaf)):
                kinds.setdefault(leaf[:number], set()).add(leaf[number].isdecimal())
        torn = {way for way, found in kinds.items() if len(found) > 1}
        if not torn and not within:
            return {leaf for leaf in leaves if len(leaf) > 1 or leaf[0] not in _PLACED}
        leaves |= torn


def _step(
    below: set[tuple[str, ...]], way: tuple[str, ...], attribute: str, attributes: dict[tuple[str, ...], str]
) -> tuple[Any, Any]:
    """Return type and default of the value at the end of a way; note the attributes of the leaves below it."""
    if () in below:
        attributes[way] = attribute
        return msgspec.Raw, ABSENT
    firsts = {leaf[0] for leaf in below}
    is_list = all(map(str.isdecimal, firsts))
    names = [str(n) for n in range(max(map(int, firsts)) + 1)] if is_list else sorted(firsts)
    fields: list[tuple[str, Any, Any]] = []
    for number, name in enumerate(names):
        inside = {leaf[1:] for leaf in below if leaf[0] == name}
        field = f"field_{number}"
        if inside:
            fields.append((field, *_step(inside, (*way, name), f"{attribute}.{field}", attributes)))
        else:
            fields.append((field, msgspec.Raw, ABSENT))
    renamed = {f"field_{number}": name for number, name in enumerate(names)}
    made = msgspec.defstruct(
        "DeclaredStep", fields, rename=None if is_list else renamed, array_like=is_list, frozen=True, gc=False
    )
    return made | None, made()
