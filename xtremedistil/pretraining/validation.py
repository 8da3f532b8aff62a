"""Contradictions between the flags, files and checkpoints of a pre-training run, reported together."""

import os
from dataclasses import dataclass
from functools import partial

from xtremedistil.distillation.planning.recipe_checks import pair_problems
from xtremedistil.errors import InputError, Problems
from xtremedistil.flag_checks import device_problems, length_problems, open_checkpoint
from xtremedistil.flag_values import add_value_problems, require_settings
from xtremedistil.flags import given_flags
from xtremedistil.models.architectures.families import AUTO, Family
from xtremedistil.models.architectures.shapes import EncoderShape
from xtremedistil.models.checkpoints.h5_weights import read_weights
from xtremedistil.models.checkpoints.pretrained import read_config
from xtremedistil.models.features.names import ATTENTION_SCORES
from xtremedistil.models.vocabulary_trimming import trimmed_config
from xtremedistil.pretraining.config import ALL_OF_THE_CORPUS, OF_HEAD_TRAINING, OF_THE_HEAD, PretrainConfig
from xtremedistil.pretraining.corpus.files import check_beginnings, corpus_paths
from xtremedistil.pretraining.corpus.masking import continues_word
from xtremedistil.pretraining.corpus.sequences import SHORTEST
from xtremedistil.pretraining.head_record import head_path, read_head_record
from xtremedistil.pretraining.recipes import (
    MINILM,
    configured_terms,
    configured_weights,
    predicts_any,
    uses_teacher_logits,
)
from xtremedistil.pretraining.student_shape import student_shape
from xtremedistil.storage.checksums import check_file, check_files
from xtremedistil.storage.model_folder import fingerprint_checkpoint
from xtremedistil.terms.match_widths import divides
from xtremedistil.terms.terms import Terms
from xtremedistil.tokenization.definition import read_definition
from xtremedistil.tokenization.tokenizer import Tokenizer
from xtremedistil.tokenization.vocabulary import tokens_from_file

CAUSAL = ("gpt2",)
TITLE = "Cannot pre-train with these settings"
WITHOUT_TYPES = ("distilbert", "gpt2")  # families without token type embeddings
OF_MASKING = ("mlm_probability", "mlm_smoothing", "mlm_hide", "mlm_random", "whole_word_mask")
OF_THE_SHAPE = "num_hidden_layers hidden_size num_attention_heads intermediate_size init_layers".split()


@dataclass(frozen=True)
class Checked:
    """What the checks have read on their way; a plan is made of it."""

    teacher: EncoderShape
    student: EncoderShape
    terms: Terms


def check_pretrain(config: PretrainConfig) -> Checked:
    """Checks a pre-training run's settings. Raises one InputError with all problems."""
    require_settings(config, PretrainConfig)
    problems, student, terms = Problems(), None, None
    add_value_problems(problems, config, TITLE)
    problems.add(device_problems(config))
    problems.add(_share_problems(config))
    problems.add(_flag_problems(config))
    problems.attempt(check_beginnings, problems.attempt(corpus_paths, config.corpus) or ())
    _check_model_files(config, problems)
    family, teacher = open_checkpoint(problems, "`pt_teacher_checkpoint`", config.pt_teacher_checkpoint, AUTO)
    if teacher:
        problems.add(_family_problems(config, config.pt_teacher_checkpoint, family))
        problems.add(length_problems(config.seq_len, teacher, config.pt_teacher_checkpoint))
        student = _open_student(config, family, teacher, problems)
        tokenizer = problems.attempt(Tokenizer.load, config.pt_teacher_checkpoint)
        if tokenizer:
            problems.add(_tokenizer_problems(config, tokenizer, problems))
            problems.add(_embedding_problems(config, tokenizer.size, teacher, student))
        if config.teacher_head and os.path.isfile(config.teacher_head) and uses_teacher_logits(config):
            problems.attempt(_check_head_file, config, teacher)
        if student:
            lines, terms = _student_problems(config, family, teacher, student)
            problems.add(lines)
    problems.refuse(TITLE)
    return Checked(teacher, student, terms)


def _share_problems(config: PretrainConfig) -> list[str]:
    problems = []
    if config.mlm_probability == 0:
        problems.append("`mlm_probability` 0: no token would be predicted; 0.15 is usual")
    if config.mlm_hide + config.mlm_random > 1:
        problems.append(f"`mlm_hide` {config.mlm_hide} and `mlm_random` {config.mlm_random} are more than 1 together")
    if not config.max_steps and config.epochs == 0:
        problems.append(f"`epochs` {config.epochs}: must be greater than 0")
    return problems


def _flag_problems(config: PretrainConfig) -> list[str]:
    problems = []
    given = [f"`{name}`" for name in OF_THE_SHAPE if getattr(config, name) is not None]
    if config.pt_student_checkpoint and given:
        problems.append(f"`pt_student_checkpoint` says what the student is; leave {', '.join(given)} away")
    if config.teacher_head and not os.path.isfile(config.teacher_head):
        problems.append(f"`teacher_head` {config.teacher_head}: there is no such file")
    vocabulary = config.student_vocab
    if vocabulary and vocabulary != ALL_OF_THE_CORPUS and not os.path.isfile(vocabulary):
        problems.append(f"`student_vocab` {vocabulary}: there is no such file; give one, or the word corpus")
    return problems + _idle_problems(config)


def _idle_problems(config: PretrainConfig) -> list[str]:
    """Flags that nothing would read; `check_head` knows of others."""
    weights, teaches = configured_weights(config), uses_teacher_logits(config)
    relations = weights["relation"]
    idle = [
        (config.objective == "clm", (*OF_MASKING, "soft_labels_on_all_tokens"), "`objective` clm masks no tokens"),
        (not predicts_any(config), OF_MASKING, "no weight asks for tokens, so that none are masked"),
        (not teaches, (*OF_THE_HEAD, "soft_labels_on_all_tokens"), "no weight asks for the teacher's logits"),
        (teaches and config.teacher_head, OF_HEAD_TRAINING, "the head of `teacher_head` is trained already"),
        (not weights["soft_label"], ("temperature",), "no weight asks for soft labels"),
        (not relations, ("relation_teacher_layer",), "no weight asks for relations"),
        (not relations or config.recipe == MINILM, ("relation_heads",), "the relations of minilmv2 alone are cut anew"),
        (
            config.student_vocab != ALL_OF_THE_CORPUS,
            ("student_vocab_min_count",),
            "`student_vocab` corpus alone counts tokens",
        ),
        (config.max_steps, ("epochs",), "`max_steps` says how many updates there are"),
    ]
    return [
        f"`{name}`: {reason}; leave it away"
        for is_idle, names, reason in idle
        if is_idle
        for name in given_flags(config, names)
    ]


def _family_problems(config: PretrainConfig, name: str, family: Family) -> list[str]:
    kind = family.model_type
    if config.objective == "clm" and kind not in CAUSAL:
        return [f"`objective` clm: {name} is a {kind}, which attends to later tokens; give `objective` mlm"]
    if config.objective == "mlm" and not family.can_be_student:
        hint = "give `objective` clm" if kind in CAUSAL else "take a BERT-like model, or GPT-2"
        return [f"`objective` mlm: {name} is a {kind}, which predicts no masked tokens; {hint}"]
    return []


def _tokenizer_problems(config: PretrainConfig, tokenizer: Tokenizer, problems: Problems) -> list[str]:
    lines = []
    problems.attempt(_check_vocabulary, config, tokenizer)
    room, needed = tokenizer.room(config.seq_len), 1 if config.packed else SHORTEST
    if room < needed:
        lines.append(
            f"`seq_len` {config.seq_len}: beside its special tokens a sequence has room for {room}; at least "
            f"{needed} are needed"
        )
    if config.objective == "mlm" and tokenizer.mask_id is None and predicts_any(config):
        lines.append(f"The tokenizer of {config.pt_teacher_checkpoint} has no mask token, so no token can be masked")
    if config.pt_student_checkpoint:
        students = problems.attempt(Tokenizer.load, config.pt_student_checkpoint)
        if students and students.fingerprint() != tokenizer.fingerprint():
            lines.append(
                f"`pt_student_checkpoint` {config.pt_student_checkpoint} has {students.size} tokens, or other ones "
                f"than the teacher's {tokenizer.size}, so that the teacher's logits cannot be compared. Take a student "
                "with the teacher's vocabulary"
            )
    return lines


def _check_vocabulary(config: PretrainConfig, tokenizer: Tokenizer) -> None:
    """Raises InputError where the tokens do not allow what the flags ask of them."""
    if config.student_vocab == ALL_OF_THE_CORPUS:
        read_definition(tokenizer)
    elif config.student_vocab and os.path.isfile(config.student_vocab):
        kept = tokens_from_file(config.student_vocab, tokenizer)
        trimmed_config(read_config(config.pt_teacher_checkpoint), kept)
    if config.whole_word_mask:
        continues_word(tokenizer)


def _check_model_files(config: PretrainConfig, problems: Problems) -> None:
    """Adds those files of checkpoints and heads that are not as they were written."""
    for checkpoint in filter(None, (config.pt_teacher_checkpoint, config.pt_student_checkpoint)):
        problems.attempt(partial(check_files, accept=config.accept_weights), checkpoint)
    for head in filter(None, (config.teacher_head, head_path(config.model_dir))):
        problems.attempt(partial(check_file, accept=config.accept_weights), head)


def _check_head_file(config: PretrainConfig, teacher: EncoderShape) -> None:
    """Raises InputError where `teacher_head` is of another teacher; without a record beside it, as far as shapes
    tell."""
    record = read_head_record(config.teacher_head)
    if record and record["teacher"] != fingerprint_checkpoint(config.pt_teacher_checkpoint):
        raise InputError(
            f"`teacher_head` {config.teacher_head} was trained on another teacher than {config.pt_teacher_checkpoint}. "
            "Give that one's, or leave the flag away to train one."
        )
    found = {array.shape for held in read_weights(config.teacher_head).values() for array in held.values()}
    width = teacher.embedding_size
    expected = {(teacher.hidden_size, width), (width,), (teacher.vocab_size,)}
    if config.student_vocab:  # how many tokens there are is not known yet
        found, expected = ({shape for shape in shapes if len(shape) > 1} for shapes in (found, expected))
    if found != expected:
        raise InputError(
            f"`teacher_head` {config.teacher_head} has weights of the shapes {sorted(found)}, a head of "
            f"{config.pt_teacher_checkpoint} {sorted(expected)}. Give one that was trained on this teacher."
        )


def _embedding_problems(
    config: PretrainConfig, tokens: int, teacher: EncoderShape, student: EncoderShape | None
) -> list[str]:
    """Problems of the word embeddings: each token needs one; some may stand for no token."""
    sizes = {config.pt_teacher_checkpoint: teacher.vocab_size}
    if config.pt_student_checkpoint and student:
        sizes[config.pt_student_checkpoint] = student.vocab_size
    lines = [
        f"{name}: its config.json says vocab_size {count}, but there are {tokens} tokens in the tokenizer. The two "
        "belong to different models"
        for name, count in sizes.items()
        if count < tokens
    ]
    if lines or len(set(sizes.values())) == 1 or config.student_vocab or not uses_teacher_logits(config):
        return lines
    return [
        f"`pt_student_checkpoint` {config.pt_student_checkpoint} has vocab_size {student.vocab_size}, the teacher "
        f"{teacher.vocab_size}, so that the teacher's logits cannot be compared. Give `student_vocab` corpus "
        "(both then have the corpus's tokens), or `soft_label_weight` 0"
    ]


def _open_student(
    config: PretrainConfig, family: Family, teacher: EncoderShape, problems: Problems
) -> EncoderShape | None:
    """The student's sizes; `family`: the teacher's, and that of a student that is no checkpoint."""
    name = config.pt_student_checkpoint
    if name is None:
        shape = problems.attempt(student_shape, config, teacher)
    else:
        family, shape = open_checkpoint(problems, "`pt_student_checkpoint`", name, AUTO)
        problems.add(_family_problems(config, name, family) if family else [])
    if family and config.freeze_token_type_embds and family.model_type in WITHOUT_TYPES:
        problems.add([f"`freeze_token_type_embds`: a {family.model_type} has no type embeddings; leave the flag away"])
    return shape


def _student_problems(
    config: PretrainConfig, family: Family, teacher: EncoderShape, student: EncoderShape
) -> tuple[list[str], Terms | None]:
    """Problems of the student, and the run's terms; `family`: the teacher's."""
    lines = []
    if config.pt_student_checkpoint:
        lines += length_problems(config.seq_len, student, config.pt_student_checkpoint)
    if student.hidden_size % student.num_attention_heads:
        lines.append(
            f"`hidden_size` {student.hidden_size} is not a multiple of {student.num_attention_heads} attention heads; "
            "give `num_attention_heads`"
        )
    if problems := _relation_problems(config, teacher, student):
        return lines + problems, None
    problems, terms = _term_problems(config, family, teacher, student)
    return lines + problems, terms


def _relation_problems(config: PretrainConfig, teacher: EncoderShape, student: EncoderShape) -> list[str]:
    """Problems of the flags that say what MiniLM's terms compare."""
    if not configured_weights(config)["relation"]:
        return []
    lines, layer, layers = [], config.relation_teacher_layer, teacher.num_hidden_layers
    if layer is not None and not 0 <= layer < layers:
        lines.append(f"`relation_teacher_layer` {layer}: the teacher has layers 0 to {layers - 1}")
    if config.recipe != MINILM:
        return lines + _division_problems(config.relation_heads, teacher.hidden_size, student.hidden_size)
    heads = teacher.num_attention_heads, student.num_attention_heads
    if heads[0] != heads[1]:
        lines.append(
            f"`recipe` minilm compares maps head by head; the teacher has {heads[0]} heads, the student {heads[1]}. "
            f"Give `num_attention_heads` {heads[0]}, or `recipe` minilmv2"
        )
    return lines


def _division_problems(heads: int, *widths: int) -> list[str]:
    if divides(heads, *widths):
        return []
    fitting = [str(number) for number in range(1, min(widths) + 1) if divides(number, *widths)]
    return [
        f"`relation_heads` {heads} do not divide the widths of teacher ({widths[0]}) and student ({widths[1]}); these "
        f"do: {', '.join(fitting)}"
    ]


def _term_problems(
    config: PretrainConfig, family: Family, teacher: EncoderShape, student: EncoderShape
) -> tuple[list[str], Terms | None]:
    try:
        terms = configured_terms(config, teacher, student)
    except ValueError as error:  # InputError too
        return [str(error)], None
    widths = teacher.hidden_size, student.hidden_size
    lines = [line for match in terms.matches for line in pair_problems(config, match, widths)]
    if family.model_type in CAUSAL and any(match.feature == ATTENTION_SCORES for match in terms.matches):
        lines.append(
            f"`recipe` minilm, attention_scores: before the softmax, a {family.model_type} has scores of later "
            "tokens, too, which it does not attend to; give `recipe` minilmv2, or match attentions"
        )
    return lines, terms
