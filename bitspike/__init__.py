"""bitspike: train spiking networks with one-bit weights, put them on a chip, and prove that nothing changed."""

__version__ = "0.1.0"
