"""What a fit is known by in the next process."""

import functools
import hashlib
import subprocess
import sys

import numpy as np
import pytest

from xtremedistil.distillation.distiller.fit_inputs import fit_key
from xtremedistil.losses.weight_schedules import linear_decay, linear_growth
from xtremedistil.terms.match import Match
from xtremedistil.terms.soft_labels import SoftLabels
from xtremedistil.terms.terms import Terms

IN_ANOTHER_PROCESS = """
from xtremedistil.distillation.distiller.fit_inputs import fit_key
from xtremedistil.terms.soft_labels import SoftLabels
from xtremedistil.terms.terms import Terms
from xtremedistil.losses.weight_schedules import linear_growth
print(fit_key(Terms(SoftLabels(weight_schedule=linear_growth))))
"""


def of_schedule(schedule) -> str:
    return fit_key(Terms(SoftLabels(weight_schedule=schedule)))


def power(progress, exponent):
    return progress**exponent


def test_function_is_known_by_its_name_in_every_process():
    found = subprocess.run([sys.executable, "-c", IN_ANOTHER_PROCESS], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == of_schedule(linear_growth)
    assert of_schedule(linear_growth) != of_schedule(linear_decay)


def test_what_a_function_is_called_with_counts():
    squares, cubes = (functools.partial(power, exponent=exponent) for exponent in (2, 3))
    assert of_schedule(squares) == of_schedule(functools.partial(power, exponent=2)) != of_schedule(cubes)


def test_all_digits_and_all_numbers_of_an_array_count():
    numbers = np.arange(2000.0)
    close, far = numbers.copy(), numbers.copy()
    close[0], far[1000] = 1e-12, 0.0
    keys = [fit_key(array) for array in (numbers, close, far, numbers.astype(np.float32))]
    assert len(set(keys)) == 4
    assert fit_key(np.arange(2000.0)) == keys[0]


def test_sets_are_written_alike_in_every_process():
    """The order of a set of texts is another in each."""
    assert fit_key({"b", "a", "c"}) == fit_key(frozenset("cab")) == hashlib.sha256(b"{'a', 'b', 'c'}").hexdigest()


def test_options_and_fields_count_and_their_order_does_not():
    one = Match("hidden_states", 1, 1, "cckd", options={"gamma": 0.5, "degree": 2})
    assert fit_key(one) == fit_key(Match("hidden_states", 1, 1, "cckd", options={"degree": 2, "gamma": 0.5}))
    assert fit_key(one) != fit_key(Match("hidden_states", 1, 1, "cckd", options={"degree": 2, "gamma": 0.4}))


class Growing:
    def __call__(self, progress):
        return progress

    def method(self, progress):
        return progress


@pytest.mark.parametrize(
    "schedule",
    [
        lambda progress: progress,
        Growing(),
        Growing().method,
        functools.partial(power, exponent=object()),
    ],
)
def test_function_without_a_name_of_its_own_is_refused(schedule):
    with pytest.raises(ValueError, match="write a function at the top of a module"):
        of_schedule(schedule)
