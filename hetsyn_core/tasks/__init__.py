"""Tasks: what goes in, what should come out, and how well it does. `settings` and `task` say what all share."""

from .digits import SequentialDigits
from .match import MatchToSample
from .pattern import PatternGeneration
from .speech import Fsdd, Speech, Ti46Alpha, TiDigits

ALL = PatternGeneration, MatchToSample, Speech, Fsdd, TiDigits, Ti46Alpha, SequentialDigits
TASKS = {task.__name__: task for task in ALL}
