"""Coverage: which neurons, synapses and paths of the arithmetic a run reached, so that nothing more is claimed."""
