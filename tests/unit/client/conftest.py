"""Lets asynchronous tests follow synchronous ones.

pytest-asyncio asks for the current event loop before the first asynchronous test, and Python 3.11 then makes one that
nobody closes. Saying that there is none keeps it from that.
"""

import asyncio

asyncio.set_event_loop(None)
