"""A lock between processes, and a directory that only its owner can enter."""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING, Final, NamedTuple
from weakref import WeakSet

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

__all__ = ["Beat", "ProcessLock", "Silence", "close_in_children", "has_locks", "private_directory"]


def has_locks() -> bool:
    """Return whether the platform has locks between processes."""
    return fcntl is not None


def private_directory(path: Path) -> Path:
    """Make a directory with the mode 0700, if there is none, and check that it is private.

    Raises:
        OSError: it cannot be made.
        PermissionError: it belongs to another user, is no directory, or others can enter it; names the path.
    """
    try:
        path.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        pass
    except OSError as error:
        msg = f"cannot make the directory {path}: {error.strerror or error}; name one that can be made"
        raise type(error)(error.errno, msg) from error
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        msg = f"{path} is a symbolic link and no directory; name the directory itself"
        raise PermissionError(msg)
    if not stat.S_ISDIR(found.st_mode):
        msg = f"{path} is no directory; name another one"
        raise PermissionError(msg)
    if found.st_uid != os.geteuid():
        msg = f"{path} belongs to the user {found.st_uid}, so that one could read all objects; name another directory"
        raise PermissionError(msg)
    if found.st_mode & 0o077:
        msg = f"other users can enter {path} (mode {stat.S_IMODE(found.st_mode):04o}); make it private: chmod 700"
        raise PermissionError(msg)
    return path


class Beat(NamedTuple):
    """A sign of the process that has a lock, for the others.

    Attributes:
        file: the identity of the file; it changes when another process takes the lock.
        time: the time of the last beat, in nanoseconds.
    """

    file: tuple[int, int]
    time: int


class Silence:
    """Measures for how long the process that has a lock has not beaten.

    Only time in which the measuring process itself was at work counts: after a pause of both, the other one gets the
    time to beat first.

    Args:
        most: seconds that count at most between two looks.
    """

    def __init__(self, most: float) -> None:
        self._most = most
        self._beat: Beat | None = None
        self._looked = 0.0
        self.seconds = 0.0
        """Seconds of silence up to the last look."""

    def look(self, beat: Beat | None, now: float) -> float | None:
        """Note the last beat at a time. If another process has the lock now, return the silence of the one before."""
        before, self._beat = self._beat, beat
        passed, self._looked = min(now - self._looked, self._most), now
        if beat == before:
            self.seconds += passed
            return None
        silence, self.seconds = self.seconds, 0.0
        return silence if before is not None and beat is not None and beat.file != before.file else None


class ProcessLock:
    """A file that one process at a time has locked (flock). The kernel unlocks it when that process ends, however.

    Children that the process forks do not keep it locked.

    Args:
        path: the file. It is made with the mode 0600, and removed by `release`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = -1
        self.held = False
        _OPEN.add(self)

    def take(self) -> bool:
        """Try to lock, without waiting; return whether this process has the lock.

        Raises:
            OSError: the file cannot be made.
        """
        if self.held:
            return True
        while True:
            if self._file < 0:
                self._file = self._opened()
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                locked = True
            except BlockingIOError:
                locked = False
            if self._is_of_the_path():
                self.held = locked
                return locked
            # The process that had it has removed this file: what counts is the next one of the same name.
            self.close()

    def _opened(self) -> int:
        try:
            return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except FileNotFoundError:
            raise
        except OSError as error:
            msg = f"cannot lock {self._path}: {error.strerror or error}; remove it, or name another directory"
            raise type(error)(error.errno, msg) from error

    def beat(self) -> bool:
        """Show the others that this process is at work; return whether the lock still counts.

        It does not if another process has taken it by force, or if the file was removed.

        Raises:
            OSError: the time of the file cannot be set.
        """
        if not self.held or not self._is_of_the_path():
            return False
        os.utime(self._file)
        return True

    def last_beat(self) -> Beat | None:
        """Return the last beat of the process that has the lock; `None` if there is no file."""
        try:
            there = self._path.lstat()
        except FileNotFoundError:
            return None
        return Beat((there.st_dev, there.st_ino), there.st_mtime_ns)

    def take_from(self, silent: Beat) -> bool:
        """Take the lock from a process that has not beaten since `silent`; return whether this process has it now.

        That process still has the file locked. So the file is removed, and what counts is the next one of the same
        name. When that process goes on, `beat` returns false there.

        Raises:
            OSError: the file cannot be removed or made.
        """
        directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # One process at a time: a second one would remove the file of the first.
            fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if self.last_beat() != silent:
                return False
            self._path.unlink(missing_ok=True)
            return self.take()
        except BlockingIOError:
            return False
        finally:
            os.close(directory)

    def release(self) -> None:
        """Unlock and remove the file, if this process has the lock."""
        if self.held and self._is_of_the_path():
            with contextlib.suppress(OSError):
                self._path.unlink()
        self.close()

    def close(self) -> None:
        """Close the file, which unlocks it."""
        self.held = False
        if self._file >= 0:
            with contextlib.suppress(OSError):
                os.close(self._file)
            self._file = -1

    def _is_of_the_path(self) -> bool:
        try:
            there = self._path.lstat()
        except FileNotFoundError:
            return False
        here = os.fstat(self._file)
        return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)


_OPEN: Final[WeakSet[ProcessLock]] = WeakSet()


_FILES: Final[dict[object, Callable[[], Iterable[int]]]] = {}


def close_in_children(files: Callable[[], Iterable[int]]) -> Callable[[], None]:
    """Have each child that this process forks close some files at its begin; return the function that ends this.

    Args:
        files: called in the child; returns the file descriptors.
    """
    mark = object()
    _FILES[mark] = files
    return lambda: _FILES.pop(mark, None) and None


def _close_in_child() -> None:
    for lock in [*_OPEN]:
        lock.close()
    for files in [*_FILES.values()]:
        for each in files():
            with contextlib.suppress(OSError):
                os.close(each)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)
