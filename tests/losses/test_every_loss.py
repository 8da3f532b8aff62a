"""What holds for all losses, or for all of a kind."""

import inspect

import numpy as np
import pytest
import tensorflow as tf

from tests.losses.cases import CASES
from xtremedistil.losses import LOSSES

LABELS = ("soft_label_ce", "soft_label_kl", "soft_label_bce", "logits_mse", "logit_standardized_kl", "dist")
SOFTMAX = ("soft_label_ce", "soft_label_kl", "logit_standardized_kl", "dist", "attention_ce")
ENTROPIES = ("soft_label_ce", "soft_label_bce", "attention_ce", "attention_ce_mean")
every_loss = pytest.mark.parametrize("case", CASES, ids=str)


def of_plain_cases(keep=lambda case: True):
    """Cases without tensors among their options, which go with one batch only."""
    kept = [case for case in CASES if keep(case) and not any(map(np.ndim, case.options.values()))]
    return pytest.mark.parametrize("case", kept, ids=str)


def value(case, teacher, student, mask=None, **options):
    loss = LOSSES[case.name](teacher=teacher, student=student, mask=mask, **(case.options | options))
    assert loss.dtype == tf.float32 and loss.shape == ()
    return float(loss)


def loss_and_gradients(case, teacher, student, mask=None):
    """The loss and what flows into the teacher and into the student, as lists of arrays."""
    teacher, student = tf.nest.map_structure(tf.constant, teacher), tf.nest.map_structure(tf.constant, student)
    with tf.GradientTape() as tape:
        tape.watch([teacher, student])
        loss = LOSSES[case.name](teacher=teacher, student=student, mask=mask, **case.options)
    into_teacher, into_student = tape.gradient(loss, [teacher, student])
    flat = [gradient.numpy() for gradient in tf.nest.flatten(into_student) if gradient is not None]
    return float(loss), tf.nest.flatten(into_teacher), flat


def mapped(function, tensors):
    return tf.nest.map_structure(function, tensors)


def padding(case, tensor):
    """True where `tensor` is padding."""
    mask = case.mask > 0
    if tensor.ndim < 4:
        return np.broadcast_to(~mask[..., None], tensor.shape)
    keys = mask[:, None, None, :] | (case.options.get("compat", False) and "ce" in case.name)
    return np.broadcast_to(~(mask[:, None, :, None] & keys), tensor.shape)


def test_every_loss_has_a_case():
    assert {case.name for case in CASES} == set(LOSSES)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_take_teacher_student_and_mask_by_name(name):
    parameters = inspect.signature(LOSSES[name]).parameters
    assert list(parameters)[:3] == ["teacher", "student", "mask"]
    assert parameters["mask"].default is None
    assert {parameter.kind for parameter in parameters.values()} == {inspect.Parameter.KEYWORD_ONLY}


@every_loss
def test_loss_is_its_formula_in_float64(case):
    teacher, student = case.inputs()
    assert value(case, teacher, student) == pytest.approx(case.formula(teacher, student, case.everything), rel=1e-5)


@every_loss
def test_masked_loss_is_the_formula_of_what_is_real(case):
    teacher, student = case.inputs(1)
    expected = pytest.approx(case.formula(teacher, student, case.mask), rel=1e-5)
    assert value(case, teacher, student, case.mask) == expected
    assert value(case, teacher, student, case.mask.astype("float16")) == expected
    assert value(case, teacher, student, case.mask > 0) == expected


@of_plain_cases(lambda case: "compat" not in case.options)  # TextBrewer's clamp is for maps without a mask
def test_mask_of_ones_is_no_mask(case):
    teacher, student = case.inputs(2)
    assert value(case, teacher, student, case.everything) == pytest.approx(value(case, teacher, student), rel=1e-5)


@every_loss
@pytest.mark.parametrize("junk", [7.0, np.inf, -np.inf, np.nan])
def test_what_stands_in_padding_changes_neither_loss_nor_gradient(case, junk):
    teacher, student = case.inputs(3)
    expected, _, gradients = loss_and_gradients(case, teacher, student, case.mask)
    teacher, student = (mapped(lambda x: np.where(padding(case, x), junk, x), side) for side in (teacher, student))
    found, _, found_gradients = loss_and_gradients(case, teacher, student, case.mask)
    assert found == pytest.approx(expected, rel=1e-6)
    for side, before, after in zip(tf.nest.flatten(student), gradients, found_gradients, strict=True):
        np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-8)
        assert not after[padding(case, side)].any()


@every_loss
def test_no_gradient_flows_into_the_teacher(case):
    _, into_teacher, into_student = loss_and_gradients(case, *case.inputs(4), case.mask)
    assert all(gradient is None for gradient in into_teacher)
    assert into_student and all(gradient.any() for gradient in into_student)


@every_loss
@pytest.mark.parametrize("zeros", ["teacher", "student", "both"])
def test_gradients_of_zero_vectors_are_finite(case, zeros):
    teacher, student = case.inputs(5)
    teacher = mapped(np.zeros_like, teacher) if zeros != "student" else teacher
    student = mapped(np.zeros_like, student) if zeros != "teacher" else student
    loss, _, gradients = loss_and_gradients(case, teacher, student, case.mask)
    assert np.isfinite(loss)
    assert all(np.isfinite(gradient).all() for gradient in gradients)


@every_loss
def test_loss_over_nothing_is_zero_with_gradients_of_zero(case):
    loss, _, gradients = loss_and_gradients(case, *case.inputs(6), np.zeros_like(case.mask))
    assert loss == 0.0
    assert not any(gradient.any() for gradient in gradients)


@of_plain_cases()
def test_loss_of_an_empty_batch_is_zero(case):
    teacher, student = (mapped(lambda x: x[:0], side) for side in case.inputs(6))
    assert value(case, teacher, student) == 0.0
    assert value(case, teacher, student, case.mask[:0]) == 0.0


@every_loss
def test_equal_inputs_give_the_least_value(case):
    teacher, student = case.inputs(7)
    equal = value(case, teacher, teacher, case.mask)
    least = case.formula(teacher, teacher, case.mask) if case.name in ENTROPIES else 0.0
    assert equal == pytest.approx(least, rel=1e-5, abs=1e-6)
    if "compat" not in case.options:
        assert value(case, teacher, student, case.mask) > equal


# Without cckd, a norm, and cross-entropy of probabilities, whose least is least among probabilities only.
@of_plain_cases(lambda case: case.name != "cckd" and not ({"from_logits", "compat"} & set(case.options)))
def test_gradient_at_equal_inputs_is_zero(case):
    teacher, _ = case.inputs(7)
    _, _, gradients = loss_and_gradients(case, teacher, teacher, case.mask)
    assert max(np.abs(gradient).max() for gradient in gradients) < 1e-5


@of_plain_cases()
def test_order_of_rows_changes_nothing(case):
    order = np.random.default_rng(0).permutation(len(case.mask))
    teacher, student = case.inputs(8)
    shuffled = (mapped(lambda x: x[order], side) for side in (teacher, student))
    assert value(case, *shuffled, case.mask[order]) == pytest.approx(value(case, teacher, student, case.mask), rel=1e-5)


@of_plain_cases(
    lambda case: case.mask.ndim == 2 and "normalize_by" not in case.options and "compat" not in case.options
)
def test_longer_padding_changes_nothing(case):
    def longer(tensor):
        widths = [(0, 0)] * tensor.ndim
        widths[1 if tensor.ndim < 4 else 2] = (0, 3)
        widths[-1] = widths[-1] if tensor.ndim < 4 else (0, 3)
        return np.pad(tensor, widths, constant_values=np.nan)

    teacher, student = case.inputs(9)
    expected = value(case, teacher, student, case.mask)
    teacher, student = mapped(longer, teacher), mapped(longer, student)
    assert value(case, teacher, student, np.pad(case.mask, [(0, 0), (0, 3)])) == pytest.approx(expected, rel=1e-5)


@every_loss
def test_loss_in_a_graph_of_unknown_batch_and_length_is_the_same(case):
    def spec(tensor):
        unknown = {2: [None], 3: [None, None], 4: [None, tensor.shape[1], None, None]}[tensor.ndim]
        return tf.TensorSpec(unknown + list(tensor.shape[len(unknown) :]), tf.float32)

    def graph(teacher, student, mask):
        return LOSSES[case.name](teacher=teacher, student=student, mask=mask, **case.options)

    teacher, student = case.inputs(10)
    mask = case.mask.astype("float32")
    signature = [mapped(spec, teacher), mapped(spec, student), tf.TensorSpec([None] * mask.ndim, tf.float32)]
    found = tf.function(graph, input_signature=signature)(teacher, student, mask)
    assert float(found) == pytest.approx(value(case, teacher, student, mask), rel=1e-5)


@every_loss
@pytest.mark.parametrize("half", [tf.float16, tf.bfloat16])
def test_half_precision_inputs_are_computed_in_float32(case, half):
    def cast(tensors, dtype):
        return mapped(lambda tensor: tf.cast(tensor, dtype), tensors)

    teacher, student = (cast(side, half) for side in case.inputs(11))
    expected = pytest.approx(value(case, cast(teacher, tf.float32), cast(student, tf.float32), case.mask), rel=1e-6)
    assert value(case, teacher, student, tf.cast(case.mask, half)) == expected
    assert value(case, teacher, cast(student, tf.float32), case.mask) == expected  # as stored targets may be


@of_plain_cases(lambda case: case.name in LABELS)
def test_order_of_labels_changes_nothing(case):
    teacher, student = case.inputs(12)
    order = np.random.default_rng(0).permutation(teacher.shape[-1])
    found = value(case, teacher[..., order], student[..., order], case.mask)
    assert found == pytest.approx(value(case, teacher, student, case.mask), rel=1e-5)


@of_plain_cases(
    lambda case: case.name in SOFTMAX and case.options.get("from_logits", True) and "compat" not in case.options
)
def test_adding_a_number_to_all_logits_of_a_position_changes_nothing(case):
    teacher, student = case.inputs(13)
    shift = np.random.default_rng(0).integers(-20, 20, (*teacher.shape[:-1], 1)).astype("float32")
    found = value(case, teacher + shift, student - shift, case.mask)
    assert found == pytest.approx(value(case, teacher, student, case.mask), rel=1e-4)


@of_plain_cases(lambda case: not case.kind.startswith("wide") and "layers" not in case.kind)
def test_shapes_that_tensorflow_would_stretch_are_refused(case):
    teacher, student = case.inputs()
    with pytest.raises(ValueError, match="has shape"):
        value(case, teacher, student[..., :1])


@of_plain_cases(lambda case: case.kind in ("rows", "positions", "wide_rows", "wide_positions") and case.name != "pkd")
def test_mask_of_other_axes_is_refused(case):
    teacher, student = case.inputs()
    with pytest.raises(ValueError, match="does not fit"):
        value(case, teacher, student, case.mask[..., None])
