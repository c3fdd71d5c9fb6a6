"""The fast engine: what :mod:`bitspike.sim.reference` computes, compiled, on all cores."""
