"""One tree in registers, and all rows of its group through it: the inside of `engine.scoring.lanes`, in LLVM's vectors.

numba's loops over nodes are not turned into vectors: its arrays may overlap for all that the compiler knows.
"""

from __future__ import annotations

from typing import Any, Final

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

MOST_LEAVES: Final = 32  # bits of a word
ROW_WIDTH: Final = 32  # columns of a row: the features, then room of no meaning
BLOCK: Final = 16  # float32 that stand in one line of the cache

_HALF: Final = 16  # bytes that one instruction picks from
_WIDE, _WORD, _BYTE, _FLAG = ir.IntType(64), ir.IntType(32), ir.IntType(8), ir.IntType(1)
_BYTES, _WORDS = ir.VectorType(_BYTE, MOST_LEAVES), ir.VectorType(_WORD, MOST_LEAVES)
# Whoever picks byte 0 to 15 gets it, and 0 where the highest bit of the number is set.
_PICKED_IF_LOW, _PICKED_IF_HIGH = 0x70, 0xF0


def _load(builder: Any, data: Any, at: Any, kind: Any, align: int) -> Any:
    """A vector from where `at` stands in an array."""
    return builder.load(builder.bitcast(builder.gep(data, [at]), kind.as_pointer()), align=align)


def _numbers(kind: Any, values: list[int]) -> Any:
    return ir.Constant(kind, values)


def _instruction(builder: Any, name: str, kind: Any, takes: list[Any]) -> Any:
    """One of x86's own, as LLVM names it."""
    named: Any = cgutils.get_or_insert_function
    return named(builder.module, ir.FunctionType(kind, takes), f"llvm.x86.{name}")


def _has(context: Any, feature: str) -> bool:
    return feature in context.codegen().magic_tuple()[2].split(",")


def _picker(context: Any, builder: Any, columns: Any) -> Any:
    """A function that gives a row's bins in these columns, each of which is below ROW_WIDTH."""
    if not _has(context, "+avx2"):
        return _slow_picker(builder, columns)
    pick = _instruction(builder, "avx2.pshuf.b", _BYTES, [_BYTES, _BYTES])
    low = builder.add(columns, _numbers(_BYTES, [_PICKED_IF_LOW] * MOST_LEAVES))
    high = builder.add(columns, _numbers(_BYTES, [_PICKED_IF_HIGH] * MOST_LEAVES))
    half, nothing = ir.VectorType(_BYTE, _HALF), ir.Constant(ir.VectorType(_BYTE, _HALF), ir.Undefined)
    twice = _numbers(_WORDS, [*range(_HALF), *range(_HALF)])

    def at_once(row: Any) -> Any:
        first, second = (
            builder.shuffle_vector(_load(builder, row, ir.Constant(_WIDE, at), half, 1), nothing, twice)
            for at in (0, _HALF)
        )
        return builder.or_(builder.call(pick, [first, low]), builder.call(pick, [second, high]))

    return at_once


def _slow_picker(builder: Any, columns: Any) -> Any:
    """The same for machines that cannot: one by one."""
    places = [
        builder.zext(builder.extract_element(columns, ir.Constant(_WORD, lane)), _WIDE) for lane in range(MOST_LEAVES)
    ]

    def one_by_one(row: Any) -> Any:
        found = ir.Constant(_BYTES, ir.Undefined)
        for lane, place in enumerate(places):
            found = builder.insert_element(found, builder.load(builder.gep(row, [place])), ir.Constant(_WORD, lane))
        return found

    return one_by_one


def _word_of(builder: Any, flags: Any) -> Any:
    """Flags as the bits of a word."""
    return builder.bitcast(flags, _WORD)


def _splat(builder: Any, value: Any, kind: Any) -> Any:
    """A value in every lane."""
    nothing = ir.Constant(kind, ir.Undefined)
    one = builder.insert_element(nothing, value, ir.Constant(_WORD, 0))
    return builder.shuffle_vector(one, nothing, _numbers(ir.VectorType(_WORD, kind.count), [0] * kind.count))


def _leaver(context: Any, builder: Any, lefts: Any, first: Any) -> Any:
    """A function that gives the bits of the leaves that no failing node has on its left."""
    if _has(context, "+avx2") and not _has(context, "+avx512f"):
        return _packed_leaver(builder, lefts, first)
    left = _load(builder, lefts, first, _WORDS, 4)

    def stays(fails: Any) -> Any:
        out = builder.and_(left, _splat(builder, fails, _WORDS))
        return _word_of(builder, builder.icmp_unsigned("==", out, _numbers(_WORDS, [0] * MOST_LEAVES)))

    return stays


def _packed_leaver(builder: Any, lefts: Any, first: Any) -> Any:
    """The same for the leaves in four registers of eight words. To pack them mixes their halves; they are loaded such
    that the leaves come out in order, which LLVM left to itself does by three permutations a row."""
    quarter, words, shorts = ir.VectorType(_WORD, 4), ir.VectorType(_WORD, 8), ir.VectorType(ir.IntType(16), 16)
    to_shorts = _instruction(builder, "avx2.packssdw", shorts, [words, words])
    to_bytes = _instruction(builder, "avx2.packsswb", _BYTES, [shorts, shorts])
    to_bits = _instruction(builder, "avx2.pmovmskb", _WORD, [_BYTES])
    both, nothing = _numbers(words, list(range(8))), _numbers(words, [0] * 8)
    left = []
    for leaf in range(0, _HALF, 4):
        places = [builder.add(first, ir.Constant(_WIDE, at)) for at in (leaf, leaf + _HALF)]
        left.append(builder.shuffle_vector(*(_load(builder, lefts, at, quarter, 4) for at in places), both))

    def stays(fails: Any) -> Any:
        every = _splat(builder, fails, words)
        a, b, c, d = (
            builder.sext(builder.icmp_unsigned("==", builder.and_(part, every), nothing), words) for part in left
        )
        halves = [builder.call(to_shorts, pair) for pair in ([a, b], [c, d])]
        return builder.call(to_bits, [builder.call(to_bytes, halves)])

    return stays


@intrinsic
def _add_tree(typingctx: Any, feature: Any, limit: Any, left_of: Any, value: Any, tree: Any, bins: Any, members: Any,
              count: Any, totals: Any) -> Any:
    """totals (n,) float32 plus what one tree says of bins (n, ROW_WIDTH) uint8, for the `count` rows that `members`
    int64 names. Machines without such registers get them in pieces."""
    signature = types.void(feature, limit, left_of, value, types.intp, bins, members, types.intp, totals)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        features, limits, lefts, values, _, rows, names, _, sums = (
            context.make_array(kind)(context, builder, argument).data if isinstance(kind, types.Array) else argument
            for kind, argument in zip(signature.args, arguments, strict=True)
        )
        first = builder.mul(arguments[4], ir.Constant(_WIDE, MOST_LEAVES))
        # Before the loop, so that the tree stays in registers.
        found_in = _picker(context, builder, _load(builder, features, first, _BYTES, 1))
        limit_of = _load(builder, limits, first, _BYTES, 1)
        stays_of = _leaver(context, builder, lefts, first)
        lowest = builder.module.declare_intrinsic("llvm.cttz", [_WORD], ir.FunctionType(_WORD, [_WORD, _FLAG]))
        with cgutils.for_range(builder, arguments[7]) as loop:
            member = builder.load(builder.gep(names, [loop.index]))
            row = builder.gep(rows, [builder.mul(member, ir.Constant(_WIDE, ROW_WIDTH))])
            fails = _word_of(builder, builder.icmp_unsigned(">", found_in(row), limit_of))
            leaf = builder.zext(builder.call(lowest, [stays_of(fails), ir.Constant(_FLAG, 1)]), _WIDE)
            said = builder.load(builder.gep(values, [builder.add(first, leaf)]))
            total = builder.gep(sums, [member])
            builder.store(builder.fadd(builder.load(total), said), total)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def _count_below(typingctx: Any, values: Any, first: Any, figure: Any) -> Any:
    """How many of the BLOCK values float32 from `first` on are less than the figure."""
    signature = types.intp(values, types.intp, types.float32)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        block, bits = ir.VectorType(ir.FloatType(), BLOCK), ir.IntType(BLOCK)
        source = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        below = builder.fcmp_ordered("<", _load(builder, source, arguments[1], block, 4),
                                     _splat(builder, arguments[2], block))
        return builder.zext(builder.ctpop(builder.bitcast(below, bits)), _WIDE)

    return signature, generate


# To mypy an intrinsic has the argument that only the compiler gives it.
add_tree: Any = _add_tree
count_below: Any = _count_below
