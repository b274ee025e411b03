"""One reflector and one cache, shared by many handlers; the factory that shares informers."""

from __future__ import annotations

from kinformer.informer._shared_informer import SharedInformer

__all__ = ["SharedInformer"]
