"""`Distiller` with several teachers."""

import numpy as np
import pytest

from tests.distillation.distiller.models import FIT, bert, pair, rows
from xtremedistil.distillation.distiller.distiller import Distiller
from xtremedistil.terms.match import Match
from xtremedistil.terms.terms import Terms


@pytest.mark.slow
def test_weight_of_one_teacher_alone_is_that_teacher_alone():
    def run(teachers, **terms):
        student = bert("SequenceClassification", layers=1, width=8, seed=2)
        history = Distiller(teachers, student, Terms(**terms)).fit(rows(16), **(FIT | {"epochs": 1}))
        return [epoch["loss"] for epoch in history.epochs]

    teacher, _ = pair()
    other = bert("SequenceClassification", layers=1, width=8, seed=9)
    alone = run(teacher)
    for combine in ("logits", "probabilities", "losses"):
        both = run([teacher, other], teacher_weights=(2.0, 0.0), combine=combine)
        assert both == pytest.approx(alone, rel=1e-5)


def test_each_teacher_may_have_matches_and_leave():
    teacher, student = pair()
    other = bert("SequenceClassification", layers=1, width=12, seed=9)
    matches = (Match("hidden_states", 3, 2), Match("hidden_states", 1, 1, teacher_number=1))
    distiller = Distiller([teacher, other], student, Terms(matches=matches))
    both = distiller.fit(rows(16), epochs=1, batch_size=8).epochs[0]
    alone = distiller.fit(rows(16), epochs=1, batch_size=8, teachers=[0]).epochs[0]
    assert set(both) - set(alone) == {matches[1].name}


@pytest.mark.slow
def test_same_layer_of_teachers_of_two_widths_may_be_matched():
    teacher, student = pair()
    other = bert("SequenceClassification", layers=1, width=12, seed=9)
    matches = tuple(Match("hidden_states", 1, 1, teacher_number=number) for number in (0, 1))
    distiller = Distiller([teacher, other], student, Terms(matches=matches))
    assert [layer.units for layer in distiller.projections] == [16, 12]
    assert np.isfinite(distiller.fit(rows(8), epochs=1, batch_size=8).epochs[0]["loss"])


@pytest.mark.parametrize(("what", "given"), [("teachers", [1]), ("teacher_train", {1: {}}), ("teacher_dev", {-1: {}})])
def test_number_of_no_teacher_is_refused(untrained, what, given):
    with pytest.raises(ValueError, match=f"{what} names .* there are 1 teachers"):
        untrained.fit(rows(8), **{what: given}, **FIT)


@pytest.mark.slow
@pytest.mark.parametrize("weights", [(1.0,), (0.0, 0.0), (1.0, -1.0)])
def test_teacher_weights_that_are_no_shares(weights):
    teacher, student = pair()
    with pytest.raises(ValueError, match="teacher_weights"):
        Distiller([teacher, teacher], student, Terms(teacher_weights=weights))
