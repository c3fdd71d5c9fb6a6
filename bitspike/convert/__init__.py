"""The integer network, how it is made from a posterior, its passes, and the files that hold it."""
