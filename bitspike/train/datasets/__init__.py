"""Readers of published data sets, one module a format; :mod:`bitspike.train.data` finds them by name."""
