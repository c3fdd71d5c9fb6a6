"""Neurons that Lava has not; alone in their folder, because Lava's compiler executes all files of it."""
