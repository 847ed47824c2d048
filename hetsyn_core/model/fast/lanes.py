"""Sixteen float32 side by side, as a Numba type, so that kernels can keep currents in registers.

Numba turns plain loops into vector code by itself, but forgets registers from one loop to the next. With a
vector as a value, a local variable is a register. LLVM splits it where the processor's are narrower.
"""

import os

from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

LANES = 16
CHECKED = os.environ.get("NUMBA_BOUNDSCHECK") == "1"  # a vector access is checked like any other, when asked for
COMPRESSES = bool(get_host_cpu_features().get("avx512f"))  # whether `places` is a few instructions here
_VECTOR, _WHOLE = ir.VectorType(ir.FloatType(), LANES), ir.VectorType(ir.IntType(32), LANES)


class Lanes(types.Type):
    """Numba type of the vector; use `load`, `store`, `splat`, `fma`, `mul`, `add`, `sub`, `reaches`."""

    def __init__(self):
        super().__init__(name="Lanes16")


lanes = Lanes()


@register_model(Lanes)
class _Model(models.PrimitiveModel):
    def __init__(self, manager, fe_type):
        super().__init__(manager, fe_type, _VECTOR)


def _address(context, builder, array_type, array, index):
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), _VECTOR.as_pointer())


@intrinsic
def _load(typingctx, array, index):
    def code(context, builder, signature, args):
        value = builder.load(_address(context, builder, signature.args[0], *args), typ=_VECTOR)
        value.align = 4
        return value

    return lanes(array, types.intp), code


@intrinsic
def _store(typingctx, array, index, value):
    def code(context, builder, signature, args):
        builder.store(args[2], _address(context, builder, signature.args[0], *args[:2]), align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes), code


def _first(builder, count):
    """A mask of the first ``count`` lanes."""
    return builder.icmp_signed("<", ir.Constant(_WHOLE, list(range(LANES))), _all(builder, count, _WHOLE))


def _all(builder, value, vector):
    """All sixteen set to one number."""
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), ir.Constant(_WHOLE, [0] * LANES))


@intrinsic
def _load_some(typingctx, array, index, count):
    def code(context, builder, signature, args):
        address = _address(context, builder, signature.args[0], *args[:2])
        mask = _first(builder, builder.trunc(args[2], ir.IntType(32)))
        kind = ir.FunctionType(_VECTOR, [address.type, ir.IntType(32), mask.type, _VECTOR])
        function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.masked.load.v{LANES}f32.p0")
        return builder.call(
            function, [address, ir.Constant(ir.IntType(32), 4), mask, ir.Constant(_VECTOR, [0.0] * LANES)]
        )

    return lanes(array, types.intp, types.intp), code


@intrinsic
def _store_some(typingctx, array, index, value, count):
    def code(context, builder, signature, args):
        address = _address(context, builder, signature.args[0], *args[:2])
        mask = _first(builder, builder.trunc(args[3], ir.IntType(32)))
        kind = ir.FunctionType(ir.VoidType(), [_VECTOR, address.type, ir.IntType(32), mask.type])
        function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.masked.store.v{LANES}f32.p0")
        builder.call(function, [args[2], address, ir.Constant(ir.IntType(32), 4), mask])
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes, types.intp), code


@intrinsic
def splat(typingctx, value):
    """All sixteen set to one float32."""

    def code(context, builder, signature, args):
        return _all(builder, args[0], _VECTOR)

    return lanes(types.float32), code


@intrinsic
def fma(typingctx, a, b, c):
    """a b + c, rounded once."""

    def code(context, builder, signature, args):
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(_VECTOR, [_VECTOR] * 3), f"llvm.fma.v{LANES}f32"
        )
        return builder.call(function, args)

    return lanes(lanes, lanes, lanes), code


@intrinsic
def mul(typingctx, a, b):
    """a b."""
    return lanes(lanes, lanes), lambda context, builder, signature, args: builder.fmul(*args)


@intrinsic
def add(typingctx, a, b):
    """a + b."""
    return lanes(lanes, lanes), lambda context, builder, signature, args: builder.fadd(*args)


@intrinsic
def sub(typingctx, a, b):
    """a - b."""
    return lanes(lanes, lanes), lambda context, builder, signature, args: builder.fsub(*args)


@intrinsic
def reaches(typingctx, a, b):
    """1 where a >= b, else 0."""

    def code(context, builder, signature, args):
        one, zero = (ir.Constant(_VECTOR, [value] * LANES) for value in (1.0, 0.0))
        return builder.select(builder.fcmp_ordered(">=", *args), one, zero)

    return lanes(lanes, lanes), code


@intrinsic
def _places(typingctx, array, index, place, found, n):
    def code(context, builder, signature, args):
        values = builder.load(_address(context, builder, signature.args[0], *args[:2]), typ=_VECTOR)
        values.align = 4
        some = builder.fcmp_unordered("!=", values, ir.Constant(_VECTOR, [0.0] * LANES))
        first = _all(builder, builder.trunc(args[2], ir.IntType(32)), _WHOLE)
        where = builder.add(first, ir.Constant(_WHOLE, list(range(LANES))))
        masks = ir.VectorType(ir.IntType(1), LANES)
        compress = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(_WHOLE, [_WHOLE, masks, _WHOLE]),
            f"llvm.experimental.vector.compress.v{LANES}i32",
        )
        data = context.make_array(signature.args[3])(context, builder, args[3]).data
        target = builder.bitcast(builder.gep(data, [args[4]]), _WHOLE.as_pointer())
        builder.store(builder.call(compress, [where, some, ir.Constant(_WHOLE, [0] * LANES)]), target, align=4)
        count = builder.ctpop(builder.bitcast(some, ir.IntType(LANES)))
        return builder.add(args[4], builder.zext(count, ir.IntType(64)))

    return types.intp(array, types.intp, types.intp, found, types.intp), code


@njit
def _check(array, index, count=LANES):
    if index < 0 or index + count > array.size:
        raise IndexError("sixteen lanes reach beyond the array")


@njit(inline="always")
def load(array, index):
    """Sixteen values of a contiguous float32 array from flat position ``index``."""
    if CHECKED:
        _check(array, index)
    return _load(array, index)


@njit(inline="always")
def store(array, index, value):
    """Write sixteen values at flat position ``index``."""
    if CHECKED:
        _check(array, index)
    _store(array, index, value)


@njit(inline="always")
def load_some(array, index, count):
    """As `load`, but no more than ``count`` values; the other lanes are zero."""
    if count >= LANES:
        return load(array, index)
    if CHECKED:
        _check(array, index, count)
    return _load_some(array, index, count)


@njit(inline="always")
def store_some(array, index, value, count):
    """As `store`, but no more than ``count`` values."""
    if count >= LANES:
        store(array, index, value)
    else:
        if CHECKED:
            _check(array, index, count)
        _store_some(array, index, value, count)


@njit(inline="always")
def places(array, index, place, found, n):
    """Which of the sixteen values from flat position ``index`` are not zero, counted from ``place``.

    They are written into int32 ``found`` from n, with something behind them, sixteen numbers in all; returns n after
    them.
    """
    if CHECKED:
        _check(array, index)
        _check(found, n)
    return _places(array, index, place, found, n)
