"""The forms of names and of label keys and values, with the texts of their refusals (apimachinery util/validation)."""

from __future__ import annotations

import re
from typing import Final

__all__ = [
    "DNS_1035",
    "DNS_1035_RULE",
    "LABEL",
    "LABEL_RULE",
    "LABEL_VALUE",
    "LABEL_VALUE_RULE",
    "QUALIFIED",
    "QUALIFIED_RULE",
    "SUBDOMAIN",
    "SUBDOMAIN_RULE",
    "label_faults",
    "label_value_faults",
    "port_name_faults",
    "qualified_faults",
    "subdomain_faults",
]

SUBDOMAIN: Final = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
SUBDOMAIN_RULE: Final = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    f"end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{SUBDOMAIN}')"
)
QUALIFIED: Final = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
QUALIFIED_RULE: Final = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    f"character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{QUALIFIED}')"
)
DNS_1035: Final = "[a-z]([-a-z0-9]*[a-z0-9])?"
DNS_1035_RULE: Final = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    f"'{DNS_1035}')"
)
LABEL: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
LABEL_RULE: Final = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    f"an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '{LABEL}')"
)
LABEL_VALUE: Final = r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?"
LABEL_VALUE_RULE: Final = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    f"end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    f"'{LABEL_VALUE}')"
)


def label_faults(text: str) -> list[str]:
    """Return why a text is no DNS label of at most 63 characters."""
    faults = ["must be no more than 63 characters"] if len(text.encode()) > 63 else []
    if re.fullmatch(LABEL, text):
        return faults
    return [*faults, "must not contain dots" if re.fullmatch(SUBDOMAIN, text) else LABEL_RULE]


def subdomain_faults(text: str) -> list[str]:
    """Return why a text is no DNS subdomain of at most 253 characters."""
    faults = ["must be no more than 253 characters"] if len(text.encode()) > 253 else []
    return faults if re.fullmatch(SUBDOMAIN, text) else [*faults, SUBDOMAIN_RULE]


def label_value_faults(text: str) -> list[str]:
    """Return why a text is no value of a label."""
    faults = ["must be no more than 63 bytes"] if len(text) > 63 else []
    return faults if re.fullmatch(LABEL_VALUE, text) else [*faults, LABEL_VALUE_RULE]


def qualified_faults(key: str) -> list[str]:
    """Return why a text is no key of a label."""
    prefix, slash, name = key.rpartition("/")
    if "/" in prefix:
        rule = QUALIFIED_RULE.removeprefix("name part ")
        return [f"a valid label key {rule} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"]
    faults = []
    if len(prefix) > 253:
        faults.append("prefix part must be no more than 253 bytes")
    if slash and not re.fullmatch(SUBDOMAIN, prefix):
        faults.append(f"prefix part {SUBDOMAIN_RULE}" if prefix else "prefix part must be non-empty")
    if not name:
        faults.append("name part must be non-empty")
    if len(name) > 63:
        faults.append("name part must be no more than 63 bytes")
    return faults if re.fullmatch(QUALIFIED, name) else [*faults, QUALIFIED_RULE]


def port_name_faults(name: str) -> list[str]:
    """Return why a text is no name of a port (IANA service name, RFC 6335)."""
    faults = []
    if len(name) > 15:
        faults.append("must be no more than 15 characters")
    if not re.fullmatch("[-a-z0-9]+", name):
        faults.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search("[a-z]", name):
        faults.append("must contain at least one letter (a-z)")
    if "--" in name:
        faults.append("must not contain consecutive hyphens")
    if name[:1] == "-" or name[-1:] == "-":
        faults.append("must not begin or end with a hyphen")
    return faults
