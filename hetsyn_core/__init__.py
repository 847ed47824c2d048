"""HetSyn: spiking networks in which every synapse has its own time constant."""

from .model.layer import Layer, Network
from .runs import sweep
from .runs.train import train
from .tasks import MatchToSample, PatternGeneration
from .tasks.run import Run

__all__ = ["Layer", "MatchToSample", "Network", "PatternGeneration", "Run", "sweep", "train"]
