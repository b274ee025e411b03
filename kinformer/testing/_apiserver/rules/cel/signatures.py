"""The signatures of the operators, functions and methods of CEL (cel-go common/stdlib, apiserver pkg/cel/library)."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "BOOL",
    "DYN",
    "INT",
    "NULL",
    "STRING",
    "Signature",
    "Type",
    "list_of",
    "map_of",
    "optional_of",
    "signatures",
]


@dataclass(frozen=True, slots=True)
class Type:
    """The type of an expression.

    Attributes:
        name: its name, as errors show it; one capital letter is a type that a call decides.
        of: the types of its parts: of the items of a list, of the keys and values of a map.
        fields: the types of the fields of an object; `None` for a type without fields.
    """

    name: str
    of: tuple[Type, ...] = ()
    fields: Mapping[str, Type] | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return f"{self.name}({', '.join(map(str, self.of))})" if self.of else self.name


BOOL: Final = Type("bool")
DYN: Final = Type("dyn")
INT: Final = Type("int")
NULL: Final = Type("null")
STRING: Final = Type("string")


def list_of(item: Type) -> Type:
    """The type of lists of some items."""
    return Type("list", (item,))


def map_of(key: Type, value: Type) -> Type:
    """The type of maps of some keys and values."""
    return Type("map", (key, value))


def optional_of(value: Type) -> Type:
    """The type of values that may be missing."""
    return Type("optional_type", (value,))


class Signature(NamedTuple):
    """One way to call a function.

    Attributes:
        arguments: the types of the arguments; that of the receiver of a method is the first.
        result: the type of the value.
    """

    arguments: tuple[Type, ...]
    result: Type


_TEXT: Final = """
!_(bool) bool
-_(int) int
-_(double) double
_==_(A, A) bool
_!=_(A, A) bool
_?_:_(bool, A, A) A
@in(A, list(A)) bool
@in(A, map(A, B)) bool
_[_](list(A), int) A
_[_](map(A, B), A) B
_[_](optional_type(list(A)), int) optional_type(A)
_[_](optional_type(map(A, B)), A) optional_type(B)
_[?_](list(A), int) optional_type(A)
_[?_](map(A, B), A) optional_type(B)
_[?_](optional_type(list(A)), int) optional_type(A)
_[?_](optional_type(map(A, B)), A) optional_type(B)
_+_(int, int) int
_+_(double, double) double
_+_(string, string) string
_+_(bytes, bytes) bytes
_+_(list(A), list(A)) list(A)
_+_(duration, duration) duration
_+_(duration, timestamp) timestamp
_+_(timestamp, duration) timestamp
_-_(int, int) int
_-_(double, double) double
_-_(timestamp, timestamp) duration
_-_(timestamp, duration) timestamp
_-_(duration, duration) duration
_*_(int, int) int
_*_(double, double) double
_/_(int, int) int
_/_(double, double) double
_%_(int, int) int
size(string) int
size(bytes) int
size(list(A)) int
size(map(A, B)) int
string.size() int
bytes.size() int
list(A).size() int
map(A, B).size() int
int(int) int
int(double) int
int(string) int
int(timestamp) int
double(int) double
double(double) double
double(string) double
string(bool) string
string(bytes) string
string(double) string
string(int) string
string(string) string
string(timestamp) string
string(duration) string
string(net.IP) string
string(net.CIDR) string
bool(bool) bool
bool(string) bool
bytes(bytes) bytes
bytes(string) bytes
duration(string) duration
duration(duration) duration
timestamp(string) timestamp
timestamp(timestamp) timestamp
timestamp(int) timestamp
dyn(A) dyn
type(A) type(A)
matches(string, string) bool
string.matches(string) bool
string.startsWith(string) bool
string.endsWith(string) bool
string.contains(string) bool
string.find(string) string
string.findAll(string) list(string)
string.findAll(string, int) list(string)
string.charAt(int) string
string.substring(int) string
string.substring(int, int) string
string.split(string) list(string)
string.split(string, int) list(string)
string.replace(string, string) string
string.replace(string, string, int) string
string.trim() string
string.lowerAscii() string
string.upperAscii() string
string.indexOf(string) int
string.indexOf(string, int) int
string.lastIndexOf(string) int
string.lastIndexOf(string, int) int
string.format(list(dyn)) string
list(A).reverse() list(A)
list(A).indexOf(A) int
list(A).lastIndexOf(A) int
list(string).join() string
list(string).join(string) string
list(int).sum() int
list(double).sum() double
list(duration).sum() duration
quantity(string) kubernetes.Quantity
isQuantity(string) bool
kubernetes.Quantity.sign() int
kubernetes.Quantity.isInteger() bool
kubernetes.Quantity.asInteger() int
kubernetes.Quantity.asApproximateFloat() double
kubernetes.Quantity.add(kubernetes.Quantity) kubernetes.Quantity
kubernetes.Quantity.add(int) kubernetes.Quantity
kubernetes.Quantity.sub(kubernetes.Quantity) kubernetes.Quantity
kubernetes.Quantity.sub(int) kubernetes.Quantity
kubernetes.Quantity.isGreaterThan(kubernetes.Quantity) bool
kubernetes.Quantity.isLessThan(kubernetes.Quantity) bool
kubernetes.Quantity.compareTo(kubernetes.Quantity) int
semver(string) kubernetes.Semver
semver(string, bool) kubernetes.Semver
isSemver(string) bool
isSemver(string, bool) bool
kubernetes.Semver.major() int
kubernetes.Semver.minor() int
kubernetes.Semver.patch() int
kubernetes.Semver.isGreaterThan(kubernetes.Semver) bool
kubernetes.Semver.isLessThan(kubernetes.Semver) bool
kubernetes.Semver.compareTo(kubernetes.Semver) int
url(string) kubernetes.URL
isURL(string) bool
kubernetes.URL.getScheme() string
kubernetes.URL.getHost() string
kubernetes.URL.getHostname() string
kubernetes.URL.getPort() string
kubernetes.URL.getEscapedPath() string
kubernetes.URL.getQuery() map(string, list(string))
ip(string) net.IP
isIP(string) bool
ip.isCanonical(string) bool
net.IP.family() int
net.IP.isUnspecified() bool
net.IP.isLoopback() bool
net.IP.isLinkLocalMulticast() bool
net.IP.isLinkLocalUnicast() bool
net.IP.isGlobalUnicast() bool
cidr(string) net.CIDR
isCIDR(string) bool
net.CIDR.containsIP(string) bool
net.CIDR.containsIP(net.IP) bool
net.CIDR.containsCIDR(string) bool
net.CIDR.containsCIDR(net.CIDR) bool
net.CIDR.ip() net.IP
net.CIDR.masked() net.CIDR
net.CIDR.prefixLength() int
sets.contains(list(A), list(A)) bool
sets.equivalent(list(A), list(A)) bool
sets.intersects(list(A), list(A)) bool
format.dns1123Label() kubernetes.NamedFormat
format.dns1123Subdomain() kubernetes.NamedFormat
format.qualifiedName() kubernetes.NamedFormat
format.labelValue() kubernetes.NamedFormat
kubernetes.NamedFormat.validate(string) optional_type(list(string))
optional.of(A) optional_type(A)
optional.ofNonZeroValue(A) optional_type(A)
optional.none() optional_type(A)
optional_type(A).hasValue() bool
optional_type(A).value() A
optional_type(A).orValue(A) A
optional_type(A).or(optional_type(A)) optional_type(A)
jsonpatch.escapeKey(string) string
kubernetes.authorization.Authorizer.path(string) kubernetes.authorization.PathCheck
kubernetes.authorization.Authorizer.group(string) kubernetes.authorization.GroupCheck
kubernetes.authorization.Authorizer.serviceAccount(string, string) kubernetes.authorization.Authorizer
kubernetes.authorization.PathCheck.check(string) kubernetes.authorization.Decision
kubernetes.authorization.GroupCheck.resource(string) kubernetes.authorization.ResourceCheck
kubernetes.authorization.ResourceCheck.subresource(string) kubernetes.authorization.ResourceCheck
kubernetes.authorization.ResourceCheck.namespace(string) kubernetes.authorization.ResourceCheck
kubernetes.authorization.ResourceCheck.name(string) kubernetes.authorization.ResourceCheck
kubernetes.authorization.ResourceCheck.fieldSelector(string) kubernetes.authorization.ResourceCheck
kubernetes.authorization.ResourceCheck.labelSelector(string) kubernetes.authorization.ResourceCheck
kubernetes.authorization.ResourceCheck.check(string) kubernetes.authorization.Decision
kubernetes.authorization.Decision.allowed() bool
kubernetes.authorization.Decision.reason() string
kubernetes.authorization.Decision.errored() bool
kubernetes.authorization.Decision.error() string
"""

_ORDERED: Final = (
    *("bool", "int", "double", "string", "bytes", "timestamp", "duration"),
    *(("int", "double"), ("double", "int")),
)
"""The types that have an order; numbers are compared across their types."""

_SORTED: Final = ("int", "double", "bool", "string", "bytes", "timestamp", "duration")
_PARTS_OF_TIMES: Final = (
    *("getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear"),
    *("getHours", "getMinutes", "getSeconds", "getMilliseconds"),
)
_PARTS_OF_DURATIONS: Final = ("getHours", "getMinutes", "getSeconds", "getMilliseconds")
_NAMESPACES: Final = {"sets", "optional", "format", "jsonpatch", "ip"}


def _lines() -> list[str]:
    made = [line for line in _TEXT.splitlines() if line]
    for sign in ("<", "<=", ">", ">="):
        pairs = [(one, one) if isinstance(one, str) else one for one in _ORDERED]
        made += [f"_{sign}_({left}, {right}) bool" for left, right in pairs]
    for part in _PARTS_OF_TIMES:
        made += [f"timestamp.{part}() int", f"timestamp.{part}(string) int"]
    made += [f"duration.{part}() int" for part in _PARTS_OF_DURATIONS]
    for item in _SORTED:
        made += [f"list({item}).{name}() {item}" for name in ("min", "max")] + [f"list({item}).isSorted() bool"]
    return made


def _split(text: str) -> list[str]:
    """The parts of a text between commas that stand in no brackets."""
    parts, depth = [""], 0
    for sign in text:
        depth += (sign == "(") - (sign == ")")
        if sign == "," and not depth:
            parts.append("")
        else:
            parts[-1] += sign
    return [part.strip() for part in parts if part.strip()]


def _type(text: str) -> Type:
    name, _, rest = text.partition("(")
    return Type(name, tuple(map(_type, _split(rest[:-1]))) if rest else ())


def _read(line: str) -> tuple[str, bool, Signature]:
    """The name, whether it is a method, and the signature that a line describes."""
    end = line.index(") ")
    begin, depth = end, 0
    for begin in range(end, -1, -1):
        depth += (line[begin] == ")") - (line[begin] == "(")
        if not depth:
            break
    called, arguments, result = line[:begin], line[begin + 1 : end], line[end + 2 :]
    receiver, _, name = called.rpartition(".")
    if not receiver or receiver in _NAMESPACES:
        return called, False, Signature(tuple(map(_type, _split(arguments))), _type(result))
    return name, True, Signature((_type(receiver), *map(_type, _split(arguments))), _type(result))


@cache
def signatures() -> Mapping[tuple[str, bool], tuple[Signature, ...]]:
    """The signatures, by name and by whether they are of a method; the name of a function includes its namespace."""
    found: dict[tuple[str, bool], tuple[Signature, ...]] = {}
    for line in _lines():
        name, is_method, signature = _read(line)
        found[name, is_method] = (*found.get((name, is_method), ()), signature)
    return found
