"""Files that lava-dl wrote itself, in its NetX format (HDF5), as networks on our lattice.

:mod:`~bitspike.convert.lavadl.plain` is the reader; the format's own module, for files in both directions, is
:mod:`bitspike.convert.netx_file`.
"""
