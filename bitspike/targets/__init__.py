"""Chips as data, and the lowering of a network to them."""
