"""Synapses and neurons: the equations (`reference`), their fast form (`fused`), layers and networks."""
