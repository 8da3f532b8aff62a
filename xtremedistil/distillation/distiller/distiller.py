"""`Distiller`: distils between models that were built in Python.

It trains with the same loop as the commands: teacher outputs are computed once and kept, batches hold sequences of
similar length, and devices, precision, gradient accumulation and resuming work alike.
"""

import contextlib
import functools
import math
import os
from collections.abc import Callable, Mapping, Sequence, Set

import numpy as np
import tensorflow as tf

from xtremedistil.arguments import (
    is_whole,
    require_function,
    require_kind,
    require_mapping,
    require_number,
    require_path,
    require_texts,
    require_whole,
)
from xtremedistil.console.progress import Progress
from xtremedistil.data.features import NOT_SCORED, Features
from xtremedistil.data.padding import Arrays
from xtremedistil.distillation.data.encoded_inputs import SPAN_ENDS, features_of
from xtremedistil.distillation.distiller.dataset import DistillationDataset, TeacherOutputs
from xtremedistil.distillation.distiller.fit_inputs import (
    FitInputs,
    ResumableFit,
    fit_key,
    kept,
    known_as,
    output_writer,
)
from xtremedistil.distillation.distiller.label_names import teachers_in_order
from xtremedistil.distillation.distiller.row_checks import check_rows
from xtremedistil.distillation.distiller.settings import FitSettings, settings_of
from xtremedistil.distillation.teacher_outputs.cache_writer import OutputWriterConfig
from xtremedistil.models.adapters import AdaptedModel, ModelKindError, TaskModel
from xtremedistil.models.checkpoints.h5_weights import load_weights, save_weights
from xtremedistil.models.forward import make_predict_function
from xtremedistil.models.prediction import PredictFunction, predict_batches
from xtremedistil.models.projections import projection_rates
from xtremedistil.models.student import Student
from xtremedistil.models.student_folder import save_student
from xtremedistil.models.teacher import Teacher
from xtremedistil.objectives.from_terms import terms_objective
from xtremedistil.objectives.gradient_check import require_gradients
from xtremedistil.objectives.held_out_loss import HeldOutLoss
from xtremedistil.objectives.labels import are_scored, check_labels
from xtremedistil.objectives.term_checks import (
    check_compiled,
    check_other_tokenizers,
    check_tensors,
    check_terms,
    classifies,
    logits_of,
)
from xtremedistil.storage.files import atomic_file
from xtremedistil.tasks.problem_types import SPAN
from xtremedistil.terms.match import Match
from xtremedistil.terms.terms import Terms
from xtremedistil.training.objectives import Objective
from xtremedistil.training.state import History
from xtremedistil.training.strategy import seed_everything, stage_seed, wants_static_shapes
from xtremedistil.training.trainer import Trainer
from xtremedistil.training.workers import Workers

PROJECTIONS, TERMS = "projections.h5", "terms.json"


class Distiller:
    """A student and its teachers.

    Args:
        teacher: a Hugging Face TensorFlow model with a head, an `AdaptedModel` or a `Teacher`; or several in a list;
            None: the student learns from gold labels only, as in fine-tuning.
        student: a Hugging Face model, an `AdaptedModel`, or a `Student` from `restore_student`. Models return attention
            maps after dropout: to match them, build the student with an attention dropout of 0.
        terms: the losses.
        strategy: strategy that the student was built under; by default that of its variables.

    Fields:
        model: the student in inference mode: takes named inputs, returns its logits by name.
        matching: the student in training: returns its logits and all tensors of the matches.

    Raises:
        ValueError: models and terms do not fit together, or teacher and student have other labels.
    """

    def __init__(self, teacher, student, terms: Terms | None = None, *, strategy: tf.distribute.Strategy | None = None):
        require_kind("terms", terms, Terms, "a Terms", optional=True)
        require_kind("strategy", strategy, tf.distribute.Strategy, "a tf.distribute.Strategy", optional=True)
        with strategy.scope() if strategy else contextlib.nullcontext():  # a model may create its variables here
            self.teachers = [_member(f"teacher {number}", one) for number, one in enumerate(_listed(teacher))]
            self.student = _member("student", student)
        self.terms = (terms or Terms()).for_problem(self.student.problem_type)
        if self.terms.uses_logits:
            self.teachers = teachers_in_order(self.teachers, self.student)
        self.strategy = strategy or getattr(self.student.weights[0], "distribute_strategy", None)
        self.strategy = self.strategy or tf.distribute.get_strategy()
        depth = self.teachers[0].num_hidden_layers if self.teachers else 0
        self.matches = self.terms.matches_for(depth, self.student.num_hidden_layers) if self.teachers else ()
        check_terms(self.terms, self.matches, self.teachers, self.student)
        shape = self._teacher_shape()
        with self.strategy.scope():
            self.matching, self.projections = self.student.matching_model(self.matches, lambda match: shape(match)[-1])
        check_tensors(self.matches, self.matching, shape)
        self.model = self.student.model

    def _teacher_shape(self) -> Callable[[Match], Sequence]:
        """Returns a function that gives the static shape of a match's teacher tensor."""
        outputs = {}
        for number, teacher in enumerate(self.teachers):
            if names := self._names(number, logits=False):
                outputs[number] = teacher.feature_model(names).output
        return lambda match: outputs[match.teacher_number][match.teacher_names[-1]].shape

    def _names(self, number: int, *, logits: bool = True) -> list[str]:
        """Returns the names of one teacher's outputs that the terms use."""
        matched = {name for match in self.matches if match.teacher_number == number for name in match.teacher_names}
        wanted = self.teachers[number].logit_names if logits and self.terms.soft_labels.weight else ()
        return sorted({*matched, *wanted})

    def fit(
        self,
        train,
        dev=None,
        settings: FitSettings | None = None,
        *,
        teachers: Sequence[int] | None = None,
        trained: Sequence[str] | None = None,
        teacher_train: Mapping[int, object] | None = None,
        teacher_dev: Mapping[int, object] | None = None,
        metric: Callable[[list, Features], float] | None = None,
        **changes,
    ) -> History:
        """Trains the student; keeps the weights of the best epoch on `dev`, or of the last one without a dev set.

        Call it again with other `teachers` or `trained` to train in several stages.

        Args:
            train, dev: rows, as `encoded_inputs.features_of` takes them. Of a `tf.data.Dataset` of infinite or unknown
                size, only as many rows are read as the steps need.
            settings: settings of the fit. changes: fields of `FitSettings` that replace those of `settings`.
            teachers: numbers of the teachers to learn from; by default all.
            trained: prefixes of the names of the variables to train, such as "bert/encoder/layer_._0"; by default all,
                projections included.
            teacher_train, teacher_dev: by number of a teacher with another tokenizer, the same rows encoded by it, with
                word_ids if logits or hidden states are per token.
            metric: takes logits of each dev row, without padding, and the dev rows; higher is better. By default the
                accuracy, or minus the loss if there are no class labels.

        Raises:
            ValueError: rows or names do not fit, or a loss would train nothing. InputError: training diverged.
        """
        settings = settings_of(settings, changes)
        require_function("metric", metric, optional=True)
        self.check_fit(jit_compile=settings.jit_compile, resumable=bool(settings.folder))
        _, steps_per_epoch = settings.epochs_and_steps
        replicas, batches_per_step = self.strategy.num_replicas_in_sync, settings.gradient_accumulation_steps
        variables, factors = self.trained(trained, settings.learning_rate)
        seed_everything(settings.seed)
        workers = Workers(self.strategy)
        with kept(settings.folder, workers) as folder:
            how = output_writer(settings, workers)
            sides, most = (train, dev, teacher_train, teacher_dev), settings.most_rows(replicas)
            fit_inputs = self.fit_inputs(*sides, teachers=teachers, metric=metric, folder=folder, how=how, most=most)
            seed = stage_seed(settings.seed, 1)
            batches = fit_inputs.batches(settings.batch_size, seed, batches_per_step, steps_per_epoch)
            self.require_gradients(fit_inputs.objective, batches.sample(), variables)
            recipe = settings.training
            trainer = Trainer(self.matching, variables, fit_inputs.objective, self.strategy, recipe, factors)
            key = fit_inputs.key, recipe, self.terms, trained, batches.batch_size, batches.per_step, steps_per_epoch
            run = ResumableFit(settings.folder, settings.save_minutes, workers, settings.verbose)
            history = run(trainer, batches, fit_inputs.evaluate, key)
        self.sync_word_embeddings()
        return history

    def check_fit(self, *, jit_compile: bool, resumable: bool) -> None:
        """Raises ValueError if the terms do not work with these settings of a fit."""
        check_compiled(self.matches, {"jit_compile": jit_compile, "TPUStrategy": wants_static_shapes(self.strategy)})
        if resumable:
            fit_key(self.terms)

    def require_gradients(self, objective: Objective, batch: Arrays, variables: Sequence[tf.Variable]) -> None:
        """Raises ValueError if a loss trains no variable of the student; projections only count if nothing else is
        trained."""
        projected = {id(variable) for layer in self.projections for variable in layer.weights}
        own = [variable for variable in variables if id(variable) not in projected]
        require_gradients(self.matching, objective, batch, own or variables, self.strategy)

    def sync_word_embeddings(self) -> None:
        """Writes trained word embeddings into the deployed model."""
        if isinstance(self.student, Student):
            self.student.sync_word_embeddings()

    def fit_inputs(
        self,
        train,
        dev,
        teacher_train: Mapping[int, object] | None = None,
        teacher_dev: Mapping[int, object] | None = None,
        *,
        teachers: Sequence[int] | None,
        metric: Callable[[list, Features], float] | None,
        folder: str,
        how: OutputWriterConfig,
        most: int | None = None,
    ) -> FitInputs:
        """Computes teacher outputs and collects what a fit needs besides the student; other arguments as for `fit`.

        Args:
            folder: where teacher outputs are kept. how: how they are computed and kept. most: rows to read of an
                infinite dataset.
        """
        require_mapping("teacher_train", teacher_train, optional=True)
        require_mapping("teacher_dev", teacher_dev, optional=True)
        require_kind("teachers", teachers, (list, tuple, range, set), "a list of numbers of teachers", optional=True)
        active = range(len(self.teachers)) if teachers is None else teachers
        self._require_teachers(active, teacher_train or {}, teacher_dev or {})
        check_other_tokenizers(self.matches, {*(teacher_train or {}), *(teacher_dev or {})})
        outputs = {number: TeacherOutputs(self.teachers[number], self._names(number)) for number in active}
        rows = DistillationDataset(self.student, outputs, folder, how)
        features, targets, masks = rows.read("train", train, teacher_train or {}, most)
        self._require_labels(features, "training")
        aligned = set(teacher_train or {}) & set(active)
        objective = terms_objective(self.terms, self.matches, self.student, teachers=active, aligned=aligned)
        evaluate = self._evaluate(rows, dev, teacher_dev or {}, aligned, objective, metric)
        sizes = [list(variable.shape) for variable in self.student.weights]
        key, replicas = f"{rows.key}|{known_as(metric)}|{sizes}", self.strategy.num_replicas_in_sync
        return FitInputs(features, targets, masks, objective, evaluate, key, self.student.pad_id, replicas)

    def _require_teachers(self, active: Sequence[int], train: Mapping, dev: Mapping) -> None:
        for what, numbers in (("teachers", active), ("teacher_train", train), ("teacher_dev", dev)):
            if wrong := [one for one in numbers if not is_whole(one) or one not in range(len(self.teachers))]:
                raise ValueError(f"{what} names {wrong}; there are {len(self.teachers)} teachers, counted from 0.")

    def _require_labels(self, features: Features, which: str) -> None:
        """Raises ValueError if a loss needs gold labels that are missing or that the student does not have."""
        soft, problem = self.terms.soft_labels, self.student.problem_type
        wanting = {"hard_label_weight": self.terms.hard_label_weight, "probability_shift": soft.probability_shift}
        for name in [name for name, wanted in wanting.items() if wanted]:
            if not are_scored(features, problem):
                columns = " and ".join(SPAN_ENDS) if problem == SPAN else "labels"
                raise ValueError(f"{name} needs gold labels, and the {which} rows have none. Give them as {columns}.")
            check_labels(features, problem, logits_of(self.student, self.student.logit_names[0]))

    def trained(self, names: Sequence[str] | None, peak: float) -> tuple[list, list[float]]:
        """Returns the variables to train, and the factor of each one's learning rate."""
        if isinstance(names, str):
            raise ValueError(f"trained is {names!r}; give a list of one or several prefixes of names: [{names!r}].")
        require_texts("trained", names, optional=True)
        own = self.student.trainable_weights
        projected = [variable for layer in self.projections for variable in layer.weights]
        if names is not None:
            chosen = [variable for variable in own if _is_below(variable, names)]
            if unused := [name for name in names if not any(_is_below(variable, [name]) for variable in own)]:
                example = own[0].name.rsplit("/", 1)[0]
                raise ValueError(f"The student has no variables in {', '.join(unused)}; one is {example}.")
            own = chosen
        rates = projection_rates(self.matches, peak)
        factors = [1.0] * len(own) + [rates.get(layer.name, 1.0) for layer in self.projections for _ in layer.weights]
        return own + projected, factors

    def _evaluate(
        self, rows: DistillationDataset, dev, teacher_dev: Mapping, aligned: Set[int], objective: Objective, metric
    ):
        """Returns a function that scores the current weights; None without a dev set."""
        if dev is None:
            return None
        features = self._features(dev)
        check_rows(features, self.student, "the student")
        by_labels = classifies(self.student) and are_scored(features, self.student.problem_type)
        if metric is None and not by_labels:
            if missing := aligned - set(teacher_dev):
                raise ValueError(f"teacher_dev has no rows of teacher {min(missing)}, teacher_train has.")
            features, targets, masks = rows.read("dev", dev, teacher_dev)
            self._require_labels(features, "dev")
            held_out = HeldOutLoss(self.matching, objective, features, [*targets, *masks], self.student.pad_id)
            return lambda: -held_out()
        if metric is None:
            check_labels(features, self.student.problem_type, logits_of(self.student, self.student.logit_names[0]))
        rows.see(features)
        return functools.partial(self._score, metric or share_of_right_labels, features)

    def _score(self, metric: Callable[[list, Features], float], features: Features) -> float:
        self.sync_word_embeddings()
        score = metric(self.predict(features), features)
        require_number("The result of metric", score, -math.inf)
        return float(score)

    @functools.cached_property
    def _logits_of(self) -> PredictFunction:
        """The student's predict function, traced once."""
        return make_predict_function(self.model)

    def predict(self, rows, batch_size: int = 64) -> list[np.ndarray]:
        """Returns the student's logits of each row without padding: float32 [S, L] or [L]; for spans [S, 2]."""
        require_whole("batch_size", batch_size, 1)
        features = self._features(rows)
        check_rows(features, self.student, "the student")
        logits: list[np.ndarray] = [np.empty(0)] * len(features)
        names = self.student.logit_names
        batches = predict_batches(self._logits_of, features, batch_size=batch_size, pad_id=self.student.pad_id)
        for numbers, outputs in batches:
            values = outputs["logits"] if names == ("logits",) else np.concatenate([outputs[n] for n in names], -1)
            for row, value in zip(numbers, values, strict=True):
                logits[row] = value[: features.lengths[row]] if value.ndim == 2 else value
        return logits

    def _features(self, rows) -> Features:
        return features_of(rows, by_position=self.student.by_position, problem_type=self.student.problem_type)

    def save(self, folder: str, like: str | None = None) -> None:
        """Writes the student, and the files that only distillation needs: `projections.h5` and `terms.json`.

        A Hugging Face model is written as a Hugging Face folder (`deploy` writes a model folder), a `Student` as a
        model folder to predict with and to export.

        Args:
            like: the model folder that a `Student` was restored from; its labels and tokenizer are copied.

        Raises:
            ValueError: the student is a Keras model with an adaptor, which has its own `save`; or `like` is missing.
        """
        require_path("folder", folder)
        require_path("like", like, optional=True)
        if isinstance(self.student, AdaptedModel):
            raise ValueError("This student is your own Keras model: save it with its own `save`.")
        os.makedirs(folder, exist_ok=True)
        if isinstance(self.student, TaskModel):
            self.student.pretrained.save_pretrained(folder)
        elif like is None:
            raise ValueError("Give like=, the model folder that the student was restored from.")
        else:
            save_student(self.student, folder, like)
        self._save_terms(os.path.join(folder, TERMS))
        if self.projections:
            save_weights(os.path.join(folder, PROJECTIONS), self._projection_parts())

    def deploy(
        self,
        folder: str,
        tokenizer,
        *,
        labels: Sequence[str] | None = None,
        seq_len: int = 128,
        do_pairwise: bool = False,
        label_separator: str = ",",
        task: str = "",
    ) -> None:
        """Writes a Hugging Face student as a model folder, for `load_predictor`, `xtremedistil predict` and `export`.

        Takes the arguments and raises the errors of `export.huggingface.deployed.write_model_folder`. A `Student` is
        deployed by `save`.
        """
        from xtremedistil.export.huggingface.deployed import write_model_folder

        if not isinstance(self.student, TaskModel):
            raise ValueError("deploy is for Hugging Face students; use save(folder, like=) for a `Student`.")
        how = {"labels": labels, "seq_len": seq_len, "task": task}
        how |= {"do_pairwise": do_pairwise, "label_separator": label_separator}
        write_model_folder(self.student, folder, tokenizer, **how)

    def _save_terms(self, path: str) -> None:
        try:
            text = self.terms.to_json()
        except ValueError as error:
            Progress().log(f"{path} is not written: {error}")
            return
        with atomic_file(path) as file:
            file.write(text)

    def load_projections(self, folder: str) -> None:
        """Loads the projections that `save` wrote, to continue training."""
        require_path("folder", folder)
        load_weights(os.path.join(folder, PROJECTIONS), self._projection_parts())

    def _projection_parts(self) -> dict:
        return {layer.name: list(layer.weights) for layer in self.projections}


def _listed(teacher) -> list:
    if teacher is None:
        return []
    return list(teacher) if isinstance(teacher, (list, tuple)) else [teacher]


def _member(name: str, model) -> TaskModel | AdaptedModel | Teacher | Student:
    if isinstance(model, (TaskModel, AdaptedModel, Teacher, Student)):
        return model
    try:
        return TaskModel(model)
    except ModelKindError as error:
        raise ValueError(f"{name} {error}") from error


def _is_below(variable: tf.Variable, names: Sequence[str]) -> bool:
    """Whether a variable's name, with or without the model's name in front, begins with one of `names`. Only whole
    components match: layer_._1 is not layer_._10."""
    steps = variable.name.replace(":", "/") + "/"
    both = steps, steps.partition("/")[2]
    return any(path.startswith(name.rstrip("/") + "/") for name in names for path in both)


def share_of_right_labels(logits: Sequence[np.ndarray], rows: Features) -> float:
    """Returns the accuracy over rows, or tokens, that have a label: 0 to 1."""
    found = np.concatenate([np.argmax(values, axis=-1).reshape(-1) for values in logits])
    scored = rows.labels != NOT_SCORED
    return float(np.mean(found[scored] == rows.labels[scored])) if scored.any() else 0.0
