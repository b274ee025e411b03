"""Recordings of clusters: `Recorder` writes the lists and watches to a file, `Replay` serves them to any client.

docs/how-to/record-and-replay.md shows the use, docs/reference/recordings.md has the format of the file.
"""

from kinformer.recordings._format import Recording
from kinformer.recordings._recorder import Recorder, recordable
from kinformer.recordings._replay import Replay

__all__ = ["Recorder", "Recording", "Replay", "recordable"]
