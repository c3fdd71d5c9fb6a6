"""Other tools' counts and energies of the same spikes, beside ours.

SpikingJelly and NeuroBench count in torch models, so this folder is one of the few places below training that import
torch, and only when a comparison is asked for.
"""
