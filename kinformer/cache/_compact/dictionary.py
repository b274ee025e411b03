"""zstd with a dictionary made of the same kind of objects that it compresses.

A dictionary contains a few whole objects, and statistics of more objects. With four pods in it, made in 4 ms, a pod of
8.9 KB takes 450 bytes. With zstd's own training, which takes 50 to 140 ms, it takes 490 bytes (docs/design/0006).
"""

from __future__ import annotations

import functools
import importlib
import sys
from typing import TYPE_CHECKING, Any, Final

from kinformer.errors import MissingDependencyError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Dictionary", "make_dictionary", "require_zstd"]

LEVEL: Final = 1
"""Level 3 takes 3 µs more per object in a stream of events, for its larger tables. Its frames are 0.5 % smaller."""

CONTENT_BYTES: Final = 48 << 10
"""Maximum size of the whole objects in a dictionary. Twice as much makes pods no smaller."""

_SAMPLE_BYTES: Final = 256 << 10
"""Maximum size of the objects used for the statistics: they take 2 ms of work."""

_CUT: Final = 16 << 10
"""Maximum size of one object in the dictionary."""

_STATISTICS_BYTES: Final = 4 << 10


def require_zstd() -> Any:
    """Return the zstd module: the standard library's from Python 3.14 on, else the package `backports.zstd`.

    Raises:
        MissingDependencyError: it is not installed.
    """
    name = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
    try:
        return importlib.import_module(name)
    except ImportError as error:
        msg = f"storage='compact' needs {name}, which is not installed; pip install 'kinformer[compact]'"
        raise MissingDependencyError(msg) from error


class Dictionary:
    """Compresses and decompresses. No other dictionary can decompress its frames, so keep it as long as them.

    `decompress` may be called from any number of threads at once, `compress` from one at a time.

    Args:
        zstd: the zstd module.
        zstd_dict: the dictionary as an object of that module.
        generation: its number; the first dictionary of a cache has 1.
    """

    __slots__ = ("_compressor", "_decompressor", "_new_compressor", "_zstd_dict", "generation", "size")

    def __init__(self, zstd: Any, zstd_dict: Any, generation: int) -> None:
        self.generation = generation
        self.size = len(zstd_dict)
        self._zstd_dict = zstd_dict
        parameter = zstd.CompressionParameter
        # A frame contains no ID of its dictionary, because its holder has a reference to it, and no checksum.
        options = {parameter.compression_level: LEVEL, parameter.checksum_flag: 0, parameter.dict_id_flag: 0}
        self._new_compressor = functools.partial(
            zstd.ZstdCompressor, options=options, zstd_dict=zstd_dict.as_digested_dict
        )
        self._compressor = self._new_compressor()
        self._decompressor = zstd.ZstdDecompressor

    def compress(self, raw: bytes) -> bytes:
        """Return the bytes as one compressed frame."""
        compressor = self._compressor
        try:
            compressor.set_pledged_input_size(len(raw))
            frame: bytes = compressor.compress(raw, compressor.FLUSH_FRAME)
        except BaseException:
            # For example, memory ran out in the middle of a frame. The next frame must not become a part of it.
            self._compressor = self._new_compressor()
            raise
        return frame

    def decompress(self, frame: bytes) -> bytes:
        """Return the bytes that were compressed.

        Raises:
            ValueError: this is no frame of this dictionary.
        """
        # A new decompressor each time: two threads that share one would mix up their objects.
        decompressor = self._decompressor(self._zstd_dict)
        try:
            raw: bytes = decompressor.decompress(frame)
        except Exception as error:  # ZstdError is in the module, which is not imported here
            msg = f"{type(error).__name__}: {error}"
            raise ValueError(msg) from error
        if not decompressor.eof:
            msg = "the frame ends too early"
            raise ValueError(msg)
        return raw


def make_dictionary(samples: Sequence[bytes], generation: int) -> Dictionary:
    """Return a dictionary for objects like the samples; takes about 3 ms for any number of samples.

    Args:
        samples: objects as JSON, at least one.
        generation: its number.

    Raises:
        MissingDependencyError: there is no zstd.
    """
    zstd = require_zstd()
    content = b"".join(_spread(samples, CONTENT_BYTES))
    known = zstd.ZstdDict(content.ljust(16), is_raw=True)
    try:
        finished = zstd.finalize_dict(known, _spread(samples, _SAMPLE_BYTES), len(content) + _STATISTICS_BYTES, LEVEL)
    except (zstd.ZstdError, ValueError):
        # The samples are too small for statistics, or cannot be compressed. The content alone also works.
        finished = known
    return Dictionary(zstd, finished, generation)


def _spread(samples: Sequence[bytes], limit: int) -> list[bytes]:
    """Return evenly spread samples, with a total size of about `limit` bytes."""
    mean = sum(min(len(sample), _CUT) for sample in samples) / len(samples)
    count = max(1, min(len(samples), int(limit / max(mean, 1))))
    step = len(samples) / count
    return [samples[int(number * step)][:_CUT] for number in range(count)]
