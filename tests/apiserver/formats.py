"""Values for formats in schemas of CRDs, and what a kube-apiserver says: `tests/data/formats-1.36.json` keeps it.

python -m tests.apiserver.formats      # asks a real kube-apiserver, and writes the file
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

from tests.apiserver.real_server import real_server
from tests.paths import DATA

if TYPE_CHECKING:
    import aiohttp

KEPT = DATA / "formats-1.36.json"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
OBJECTS = "/apis/formats.example.com/v1/namespaces/default/formats"

FORMATS: Final = (
    *("bsonobjectid", "byte", "cidr", "creditcard", "date", "date-time", "datetime", "duration", "email", "hexcolor"),
    *("hostname", "ipv4", "ipv6", "isbn", "isbn10", "isbn13", "k8s-long-name", "k8s-short-name", "mac", "password"),
    *("rgbcolor", "ssn", "uri", "uuid", "uuid3", "uuid4", "uuid5", "u-u-i-d", "quantity", "int32", "int64", "float"),
    *("double", "uri-reference", "regex", "time", "ip", "ulid", "IPv4"),
)
"""Formats that the API server knows, and some that it does not."""

TEXTS: Final = (
    *("", " ", "a", "A", "a.b", "A.b", "-a", "a-", "a_b", "a..b", ".a", "a.", "1", "1a", "12", "a" * 63, "a" * 64),
    *(
        "a." * 126 + "a",
        "a." * 127 + "a",
        ("a" * 60 + ".") * 5 + "com",
        "ä",
        "b\u00fccher.example",
        "a.c",
        "a.com",
        "a\n",
    ),
    *("1.2.3.4", "01.2.3.4", "001.2.3.4", "1.2.3", "1.2.3.4.5", "256.1.1.1", "1.2.3.4/8", "1.2.3.4/33", "1.2.3.4/08"),
    *("010.0.0.0/8", "1.2.3.4/", "::1", "::1/64", "::1/129", "fe80::1%eth0", "::ffff:1.2.3.4", "::ffff:1.2.3.4/96"),
    *("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8:9", "g::1", "[::1]", "::01.2.3.4", "2001:db8::/32", "1.2.3.4 ", "1::2::3"),
    *("00:00:5e:00:53:01", "00-00-5e-00-53-01", "0000.5e00.5301", "00:00:5e:00:53", "02:00:5e:10:00:00:00:01"),
    *("0200.5e10.0000.0001", "00:00:5E:00:53:01", "00:00-5e:00:53:01", "0:0:5e:0:53:1", "00005e005301"),
    "00:00:00:00:fe:80:00:00:00:00:00:00:02:00:5e:10:00:00:00:01",
    *("2020-01-02", "2020-1-2", "2020-02-30", "2020-02-29", "2021-02-29", "0000-01-01", "2020-13-01", "2020-01-02 "),
    *("2020-01-02T03:04:05Z", "2020-01-02t03:04:05z", "2020-01-02T03:04:05", "2020-01-02T03:04:05.123Z"),
    *("2020-01-02T03:04:05+01:00", "2020-01-02T03:04:05+0100", "2020-01-02T24:00:00Z", "2020-01-02T23:60:00Z"),
    *("2020-01-02T23:59:60Z", "2020-01-02T03:04:05,5Z", "2020-01-02T03:04Z", "2020-01-02T03:04:05+99:99"),
    *("2020-01-02 03:04:05Z", "2020-02-30T03:04:05Z", "2020-01-02T03:04:05x5Z", "2020-01-02T03:04:05Z\n", "03:04:05Z"),
    *("1s", "1.5h", "-1s", "+1s", "1h30m", "1 h", "1d", "1 day", "2 weeks", "1 fortnight", "1mon", "1 minute ago", "0"),
    *("x1s", "1e3s", ".5s", "1.s", "s", "1us", "1\u00b5s", "1\u03bcs", "1 year 2 days", "9999999999h", "1dd", "1secs"),
    *("99999999999999999999s", "-1 day", "1 NANO", "1 millis", "1W", "1 wks", "3 hrs", "1:30", "P1D", "1m1", "1sec"),
    *("YQ==", "YWI=", "YWJj", "YQ", "YQ=", "Y Q=", "YQ==\n", "_-==", "+/==", "====", "YQ==YQ==", "YWJjYQ=="),
    *("me@example.com", "Me <me@example.com>", "me@", "@a", "me", "me@a b", "a@b", "a.b@c", "a..b@c", ".a@b", "a.@b"),
    *('"a b"@c', "<a@b>", "a@[1.2.3.4]", "Me Too <a@b>", '"Me, Too" <a@b>', "a@b, c@d", "a@b (note)", "a@b.", "a@-b"),
    *(
        "ä@b",
        "a@ä",
        "a+b@c",
        "a@b@c",
        " a@b ",
        "Me. <a@b>",
        "a b@c",
        "<a@b",
        "Me a@b",
        "a@b>",
        "=?utf-8?q?=C3=A4?= <a@b>",
    ),
    *(
        "http://a",
        "http://a b",
        "http:a",
        "//a",
        "/a",
        "/a b",
        "/a%zz",
        "/a%20",
        "a",
        "a:b",
        ":a",
        "*",
        "1a:b",
        "http://",
    ),
    *("http://[::1]/", "http://[::1", "http://a:b", "http://a:80", "http://a:", "http://u:p@a/", "http://u[@a/", "a#b"),
    *(
        "/a#b",
        "http://a?b c",
        "http://a/?%zz",
        "http://a%20b/",
        "http://a%c3%a4/",
        "http://\u00e4/",
        "http://a|b/",
        "?a",
    ),
    *(
        "http://a<b/",
        'http://a"b/',
        "http://a^b/",
        "\u007f",
        "/\u0001",
        "mailto:me@example.com",
        "a+b.c-d:x",
        "http:///x",
    ),
    *("http://[fe80::1%25eth0]/", "http://[fe80::1%eth0]/", "http://a\\b/", "/a\\b", "http://u:p:q@a/", "http://a:8x/"),
    *(
        "01234567-89ab-1cde-8123-456789abcdef",
        "01234567-89ab-3cde-8123-456789abcdef",
        "0123456789AB4CDE8123456789ABCDEF",
    ),
    *(
        "01234567-89ab-5cde-8123-456789abcdef",
        "01234567-89ab-4cde-c123-456789abcdef",
        "01234567-89ab4cde-8123456789abcdef",
    ),
    *("{01234567-89ab-4cde-8123-456789abcdef}", "01234567--89ab-4cde-8123-456789abcde", "0123456789abcdef01234567"),
    *(
        "0123456789abcdef0123456",
        "0123456789abcdef0123456g",
        "0321751043",
        "978-0321751041",
        "9780321751041",
        "080442957X",
    ),
    *(
        "0-8044-2957-x",
        "978 0321751042",
        "0321751044",
        "4111111111111111",
        "4111-1111-1111-1111",
        "4111 1111 1111 1112",
    ),
    *("378282246310005", "x4111111111111111x", "123-45-6789", "123456789", "123 45 6789", "1234567890a", "12-345-6789"),
    *("#fff", "fff", "#ffffff", "#ffff", "#FFFFFg", "rgb(1,2,3)", "rgb( 255 , 0,9)", "rgb(256,0,0)", "rgb(01,2,3)"),
    *("rgb(1,2)", "RGB(1,2,3)", "rgb(1, 2, 3) ", "100m", "1Gi", "^a$", "(", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "1.5", "-5"),
    "20:00",
)
"""Texts, each of which is tried with each format."""

TYPED: Final[dict[str, dict[str, Any]]] = {
    "text": {"type": "string", "format": "ipv4"},
    "unknown": {"type": "string", "format": "nosuch"},
    "number_in_text": {"type": "string", "format": "int32"},
    "free": {"x-kubernetes-preserve-unknown-fields": True, "format": "ipv4"},
    "either": {"x-kubernetes-int-or-string": True, "format": "date"},
    "object": {"type": "object", "format": "date", "x-kubernetes-preserve-unknown-fields": True},
    "list": {"type": "array", "format": "date", "items": {"type": "string"}},
    "switch": {"type": "boolean", "format": "byte"},
    "small": {"type": "integer", "format": "int32"},
    "large": {"type": "integer", "format": "int64"},
    "odd": {"type": "integer", "format": "date"},
    "short": {"type": "number", "format": "float"},
    "long": {"type": "number", "format": "double"},
    "odd_number": {"type": "number", "format": "int32"},
    "patterned": {"type": "string", "format": "date", "pattern": "^2", "maxLength": 9, "enum": ["2020-01-01"]},
    "nested": {"type": "string", "anyOf": [{"format": "ipv4"}, {"format": "hostname", "minLength": 3}]},
    "nullable": {"type": "string", "format": "email", "nullable": True},
}
"""Schemas that each take one of these values."""

VALUES: Final[tuple[Any, ...]] = (
    *("x", "", "1.2.3.4", "2020-01-02", "YQ==", "1", 1, 0, -1, 3_000_000_000, 1.5, 2.0, 1e40, 1e300),
    *(True, None, [], ["x"], {}, {"a": 1}, "me@example.com", "ab"),
)


def crd() -> dict[str, Any]:
    """Return a CRD that has a field for each format, and one for each other schema."""
    texts = {f"f{at}": {"type": "string", "format": name} for at, name in enumerate(FORMATS)}
    schema = {"type": "object", "properties": texts | TYPED}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "formats.formats.example.com"},
        "spec": {
            "group": "formats.example.com",
            "scope": "Namespaced",
            "names": {"plural": "formats", "singular": "format", "kind": "Format"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }


async def verdicts(http: aiohttp.ClientSession) -> dict[str, Any]:
    """Ask a server.

    Returns:
        The warnings at the CRD, the formats that refuse a text by text, one message for each format that can refuse,
        and the messages for each other schema by value.
    """

    async def post(path: str, body: Any) -> dict[str, Any]:
        async with http.post(path, json=body) as response:
            return dict(await response.json())

    def holder(**fields: Any) -> dict[str, Any]:
        return {"apiVersion": "formats.example.com/v1", "kind": "Format", "metadata": {"name": "it"}} | fields

    async with http.post(CRDS, json=crd()) as response:
        warnings = response.headers.getall("Warning", [])
    for _ in range(100):
        async with http.get(OBJECTS) as response:
            if response.status == 200:
                break
        await asyncio.sleep(0.1)
    texts: dict[str, str] = {}
    messages: dict[str, str] = {}
    for text in TEXTS:
        answer = await post(
            f"{OBJECTS}?dryRun=All", holder(**dict.fromkeys((f"f{at}" for at in range(len(FORMATS))), text))
        )
        causes = answer.get("details", {}).get("causes", [])
        refusing = [FORMATS[int(cause["field"][1:])] for cause in causes]
        texts[text] = " ".join(sorted(refusing))
        for name, cause in zip(refusing, causes, strict=True):
            messages.setdefault(name, cause["message"])
    typed = {
        name: [(await post(f"{OBJECTS}?dryRun=All", holder(**{name: value}))).get("message", "") for value in VALUES]
        for name in TYPED
    }
    return {"warnings": sorted(warnings), "texts": texts, "messages": messages, "typed": typed}


async def record() -> None:
    async with real_server() as (_, http):
        found = await verdicts(http)
    KEPT.write_text(json.dumps(found, indent=0) + "\n")


if __name__ == "__main__":
    asyncio.run(record())
