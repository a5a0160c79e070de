"""What a recording is, and everything that reads one.

    from rondeau.recording import Recording

    recording = Recording.load("kitchen.rondeau")

The recorder in the loop fills a Recording (model.py says what each field means) and the rest of this package never asks the
loop anything: it works on a file from another machine, another Python, another year. Nothing here is imported before somebody
asks for it.
"""

from .analysis import analyse
from .file import RecordingError
from .lanes import Analysis
from .model import Block, Event, Events, Kind, Recording, TaskInfo, Wait
from .page import write_page
from .perfetto import write_perfetto
from .summary import summary

__all__ = ["Analysis", "Block", "Event", "Events", "Kind", "Recording", "RecordingError", "TaskInfo", "Wait"]
__all__ += ["analyse", "summary", "write_page", "write_perfetto"]
