"""Tasks: what goes in, what should come out, and how well it does. `run` has what all of them share."""

from .match import MatchToSample
from .pattern import PatternGeneration
from .speech import Speech

TASKS = {task.__name__: task for task in (PatternGeneration, MatchToSample, Speech)}
