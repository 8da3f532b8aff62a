"""The terms of a student's loss, as settings that can be saved."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from xtremedistil.arguments import (
    is_number,
    require_kind,
    require_mapping,
    require_text,
    require_whole,
    shown,
)
from xtremedistil.errors import first_line, require_known
from xtremedistil.losses.weight_schedules import require_weight
from xtremedistil.storage.declared import Anything, Either, ListOf, MapOf, Number, Object, OrNull, Switch, Text, check
from xtremedistil.tasks.problem_types import CLASSES, SCORES, SEVERAL_LABELS, SPAN
from xtremedistil.terms.layer_map import (
    LAYER_MAPS,
    TRANSPORTS,
    layer_map,
    mapped_matches,
    parse_layer_map,
    transport_matches,
)
from xtremedistil.terms.match import Match
from xtremedistil.terms.match_parsing import TYPES, match_of
from xtremedistil.terms.soft_labels import (
    COMBINATIONS,
    OF_PROBABILITIES,
    SoftLabels,
    read_temperatures,
    written_temperatures,
)
from xtremedistil.terms.textbrewer import MASTER, RELEASES, textbrewer_match, textbrewer_soft_labels, textbrewer_weight

OBJECTS = ListOf(MapOf(Anything()))
WRITTEN = Object(
    {"soft_labels": OrNull(MapOf(Anything())), "further_soft_labels": OBJECTS, "matches": Either((Text(), OBJECTS))}
    | {"intermediate_matches": OrNull(OBJECTS), "teacher_weights": OrNull(ListOf(Number()))}
)
SOFT_LABELS = Object(
    {"loss": Text(), "weight_schedule": Text(), "options": MapOf(Anything()), "probability_shift": Switch()}
    | {"temperature_of": OrNull(Either((Text(), MapOf(Anything()))))}
)
TEXTBREWER_KEYS = (
    "temperature temperature_scheduler hard_label_weight hard_label_weight_scheduler kd_loss_type kd_loss_weight "
    "kd_loss_weight_scheduler probability_shift intermediate_matches is_caching_logits"
).split()

BY_PROBLEM = {
    CLASSES: SoftLabels("soft_label_kl", temperature=2.0),
    SPAN: SoftLabels("soft_label_kl", temperature=2.0),
    SEVERAL_LABELS: SoftLabels("soft_label_bce", temperature=2.0),
    SCORES: SoftLabels("logits_mse"),
}


@dataclass(frozen=True)
class Terms:
    """The loss: soft_labels.weight x soft labels + sum of match.weight x match + hard_label_weight x gold labels.

    Fields:
        soft_labels: the loss between logits; its weight may be 0. None: by the student's problem type, KL at
            temperature 2 for classes and spans, binary cross-entropy if several labels may hold, mean squared error for
            scores.
        further_soft_labels: more terms between the same logits, with other losses.
        matches: between hidden states or attention maps. "last", "uniform", "skip" or student:teacher pairs such as
            "0:0,1:3,2:6" match hidden states layer by layer; "emd" or "sinkhorn" match all layers with all.
        hard_label_weight: of the loss on gold labels: cross-entropy for a class or the ends of a span, binary
            cross-entropy if several labels may hold, mean squared error for scores.
        hard_label_weight_schedule: how it varies over training, see `weight_schedules.weight_factor`.
        teacher_weights: one per teacher; by default equal.
        combine: "logits", "probabilities" or "losses", see `objectives.soft_labels`.
    """

    soft_labels: SoftLabels | None = None
    matches: str | tuple[Match, ...] = ()
    hard_label_weight: float = 0.0
    hard_label_weight_schedule: str = "constant"
    teacher_weights: tuple[float, ...] | None = None
    combine: str = "logits"
    further_soft_labels: tuple[SoftLabels, ...] = ()

    def __post_init__(self):
        require_kind("soft_labels", self.soft_labels, SoftLabels, "a SoftLabels", optional=True)
        _require_list("further_soft_labels", self.further_soft_labels, SoftLabels, "SoftLabels")
        if self.teacher_weights is not None:
            _require_shares(self.teacher_weights)
        if isinstance(self.matches, str):
            _require_layer_map(self.matches)
        else:
            _require_list("matches", self.matches, (Match, Mapping), "Match, or a layer map as a text")
            entries = [entry if isinstance(entry, Match) else match_of(entry) for entry in self.matches]
            object.__setattr__(self, "matches", tuple(entries))
            names = [match.name for match in entries]
            if twice := {name for name in names if names.count(name) > 1}:
                raise ValueError(
                    f"{', '.join(sorted(twice))} is given twice. Give it once, with the sum of the weights."
                )
        require_weight("hard_label_weight", self.hard_label_weight, self.hard_label_weight_schedule)
        require_known("way to combine teachers", self.combine, COMBINATIONS)
        if self.soft_labels:
            self._check_combine(self.soft_labels)
        if self.soft_labels and not (self.uses_logits or self._has_matches or self.hard_label_weight):
            raise ValueError("There is nothing to learn: no soft labels, no matches, no gold labels.")

    @property
    def uses_logits(self) -> bool:
        """Whether a term compares logits with the teacher's."""
        return any(one and one.weight for one in (self.soft_labels, *self.further_soft_labels))

    @property
    def _has_matches(self) -> bool:
        """Whether any match has a weight; those of a layer map do."""
        return isinstance(self.matches, str) or any(match.weight for match in self.matches)

    def _check_combine(self, soft_labels: SoftLabels) -> None:
        if self.combine == "probabilities" and soft_labels.loss not in OF_PROBABILITIES:
            fitting = ", ".join(OF_PROBABILITIES)
            raise ValueError(
                f"combine probabilities: {soft_labels.loss} does not compare probabilities; these do: {fitting}."
            )
        if self.combine == "probabilities" and soft_labels.temperature_of is not None:
            raise ValueError(
                "combine probabilities needs one temperature for all; with temperature_of, combine logits or losses."
            )

    def for_problem(self, problem_type: str) -> "Terms":
        """Fills in the default soft labels of a problem type, if none are given."""
        require_known("problem type", problem_type, BY_PROBLEM)
        return self if self.soft_labels else dataclasses.replace(self, soft_labels=BY_PROBLEM[problem_type])

    def matches_for(self, teacher_layers: int, student_layers: int) -> tuple[Match, ...]:
        """Returns the matches; those of a layer map depend on the depths of both models.

        Raises:
            ValueError: the student is deeper than the teacher, or the map names a layer that a model does not have.
        """
        require_whole("teacher_layers", teacher_layers)
        require_whole("student_layers", student_layers)
        if not isinstance(self.matches, str):
            return self.matches
        if self.matches in TRANSPORTS:
            depths = {"teacher_layers": teacher_layers, "student_layers": student_layers}
            weights = {"hidden_weight": 1.0, "embedding_weight": 1.0}
            return tuple(transport_matches(TRANSPORTS[self.matches], **depths, **weights))
        layers = layer_map(self.matches, teacher_layers=teacher_layers, student_layers=student_layers)
        return tuple(mapped_matches(layers, multi_hidden_states=True, attention=False))

    def to_json(self) -> str:
        """Writes the terms as JSON; raises ValueError for a schedule that is the caller's own function."""
        matches = () if isinstance(self.matches, str) else self.matches
        soft = [*([self.soft_labels] if self.soft_labels else []), *self.further_soft_labels]
        weighted = [*(one.weight_schedule for one in [*soft, *matches]), self.hard_label_weight_schedule]
        if any(map(callable, weighted)):
            raise ValueError("A weight schedule that is a function cannot be written as JSON; name one.")
        written = dataclasses.asdict(self)
        if self.soft_labels:
            written["soft_labels"]["temperature_of"] = written_temperatures(self.soft_labels.temperature_of)
        for entry, one in zip(written["further_soft_labels"], self.further_soft_labels, strict=True):
            entry["temperature_of"] = written_temperatures(one.temperature_of)
        if not self.further_soft_labels:  # as in files of before
            del written["further_soft_labels"]
        return json.dumps(written, indent=2)

    @classmethod
    def from_json(cls, text: str) -> "Terms":
        """Reads what `to_json` wrote, or a `DistillationConfig` of TextBrewer as JSON.

        Matches may be written as in a file for `match`, or as TextBrewer's.

        Raises:
            ValueError: it is not JSON, a name is unknown, or a value is of another type.
        """
        require_text("text", text)
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"text is {shown(text)}, which is no JSON ({first_line(error)}).") from error
        if not isinstance(found, Mapping):
            raise ValueError(f"Terms are written as a mapping of names to values; this is a {type(found).__name__}.")
        check(found, WRITTEN, "Terms as JSON")
        if _is_textbrewers_alone(found, cls):
            return cls.from_textbrewer(found)
        _require_fields(found, cls)
        if found.get("soft_labels") is not None:
            found["soft_labels"] = _soft_labels(found["soft_labels"])
        for name, entries in (("matches", Mapping), ("further_soft_labels", Mapping), ("teacher_weights", object)):
            if not isinstance(found.get(name) or [], str):
                _require_list(name, found.get(name) or [], entries, "values of that name")
        if not isinstance(found.get("matches", ""), str):
            found["matches"] = tuple(_match(entry) for entry in found["matches"] or ())
        found["further_soft_labels"] = tuple(_soft_labels(entry) for entry in found.get("further_soft_labels") or ())
        if found.get("teacher_weights"):
            found["teacher_weights"] = tuple(found["teacher_weights"])
        return cls(**found)

    @classmethod
    def from_textbrewer(cls, config: Mapping, *, first_attention: int = 0, release: str = MASTER) -> "Terms":
        """Makes the terms of TextBrewer's `DistillationConfig`, with its defaults.

        Args:
            first_attention: number of the first layer in the adaptor's list of attention scores: 0 for the list that
                Hugging Face returns, 1 after a dummy, as in TextBrewer's examples and their matches.
            release: "master" or "0.2.1": the last release divides the similarities of `mmd` by the number of positions,
                padding included, where its master branch divides by the width.

        Raises:
            ValueError: a key or a name is unknown.
        """
        require_mapping("config", config)
        require_whole("first_attention", first_attention)
        for name in config:
            require_known("key in a DistillationConfig", name, TEXTBREWER_KEYS)
        weight, schedule = textbrewer_weight(config, "hard_label_weight", 0)
        require_known("release of TextBrewer", release, RELEASES)
        entries = config.get("intermediate_matches") or ()
        _require_list("intermediate_matches", entries, Mapping, "mappings")
        matches = [textbrewer_match(entry, first_attention, release) for entry in entries]
        return cls(
            soft_labels=textbrewer_soft_labels(config),
            matches=tuple(matches),
            hard_label_weight=weight,
            hard_label_weight_schedule=schedule,
        )


def _require_list(name: str, values, kind, what: str) -> None:
    """Raises ValueError if a value is no list or tuple of `kind`; `what`: how a message calls the entries."""
    if not isinstance(values, (list, tuple)):
        raise ValueError(f"{name} is {shown(values)}; it is a list of {what}.")
    for number, value in enumerate(values):
        require_kind(f"{name}[{number}]", value, kind, f"one of {what}")


def _require_shares(weights) -> None:
    """Raises ValueError if weights are no list of numbers of at least 0, of which one is above 0."""
    listed = isinstance(weights, (Sequence, np.ndarray)) and not isinstance(weights, str) and len(weights)
    if not listed or not all(is_number(one) and one >= 0 for one in weights) or not any(weights):
        raise ValueError(
            f"teacher_weights are {shown(weights)}; one number of at least 0 per teacher is expected, not all 0."
        )


def _require_layer_map(text: str) -> None:
    """Raises ValueError if the text is not a layer map."""
    if ":" in text:
        parse_layer_map(text)
    else:
        require_known("layer map", text, (*LAYER_MAPS, *TRANSPORTS))


def _is_textbrewers_alone(found: Mapping, kind) -> bool:
    """Whether all keys are keys of a `DistillationConfig`, and some are not fields of `kind`."""
    own = {entry.name for entry in dataclasses.fields(kind)}
    return set(found) <= set(TEXTBREWER_KEYS) and not set(found) <= own


def _soft_labels(found: Mapping) -> SoftLabels:
    require_mapping("soft_labels", found)
    _require_fields(found, SoftLabels)
    check(found, SOFT_LABELS, "Terms as JSON, soft labels")
    return SoftLabels(**found | {"temperature_of": read_temperatures(found.get("temperature_of"))})


def _match(entry: Mapping) -> Match:
    """Makes a match from what `to_json` wrote (options in a mapping of their own), or from an entry of a match file."""
    if "options" not in entry:
        return match_of(entry)
    _require_fields(entry, Match)
    check(entry, TYPES, "Terms as JSON, a match")
    return Match(**{name: tuple(value) if isinstance(value, list) else value for name, value in entry.items()})


def _require_fields(found: Mapping, kind) -> None:
    names: Sequence[str] = [entry.name for entry in dataclasses.fields(kind)]
    for name in found:
        require_known(f"field of {kind.__name__}", name, names)
