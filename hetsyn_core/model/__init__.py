"""Synapses and neurons: the equations (`reference`), their fast forms (`fast`), layers, networks and their states."""
