"""Warnings that an API server sends with its responses (KEP-1693): the header `Warning: 299 - "text"`."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Final

from kinformer._callables import check_function
from kinformer._recent import RecentCache
from kinformer._survivable import is_survivable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["LONGEST_WARNING", "MOST_WARNINGS", "ServerWarnings", "warning_texts"]

LONGEST_WARNING: Final = 1024
"""Characters of one warning that are kept. A kube-apiserver cuts them at 4,096 in all (apiserver warning.go)."""

MOST_WARNINGS: Final = 64
"""Warnings of one response that are read."""

_REMEMBERED: Final = 500
"""Texts that are logged once: the most recent ones."""

# RFC 7234, 5.5: code SP agent SP quoted-string, of which several may stand in one header.
_WARNING: Final = re.compile(r'\s*,?\s*(\d{3}) (\S{1,255}) "((?:[^"\\]|\\.)*)"(?: "[^"]{0,64}")?')
_QUOTED: Final = re.compile(r"\\(.)", re.DOTALL)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")

# A reader of the log looks for the name of the client.
_log = logging.getLogger("kinformer.client")


def warning_texts(values: Iterable[str]) -> list[str]:
    """Return the texts of `Warning` headers with code 299, the only one that Kubernetes sends.

    Parts that are no warning are skipped. Control characters become spaces. A text is cut at `LONGEST_WARNING`
    characters, and a response has `MOST_WARNINGS` of them at most.
    """
    texts: list[str] = []
    for value in values:
        at = 0
        while len(texts) < MOST_WARNINGS and (found := _WARNING.match(value, at)) is not None:
            at = found.end()
            code, _, quoted = found.groups()
            if code == "299" and quoted:
                texts.append(_CONTROL.sub(" ", _QUOTED.sub(r"\1", quoted[: 2 * LONGEST_WARNING]))[:LONGEST_WARNING])
    return texts


class ServerWarnings:
    """Passes the warnings of responses on to a function of the user, or logs each text once.

    Args:
        on_warning: called with each text, as often as the server sends it; `None` to log it.

    Raises:
        TypeError: the function cannot be called with one text.
    """

    def __init__(self, on_warning: Callable[[str], object] | None) -> None:
        if on_warning is not None:
            check_function("on_warning", on_warning, "text")
        self._on_warning = on_warning
        self._logged: RecentCache[str, bool] = RecentCache(_REMEMBERED)

    def received(self, headers: Mapping[str, str]) -> None:
        """Look for warnings in the headers of a response."""
        if "Warning" not in headers:
            return
        read = getattr(headers, "getall", None)
        for text in warning_texts([headers["Warning"]] if read is None else read("Warning")):
            if self._on_warning is None:
                self._log(text)
            else:
                self._tell(self._on_warning, text)

    def _log(self, text: str) -> None:
        if self._logged.get(text) is None:
            self._logged.put(text, True)
            _log.warning("the API server warns: %s", text)

    def _tell(self, on_warning: Callable[[str], object], text: str) -> None:
        try:
            on_warning(text)
        except BaseException as error:
            if not is_survivable(error):
                raise
            _log.error("on_warning raised %s; the request goes on", type(error).__name__, exc_info=error)
