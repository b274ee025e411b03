"""The order of the causes of a refusal: that in which the validation of a kube-apiserver walks through an object.

The rules of the embedded server are grouped by subject, and so find some causes earlier than the Go code does. A pair
of patterns says which of two causes stands in front.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kinformer.testing._apiserver.store.status import Cause

__all__ = ["in_walk_order"]

_PAIRS: Final[tuple[tuple[re.Pattern[str], str], ...]] = tuple(
    (re.compile(later), earlier)
    for later, earlier in (
        # The parts of a selector are judged before the selector as a whole.
        (r"(spec\.selector)", r"{}\."),
        (r"(.*\.env\[\d+\]\.valueFrom)", r"{}\."),
        (r"(spec\.metrics\[\d+\]\.\w+)", r"{}\."),
        (r"(.*\.initContainers\[\d+\])\.startupProbe", r"{}\.restartPolicy"),
        (r"(.*\.seccompProfile)\.localhostProfile", r"{}\.type"),
        (r"(spec)\.healthCheckNodePort", r"{}\.externalTrafficPolicy"),
        (r"(spec)\.template\..*", r"{}\.podFailurePolicy\."),
    )
)
"""Patterns of the field of the later cause, each with that of the earlier one, which begins with the same object."""


def in_walk_order(causes: Sequence[Cause]) -> list[Cause]:
    """Return causes in the order of a real server; those of which no rule speaks stay where they are."""
    found = list(causes)
    if len(found) < 2:
        return found
    for later, earlier in _PAIRS:
        at = 0
        while at < len(found):
            matched = later.fullmatch(found[at][2])
            if matched is not None:
                wanted = re.compile(earlier.format(re.escape(matched[1])))
                moved = [cause for cause in found[at + 1 :] if wanted.match(cause[2])]
                if moved:
                    rest = [cause for cause in found[at:] if cause not in moved]
                    found[at:] = [*moved, *rest]
                    at += len(moved)
            at += 1
    return found
