"""The graph of a student, of whatever kind it is."""

import onnx

from xtremedistil.export.common.encoder_weights import StudentWeights, linear_of, student_weights
from xtremedistil.export.onnx.bilstm_graph import BilstmWeights, bilstm_weights, build_bilstm_graph, quantizable_bilstm
from xtremedistil.export.onnx.transformer_graph import build_graph, quantizable
from xtremedistil.models.architectures.families import BILSTM
from xtremedistil.models.checkpoints.h5_weights import relative_name
from xtremedistil.models.student import Student

Weights = StudentWeights | BilstmWeights


def weights_of(student: Student) -> Weights:
    """The student's weights as arrays, by what they do."""
    encoder, config = student.encoder, student.encoder.config.to_dict()
    arrays = {relative_name(variable.name, encoder.name): variable.numpy() for variable in encoder.weights}
    projection = None if student.projection is None else linear_of(student.projection)
    if student.family is BILSTM:
        return bilstm_weights(arrays, config, projection, linear_of(student.head), student.by_position)
    activation = student.projection_activation
    return student_weights(
        arrays, student.family, config, projection, linear_of(student.head), student.by_position, activation
    )


def build_student_graph(weights: Weights, **options) -> onnx.ModelProto:
    """Arguments are those of `fused_graph.build_graph`."""
    if isinstance(weights, BilstmWeights):
        return build_bilstm_graph(weights, **options)
    return build_graph(weights, **options)


def quantizable_parts(weights: Weights) -> list[str]:
    """Names of everything that can be kept in 8 bits, from the bottom up."""
    return quantizable_bilstm(weights) if isinstance(weights, BilstmWeights) else quantizable(weights)
