"""The time loop of a noisy population on a GPU, forward and backward, in Triton.

The equations are those of :mod:`bitspike.train.dynamics`, and the noise is the hash of
:mod:`bitspike.train.kernels.arithmetic`. Each thread takes one neuron of one sample through all steps with its state in
registers, so that an input is read once and a result written once. Triton comes with torch where torch knows CUDA; with
``TRITON_INTERPRET=1`` the same kernels run on a processor, slowly, which is how they are tested without a GPU.
"""

import triton
import triton.language as tl

NONE, GAUSSIAN, LOGISTIC = 0, 1, 2
"""Kinds of noise."""
BLOCK = 128
"""Neurons of a program."""

_NONE = tl.constexpr(NONE)
_LOGISTIC = tl.constexpr(LOGISTIC)
_DEVIATION = tl.constexpr(1.8137993642342178)
"""Of standard logistic noise."""
_UNITS = tl.constexpr(64.0)
_SQRT_HALF = tl.constexpr(0.7071067811865476)
_BELL = tl.constexpr(0.3989422804014327)
_QUARTER_TURN = tl.constexpr(1.5707963267948966)
_UNIT = tl.constexpr(2.0**-24)


@triton.jit
def _kept(state, keep):
    """Return what a step keeps of a state, truncated toward zero to multiples of 1/64; all of it without decay."""
    scaled = state * (keep * _UNITS)
    lattice = tl.where(scaled < 0, tl.ceil(scaled), tl.floor(scaled)) * (1.0 / _UNITS)
    return tl.where(keep == 1.0, state, lattice)


@triton.jit
def _scaled_tail(z, exponent):
    """Return e**(z * z + exponent) * erfc(z) for z of 0 and more; the polynomial is that of the other kernels."""
    t = 1.0 / (1.0 + 0.5 * z)
    high = 0.2482906393882875 + t * (-0.8729041482263772 + t * (0.668515160850562 + t * -0.16612211189883375))
    low = -1.265509297195766 + t * (
        0.9996045787918693 + t * (0.3840898444604851 + t * (0.004035713612850385 + t * high))
    )
    return t * tl.exp(low + exponent)


@triton.jit
def _uniform(place, key, other):
    """Return a number in 0 to 1 that is a function of a place and two keys, all of 32 bits."""
    word = place ^ key
    word = (word ^ (word >> 16)) * tl.full([], 0x7FEB352D, tl.uint32)
    word = (word ^ (word >> 15)) * tl.full([], 0x846CA68B, tl.uint32)
    word = (word ^ (word >> 16)) + other
    word = (word ^ (word >> 17)) * tl.full([], 0xED5AD4BB, tl.uint32)
    word = (word ^ (word >> 11)) * tl.full([], 0xAC4C1B51, tl.uint32)
    word = word ^ (word >> 15)
    return ((word >> 8).to(tl.int32).to(tl.float32) + 0.5) * _UNIT


@triton.jit
def _tail(distance, scale, NOISE: tl.constexpr):
    """Return the probability of the less likely bit."""
    if NOISE == _LOGISTIC:
        odds = tl.exp(-(tl.abs(distance) * _DEVIATION) / scale)
        tail = odds / (1.0 + odds)
    else:
        z = tl.abs(distance) * (_SQRT_HALF / scale)
        tail = 0.5 * _scaled_tail(z, -z * z)
    return tail


@triton.jit
def _carried(states, at, size, here, SPREAD: tl.constexpr):
    """Return five states, of which the last three are 0 without variances."""
    first = tl.load(states + at, mask=here, other=0.0)
    second = tl.load(states + size + at, mask=here, other=0.0)
    third = tl.zeros_like(first)
    fourth, fifth = third, third
    if SPREAD:
        third = tl.load(states + 2 * size + at, mask=here, other=0.0)
        fourth = tl.load(states + 3 * size + at, mask=here, other=0.0)
        fifth = tl.load(states + 4 * size + at, mask=here, other=0.0)
    return first, second, third, fourth, fifth


@triton.jit
def _carry(states, at, size, here, first, second, third, fourth, fifth, SPREAD: tl.constexpr):
    """Write five states, the last three with variances alone."""
    tl.store(states + at, first, mask=here)
    tl.store(states + size + at, second, mask=here)
    if SPREAD:
        tl.store(states + 2 * size + at, third, mask=here)
        tl.store(states + 3 * size + at, fourth, mask=here)
        tl.store(states + 4 * size + at, fifth, mask=here)


@triton.jit(do_not_specialize=["steps", "step", "sample", "batch"])
def forward(
    moments,
    bias,
    states,
    keys,
    bits,
    distances,
    scales,
    auxiliary,
    steps,
    samples,
    neurons,
    step,
    sample,
    batch,
    cu,
    cv,
    vth,
    floor,
    NOISE: tl.constexpr,
    SPREAD: tl.constexpr,
    ZERO: tl.constexpr,
    SUMMED: tl.constexpr,
    CARRIED: tl.constexpr,
    CURRENT: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Run a population through `steps` steps.

    Args:
        moments: means first and then variances, shape (steps, samples, 2 * neurons), or means alone.
        bias: float32, shape (neurons,).
        states: u, v, Vu, C and V, float32, shape (5, samples, neurons); carried on where CARRIED says so.
        keys: two words of the noise, int64; not read without noise.
        bits, distances, scales: results, shape (steps, samples, neurons): bits, v - vth before reset, and s, which is
            not written where it is the floor and nothing draws.
        auxiliary: result, the sum of (v / s)**2 over the steps, float32, shape (samples, neurons); with SUMMED.
        steps, samples, neurons: sizes.
        step, sample, batch: numbers of the first step and of sample 0 among those that share the keys, and how many
            samples do.
        cu, cv, vth, floor: decays, threshold and the membrane's own deviation.
        NOISE, SPREAD, ZERO, SUMMED, CARRIED, CURRENT: the kind of noise; whether there are variances; whether a spike
            resets to zero; whether the auxiliary sum is wanted; whether states are carried; whether a current has
            memory.
        BLOCK: neurons of a program.
    """
    size = samples * neurons
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    here = at < size
    row, column = at // neurons, at % neurons
    width = neurons * 2 if SPREAD else neurons
    fixed = tl.load(bias + column, mask=here, other=0.0)
    u = tl.zeros([BLOCK], tl.float32)
    v, var_u, cov, var_v, squares = u, u, u, u, u
    if CARRIED:
        u, v, var_u, cov, var_v = _carried(states, at, size, here, SPREAD)
    if NOISE != _NONE:
        key = tl.load(keys).to(tl.uint32)
        other = tl.load(keys + 1).to(tl.uint32)
    inputs = moments + row.to(tl.int64) * width + column
    for t in range(steps):
        more = tl.load(inputs, mask=here, other=0.0).to(tl.float32)
        u = _kept(u, cu) + more if CURRENT else more
        v = _kept(v, cv) + u + fixed
        scale = tl.zeros([BLOCK], tl.float32) + floor
        if SPREAD:
            var_a = tl.load(inputs + neurons, mask=here, other=0.0).to(tl.float32)
            var_u = cu * cu * var_u + var_a
            var_v = cv * cv * var_v + 2.0 * cv * cu * cov + var_u
            cov = cv * cu * cov + var_u
            scale = tl.sqrt(var_v + floor * floor)
        distance = v - vth
        fired = distance > 0
        if NOISE != _NONE:
            place = (((step + t) * batch + sample + row) * neurons + column).to(tl.uint32)
            fired = fired != (_uniform(place, key, other) < _tail(distance, scale, NOISE))
        if SUMMED:
            squares += (v / scale) * (v / scale)
        tl.store(bits + at, tl.where(fired, 1.0, 0.0).to(bits.dtype.element_ty), mask=here)
        tl.store(distances + at, distance.to(distances.dtype.element_ty), mask=here)
        if SPREAD or NOISE != _NONE:
            tl.store(scales + at, scale.to(scales.dtype.element_ty), mask=here)
            scales += size
        v = tl.where(fired, 0.0 if ZERO else distance, v)
        if SPREAD and ZERO:
            var_v = tl.where(fired, 0.0, var_v)
            cov = tl.where(fired, 0.0, cov)
        inputs += samples * width
        bits += size
        distances += size
    if CARRIED:
        _carry(states, at, size, here, u, v, var_u, cov, var_v, SPREAD)
    if SUMMED:
        if CARRIED:
            squares += tl.load(auxiliary + at, mask=here, other=0.0)
        tl.store(auxiliary + at, squares, mask=here)


@triton.jit
def _factor(distance, scale, fired, alpha, NOISE: tl.constexpr, IMPORTANCE: tl.constexpr):
    """Return J / s, J of :mod:`bitspike.train.estimators`, or of the arctangent without noise."""
    inverse = 1.0 / scale
    if NOISE == _NONE:
        x = alpha * distance * inverse * _QUARTER_TURN
        factor = 0.5 * alpha * inverse / (1.0 + x * x)
    elif NOISE == _LOGISTIC:
        tail = _tail(distance, scale, NOISE)
        if IMPORTANCE:
            share = tl.where(fired, alpha, 1.0 - alpha)
            factor = inverse * _DEVIATION * share * tl.where(fired == (distance > 0), tail, 1.0 - tail)
        else:
            factor = inverse * _DEVIATION * tail * (1.0 - tail)
    else:
        z = tl.abs(distance) * _SQRT_HALF * inverse
        bell = tl.exp(-z * z)
        factor = bell * _BELL * inverse
        if IMPORTANCE:
            tail = 0.5 * _scaled_tail(z, 0.0)
            share = tl.where(fired, alpha, 1.0 - alpha)
            hazard = tl.where(fired == (distance > 0), bell / (1.0 - tail * bell), 1.0 / tail)
            factor = share * _BELL * inverse * hazard
    return factor


@triton.jit(do_not_specialize=["steps"])
def backward(
    to_bits,
    to_auxiliary,
    bits,
    distances,
    scales,
    states,
    to_moments,
    to_bias,
    steps,
    samples,
    neurons,
    cu,
    cv,
    vth,
    floor,
    alpha,
    NOISE: tl.constexpr,
    SPREAD: tl.constexpr,
    ZERO: tl.constexpr,
    SUMMED: tl.constexpr,
    CARRIED: tl.constexpr,
    CURRENT: tl.constexpr,
    IMPORTANCE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Run a population back through `steps` steps.

    Args:
        to_bits: gradient of the bits, shape (steps, samples, neurons).
        to_auxiliary: gradient of the auxiliary sum, float32, of one number; with SUMMED.
        bits, distances, scales: as :func:`forward` left them; bits and scales are not read where a distance tells them.
        states: gradients of u, v, Vu, C and V after the last step, shape (5, samples, neurons); carried on where
            CARRIED says so.
        to_moments: result, the shape of the moments.
        to_bias: result, float32, shape (samples, neurons); added to what is there where states are carried.
        steps, samples, neurons, cu, cv, vth, floor: as in :func:`forward`.
        alpha: of the estimator with IMPORTANCE; without noise the slope of the arctangent.
        NOISE, SPREAD, ZERO, SUMMED, CARRIED, CURRENT, BLOCK: as in :func:`forward`.
        IMPORTANCE: whether alpha is a number; else it is p, plain straight-through.
    """
    size = samples * neurons
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    here = at < size
    row, column = at // neurons, at % neurons
    width = neurons * 2 if SPREAD else neurons
    g_u = tl.zeros([BLOCK], tl.float32)
    g_v, g_var_u, g_cov, g_var_v, total = g_u, g_u, g_u, g_u, g_u
    if CARRIED:
        total = tl.load(to_bias + at, mask=here, other=0.0)
        g_u, g_v, g_var_u, g_cov, g_var_v = _carried(states, at, size, here, SPREAD)
    if SUMMED:
        weight = tl.load(to_auxiliary)
    last = at + (steps - 1).to(tl.int64) * size
    result = to_moments + (steps - 1).to(tl.int64) * samples * width + row.to(tl.int64) * width + column
    for _ in range(steps):
        above = tl.load(to_bits + last, mask=here, other=0.0).to(tl.float32)
        distance = tl.load(distances + last, mask=here, other=0.0).to(tl.float32)
        scale = tl.zeros([BLOCK], tl.float32) + floor
        fired = distance > 0
        if SPREAD or NOISE != _NONE:
            scale = tl.load(scales + last, mask=here, other=1.0).to(tl.float32)
        if NOISE != _NONE:
            fired = tl.load(bits + last, mask=here, other=0.0) != 0
        past = cv * g_v * (distance + vth) if ZERO else cv * vth * g_v
        through = (above - past) * _factor(distance, scale, fired, alpha, NOISE, IMPORTANCE)
        half = -0.5 * through * distance / (scale * scale)
        if SUMMED:
            v = distance + vth
            per_v = weight * v / (scale * scale)
            through += 2.0 * per_v
            half -= per_v * v / (scale * scale)
        g_v = cv * tl.where(fired, 0.0, g_v) + through if ZERO else cv * g_v + through
        total += g_v
        g_u = cu * g_u + g_v if CURRENT else g_v
        tl.store(result, g_u.to(to_moments.dtype.element_ty), mask=here)
        if SPREAD:
            if ZERO:
                g_var_v = tl.where(fired, 0.0, g_var_v)
                g_cov = tl.where(fired, 0.0, g_cov)
            g_cov = cv * cu * (g_cov + 2.0 * g_var_v)
            g_var_v = cv * cv * g_var_v + half
            g_var_u = g_var_v + g_cov + cu * cu * g_var_u
            tl.store(result + neurons, g_var_u.to(to_moments.dtype.element_ty), mask=here)
        last -= size
        result -= samples * width
    if CARRIED:
        _carry(states, at, size, here, g_u, g_v, g_var_u, g_cov, g_var_v, SPREAD)
    tl.store(to_bias + at, total, mask=here)
