"""Decides whether the silence of watches is believed, or checked by a list. Pure; `ReflectorMachine` asks it.

A silent watch can be that of a quiet resource, or a deaf one: a proxy holds the events back, or loses them. Only a list
shows the difference. The rules:

- A watch works if something new comes in its middle: later than the events that were missed before, and earlier than
  its end. A proxy that holds events back sends them when the watch ends.
- Only these show it: events and bookmarks newer than the received version. An older one, or an event of that version,
  may be a repetition. A quiet resource has bookmarks of that version, so they count unless watches are doubted.
- After `CUT_SECONDS` of watches in which nothing came, an early end of the last one is answered by a list. A watch that
  lasts for the time that was asked for ends in the normal way. There the limit is `WHOLE_SECONDS`. It doubles with each
  list that brings nothing new.
- A list that follows a watch on trial checks its silence, too.
- Lists that bring nothing new take at most 1 / `COST` of the time. The time to the next list doubles with each of them,
  up to `APART_SECONDS`.
- If such a list shows a change that no watch brought, watches may be deaf: they are asked for `DOUBTED_SECONDS` only,
  and a list follows each. If this happens twice in a row, that is a failure, which lasts as long as it goes on.
- Each list without a change doubles the time of the watches, up to the usual one. A watch that works ends the doubt.

docs/design/0011-watches-that-bring-nothing.md has the reasons.
"""

from __future__ import annotations

from typing import Final

import msgspec

__all__ = ["CUT_SECONDS", "Silence"]

CUT_SECONDS: Final = 25.0
"""Seconds of silent watches after which an early end of the last one is answered by a list."""

WHOLE_SECONDS: Final = 300.0
"""Seconds of silent watches after which an end of the last one after its full time is answered by a list. API servers
send bookmarks each minute (apiserver pkg/storage/cacher, defaultBookmarkFrequency)."""

WHOLE_AT_MOST: Final = 3600.0
"""`WHOLE_SECONDS` doubles with each list that brings nothing new, up to this."""

BACKLOG_SECONDS: Final = 1.0
"""Events within this many seconds of the opening of a watch are those that were missed before. They do not show that
the watch works."""

LATE_SECONDS: Final = 0.25
"""If the first thing after the backlog comes within so many seconds of the end of a watch, it was held back. API
servers send a last bookmark about two seconds before the end."""

DOUBTED_SECONDS: Final = 20
"""`timeoutSeconds` of a watch that may be deaf. A list after it comes within 30 s of any change."""

DOUBTED_AT_LEAST: Final = 10.0
"""Seconds of silent watches after which a list is made, while watches are doubted. Shorter ones are left to the rules
for short watches."""

COST: Final = 50.0
"""A list that brought nothing new is not repeated for so many times the seconds that it took."""

APART_SECONDS: Final = 180.0
"""Nor is it repeated for `CUT_SECONDS`, doubled with each list that brought nothing new, up to this. After an hour of
silence behind a proxy that ends watches each minute, one end in three is answered by a list."""

CONFIRMED: Final = 2
"""Number of changes in a row that watches did not bring, after which watches count as deaf. The first may have happened
between the end of a watch and the list."""


class Silence(msgspec.Struct, eq=False, gc=False):
    """The silence of the watches of one reflector, and the doubt about it.

    Call `begin` before each watch, `brought` for what shows that it works, `ended` at its end, and `listed` after each
    list.
    """

    found: int = 0
    """Number of times in a row that watches did not bring a change in time; watches are doubted if it is not 0."""
    brought_at: float | None = None
    """Time of the first thing after the backlog, in seconds since the opening of the present watch."""
    _silent: float = 0.0  # seconds of watches since one that worked, or since the last list
    _whole: bool = False  # the last watch lasted for the time that was asked for
    _whole_limit: float = WHOLE_SECONDS
    _since: float = 0.0  # seconds of watches since the last list that brought nothing new
    _cost: float = 0.0  # another list is made when `_since` is as much: because of the time that the last one took
    _apart: float = 0.0  # and as much as this: because lists bring nothing new
    _rounds: int = 0  # lists in a row without a change, while watches are doubted
    _usual: int = 0  # the usual seconds of the present watch
    _checking: bool = False  # the next list checks a silence

    @property
    def deaf(self) -> bool:
        """True while lists show changes that watches do not bring, or bring at their end."""
        return self.found >= CONFIRMED

    @property
    def checks(self) -> bool:
        """True if it matters whether the next list has a change that watches did not bring."""
        return self._checking or self.found > 0

    def begin(self, usual: int) -> int:
        """Begin a watch; return the `timeoutSeconds` to ask for, given the usual ones."""
        self.brought_at = None
        self._usual = usual
        return min(DOUBTED_SECONDS << self._rounds, usual) if self.found else usual

    def brought(self, since_opening: float, *, new: bool = True) -> None:
        """Record that the watch brought something newer than the received version; a bookmark of it is not `new`."""
        if self.brought_at is None and since_opening > BACKLOG_SECONDS and (new or not self.found):
            self.brought_at = since_opening

    def ended(self, lasted: float, *, opening: float = 0.0, whole: bool, trial: bool = False) -> bool:
        """Record the end of a watch; return whether a list must follow.

        Args:
            lasted: seconds from the answer to the end; 0 if it was refused.
            opening: seconds from the request to the answer.
            whole: whether it lasted for the time that was asked for.
            trial: whether it was on trial, and a list follows in any case.
        """
        self._since += opening + lasted
        late = self.brought_at is not None and lasted - self.brought_at < LATE_SECONDS
        if self.brought_at is not None and not late:
            self._silent = 0.0
            self._believe_little()
            self.found = 0
            return False
        if late and lasted >= (DOUBTED_AT_LEAST if self.found else CUT_SECONDS):
            # Everything has come, so no list is needed.
            self._silent = 0.0
            self._find()
            return False
        self._silent += lasted
        self._whole = whole
        if trial:
            due = True
        elif self.found:
            due = self._silent >= DOUBTED_AT_LEAST
        else:
            limit = self._whole_limit if whole else CUT_SECONDS
            due = self._silent >= limit and self._since >= max(self._cost, self._apart)
        self._checking = due and lasted > 0
        return self._checking

    def listed(self, *, seconds: float, missed: bool) -> None:
        """Record a list.

        Args:
            seconds: the time that it took.
            missed: it has a change that watches did not bring.
        """
        checking, self._checking = self._checking, False
        self._silent = 0.0
        if missed and (checking or self.found):
            self._find()
        elif not checking:
            # This list has another reason, such as an expired version. It may follow events that were held back.
            return
        elif self.found:
            self._rounds += 1
            self.found = 1 if DOUBTED_SECONDS << self._rounds < self._usual else 0
        else:
            self._since = 0.0
            self._cost = COST * seconds
            self._apart = min(max(2 * self._apart, CUT_SECONDS), APART_SECONDS)
            if self._whole:
                self._whole_limit = min(2 * self._whole_limit, WHOLE_AT_MOST)

    def _find(self) -> None:
        self.found += 1
        self._rounds = 0
        self._believe_little()

    def _believe_little(self) -> None:
        """Check the next silence soon."""
        self._whole_limit = WHOLE_SECONDS
        self._apart = 0.0
