"""Question: what do an object of the first list, a watch event and an object held cost, beside other clients?

Generated pods of 9.0 KB (`benchmarks.generator`, from the recordings of a real kube-apiserver 1.36) are listed, and
then updated as fast as the client takes them, spread over all of them. Each client is a process of its own, used as
its documentation has it; the server is another process and sends bytes that were rendered before. "Names": the
handler reads the name. "Reads": it reads `status.phase`, and one index reads `spec.nodeName`. CPU time, user and
system, of all threads; the least of several runs, in turns; per object is the difference between a run with many
objects and one with 50, so that what a client costs once is not counted. Memory is the resident memory after a
collection, and after the allocator has returned free memory, which flatters clients with a higher peak, client-go
most of all (its heap grows to twice the live size before a collection).

Its bias: a stream without a pause favours a client that works in batches, as kinformer does, and so does a loopback
that needs no TLS; nothing is compressed, where a real server would compress a list for clients that ask for it (all in
Go and most in Python). At "names" kinformer decodes nothing, at "reads" the parts that are read. Clients that decode
everything have it done when a handler wants all of it.
"""

from __future__ import annotations

from benchmarks.peers.comparison import PICTURES, main, page

__all__ = ["PICTURES", "main", "page"]
