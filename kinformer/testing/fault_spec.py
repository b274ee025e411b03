"""Faults as text, for the command line: `kinformer serve-api --fault drop:every=5 --fault fail:status=503,verb=list`.

    NAME[:PARAMETER=VALUE[,PARAMETER=VALUE...]]

Every fault takes `after=SECONDS` (it begins so long after the start), `every=SECONDS` (it happens again and again) and
`about=SECONDS` (the same at random moments, so far apart on the average).
"""

from __future__ import annotations

import asyncio
import inspect
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from kinformer.testing.faults import Corruption, Faults

__all__ = ["FAULTS", "FaultSpec", "described", "known_faults"]


async def _down(faults: Faults, seconds: float = 5.0) -> None:
    async with faults.down():
        await asyncio.sleep(seconds)


def _freeze(faults: Faults, resource: str = "", new: int = 0) -> None:
    faults.freeze_watches(resource or None, new=bool(new))


def _drop(faults: Faults, resource: str = "") -> None:
    faults.drop_watches(resource or None)


def _end(faults: Faults, resource: str = "") -> None:
    faults.end_watches(resource or None)


def _cut(faults: Faults, resource: str = "") -> None:
    faults.cut_mid_line(resource or None)


def _garbage(faults: Faults, resource: str = "") -> None:
    faults.send(b"\x00\xff no JSON at all\n", resource or None)


def _expire(faults: Faults, resource: str = "") -> None:
    faults.expire(resource or None)


def _error(faults: Faults, status: int = 500, resource: str = "") -> None:
    faults.refuse_watches(status, resource or None)


def _fail(
    faults: Faults,
    status: int = 503,
    verb: str = "",
    resource: str = "",
    count: int = 0,
    retry_after: int = -1,
    html: str = "",
) -> None:
    faults.fail_next(
        count or None,
        status=status,
        verb=verb or None,
        resource=resource or None,
        retry_after=None if retry_after < 0 else retry_after,
        body=html or None,
    )


def _hang(faults: Faults, verb: str = "", resource: str = "", count: int = 0) -> None:
    faults.hang(count or None, verb=verb or None, resource=resource or None)


def _delay(faults: Faults, seconds: float = 1.0) -> None:
    faults.delay(seconds)


def _close_at_once(faults: Faults, resource: str = "", count: int = 0) -> None:
    faults.close_watches_at_once(count or None, resource or None)


def _status_on_stream(faults: Faults, status: int = 500, count: int = 1) -> None:
    body = b'{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","reason":"InternalError","code":%d}\n'
    faults.answer_next(body % status, verb="watch", count=count or None)


def _table(faults: Faults, count: int = 1) -> None:
    body = b'{"type":"ADDED","object":{"kind":"Table","apiVersion":"meta.k8s.io/v1","metadata":{},"rows":[]}}\n'
    faults.answer_next(body, verb="watch", count=count or None)


def _empty(faults: Faults, verb: str = "list", count: int = 1) -> None:
    faults.answer_next(b"", verb=verb, count=count or None)


def _no_streaming(faults: Faults) -> None:
    faults.without_streaming_lists()


def _no_shards(faults: Faults) -> None:
    faults.without_shards()


def _no_end_bookmark(faults: Faults) -> None:
    faults.without_end_bookmark()


def _repeat(faults: Faults, times: int = 2) -> None:
    faults.repeat_events(times)


def _lag(faults: Faults, writes: int = 100) -> None:
    faults.lag(writes)


def _corrupt(
    faults: Faults,
    *,
    resource: str,
    name: str,
    namespace: str = "default",
    how: Corruption = "labels",
) -> None:
    faults.corrupt(resource, name, namespace, how=how)


FAULTS: Final[dict[str, tuple[Callable[..., Awaitable[None] | None], str]]] = {
    "down": (_down, "the server does not listen for so many seconds"),
    "drop": (_drop, "open watches are cut, as a network does"),
    "end": (_end, "open watches end cleanly, as at a restart"),
    "cut": (_cut, "open watches are cut in the middle of an event"),
    "freeze": (_freeze, "open watches stay open and silent: half-open connections; new=1: later ones, too"),
    "garbage": (_garbage, "bytes that are no event come in open watches"),
    "expire": (_expire, "the history is forgotten: 410"),
    "error": (_error, "open watches end by an ERROR event of that status"),
    "fail": (_fail, "requests are refused; count=0 means all; html=TEXT answers as a proxy does"),
    "hang": (_hang, "requests are taken and never answered"),
    "delay": (_delay, "each answer comes so many seconds later"),
    "close-at-once": (_close_at_once, "watches are agreed to and end at once"),
    "status-on-stream": (_status_on_stream, "watches answer 200, then a Status"),
    "table": (_table, "watches send a Table"),
    "empty": (_empty, "the answer has no body"),
    "no-streaming": (_no_streaming, "streaming lists are refused: 422"),
    "no-shards": (_no_shards, "shardSelector is ignored, as by a server without the feature gate"),
    "no-end-bookmark": (_no_end_bookmark, "streaming lists never end"),
    "repeat": (_repeat, "each event comes so many times"),
    "lag": (_lag, "lists come from the state so many writes ago"),
    "corrupt": (_corrupt, "an object cannot be decoded (how=labels or metadata)"),
}
"""Each fault by name: the function, and a description."""


_CHOICES: Final = {
    "verb": ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"),
    "how": ("labels", "metadata"),
}
_BOUNDS: Final[dict[str, tuple[float, float]]] = {
    "seconds": (0, 3600),
    "after": (0, 86_400),
    "every": (0.01, 86_400),
    "about": (0.01, 86_400),
    "status": (100, 599),
    "count": (0, 1_000_000),
    "retry_after": (-1, 86_400),
    "new": (0, 1),
    "times": (1, 100),
    "writes": (0, 1_000_000),
}
"""The least and the most value of each number: outside, the server could not be reached any more, or not be used."""

_NEEDED: Final = inspect.Parameter.empty


@dataclass(frozen=True, slots=True)
class FaultSpec:
    """A fault as it was requested.

    Attributes:
        name: one of `FAULTS`.
        parameters: for the function that does it.
        after: seconds before it happens first.
        every: seconds between its beginnings; 0 for once.
        about: seconds between its beginnings on the average, which then are exponentially distributed; 0 for not.
    """

    name: str
    parameters: dict[str, Any]
    after: float
    every: float
    about: float = 0.0

    @classmethod
    def parse(cls, text: str) -> FaultSpec:
        """Read `NAME[:PARAMETER=VALUE,...]`.

        Raises:
            ValueError: no such fault or parameter, or a value that is none; the message says which there are.
        """
        name, _, rest = text.partition(":")
        if name not in FAULTS:
            msg = f"fault {name!r} is unknown; there are {', '.join(FAULTS)}"
            raise ValueError(msg)
        known = {**_parameters(FAULTS[name][0]), "after": 0.0, "every": 0.0, "about": 0.0}
        found: dict[str, Any] = {}
        for part in filter(None, rest.split(",")):
            parameter, equals, value = part.partition("=")
            parameter = parameter.strip().replace("-", "_")
            if not equals or parameter not in known:
                msg = f"fault {text!r}: {part!r} is not one of {', '.join(f'{name}=...' for name in known)}"
                raise ValueError(msg)
            choices = _CHOICES.get(parameter, ())
            if choices and value not in choices:
                msg = f"fault {text!r}: {parameter}={value!r} is not one of {', '.join(choices)}"
                raise ValueError(msg)
            kind = str if known[parameter] is _NEEDED else type(known[parameter])
            try:
                found[parameter] = kind(value)
            except ValueError:
                what = "a whole number" if kind is int else "a number"
                msg = f"fault {text!r}: {parameter}={value!r} is not {what}"
                raise ValueError(msg) from None
            if parameter in _BOUNDS and not _BOUNDS[parameter][0] <= found[parameter] <= _BOUNDS[parameter][1]:
                least, most = _BOUNDS[parameter]
                msg = f"fault {text!r}: {parameter.replace('_', '-')}={value} is not between {least} and {most}"
                raise ValueError(msg)
        if missing := [name for name, default in known.items() if default is _NEEDED and name not in found]:
            msg = f"fault {text!r} needs {' and '.join(f'{name}=...' for name in missing)}"
            raise ValueError(msg)
        after, every, about = (found.pop(when, 0.0) for when in ("after", "every", "about"))
        return cls(name, found, after, every, about)

    async def run(self, faults: Faults) -> None:
        """Inject the fault: once, or repeatedly until cancelled."""
        do = FAULTS[self.name][0]
        rng = random.Random()  # noqa: S311 - nothing to be guessed
        await asyncio.sleep(self.after + (rng.expovariate(1 / self.about) if self.about else 0.0))
        while True:
            began = asyncio.get_running_loop().time()
            result = do(faults, **self.parameters)
            if result is not None:
                await result
            if self.about:
                await asyncio.sleep(rng.expovariate(1 / self.about))
                continue
            if not self.every:
                return
            await asyncio.sleep(max(began + self.every - asyncio.get_running_loop().time(), 0.01))


def known_faults() -> list[tuple[str, str]]:
    """Return each fault with its parameters and their defaults, and its effect."""
    known = []
    for name, (do, effect) in FAULTS.items():
        parameters = ",".join(
            f"{key.replace('_', '-')}={'...' if value is _NEEDED else value}" for key, value in _parameters(do).items()
        )
        known.append((name + (":" + parameters if parameters else ""), effect))
    return known


def described() -> str:
    """Return all faults with their parameters and defaults, one per line."""
    lines = [f"{fault:<72} {effect}" for fault, effect in known_faults()]
    return "\n".join([*lines, "Each takes after=SECONDS, every=SECONDS and about=SECONDS (at random moments) as well."])


def _parameters(do: Callable[..., object]) -> dict[str, Any]:
    """Return the defaults of a fault's function, whose first argument is the server's faults."""
    return {name: parameter.default for name, parameter in [*inspect.signature(do).parameters.items()][1:]}
