"""Finds contradictions between flags, files and checkpoints before any model is loaded, and reports all at once."""

import os
from dataclasses import dataclass
from functools import partial

from xtremedistil.augmentation.word_edits import MASKED_LM
from xtremedistil.data.text_files import is_there
from xtremedistil.distillation.planning.config import AUGMENTATIONS, DistilConfig, expand_recipe, resolve
from xtremedistil.distillation.planning.recipe_checks import layer_problems, recipe_problems
from xtremedistil.errors import InputError, Problems, missing_packages
from xtremedistil.flag_checks import device_problems, length_problems, open_checkpoint
from xtremedistil.flag_values import add_value_problems, require_settings
from xtremedistil.models.architectures.families import AUTO, BILSTM, FAMILIES, Family
from xtremedistil.models.architectures.shapes import BilstmShape, EncoderShape
from xtremedistil.storage.checksums import check_file, check_files
from xtremedistil.storage.model_folder import TEACHER_WEIGHTS
from xtremedistil.tasks import KindSettings, folder_problems
from xtremedistil.tasks.class_weights import NONE, parse_class_weight
from xtremedistil.terms.match import Match
from xtremedistil.terms.soft_labels import SoftLabels

POSITIONS_FROM_SCRATCH = 512  # position embeddings of a student from scratch, as in BERT
OTHER_TEACHERS = (
    "\nAny other model can teach by its logits: write them to a file (`teacher_logits`) or export it to ONNX "
    "(`teacher_onnx`), see docs/outside_teachers.md."
)
TITLE = "Cannot distil with these settings"
MATCHED = ("distil_attention", "distil_multi_hidden_states", "distil_relations")


@dataclass(frozen=True)
class Checked:
    """Settings of a distillation that passed all checks; a plan is made from them.

    Fields:
        config: returned by `config.resolve`. teacher: its sizes; None for an external teacher.
        student: its sizes; vocab_size is that of its checkpoint, or 0 from scratch.
        teacher_epochs_given: whether the user set `teacher_epochs`.
    """

    config: DistilConfig
    teacher: EncoderShape | None
    student: EncoderShape | BilstmShape
    soft_labels: SoftLabels
    matches: tuple[Match, ...]
    teacher_epochs_given: bool


def check_distil(config: DistilConfig) -> Checked:
    """Raises one InputError with all problems of a distillation's settings."""
    require_settings(config, DistilConfig)
    problems = Problems()
    add_value_problems(problems, config, TITLE)
    problems.add(_file_problems(config))
    checked = add_distil_problems(problems, config)
    problems.refuse(TITLE)
    return checked


def add_distil_problems(problems: Problems, config: DistilConfig) -> Checked | None:
    """Adds problems between settings of the right types; returns None if a checkpoint cannot be read.

    Those of single values, of the task folder and of the transfer file are looked for elsewhere.
    """
    config = expand_recipe(config)
    problems.add(device_problems(config))
    problems.attempt(parse_class_weight, config.class_weight)
    problems.add(_flag_problems(config))
    lines, soft_labels = recipe_problems(config)
    problems.add(lines)
    problems.add(_augment_problems(config))
    problems.add(_masked_lm_problems(config, problems))
    problems.add(_external_teacher_problems(config))
    _check_model_files(config, problems)
    epochs_given = config.teacher_epochs is not None
    config, family, teacher = resolve(config), None, None
    if not config.logits_only or config.compress_word_embedding:
        checkpoint = "`pt_teacher_checkpoint`", config.pt_teacher_checkpoint, config.pt_teacher
        family, teacher = open_checkpoint(problems, *checkpoint, OTHER_TEACHERS)
    if teacher and not config.logits_only:
        problems.add(length_problems(config.seq_len, teacher, config.pt_teacher_checkpoint))
    own_family, student = open_student(config, problems)
    if teacher:
        problems.add(_token_problems(config, teacher))
    if student is None or not (teacher or config.logits_only):
        return None
    lines, matches = _model_problems(config, (family, own_family), teacher, student)
    problems.add(lines)
    teacher = None if config.logits_only else teacher
    return Checked(config, teacher, student, soft_labels, tuple(matches), epochs_given)


def _check_model_files(config: DistilConfig, problems: Problems) -> None:
    """Adds those files of checkpoints and of the fine-tuned teacher that are not as they were written."""
    for name in ("pt_teacher_checkpoint", "pt_student_checkpoint", "augment_checkpoint"):
        if checkpoint := getattr(config, name):
            problems.attempt(partial(check_files, accept=config.accept_weights), checkpoint)
    for path in (os.path.join(config.teacher_model_dir, TEACHER_WEIGHTS), config.teacher_onnx):
        if path:
            problems.attempt(partial(check_file, accept=config.accept_weights), path)


def _flag_problems(config: DistilConfig) -> list[str]:
    problems = _legacy_problems(config) if config.legacy else []
    problems += _kind_problems(config)
    heads = max(1, config.num_attention_heads)  # less is a problem of its own
    transformer = config.student_kind == "transformer"
    if config.hidden_size % heads and transformer and not config.pt_student_checkpoint:
        problems.append(f"`hidden_size` {config.hidden_size} is not a multiple of `num_attention_heads` {heads}")
    if sorted(config.unfreeze_order.split(",")) != ["dense", "student"]:
        problems.append(f"`unfreeze_order` {config.unfreeze_order}: give dense,student (top first) or student,dense")
    return problems


def _kind_problems(config: DistilConfig) -> list[str]:
    """Flags that do not apply to the student's architecture."""
    if config.student_kind == "transformer":
        return [] if config.lstm_units is None else [f"`lstm_units` {config.lstm_units} needs `student_kind` bilstm"]
    reasons = {
        "pt_student_checkpoint": "there are no checkpoints of it",
        "intermediate_size": "it has no feed-forward layers",
        "distil_attention": "it has no attention maps",
        "distil_relations": "it has no queries, keys and values",
        "legacy": "the original's students are transformers",
    }
    given = [name for name in reasons if getattr(config, name)]
    return [f"`student_kind` bilstm: {reasons[name]}; leave `{name}` away" for name in given]


def _legacy_problems(config: DistilConfig) -> list[str]:
    problems = []
    if config.task_kind:
        problems.append(
            f"`legacy`: the original knows `do_NER` and `do_pairwise`; leave `task_kind` {config.task_kind} away"
        )
    rates = ("learning_rate", "representation_learning_rate", "label_learning_rate", "teacher_learning_rate")
    if given := [f"`{name}`" for name in rates if getattr(config, name) != "auto"]:
        problems.append(f"`legacy` trains at 3e-5 throughout; leave {', '.join(given)} away, or `legacy`")
    newer = {"gradient_accumulation_steps": 1, "weight_decay": 0, "class_weight": NONE}
    newer |= {"embedding_weight": 0.0, "attention_weight": 3.0}
    given = [f"`{name}`" for name, off in newer.items() if getattr(config, name) != off]
    if given := [*given, *(["`augment`"] if config.augment else [])]:
        problems.append(f"`legacy` trains as the original did, without {', '.join(given)}; leave that out, or `legacy`")
    return problems


def _file_problems(config: DistilConfig) -> list[str]:
    problems = folder_problems(config.task, KindSettings.of(config))
    if not is_there(config.transfer_file):
        problems.append(f"`transfer_file` {config.transfer_file}: there is no such file")
    return problems


def _augment_problems(config: DistilConfig) -> list[str]:
    problems: list[str] = []
    if config.augment_copies > 1 and not config.augment:
        problems.append(f"`augment_copies` {config.augment_copies} needs `augment`: {', '.join(AUGMENTATIONS)}")
    if config.augment_checkpoint and MASKED_LM not in config.augment:
        problems.append(f"`augment_checkpoint` {config.augment_checkpoint} is only for `augment` {MASKED_LM}")
    if config.augment and config.teacher_logits:
        problems.append(
            f"`augment`: `teacher_logits` {config.teacher_logits} has logits for the lines of the transfer file, not "
            "for augmented ones. Leave `augment` away, or use a checkpoint or `teacher_onnx` as the teacher"
        )
    return problems


def _masked_lm_problems(config: DistilConfig, problems: Problems) -> list[str]:
    if MASKED_LM not in config.augment:
        return []
    if not config.augment_checkpoint:
        return [f"`augment` {MASKED_LM} needs `augment_checkpoint`, a masked language model with its pre-training head"]
    family, _ = open_checkpoint(problems, "`augment_checkpoint`", config.augment_checkpoint, AUTO)
    if family is None or family.can_be_student:  # bidirectional
        return []
    return [f"`augment_checkpoint` {config.augment_checkpoint}: a {family.model_type} does not predict masked tokens"]


def _external_teacher_problems(config: DistilConfig) -> list[str]:
    """Problems of an external teacher."""
    given = {name: getattr(config, name) for name in ("teacher_logits", "teacher_onnx") if getattr(config, name)}
    problems = [f"`{name}` {path}: there is no such file" for name, path in given.items() if not os.path.isfile(path)]
    if len(given) > 1:
        problems.append("`teacher_logits` and `teacher_onnx` exclude each other: each of them is the teacher")
    flag = next(iter(given), None)
    states = [f"`{name}`" for name in MATCHED if getattr(config, name)]
    if flag and states:
        problems.append(
            f"`{flag}`: an external teacher gives only logits, no hidden states; leave {', '.join(states)} away"
        )
    if flag and config.legacy:
        problems.append(f"`legacy`: the original's teacher is a TensorFlow model; leave `{flag}` away, or `legacy`")
    if config.teacher_logits:
        problems += _logits_file_problems(config.teacher_logits, config.teacher_outputs)
    if config.teacher_onnx:
        problems += missing_packages(("onnx", "onnxruntime"), f"`teacher_onnx` {config.teacher_onnx}")
    return problems


def _logits_file_problems(path: str, policy: str) -> list[str]:
    problems = []
    if not path.endswith((".npz", ".parquet")):
        problems.append(f"`teacher_logits` {path}: a file whose name ends in .npz or .parquet is expected")
    if path.endswith(".parquet"):
        problems += missing_packages(("pyarrow",), f"`teacher_logits` {path}")
    if policy == "live":
        problems.append("`teacher_outputs` live: logits are read from a file, not computed; leave the flag away")
    return problems


def open_student(config: DistilConfig, problems: Problems) -> tuple[Family | None, EncoderShape | BilstmShape | None]:
    """Returns family and sizes of the student; from scratch, its vocab_size is 0."""
    if config.student_kind == "bilstm":
        return BILSTM, BilstmShape(config.num_hidden_layers, 0, config.hidden_size, config.lstm_units)
    if config.pt_student_checkpoint:
        return open_checkpoint(problems, "`pt_student_checkpoint`", config.pt_student_checkpoint, AUTO)
    shape = EncoderShape(
        config.hidden_size,
        config.num_hidden_layers,
        config.num_attention_heads,
        vocab_size=0,
        positions=max(POSITIONS_FROM_SCRATCH, config.seq_len),
        intermediate_size=config.intermediate_size,
        embedding_size=config.hidden_size,
    )
    return FAMILIES["TFBertModel"], shape


def _model_problems(
    config: DistilConfig,
    families: tuple[Family | None, Family],
    teacher: EncoderShape | None,
    student: EncoderShape | BilstmShape,
) -> tuple[list[str], list[Match]]:
    """Returns the problems between teacher and student, and their matches.

    Args:
        families: of teacher and student.
    """
    name = f"`pt_student_checkpoint` {config.pt_student_checkpoint}"
    from_checkpoint = config.pt_student_checkpoint and config.student_kind == "transformer"
    if from_checkpoint and not families[1].can_be_student:
        return [f"{name}: a {families[1].model_type} cannot be a student"], []
    lines, matches = _size_problems(config, teacher, student, name if from_checkpoint else None), []
    if not lines and not config.logits_only:
        lines, matches = layer_problems(config, teacher, student, families)
    if from_checkpoint:
        lines += length_problems(config.seq_len, student, config.pt_student_checkpoint)
    lines += _embedding_problems(config, teacher, student.embedding_size)
    return lines + (_vocabulary_problems(config, student) if from_checkpoint else []), matches


def _size_problems(
    config: DistilConfig, teacher: EncoderShape | None, student: EncoderShape | BilstmShape, name: str | None
) -> list[str]:
    """`name`: the flag that decides both sizes, if one does."""
    lines: list[str] = []
    if config.logits_only:
        return lines
    layers, width = student.num_hidden_layers, student.hidden_size
    if layers > teacher.num_hidden_layers:
        lines.append(
            f"{name or f'`num_hidden_layers` {layers}'}: the student has {layers} layers, the teacher "
            f"{config.pt_teacher_checkpoint} {teacher.num_hidden_layers}; layers are paired one by one, so use at most "
            f"{teacher.num_hidden_layers}"
        )
    if width > teacher.hidden_size and config.student_kind == "transformer":
        lines.append(
            f"{name or f'`hidden_size` {width}'}: the student is wider ({width}) than the teacher "
            f"{config.pt_teacher_checkpoint} ({teacher.hidden_size}); use at most {teacher.hidden_size}"
        )
    return lines


def _embedding_problems(config: DistilConfig, teacher: EncoderShape | None, width: int) -> list[str]:
    if not config.compress_word_embedding or teacher is None or width <= teacher.embedding_size:
        return []
    return [
        f"`compress_word_embedding`: the teacher's word embeddings are {teacher.embedding_size} wide, the student's "
        f"{width}; there is nothing to reduce. Leave the flag away, or use a student of at most that width"
    ]


def _token_problems(config: DistilConfig, teacher: EncoderShape) -> list[str]:
    """Problems between the tokens and the word embeddings of the teacher's checkpoint."""
    from xtremedistil.tokenization.tokenizer import Tokenizer

    try:
        teachers = Tokenizer.load(config.pt_teacher_checkpoint)
    except InputError:  # the run refuses it when it reads the task
        return []
    if teachers.size <= teacher.vocab_size:
        return []
    return [
        f"`pt_teacher_checkpoint` {config.pt_teacher_checkpoint}: its config.json says vocab_size "
        f"{teacher.vocab_size}, but there are {teachers.size} tokens in the tokenizer. The two belong to different "
        "models"
    ]


def _vocabulary_problems(config: DistilConfig, student: EncoderShape) -> list[str]:
    from xtremedistil.tokenization.tokenizer import Tokenizer
    from xtremedistil.tokenization.vocabulary import tokens_among

    if config.compress_word_embedding:
        return []
    try:
        teachers = Tokenizer.load(config.pt_teacher_checkpoint)
    except InputError as error:
        return [str(error)]
    try:
        students = Tokenizer.load(config.pt_student_checkpoint)
        same = students.fingerprint() == teachers.fingerprint()
        if tokens_among(students, teachers) is not None and student.vocab_size == students.size:
            return []
    except InputError:  # a checkpoint without tokenizer files: only its vocabulary's size can be compared
        same = student.vocab_size == teachers.size
    if same and student.vocab_size >= teachers.size:
        return []
    return [
        f"`pt_student_checkpoint` {config.pt_student_checkpoint} has {student.vocab_size} tokens, the teacher's "
        f"tokenizer {teachers.size}, or other tokens.\nGive `compress_word_embedding` (the student starts from the "
        "teacher's word embeddings), a student checkpoint with the teacher's vocabulary or some of it, or no checkpoint"
    ]
