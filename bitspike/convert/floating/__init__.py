"""Networks in real numbers, as other tools train and store them, before they are put onto the chip's lattice."""
