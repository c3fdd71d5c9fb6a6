"""The text of the smallest recipe that trains a network worth looking at: the digits, 64-12-10, in a second or two."""

_TEXT = """
name = "small"
[data]
name = "digits"
steps = {steps}
[network]
readout = "membrane_sum"
temperature = 20
[[network.layers]]
neurons = 12
vth = 4
dv = 1024
[[network.layers]]
neurons = 10
[training]
epochs = {epochs}
batch = {batch}
rate = 0.05
members = {members}
"""


def small_recipe(*, steps=4, epochs=2, batch=256, members=2):
    """Text that ends within ``[training]``, so that a test can go on there or with a table of its own."""
    return _TEXT.format(steps=steps, epochs=epochs, batch=batch, members=members)
