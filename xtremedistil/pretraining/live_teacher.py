"""Student and teacher as one model: the teacher runs inside the training step, as a constant of its graph."""

from collections.abc import Sequence

import tf_keras

from xtremedistil.models.features.encoder_outputs import in_float32
from xtremedistil.models.language_model.language_model import AsConstant, LanguageModel, language_inputs
from xtremedistil.models.projections import matched_tensors
from xtremedistil.objectives.position_masks import TEACHER_PREFIX
from xtremedistil.terms.layer_map import teacher_names
from xtremedistil.terms.match import Match
from xtremedistil.training.objectives import Objective


def student_with_teacher(
    student: LanguageModel,
    teacher: LanguageModel | None,
    matches: Sequence[Match],
    *,
    student_logits: bool,
    teacher_logits: bool,
) -> tuple[tf_keras.Model, list[tf_keras.layers.Layer]]:
    """Inputs in; the student's "logits" and tensors of the matches out, and the teacher's with "teacher_" before.

    Args:
        teacher: None where no term reads anything of it.
        student_logits, teacher_logits: whether a term reads these.

    Returns:
        the model, and the projections of the student's tensors, which only training needs.
    """
    inputs = language_inputs()
    names = teacher_names(matches)
    constants = {}
    if teacher is not None:
        constants = AsConstant(teacher.feature_model(names, logits=teacher_logits), name="teacher")(inputs)
    tensors = student.tensors(
        inputs, [name for match in matches for name in match.student_names], logits=student_logits
    )
    outputs, projections = matched_tensors(
        matches, tensors, teacher_width=lambda match: constants[match.teacher_names[-1]].shape[-1]
    )
    if student_logits:
        outputs["logits"] = in_float32(tensors["logits"], "logits")
    outputs |= {TEACHER_PREFIX + name: tensor for name, tensor in constants.items()}
    return tf_keras.Model(inputs, outputs, name="student_with_teacher"), projections


def reading_outputs(objective: Objective) -> Objective:
    """The same objective, which reads the teacher's outputs among those of the model, not in the batch."""

    def values(outputs, batch):
        teachers = {name: tensor for name, tensor in outputs.items() if name.startswith(TEACHER_PREFIX)}
        return objective.values(outputs, batch | teachers)

    return Objective(values, objective.counts, objective.weights, objective.schedules)
