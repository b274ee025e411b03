"""A client that reads from the caches of a factory. See docs/how-to/read-through-the-cache.md.

containment     scopes that contain questions, and the selection of an answer from a cache (pure)
answers         answers that name their origin
own_writes      the writes of the client that a cache may not show yet (pure)
apply_records   server-side applies that would change nothing (pure)
caches          the protocols of factory, informer and client
forwarded       the verbs that are passed on to the client
reads           finds a cache that can answer, or the reason why none can
client          CachedClient: the verbs
"""
