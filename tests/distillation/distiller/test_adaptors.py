"""`AdaptedModel`: models that are not of Hugging Face."""

import numpy as np
import pytest

from tests.distillation.distiller.models import (
    FIT,
    LABELS,
    ONE_STEP,
    WORDS,
    explain,
    padded,
    pair,
    recurrent,
    rows,
    tf,
    tf_keras,
)
from xtremedistil.distillation.distiller.distiller import Distiller
from xtremedistil.losses import LOSSES
from xtremedistil.models.adapters import AdaptedModel
from xtremedistil.terms.match import Match
from xtremedistil.terms.terms import Terms
from xtremedistil.training.strategy import precision


def test_keras_model_with_an_adaptor_is_a_student():
    teacher, _ = pair("TokenClassification")
    student = AdaptedModel(recurrent(), explain)
    distiller = Distiller(teacher, student, Terms(matches="last"))
    losses = [epoch["loss"] for epoch in distiller.fit(rows(40), **FIT).epochs]
    assert losses[-1] < losses[0]
    assert distiller.predict(rows(3))[0].shape[-1] == LABELS


@pytest.mark.slow
def test_adaptor_says_which_logits_count():
    """Those of odd tokens; matches count everywhere."""
    teacher, _ = pair("TokenClassification")
    model = recurrent()

    def masked(inputs, outputs):
        return explain(inputs, outputs) | {"logits_mask": inputs["input_ids"] % 2}

    match, data = Match("hidden_states", 0, 0), rows(6)
    student = AdaptedModel(model, masked)
    distiller, batch = Distiller(teacher, student, Terms(matches=(match,))), padded(data)
    plain = Distiller(teacher, AdaptedModel(model, explain), Terms(matches=(match,)))
    plain.projections[0].set_weights(distiller.projections[0].get_weights())
    odd = (batch["attention_mask"] > 0) & (batch["input_ids"] % 2 == 1)
    logits = [teacher(batch).logits.numpy()[odd], model(batch)[0].numpy()[odd]]
    kl = LOSSES["soft_label_kl"](teacher=logits[0], student=logits[1], temperature=2.0)
    sizes = {"batch_size": 4, "gradient_accumulation_steps": 2}
    found, whole = (one.fit(data, rows(4), **(ONE_STEP | sizes)).epochs[0] for one in (distiller, plain))
    assert found["logits"] == pytest.approx(float(kl), rel=1e-4)
    assert found["logits"] != pytest.approx(whole["logits"], rel=1e-2)
    assert found[match.name] == pytest.approx(whole[match.name], rel=1e-4)
    with pytest.raises(ValueError, match="depends on the model's weights"):
        AdaptedModel(model, lambda i, o: explain(i, o) | {"logits_mask": o[0][..., 0]})
    even = AdaptedModel(model, lambda i, o: explain(i, o) | {"logits_mask": 0 * i["input_ids"]})
    with pytest.raises(ValueError, match="leaves no token"):
        Distiller(teacher, even).fit(data, **ONE_STEP)


def test_adaptor_may_give_several_logits_of_rows(tmp_path):
    def several(seed: int) -> AdaptedModel:
        tf_keras.utils.set_random_seed(seed)
        inputs = tf_keras.Input((None,), dtype=tf.int32, name="input_ids")
        states = tf_keras.layers.Embedding(WORDS, 4)(inputs)
        pooled = tf_keras.layers.GlobalAveragePooling1D()(states)
        model = tf_keras.Model({"input_ids": inputs}, [tf_keras.layers.Dense(size)(pooled) for size in (2, 3)])
        return AdaptedModel(
            model, lambda inputs, outputs: {"logits": dict(zip(("color", "size"), outputs, strict=True))}
        )

    epoch = Distiller(several(1), several(2)).fit(rows(16), rows(8), folder=str(tmp_path), **FIT).epochs[-1]
    assert np.isfinite([epoch["color"], epoch["size"]]).all()
    (kept_logits,) = tmp_path.glob("*/*/train/color.npy")
    assert np.load(kept_logits).dtype == np.float32
    with precision("mixed_float16"):
        halved = Distiller(several(1), several(2))
    outputs = [*halved.matching.output.values(), *halved.model.output.values()]
    assert {tensor.dtype for tensor in outputs} == {tf.float32}


@pytest.mark.parametrize(
    ("adapted", "message"),
    [
        (lambda i, o: {"logits": o[0], "hiden_states": o[1:]}, "Did you mean hidden_states"),
        (lambda i, o: {"logits": o[0], "hidden_states": o[1]}, "one tensor; a list is expected"),
        (lambda i, o: {"logits": o[0], "attentions": o[1:]}, "4 axes are expected"),
        (lambda i, o: {"hidden_states": o[1:]}, "gives no logits"),
        (lambda i, o: {"logits": o[0][..., 0]}, "the last axis of a fixed size"),
        (lambda i, o: {"logits": o[0][..., None]}, r"\[B, L\] for rows or \[B, S, L\] for tokens"),
        (lambda i, o: {"logits": {"start_logits": o[0][..., 0]}}, r"\[B, S, 1\] are expected"),
        (lambda i, o: {"logits": {"tags": o[0], "text": o[0][:, 0]}}, "all be per row, or all per token"),
        (lambda i, o: {"logits": o[0][:, 0], "logits_mask": i["input_ids"]}, "If the logits are per row"),
    ],
)
def test_adaptor_that_is_wrong(adapted, message):
    with pytest.raises(ValueError, match=message):
        AdaptedModel(recurrent(), adapted)
