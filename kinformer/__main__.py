"""`python -m kinformer`: the command line."""

from __future__ import annotations

from kinformer.cli import main

if __name__ == "__main__":
    main()
