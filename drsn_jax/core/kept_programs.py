"""Functions of arrays that are not traced again: the program that JAX lowers them to is kept on disk.

JAX keeps what XLA has compiled, and finds it by the text of the program. To have that text, a process traces the function and
lowers it, which takes longer than everything else at a second start. ``kept`` makes this text come from a file of
``kept_files``. It is StableHLO, which is compiled as any other program, and for which XLA's cache then has the result. The file
holds no executable and no weights, unless the function has them as constants.
"""

import json
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.core import ShapedArray, Tracer
from jax.extend.core import Primitive
from jax.extend.mlir import ir
from jax.extend.mlir.dialects import func
from jax.interpreters import mlir

from drsn_jax.core import kept_files

Function = Callable[..., jax.Array]
LOWERED_FOR = {"gpu": {"cuda", "rocm"}}  # what the platform of a device is called in lowering, where that is another name

# calls the function ``main`` of a module of StableHLO, and ``function`` itself where that module cannot be used
_call = Primitive("kept_program")


def kept(function: Function, *facts: object) -> Function:
    """Return a function that computes ``function(*arguments)``, an array, for ``jax.jit`` or ``jax.pmap`` to compile.

    Where files are kept (``kept_files.keep_in``), its program is read from a file, and traced and written where there is none.
    Otherwise, and for facts of which ``kept_files.told`` knows too little, it is ``function`` itself. The result has no
    derivative and cannot be mapped by ``jax.vmap``.

    Args:
      function: a function of trees of arrays. What it computes may depend on their shapes and dtypes, on ``facts``, on the source
        of this package and on JAX's configuration, and on nothing else.
      facts: all that decides what ``function`` computes, first its name.
    """

    def run(*arguments: Any) -> jax.Array:
        leaves, tree = jax.tree.flatten(arguments)
        # outside of ``jit``, or where it is switched off (``jax.disable_jit``), there is no program
        if not kept_files.keeps() or not all(isinstance(leaf, Tracer) for leaf in leaves):
            return function(*arguments)
        shapes = tuple((tuple(leaf.shape), np.dtype(leaf.dtype).name, bool(leaf.weak_type)) for leaf in leaves)
        device = jax.devices()[0]
        try:
            name = kept_files.key("program", facts, device.platform, device.device_kind, str(tree), shapes)
        except kept_files.Unknown:
            return function(*arguments)
        found = _parsed(kept_files.read(name))
        if found is None:
            found = _lowered(function, tree, shapes)
            if found is None:
                return function(*arguments)
            kept_files.write(name, json.dumps(found[0]).encode() + b"\n" + found[1])
        (shape, dtype), module = found
        flat = lambda *leaves: function(*jax.tree.unflatten(tree, leaves))  # noqa: E731
        (result,) = _call.bind(
            *leaves, function=flat, module=module, platform=device.platform, shape=tuple(shape), dtype=np.dtype(dtype)
        )
        return result

    return run


def _parsed(content: bytes | None) -> tuple[tuple[Any, str], bytes] | None:
    """Return shape and dtype of the result of a kept program, and its module; None where there is none."""
    if content is None:
        return None
    head, _, module = content.partition(b"\n")
    shape, dtype = json.loads(head)
    return (shape, dtype), module


def _lowered(function: Function, tree: Any, shapes: Any) -> tuple[tuple[Any, str], bytes] | None:
    """Trace and lower a function for arrays of these shapes and dtypes; return as ``_parsed``, and None for a program that cannot
    be called with them alone."""
    flat = jax.jit(lambda *leaves: function(*jax.tree.unflatten(tree, leaves)), keep_unused=True)
    lowered = flat.trace(*(jax.ShapeDtypeStruct(shape, dtype, weak_type=weak) for shape, dtype, weak in shapes)).lower()
    module: Any = lowered.compiler_ir("stablehlo")
    result: Any = lowered.out_info
    with module.context:
        main = module.body.operations[0]
        if len(ir.FunctionType(main.type).inputs) != len(shapes):  # constants of the function that JAX hands over as arguments
            return None
    return (list(result.shape), np.dtype(result.dtype).name), mlir.module_to_bytecode(module)


@_call.def_abstract_eval
def _shape(*_: Any, shape: tuple[int, ...], dtype: np.dtype, **__: Any) -> Any:
    return [ShapedArray(shape, dtype)]


def _lower(context: Any, *arguments: Any, function: Any, module: bytes, platform: str, **_: Any) -> Any:
    outer = context.module_context.module
    try:
        if not set(context.module_context.platforms) <= LOWERED_FOR.get(platform, {platform}):
            raise ValueError(f"the program was lowered for {platform}")
        with outer.context:
            inner = ir.Module.parse(module)
    except Exception:  # whatever the reader of a damaged or foreign module stumbles over: the function itself is lowered
        return mlir.lower_fun(function, multiple_results=False)(context, *arguments)
    main: Any = inner.body.operations[0]
    types = ir.FunctionType(main.type).results
    name = mlir.merge_mlir_modules(outer, "kept_program", inner, dst_symtab=context.module_context.symbol_table)
    return func.CallOp(types, ir.FlatSymbolRefAttr.get(name), list(arguments)).results


_call.multiple_results = True
mlir.register_lowering(_call, _lower)
