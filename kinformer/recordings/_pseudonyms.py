"""Replacements for names and values. Pure.

One function replaces every string, wherever it stands, so references still match: names of owners, nodes and
namespaces, labels and selectors. It works word by word, a word being a run of letters and digits. So the name of a pod
still begins with that of its ReplicaSet, and `shop/web` is still namespace and name. Lengths, punctuation, and the
places of digits, capitals and small letters stay.

The key is random and is kept nowhere: without it, no guess can be tried. Two recordings have different replacements.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
import secrets
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["Pseudonyms"]

_WORD: Final = re.compile(r"[A-Za-z0-9]+|[^\x00-\x7f]+")
_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_IPV4: Final = re.compile(r"\d{1,3}(\.\d{1,3}){3}(/\d{1,2})?")
_IPV6: Final = re.compile(r"[0-9a-fA-F]*:[0-9a-fA-F]*:[0-9a-fA-F:]*(/\d{1,3})?")
_GROUP: Final = re.compile(r"[0-9a-fA-F]+")
_DOMAIN: Final = re.compile(r"([a-z0-9-]+\.)*(kubernetes|k8s)\.io(?![A-Za-z0-9-]|\.[A-Za-z0-9])")
"""The domains of Kubernetes itself, in keys of labels, finalizers and names of controllers."""

_AFTER_DOMAIN: Final = frozenset(
    {"app", "arch", "component", "controller-uid", "created-by", "hostname", "instance", "instance-type", "job-name",
     "last-applied-configuration", "legacy", "managed-by", "metadata.name", "mirror", "name", "os", "part-of",
     "pod-name", "pv-protection", "pvc-protection", "region", "restartedAt", "revision", "service-account-token",
     "service-name", "serviceaccount", "tls", "unreachable", "not-ready", "version", "zone"}
)  # fmt: skip
"""Words behind such a domain that are no names of users."""

_FEW: Final = 10**15
"""With fewer possible words than this, replacements are kept, so that no two words get the same one."""

_MOST_TRIES: Final = 1000
_MOST_KEPT_STRINGS: Final = 50_000


class Pseudonyms:
    """Replaces strings, the same one by the same one.

    Args:
        kept: strings that are not replaced: words of the API itself.
        key: the key; by default a random one.
    """

    def __init__(self, kept: Collection[str] = (), *, key: bytes | None = None) -> None:
        self._kept = frozenset(kept)
        self._key = secrets.token_bytes(32) if key is None else key
        self._words: dict[str, str] = {}
        self._used: set[str] = set(self._kept)
        self._octets: dict[int, list[int]] = {}
        self._strings: dict[str, str] = {}

    def string(self, text: str) -> str:
        """Return the replacement of a string: as long, and of the same form."""
        found = self._strings.get(text)
        if found is None:
            if len(self._strings) >= _MOST_KEPT_STRINGS:
                self._strings.clear()
            found = self._strings[text] = self._replaced(text)
        return found

    def number(self, value: int) -> int:
        """Return the replacement of a whole number: one of five digits or more gets another of as many digits."""
        digits = str(abs(value))
        if len(digits) < 5:
            return value
        # The first digit is 1, so that the result fits into the integer that the value fits into.
        made = int("1" + self._letters("number", digits, "0" * (len(digits) - 1)))
        return -made if value < 0 else made

    def digits(self, text: str) -> str:
        """Return a quantity, a percentage or a duration with other digits, and as many of them."""
        return re.sub(r"\d{2,}", lambda found: str(self._shortened(found.group())), text)

    def _shortened(self, digits: str) -> str:
        return "1" + self._letters("quantity", digits, "0" * (len(digits) - 1))

    def _replaced(self, text: str) -> str:
        if text in self._kept or not text or _TIME.fullmatch(text):
            return text
        if _UUID.fullmatch(text):
            return self._uuid(text)
        if _IPV4.fullmatch(text) and (made := self._ipv4(text)):
            return made
        if _IPV6.fullmatch(text) and _is_ipv6(text):
            address, slash, mask = text.partition("/")
            return _GROUP.sub(self._group, address) + slash + mask
        pieces: list[str] = []
        at = 0
        for domain in _DOMAIN.finditer(text):
            if domain.start() < at or text[domain.start() - 1 : domain.start()].isalnum():
                continue
            pieces += [self._words_of(text[at : domain.start()]), domain.group()]
            at = domain.end()
            behind = re.match(r"/([A-Za-z0-9._-]*)", text[at:])
            if behind and behind.group(1) in _AFTER_DOMAIN:
                pieces.append(behind.group())
                at += behind.end()
        pieces.append(self._words_of(text[at:]))
        return "".join(pieces)

    def _words_of(self, text: str) -> str:
        return _WORD.sub(lambda found: self._word(found.group()), text)

    def _word(self, word: str) -> str:
        found = self._words.get(word)
        if found is not None:
            return found
        possible = _possible(word)
        if possible >= _FEW:
            return self._letters("word", word, word)
        made = word
        for attempt in range(_MOST_TRIES):
            made = self._letters(f"word {attempt}", word, word)
            if made not in self._used and (made != word or possible == 1):
                break
        else:
            # Chance does not find the last free words in bearable time.
            made = next((one for one in _all_words(word) if one not in self._used), word)
        self._used.add(made)
        self._words[word] = made
        return made

    def _letters(self, purpose: str, word: str, form: str) -> str:
        """Return letters and digits of a form that depend on a word, the purpose and the key."""
        stream = hashlib.shake_256(self._key + purpose.encode() + b"\0" + word.encode()).digest(2 * len(form))
        return "".join(
            _letter(character, int.from_bytes(stream[2 * at : 2 * at + 2])) for at, character in enumerate(form)
        )

    def _uuid(self, text: str) -> str:
        digits = hashlib.blake2b(text.encode(), key=self._key, digest_size=16).hexdigest()
        return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"

    def _ipv4(self, text: str) -> str:
        address, slash, mask = text.partition("/")
        parts = [int(part) for part in address.split(".")]
        if any(part > 255 for part in parts):
            return ""
        return ".".join(self._octet(part) for part in parts) + slash + mask

    def _octet(self, value: int) -> str:
        """Return another number of as many digits that fits into a byte; no two get the same."""
        low, high = (0, 10) if value < 10 else (10, 100) if value < 100 else (100, 256)
        if low not in self._octets:
            self._octets[low] = sorted(range(low, high), key=lambda one: self._letters("octet", str(one), "0" * 12))
        return str(self._octets[low][value - low])

    def _group(self, found: re.Match[str]) -> str:
        stream = hashlib.blake2b(found.group().encode(), key=self._key, digest_size=8).hexdigest()
        return stream[: len(found.group())]


def _letter(form: str, number: int) -> str:
    if form.isdigit() and form.isascii():
        return str(number % 10)
    if "a" <= form <= "z":
        return chr(ord("a") + number % 26)
    if "A" <= form <= "Z":
        return chr(ord("A") + number % 26)
    # Any other letter: one of the same length in UTF-8.
    size = len(form.encode(errors="surrogatepass"))
    low, high = {2: (0xE0, 0x100), 3: (0x4E00, 0x9FA6)}.get(size, (0x20000, 0x2A6D7))
    return chr(low + number % (high - low))


def _possible(word: str) -> int:
    count = 1
    for character in word:
        count *= 10 if "0" <= character <= "9" else 26 if character.isascii() else 32
    return count


def _all_words(form: str) -> list[str]:
    """Return all words of a form that has few of them."""
    made = [""]
    for character in form:
        several = 10 if "0" <= character <= "9" else 26 if character.isascii() else 32
        made = [before + _letter(character, number) for before in made for number in range(several)]
    return made


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Interface(text)
    except ValueError:
        return False
    return True
