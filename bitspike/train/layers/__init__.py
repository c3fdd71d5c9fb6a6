"""Layers: a population with the connection that feeds it, one module a kind.

A layer is trained with posterior noise (`noisy`) and evaluated with collapsed weights on the chip's lattice, integer
for integer (`evaluate`). All layers are evaluated in the same step.
"""

from bitspike.train.layers.base import Layer
from bitspike.train.layers.conv import ConvLayer
from bitspike.train.layers.dense import DenseLayer
from bitspike.train.layers.pool import PoolLayer
from bitspike.train.layers.recurrent import RecurrentLayer

__all__ = ["ConvLayer", "DenseLayer", "Layer", "PoolLayer", "RecurrentLayer"]
