"""A Lava process that records a population; alone in its folder, because Lava's compiler executes all files of it."""
