"""Writes the network of an inference workload as ONNX: python3 write_onnx.py WORKLOAD.safetensors MODEL.onnx (needs python3-onnx)"""
import sys

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper

import peer


def write(workload, path):
    rows, inputs = workload.features.shape
    nodes, constants = [], []
    name, parameters = "x", workload.parameters
    for i, (weight, bias) in enumerate(parameters):
        last = i == len(parameters) - 1
        constants += [numpy_helper.from_array(numpy.array(weight), f"w{i}"), numpy_helper.from_array(numpy.array(bias), f"b{i}")]
        nodes.append(helper.make_node("Gemm", [name, f"w{i}", f"b{i}"], ["y" if last else f"z{i}"]))
        if not last:
            nodes.append(helper.make_node("Relu", [f"z{i}"], [f"a{i}"]))
            name = f"a{i}"
    graph = helper.make_graph(
        nodes, workload["workload"],
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [rows, inputs])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [rows, parameters[-1][1].size])], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    onnx.save(model, path)


if __name__ == "__main__":
    write(peer.Workload(sys.argv[1]), sys.argv[2])
