"""zstd with a dictionary made of the very kind of objects that is to be compressed.

A dictionary here is a few whole objects, and statistics of more of them. Pods of 8.9 KB come to 450 bytes with four of
them, made in 4 ms; what zstd's own training selects in 50 to 140 ms comes to 490 (docs/design/0006).
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

LEVEL: Final = 3
"""Level 6 takes three times as long and comes to 2 % less."""

CONTENT_BYTES: Final = 48 << 10
"""How much of whole objects goes into a dictionary. Twice as much makes pods no smaller."""

_SAMPLE_BYTES: Final = 256 << 10
"""How much the statistics are made of: 2 ms of work."""

_CUT: Final = 16 << 10
"""No object has more than this of the dictionary."""

_STATISTICS_BYTES: Final = 4 << 10


def require_zstd() -> Any:
    """The module that speaks zstd: of the standard library from Python 3.14 on, before it a package.

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
    """Compresses and decompresses. Only it can decompress its frames: keep it as long as them.

    `decompress` may be called from any number of threads at once, `compress` from one at a time.

    Args:
        zstd: the module.
        zstd_dict: the dictionary, as the module has it.
        generation: how many there were before it, and itself.
    """

    __slots__ = ("_compressor", "_decompressor", "_new_compressor", "_zstd_dict", "generation", "size")

    def __init__(self, zstd: Any, zstd_dict: Any, generation: int) -> None:
        self.generation = generation
        self.size = len(zstd_dict)
        self._zstd_dict = zstd_dict
        parameter = zstd.CompressionParameter
        # A frame says neither which dictionary it needs, which its holder knows, nor its own checksum.
        options = {parameter.compression_level: LEVEL, parameter.checksum_flag: 0, parameter.dict_id_flag: 0}
        self._new_compressor = functools.partial(
            zstd.ZstdCompressor, options=options, zstd_dict=zstd_dict.as_digested_dict
        )
        self._compressor = self._new_compressor()
        self._decompressor = zstd.ZstdDecompressor

    def compress(self, raw: bytes) -> bytes:
        """A frame of its own."""
        compressor = self._compressor
        try:
            compressor.set_pledged_input_size(len(raw))
            frame: bytes = compressor.compress(raw, compressor.FLUSH_FRAME)
        except BaseException:
            # Out of memory, say, in the middle of a frame: the next one must not become a part of it.
            self._compressor = self._new_compressor()
            raise
        return frame

    def decompress(self, frame: bytes) -> bytes:
        """Return the bytes that were compressed.

        Raises:
            ValueError: this is no frame of this dictionary.
        """
        # A new one each time: one that is used by two threads at once would mix their objects up.
        decompressor = self._decompressor(self._zstd_dict)
        try:
            raw: bytes = decompressor.decompress(frame)
        except Exception as error:  # the module's ZstdError is not known here by name
            msg = f"{type(error).__name__}: {error}"
            raise ValueError(msg) from error
        if not decompressor.eof:
            msg = "the frame ends too early"
            raise ValueError(msg)
        return raw


def make_dictionary(samples: Sequence[bytes], generation: int) -> Dictionary:
    """A dictionary for objects like these; takes some 3 ms, however many there are.

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
        # Too little to make statistics of, or nothing that could be compressed: the text alone helps as well.
        finished = known
    return Dictionary(zstd, finished, generation)


def _spread(samples: Sequence[bytes], limit: int) -> list[bytes]:
    """Some of the samples, from all over, of not much more than so many bytes in all."""
    mean = sum(min(len(sample), _CUT) for sample in samples) / len(samples)
    count = max(1, min(len(samples), int(limit / max(mean, 1))))
    step = len(samples) / count
    return [samples[int(number * step)][:_CUT] for number in range(count)]
