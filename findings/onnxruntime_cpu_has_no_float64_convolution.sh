#!/usr/bin/env bash
# onnxruntime on a CPU refuses a convolution in float64, and takes one in float16.
#
# Expected: a CPU computes in double precision whatever the standard allows, and half precision is what it lacks. Seen with
# onnxruntime 1.32.0: a network of float64 that onnx 1.23.2 finds valid does not load, because convolutions and average pools have
# no kernel of that type (NOT_IMPLEMENTED), while products of matrices, sigmoid, softmax and max pooling have one, and convolutions
# in float16 run. So a network that was made with jax_enable_x64 is exported well and cannot be asked.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PY'
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

SIGNAL, KERNEL, MATRIX = ("x", [1, 2, 9]), ("w", [3, 2, 3]), ("x", [3, 3])
NODES = {
    "Conv": ([SIGNAL, KERNEL], {}),
    "AveragePool": ([SIGNAL], {"kernel_shape": [2]}),
    "GlobalAveragePool": ([SIGNAL], {}),
    "MaxPool": ([SIGNAL], {"kernel_shape": [2]}),
    "MatMul": ([MATRIX, ("w", [3, 3])], {}),
    "Sigmoid": ([MATRIX], {}),
    "Softmax": ([MATRIX], {}),
}


def outcome(operator, kind):
    inputs, attributes = NODES[operator]
    node = helper.make_node(operator, [name for name, _ in inputs], ["y"], **attributes)
    given = [helper.make_tensor_value_info(name, kind, shape) for name, shape in inputs]
    graph = helper.make_graph([node], "g", given, [onnx.ValueInfoProto(name="y")])
    model = onnx.shape_inference.infer_shapes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10))
    onnx.checker.check_model(model, full_check=True)
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    except onnxruntime.capi.onnxruntime_pybind11_state.NotImplemented:
        return "refused"
    session.run(None, {name: np.ones(shape, helper.tensor_dtype_to_np_dtype(kind)) for name, shape in inputs})
    return "runs"


found = {name: (outcome(name, TensorProto.DOUBLE), outcome(name, TensorProto.FLOAT16)) for name in NODES}
for name, (double, half) in found.items():
    print(f"{name}: float64 {double}, float16 {half}")
assert [name for name, (double, _) in found.items() if double == "refused"] == ["Conv", "AveragePool", "GlobalAveragePool"]
assert all(half == "runs" for _, half in found.values())
PY
