"""Finds contradictions between the flags that choose losses and matches."""

from collections.abc import Callable, Sequence

from xtremedistil.distillation.planning.config import JOINT, ORIGINAL, DistilConfig, with_kind
from xtremedistil.distillation.planning.configured_terms import configured_matches, configured_soft_labels
from xtremedistil.flag_values import range_problems
from xtremedistil.flags import given_flags
from xtremedistil.losses.specs import LOSS_KINDS, STATES
from xtremedistil.models.architectures.families import BILSTM, Family
from xtremedistil.models.architectures.shapes import BilstmShape, EncoderShape
from xtremedistil.models.features.attention_projections import projection_paths
from xtremedistil.models.features.names import ATTENTION_SCORES, PROJECTIONS
from xtremedistil.tasks import KindSettings, kind_of
from xtremedistil.tasks.problem_types import SEVERAL_LABELS
from xtremedistil.terms.layer_map import TRANSPORTS
from xtremedistil.terms.match import PATH, Match
from xtremedistil.terms.match_widths import width_problem
from xtremedistil.terms.soft_labels import OF_PROBABILITIES, SoftLabels

# Flags that the original release does not have.
NEWER = (
    "recipe",
    "distil_relations",
    "soft_label_loss",
    "temperature",
    "temperature_schedule",
    "soft_label_weight",
    "layer_map",
    "match",
)

WEIGHTS = ("hidden_weight", "embedding_weight", "attention_weight")

# Flags that choose matches and their weights.
OF_PAIRS = (
    "distil_attention",
    "distil_multi_hidden_states",
    "distil_relations",
    "relation_heads",
    "layer_map",
    *WEIGHTS,
)


def recipe_problems(config: DistilConfig) -> tuple[list[str], SoftLabels | None]:
    """Returns the problems of the flags alone, and the soft-label loss; None if its flags have problems."""
    problems, soft_labels = _soft_label_problems(with_kind(config))
    if config.legacy and (given := [f"`{name}`" for name in given_flags(config, NEWER)]):
        problems.append(f"`legacy` trains as the original did; leave {', '.join(given)} away, or `legacy`")
    if config.hard_label_weight > 0 and config.recipe != JOINT:
        problems.append("`hard_label_weight` is for the joint stage: give `recipe` joint, or leave it away")
    if config.probability_shift and not config.hard_label_weight:
        problems.append("`probability_shift` needs gold labels: give `recipe` joint and a `hard_label_weight` too")
    return problems + _match_problems(config), soft_labels


def _soft_label_problems(config: DistilConfig) -> tuple[list[str], SoftLabels | None]:
    """Problems of the soft-label loss, and the loss."""
    if range_problems(config):  # said there
        return [], None
    kind = LOSS_KINDS.get(config.soft_label_loss)
    if kind and not config.t_squared and "t_squared" not in kind.options:
        hint = "leave it away, or give `soft_label_loss` soft_label_kl"
        return [f"`no_t_squared`: {config.soft_label_loss} does not take it; {hint}"], None
    problems, soft_labels = _excluding_problems(config), None
    try:
        soft_labels = configured_soft_labels(config)
    except ValueError as error:
        problems.append(f"`soft_label_loss`, `temperature`, `temperature_schedule`: {error}")
    if config.soft_label_weight != 1 and config.recipe != JOINT:
        problems.append("`soft_label_weight` is for the joint stage: give `recipe` joint, or leave it away")
    elif not config.soft_label_weight and not config.hard_label_weight:
        problems.append("`soft_label_weight` 0: nothing trains the classifier then; give a `hard_label_weight` too")
    return problems, soft_labels


def _excluding_problems(config: DistilConfig) -> list[str]:
    """Losses over labels that exclude each other, in a task where several labels may hold."""
    if kind_of(KindSettings.of(config)).problem_type != SEVERAL_LABELS:
        return []
    problems = []
    if config.soft_label_loss in OF_PROBABILITIES:
        problems.append(
            f"`soft_label_loss` {config.soft_label_loss} is for labels that exclude each other, but an example of "
            "this task may have several; give soft_label_bce or logits_mse"
        )
    if config.probability_shift:
        problems.append(
            "`probability_shift` corrects one predicted label, but an example may have several; leave it away"
        )
    return problems


def _match_problems(config: DistilConfig) -> list[str]:
    problems = []
    replaced = [f"`{name}`" for name in given_flags(config, OF_PAIRS)]
    if config.match and replaced:
        problems.append(f"`match` replaces the pairs of {' and '.join(replaced)}: leave one of them away")
    if config.layer_map in TRANSPORTS and config.distil_attention:
        problems.append(
            f"`layer_map` {config.layer_map} matches hidden states only; `distil_attention` needs another layer map"
        )
    if config.logits_only:
        given = ["`match`"] if config.match else []
        given += [f"`{name}`" for name in given_flags(config, ("layer_map", *WEIGHTS))]
        problems += [f"{name}: an external teacher gives only logits; leave it away" for name in given]
    if config.teacher_logits and config.hard_label_weight:
        problems.append(
            f"`hard_label_weight`: `teacher_logits` {config.teacher_logits} has no logits for the labelled examples; "
            "leave it away, or use a checkpoint or `teacher_onnx` as the teacher"
        )
    return problems + _idle_problems(config)


def _idle_problems(config: DistilConfig) -> list[str]:
    """Flags of the representation stage, and weights of matches, that the run would not use."""
    problems = []
    stage = "`recipe` joint" if config.recipe == JOINT else "an external teacher"
    if config.representation_learning_rate != "auto" and (config.recipe == JOINT or config.logits_only):
        problems.append(
            f"`representation_learning_rate`: there is no representation stage with {stage}; give `learning_rate`"
        )
    if config.match or config.logits_only or config.legacy:  # other checks report these
        return problems
    given = given_flags(config, OF_PAIRS)
    if "relation_heads" in given and not config.distil_relations:
        problems.append("`relation_heads` is for `distil_relations`: give that too, or leave it away")
    maps = config.distil_attention
    states = maps or config.distil_multi_hidden_states or "layer_map" in given
    if "attention_weight" in given and not maps:
        problems.append("`attention_weight` is for attention maps: give `distil_attention` too, or leave it away")
    if "embedding_weight" in given and not states:
        problems.append(
            "`embedding_weight` is for the hidden states of all layers: give `distil_multi_hidden_states` too, or "
            "leave it away"
        )
    return problems


def layer_problems(
    config: DistilConfig,
    teacher: EncoderShape,
    student: EncoderShape | BilstmShape,
    families: tuple[Family, Family],
) -> tuple[list[str], list[Match]]:
    """Returns the problems of matched layers and their widths, and the matches that the flags choose.

    Args:
        families: of teacher and student.
    """
    try:
        matches = configured_matches(config, teacher.num_hidden_layers, student.num_hidden_layers)
    except ValueError as error:  # InputError too
        return [str(error)], []
    problems = []
    if not matches and config.recipe == ORIGINAL:
        problems.append("`hidden_weight` 0: there is nothing to match in the representation stage; give `recipe` joint")
    problems += _projection_problems(config, matches, families)
    widths = teacher.hidden_size, student.hidden_size
    for match in matches:
        problems += pair_problems(config, match, None if _is_below(config, match) else widths)
        if _joins_embeddings(config, match, student.hidden_size):
            problems.append(
                f"`match` {match.name}: layers 0 ({config.hidden_size} wide) and above ({student.hidden_size}) of a "
                "BiLSTM cannot be joined in one pair; leave 0 away, or give `lstm_units` half of `hidden_size`"
            )
        if config.student_kind == "bilstm" and match.feature not in ("hidden_states", PATH):
            problems.append(f"`match` {match.name}: a BiLSTM has no {match.feature}; match hidden_states")
    return problems, matches


def _projection_problems(config: DistilConfig, matches: Sequence[Match], families: tuple[Family, Family]) -> list[str]:
    """Matches of queries, keys, values or attention scores that a family does not have."""
    problems, relations = [], "`distil_relations` (also part of `recipe` best; `distil_attention` replaces it)"
    for side, family in zip(("teacher", "student"), families, strict=True):
        names = [match.name for match in matches if match.feature in (*PROJECTIONS, ATTENTION_SCORES)]
        if names and family is not BILSTM:
            flag = f"`match` {names[0]}" if config.match else relations
            problems += _refusals(lambda family=family: projection_paths(family, 0), f"{flag}, {side}: ")
    return problems


def pair_problems(config, match: Match, widths: tuple[int, int] | None) -> list[str]:
    """Returns the problems of one match with the run's settings and the widths of its models.

    Args:
        config: flags of a distillation or of pre-training.
        widths: sizes of the hidden states of teacher and student; None: the match compares tensors of other widths.
    """
    problems = []
    if match.teacher_number:
        problems.append(f"`match` {match.name}: this command has one teacher; leave teacher_number away")
    if match.needs_host:
        flags = {"`jit_compile`": config.jit_compile, "`strategy` tpu": config.strategy == "tpu"}
        problems += [f"{flag}: emd is computed on the host; take sinkhorn" for flag, on in flags.items() if on]
    as_wide = LOSS_KINDS[match.loss].compares == STATES and match.feature != PATH  # as wide as hidden states
    if widths and as_wide and (problem := width_problem(match, *widths)):
        problems.append(f"`match` {problem}")
    return problems


def _is_below(config: DistilConfig, match: Match) -> bool:
    """Whether the match is of a BiLSTM's embeddings, whose width is not that of its hidden states."""
    layers = match.student if isinstance(match.student, tuple) else (match.student,)
    return config.student_kind == "bilstm" and 0 in layers


def _joins_embeddings(config: DistilConfig, match: Match, width: int) -> bool:
    """Whether a match of two layers joins a BiLSTM's embeddings with hidden states of another width."""
    below = config.student_kind == "bilstm" and isinstance(match.student, tuple) and 0 in match.student
    return below and match.is_pair and set(match.student) != {0} and config.hidden_size != width


def _refusals(action: Callable[[], object], flags: str) -> list[str]:
    try:
        action()
    except ValueError as error:  # InputError too
        return [f"{flags}{error}"]
    return []
