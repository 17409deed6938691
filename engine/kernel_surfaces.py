"""Interpolation in the surfaces: one part of the decision call (engine/kernel.py)."""

from __future__ import annotations

import math
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from engine.compiled import uncounted

# Columns of a surface (engine/pricing.py, OUTPUTS): a constant, so that the compiler can unroll the loops.
COLUMNS = 10
# The powers in which surfaces are interpolated; see _locate.
PARTICIPATION_POWER = 0.6
HORIZON_POWER = 0.5
POOL_POWER = -0.5


@uncounted
def locate(axis, power, x):
    """(lower index, weight of the upper neighbour), clamped to the axis.

    `axis` and `x` are logarithms; within a cell the weight is linear in exp(power * x), a power of the quantity itself,
    because the model is close to straight in those: impact in participation^0.6, risk in horizon^0.5, an auction's
    impact in share^-0.5.
    """
    last = axis.shape[0] - 1
    if x <= axis[0]:
        return 0, 0.0
    if x >= axis[last]:
        return last - 1, 1.0
    low = 0
    high = last
    while high - low > 1:
        middle = (low + high) >> 1
        if axis[middle] <= x:
            low = middle
        else:
            high = middle
    weight = math.expm1(power * (x - axis[low])) / math.expm1(power * (axis[low + 1] - axis[low]))
    return low, min(max(weight, 0.0), 1.0)


@intrinsic
def _add_corner(typingctx: Any, values: Any, offset: Any, share: Any, out: Any) -> Any:
    """out (COLUMNS,) plus share times the COLUMNS values from `offset` on, in the compiler's own vectors: for all that
    it knows numba's arrays overlap, and then it adds them one by one. Nothing is fused."""
    signature = types.void(values, types.intp, types.float64, out)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        target = context.make_array(signature.args[3])(context, builder, arguments[3]).data
        word, stored = ir.IntType(32), context.get_value_type(signature.args[0].dtype)
        bytes_each = signature.args[0].dtype.bitwidth // 8
        for first, width in ((0, 8), (8, COLUMNS - 8)):
            vector, kept = ir.VectorType(ir.DoubleType(), width), ir.VectorType(stored, width)
            start = ir.Constant(ir.IntType(64), first)
            one = builder.insert_element(ir.Constant(vector, ir.Undefined), arguments[2], ir.Constant(word, 0))
            every = ir.Constant(ir.VectorType(word, width), [0] * width)
            shares = builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), every)
            place = builder.gep(source, [builder.add(arguments[1], start)])
            said = builder.load(builder.bitcast(place, kept.as_pointer()), align=bytes_each)
            if kept != vector:
                said = builder.fpext(said, vector)
            sums = builder.bitcast(builder.gep(target, [start]), vector.as_pointer())
            builder.store(builder.fadd(builder.load(sums, align=8), builder.fmul(shares, said)), sums, align=8)
        return context.get_dummy_value()

    return signature, generate


# To mypy an intrinsic has the argument that only the compiler gives it.
add_corner: Any = _add_corner


@uncounted
def blend(values, weights, shape, i, fi, j, fj, k, fk, out):
    """Adds up the columns of one shape in the cell (i, j, k) over the conditions' weights into `out`.

    `values` must be C-contiguous, and its last axis COLUMNS long.
    """
    for column in range(COLUMNS):
        out[column] = 0.0
    step_k = COLUMNS
    step_j = step_k * values.shape[4]
    step_i = step_j * values.shape[3]
    step_shape = step_i * values.shape[2]
    cell = shape * step_shape + i * step_i + j * step_j + k * step_k
    for condition in range(weights.shape[0]):
        weight = weights[condition]
        if weight <= 0.0:
            continue
        first = cell + condition * step_shape * values.shape[1]
        for corner in range(8):
            a = corner & 1
            b = (corner >> 1) & 1
            c = corner >> 2
            share = weight * (fi if a else 1.0 - fi) * (fj if b else 1.0 - fj) * (fk if c else 1.0 - fk)
            if share == 0.0:
                continue
            add_corner(values, first + a * step_i + b * step_j + c * step_k, share, out)


@uncounted
def interpolate(
    values, axis_p, axis_t, axis_s, weights, shape, log_p, log_t, log_s, out
):
    """The columns of one shape at one point, over the conditions' weights, into `out`."""
    i, fi = locate(axis_p, PARTICIPATION_POWER, log_p)
    j, fj = locate(axis_t, HORIZON_POWER, log_t)
    k, fk = locate(axis_s, POOL_POWER, log_s)
    blend(values, weights, shape, i, fi, j, fj, k, fk, out)
