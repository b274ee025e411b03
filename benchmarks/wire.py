r"""Lists and watches of pods as a kube-apiserver writes them, as JSON and as protobuf.

Of protobuf only the frames are put together here: the content of a pod comes from Kubernetes' own encoder (`client_go
encode`). The messages are those of k8s.io/apimachinery: a document is `k8s\0` and a `runtime.Unknown` with the type
and the object's message in it; a watch is `metav1.WatchEvent`s, each after the four bytes of its length, with such
documents in them.
"""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["JSON", "LIST_VERSION", "PROTOBUF", "Encoding", "chunked"]

LIST_VERSION: Final = "9000000"
"""Higher than that of any pod in a list, lower than that of any update."""

_MAGIC: Final = b"k8s\x00"


class Encoding(NamedTuple):
    """The format in which a kube-apiserver writes.

    Attributes:
        list_type: Content-Type of a list.
        watch_type: Content-Type of a watch.
        binary: whether it is protobuf.
    """

    list_type: bytes
    watch_type: bytes
    binary: bool

    def page(self, items: list[bytes], go_on: str) -> bytes:
        """A list; `go_on` is the continue token, "" for the last page."""
        if self.binary:
            meta = _field(1, b"") + _field(2, LIST_VERSION.encode()) + _field(3, go_on.encode())
            message = _field(1, meta) + b"".join(_field(2, item) for item in items)
            return _document("PodList", message)
        more = f',"continue":"{go_on}"' if go_on else ""
        head = f'{{"kind":"PodList","apiVersion":"v1","metadata":{{"resourceVersion":"{LIST_VERSION}"{more}}},"items":['
        return head.encode() + b",".join(items) + b"]}\n"

    def event(self, kind: str, obj: bytes) -> bytes:
        """A watch event with a pod; JSON must have its kind and apiVersion in it."""
        if self.binary:
            return _framed(_field(1, kind.encode()) + _field(2, _field(1, _document("Pod", obj))))
        return b'{"type":"%s","object":%s}\n' % (kind.encode(), obj)

    def end_of_list(self) -> bytes:
        """The bookmark that ends the list in a stream."""
        if self.binary:
            annotation = _field(1, b"k8s.io/initial-events-end") + _field(2, b"true")
            meta = _field(6, LIST_VERSION.encode()) + _field(12, annotation)
            return self.event("BOOKMARK", _field(1, meta))
        return self.event(
            "BOOKMARK",
            b'{"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"%s",'
            b'"annotations":{"k8s.io/initial-events-end":"true"}},"spec":{"containers":null},"status":{}}'
            % LIST_VERSION.encode(),
        )


JSON: Final = Encoding(b"application/json", b"application/json", binary=False)
PROTOBUF: Final = Encoding(
    b"application/vnd.kubernetes.protobuf", b"application/vnd.kubernetes.protobuf;stream=watch", binary=True
)


def chunked(event: bytes) -> bytes:
    """As a Go server sends it: flushed after each event, which makes it a chunk of HTTP."""
    return b"%x\r\n%s\r\n" % (len(event), event)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _field(number: int, content: bytes) -> bytes:
    """A field of the wire type "length-delimited": bytes, a string, a message."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _document(kind: str, message: bytes) -> bytes:
    of_type = _field(1, b"v1") + _field(2, kind.encode())
    return _MAGIC + _field(1, of_type) + _field(2, message) + _field(3, b"") + _field(4, b"")


def _framed(message: bytes) -> bytes:
    return len(message).to_bytes(4, "big") + message
