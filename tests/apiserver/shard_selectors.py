"""Shard selectors, and the answers of a kube-apiserver to them (k8s.io/apiserver pkg/sharding/parser.go)."""

from __future__ import annotations

LOW, MIDDLE, END = "0x0000000000000000", "0x8000000000000000", "0x10000000000000000"
UID = "object.metadata.uid"

ACCEPTED = [
    f"shardRange({UID}, '{LOW}', '{MIDDLE}') || shardRange({UID}, '{MIDDLE}', '{END}')",
    f'shardRange({UID},"{LOW}","{END}")',
    f"(shardRange({UID}, '{LOW}', '{END}'))",
    f"  (shardRange({UID}, '{LOW}', '{MIDDLE}') || (shardRange({UID}, '{MIDDLE}', '{END}')))\n",
    f"shardRange((object.metadata).namespace, '{LOW}', '{END}')",
]

REFUSED = [
    (" ", "empty shard selector is not allowed; omit the parameter for unfiltered lists"),
    ("nonsense", "unexpected expression kind 3; expected shardRange() call or || operator"),
    ("'text'", "unexpected expression kind 5; expected shardRange() call or || operator"),
    ("a.b", "unexpected expression kind 7; expected shardRange() call or || operator"),
    ("other(1)", 'unsupported function "other"; only shardRange() and || are allowed'),
    ("shardRange(a) && shardRange(b)", 'unsupported function "_&&_"; only shardRange() and || are allowed'),
    ("shardRange()", "shardRange() requires exactly 3 arguments, got 0"),
    (
        f"shardRange('x', '{LOW}', '{END}')",
        "shardRange() first argument: expected field path (e.g. object.metadata.uid), got expression kind 5",
    ),
    (
        f"shardRange(object.metadata.name, '{LOW}', '{END}')",
        'unsupported field path "object.metadata.name"; supported: object.metadata.uid, object.metadata.namespace',
    ),
    (
        f"shardRange({UID}, '0x0', '{MIDDLE}')",
        'hexStart must be a 0x-prefixed 16-digit hex value, got "0x0" (did you mean "0x0000000000000000"?)',
    ),
    (f"shardRange({UID}, 0, '{END}')", "hexStart must be a string literal, got int64"),
    (
        f"shardRange({UID}, {UID}, '{END}')",
        "hexStart must be a string literal (e.g. '0xff'), got expression kind 7",
    ),
    (f"shardRange({UID}, '0', '{END}')", "hexStart must have '0x' prefix, got \"0\""),
    (f"shardRange({UID}, '0x', '{END}')", "hexStart: hex value is required after '0x'"),
    (
        f"shardRange({UID}, '{LOW}', '0xF000000000000000')",
        'hexEnd: invalid hex character "F" in "0xF000000000000000"',
    ),
    (
        f"shardRange({UID}, '{LOW}', '0x1ffffffffffffffff')",
        "hexEnd: 17-digit hex value must be '0x10000000000000000' (2^64), got \"0x1ffffffffffffffff\"",
    ),
    (
        f"shardRange({UID}, '{LOW}', '0x100000000000000000')",
        'hexEnd: hex value too long (18 chars, max 17): "100000000000000000"',
    ),
    (
        f"shardRange({UID}, '{MIDDLE}', '{MIDDLE}')",
        f"shard range start {MIDDLE} must be less than end {MIDDLE}",
    ),
    (
        f"shardRange({UID}, '{LOW}', '{MIDDLE}') || shardRange(object.metadata.namespace, '{MIDDLE}', '{END}')",
        'all shard ranges must use the same field, got "object.metadata.uid" and "object.metadata.namespace"',
    ),
]
"""Selectors, and what follows "invalid shard selector: " in the message of the refusal."""
