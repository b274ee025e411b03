"""The comparison alone: `python -m benchmarks.peers`."""

from benchmarks import peers
from benchmarks.table import plain

if __name__ == "__main__":
    print(peers.__doc__)
    print(plain(peers.main()))
