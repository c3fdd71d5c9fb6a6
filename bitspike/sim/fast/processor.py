"""What the processor has that the compiled loops are written for: by what Numba makes its machine code for."""

from functools import cache

from numba.core.registry import cpu_target


@cache
def _features() -> frozenset[str]:
    _, _, features = cpu_target.target_context.codegen().magic_tuple()
    return frozenset(one[1:] for one in features.split(",") if one.startswith("+"))


def counts_bits() -> bool:
    """Whether an instruction counts the bits of every word of a vector."""
    return "avx512vpopcntdq" in _features()


def packs_bytes() -> bool:
    """Whether an instruction moves the chosen bytes of a vector to its beginning."""
    return "avx512vbmi2" in _features()
