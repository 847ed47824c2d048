"""Tasks: what goes in, what should come out, and how well it does. `run` has what all of them share."""

from .digits import SequentialDigits
from .match import MatchToSample
from .pattern import PatternGeneration
from .speech import Fsdd, Speech, Ti46Alpha, TiDigits

ALL = PatternGeneration, MatchToSample, Speech, Fsdd, TiDigits, Ti46Alpha, SequentialDigits
TASKS = {task.__name__: task for task in ALL}
