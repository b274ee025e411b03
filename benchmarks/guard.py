"""Has something become slower? Ratios to the scan limit, measured in this process, against bounds that are committed.

    python -m benchmarks.guard

A ratio hardly depends on the machine, and the best of several runs hardly on its other work. The bounds are some 1.45
times the measured values at the time they were set: a regression of 1.5 is caught, and noise is not. Exits with 1
when one is passed.
"""

from __future__ import annotations

import sys

from benchmarks import fan_out, ingest
from benchmarks.table import Row, plain

# Measured: 2.45 (ingest), 0.05 (a delivery of 0.22 µs against a scan of 4.6).
INGEST_BOUND = 3.6
DELIVERY_BOUND = 0.1


def main() -> int:
    limit, cost = ingest.measure(runs=4)
    ratio = cost / limit
    deliveries = [float(row.value.split()[0]) / limit for row in fan_out.main()]
    rows = [
        Row("ingest of an event, of the scan limit", f"{ratio:.2f} ×", f"≤ {INGEST_BOUND} ×", ratio <= INGEST_BOUND),
        Row(
            "delivery to a plain function, of the scan limit",
            f"{deliveries[0]:.3f} ×",
            f"≤ {DELIVERY_BOUND} ×",
            deliveries[0] <= DELIVERY_BOUND,
        ),
    ]
    print(plain(rows))
    return 0 if all(row.reached for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
