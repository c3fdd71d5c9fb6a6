"""Passes: each takes a legal network and gives another one with the same answers; :mod:`.table` lists them."""
