"""The functions of `reference` without a current per synapse and step, by the implementation for the tensor's device.

Float32. On the CPU the loops in `kernels`, compiled by Numba; see `cpu`.
"""

from . import cpu

synaptic_current, spiking = cpu.synaptic_current, cpu.spiking
