"""HetSyn: spiking networks in which every synapse has its own time constant."""
