"""The rules for the fields of the kinds that Kubernetes 1.37 made stable (pkg/apis of kubernetes 1.37).

Python's TLS library reads the certificates. Of a signing request, only the frame is read (RFC 2986, section 4.2), not
its key, and not its signature.
"""

from __future__ import annotations

import base64
import binascii
import re
import ssl
from typing import TYPE_CHECKING, Any, Final

from kinformer.testing._apiserver.rules.causes import duplicate, invalid_value, one_of, required, too_long
from kinformer.testing._apiserver.rules.fields.terms import (
    always,
    if_given,
    label,
    label_value,
    needed,
    on,
    qualified,
    signer_name,
    subdomain,
)
from kinformer.testing._apiserver.rules.names import (
    DNS_1035,
    DNS_1035_RULE,
    qualified_faults,
    subdomain_faults,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinformer.testing._apiserver.rules.fields.terms import Rule
    from kinformer.testing._apiserver.store.status import Cause

__all__ = ["RULES"]

_MOST_BUNDLE: Final = 1024 * 1024
"""Bytes of a trust bundle (MaxTrustBundleSize)."""
_MOST_REQUEST: Final = 10 * 1024
"""Bytes of a signing request (MaxStubPKCS10RequestSize)."""
_SHORTEST: Final = 3600
"""Seconds that the certificate of a pod lives at least."""
_LONGEST: Final = 91 * 86400
"""Seconds that the certificate of a pod lives at most."""
_LONGEST_OF_KUBERNETES: Final = 86400
"""Seconds that a certificate by a signer of Kubernetes itself lives at most; the default of all."""
_ENDS: Final = ("Issued", "Denied", "Failed")
"""The conditions that end a request of a pod."""

_STATES: Final = ("False", "True", "Unknown")
_REASON: Final = "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?"
_REASON_RULE: Final = (
    "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric "
    "characters or '_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name',  or 'MY_NAME',  or "
    f"'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is '{_REASON}')"
)

_PEM: Final = re.compile(rb"-----BEGIN ([^-\r\n]*)-----\s*\n(.*?)-----END \1-----", re.DOTALL)
_OMITTED: Final = "<value omitted>"


def _bundle_name(value: dict[str, Any], path: str) -> Iterator[Cause]:
    """Judge the name of a bundle, which begins with the name of its signer (ValidateClusterTrustBundleName)."""
    del path
    name = (value.get("metadata") or {}).get("name") or ""
    signer = (value.get("spec") or {}).get("signerName") or ""
    at, prefix = "metadata.name", signer.replace("/", ":") + ":"
    if not signer:
        if ":" in name:
            yield invalid_value(at, name, 'ClusterTrustBundle without signer name must not have ":" in its name')
        else:
            yield from subdomain(name, at)
    elif not name.startswith(prefix):
        why = f"ClusterTrustBundle for signerName {signer} must be named with prefix {prefix}"
        yield invalid_value(at, name, why)
    else:
        yield from (invalid_value(at, name, why) for why in subdomain_faults(name.removeprefix(prefix)))


def _bundle(value: dict[str, Any], path: str) -> Iterator[Cause]:
    if value.get("signerName"):
        yield from signer_name(value["signerName"], f"{path}.signerName")
    at, text = f"{path}.trustBundle", str(value.get("trustBundle") or "").encode()
    if len(text) > _MOST_BUNDLE:
        yield too_long(at, _MOST_BUNDLE)
        return
    places: dict[bytes, list[int]] = {}
    faults = []
    for index, (block, body) in enumerate(_PEM.findall(text)):
        content, why = _authority(block, body)
        if why:
            faults.append(invalid_value(at, _OMITTED, f"entry {index} {why}"))
        else:
            places.setdefault(content, []).append(index)
    if faults:
        yield from faults
        return
    if not places:
        yield invalid_value(at, _OMITTED, "at least one trust anchor must be provided")
    for indexes in places.values():
        if len(indexes) > 1:
            shown = " ".join(map(str, indexes))
            yield invalid_value(at, _OMITTED, f"duplicate trust anchor (indices [{shown}])")


def _authority(block: bytes, body: bytes) -> tuple[bytes, str]:
    """The content of a PEM block, and why it is no certificate of an authority, or an empty text."""
    if block != b"CERTIFICATE":
        return b"", f"has bad block type: {block.decode(errors='replace')}"
    if b":" in body:
        return b"", "has PEM block headers"
    try:
        content = base64.b64decode(b"".join(body.split()), validate=True)
        store = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        store.load_verify_locations(cadata=content)
    except (binascii.Error, ssl.SSLError, ValueError):
        return b"", "does not parse as X.509"
    return content, "" if store.cert_store_stats()["x509_ca"] else "does not have the CA bit set"


def _annotation_faults(key: str) -> list[str]:
    """Return why a text is no key with a domain in front (apimachinery, IsDomainPrefixedKey)."""
    faults = qualified_faults(key.lower())
    return faults if faults or "/" in key else ['must be a domain-prefixed key (such as "acme.io/foo")']


def _identifier(value: Any, path: str) -> Iterator[Cause]:
    if not value:
        yield invalid_value(path, "", "must not be empty")
    elif len(str(value)) > 128:
        yield too_long(path, 128)


def _pod_request(value: dict[str, Any], path: str) -> Iterator[Cause]:
    yield from signer_name(value.get("signerName"), f"{path}.signerName")
    for key in value.get("unverifiedUserAnnotations") or ():
        yield from (invalid_value(f"{path}.unverifiedUserAnnotations", key, why) for why in _annotation_faults(key))
    for named in ("pod", "serviceAccount", "node"):
        yield from always(subdomain)(value.get(f"{named}Name"), f"{path}.{named}Name")
        yield from _identifier(value.get(f"{named}UID"), f"{path}.{named}UID")
    seconds, at = value.get("maxExpirationSeconds", _LONGEST_OF_KUBERNETES), f"{path}.maxExpirationSeconds"
    domain = str(value.get("signerName") or "").partition("/")[0]
    longest = _LONGEST_OF_KUBERNETES if f".{domain}".endswith(".kubernetes.io") else _LONGEST
    if not _SHORTEST <= seconds <= longest:
        yield invalid_value(at, seconds, f"must be in the range [{_SHORTEST}, {longest}]")
    request, key = value.get("stubPKCS10Request"), value.get("pkixPublicKey")
    if bool(request) == bool(key) or bool(key) != bool(value.get("proofOfPossession")):
        why = "exactly one of (stubPKCS10Request) or (pkixPublicKey, proofOfPossession) must be set"
        yield ("FieldValueInvalid", f"Invalid value: {why}", path)
    elif request:
        content = base64.b64decode(request)
        at = f"{path}.stubPKCS10Request"
        if len(content) > _MOST_REQUEST:
            yield too_long(at, _MOST_REQUEST)
        elif not _is_framed(content):
            yield ("FieldValueInvalid", "Invalid value: must be a valid PKCS#10 CSR", at)


def _is_framed(content: bytes) -> bool:
    """Report whether a signing request is a sequence of its information, its algorithm and its signature."""
    whole = _der(content)
    return len(whole) == 1 and whole[0][0] == 0x30 and [tag for tag, _ in _der(whole[0][1])] == [0x30, 0x30, 0x03]


def _der(content: bytes) -> list[tuple[int, bytes]]:
    """The tags and contents of the values that follow one another (X.690, section 8.1); none if one is cut off."""
    values, at = [], 0
    while at + 2 <= len(content):
        tag, size, at = content[at], content[at + 1], at + 2
        if size & 0x80:
            count = size & 0x7F
            size, at = int.from_bytes(content[at : at + count], "big"), at + count
        if at + size > len(content):
            return []
        values.append((tag, content[at : at + size]))
        at += size
    return values if at == len(content) else []


def conditions(value: dict[str, Any], path: str = "") -> Iterator[Cause]:
    """Judge the conditions of an object's state (apimachinery, ValidateConditions)."""
    del path
    seen = set()
    for index, condition in enumerate((value.get("status") or {}).get("conditions") or ()):
        at, kind, state = f"status.conditions[{index}]", condition.get("type"), condition.get("status")
        if kind in seen:
            yield duplicate(at, kind)
        seen.add(kind)
        if not kind:
            yield required(f"{at}.type", "is required")
        else:
            yield from qualified(kind, f"{at}.type")
        if not state:
            yield required(f"{at}.status")
        elif state not in _STATES:
            yield one_of(f"{at}.status", state, _STATES)
        if condition.get("observedGeneration", 0) < 0:
            why = "must be greater than or equal to zero"
            yield invalid_value(f"{at}.observedGeneration", condition["observedGeneration"], why)
        if not condition.get("lastTransitionTime"):
            yield required(f"{at}.lastTransitionTime")
        if not condition.get("reason"):
            yield required(f"{at}.reason")
        elif not re.fullmatch(_REASON, condition["reason"]):
            yield invalid_value(f"{at}.reason", condition["reason"], _REASON_RULE)


def _pod_request_state(value: dict[str, Any], path: str) -> Iterator[Cause]:
    del path
    ends = 0
    for index, condition in enumerate((value.get("status") or {}).get("conditions") or ()):
        at = f"status.conditions.[{index}]"
        if condition.get("type") not in _ENDS:
            yield one_of(f"{at}.type", condition.get("type"), _ENDS)
            continue
        ends += 1
        if ends > 1:
            why = 'There may be at most one condition with type "Issued", "Denied", or "Failed"'
            yield invalid_value(f"{at}.type", condition["type"], why)
        if condition.get("status") != "True":
            yield one_of(f"{at}.status", condition.get("status"), ("True",))
    yield from conditions(value)


def _migrated(value: dict[str, Any], path: str) -> Iterator[Cause]:
    resource = value.get("resource") or {}
    plural, at = resource.get("resource"), f"{path}.resource.resource"
    if not plural:
        yield required(at, "resource is required to be set")
    elif not re.fullmatch(DNS_1035, plural):
        yield invalid_value(at, plural, DNS_1035_RULE)
    if resource.get("group"):
        yield from subdomain(resource["group"], f"{path}.resource.group")


def _driver(value: Any, path: str) -> Iterator[Cause]:
    if value and len(value) > 63:
        yield too_long(path, 63)


def _pool(value: Any, path: str) -> Iterator[Cause]:
    if not value:
        yield required(path)
        return
    for part in value.split("/"):
        yield from subdomain(part, path)


def _migration_state(value: dict[str, Any], path: str) -> Iterator[Cause]:
    del path
    version = (value.get("status") or {}).get("resourceVersion") or ""
    at = "status.resourceVersion"
    if version and not re.fullmatch("[1-9][0-9]*|0", version):
        yield invalid_value(at, version, f"resource version is not well formed: {version}")
    yield from conditions(value)


RULES: Final[dict[str, tuple[Rule, ...]]] = {
    "certificates/v1.ClusterTrustBundle": (_bundle_name,),
    "certificates/v1.ClusterTrustBundleSpec": (_bundle,),
    "certificates/v1.PodCertificateRequest": (_pod_request_state,),
    "certificates/v1.PodCertificateRequestSpec": (_pod_request,),
    "resource/v1.DeviceTaintRule": (conditions,),
    "resource/v1.DeviceTaintSelector": (
        on("driver", _driver, subdomain),
        on("pool", if_given(_pool)),
        on("device", label),
    ),
    "resource/v1.DeviceTaint": (
        on("key", always(qualified)),
        on("value", label_value),
        on("effect", needed()),
    ),
    "storagemigration/v1.StorageVersionMigration": (_migration_state,),
    "storagemigration/v1.StorageVersionMigrationSpec": (_migrated,),
}
