"""Engines that run a network, the proof that they agree, counts and energy."""
