"""How fast the engines and the frameworks run the same network, in one run on this machine."""
