"""The equations without a current per synapse and step; same functions as `reference`."""

from .reference import spiking, synaptic_current

__all__ = ["spiking", "synaptic_current"]
