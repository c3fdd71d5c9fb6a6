"""Lava: networks in the registers of its processes, run by its own runtime, and its installation."""
