"""The model card of a pre-trained student's folder: what it is, how it was made, how to use it.

By the objective, masked tokens are predicted (mlm), or the next ones (clm).
"""

import os

from xtremedistil.models.language_model.language_model import LanguageModel
from xtremedistil.pretraining.plan import PretrainPlan
from xtremedistil.pretraining.recipes import needs_teacher
from xtremedistil.pretraining.report import PretrainReport
from xtremedistil.terms.terms import Terms

PIPELINES = {"mlm": "fill-mask", "clm": "text-generation"}
PREDICTED = {"mlm": "Masked", "clm": "Next"}  # tokens


def pretrain_card(plan: PretrainPlan, student: LanguageModel, terms: Terms, report: PretrainReport) -> str:
    """`README.md` as the hub shows it."""
    teacher = _base_name(plan.teacher)
    sizes = _sizes(student, report, plan.corpus.seq_len, needs_teacher(terms))
    parts = [_head(plan, student, terms), sizes, _scores(plan, report)]
    parts += [_use(student), _origin(plan, terms, report, teacher)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(plan: PretrainPlan, student: LanguageModel, terms: Terms) -> str:
    kind, with_teacher = student.family.model_type, needs_teacher(terms)
    pipeline = [] if student.head is None else [f"pipeline_tag: {PIPELINES[plan.objective]}"]
    tags = [f"- {tag}" for tag in ("xtremedistil", *(["distillation"] if with_teacher else []), kind)]
    head = ["---", "library_name: transformers", *pipeline, "tags:", *tags, "---", ""]
    out_of = f" out of {_base_name(plan.teacher)}" if with_teacher or plan.student.layers else ""
    title = f"# A small {kind}{out_of}"
    what = "language model" if student.head is not None and plan.objective == "clm" else "encoder"
    return "\n".join([*head, title, "", f"A general {what}, to be fine-tuned on a task."])


def _sizes(student: LanguageModel, report: PretrainReport, seq_len: int, with_teacher: bool) -> str:
    config = student.encoder.config
    rows = [
        ("layers", config.num_hidden_layers),
        ("hidden size", config.hidden_size),
        ("attention heads", config.num_attention_heads),
        ("tokens", f"{config.vocab_size:,}"),
        ("parameters", f"{report.parameters['student']:,}"),
        *([("teacher's parameters", f"{report.parameters['teacher']:,}")] if with_teacher else []),
        ("longest sequence in training", f"{seq_len} tokens"),
    ]
    return "\n".join(["| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows)])


def _scores(plan: PretrainPlan, report: PretrainReport) -> str:
    scored = [("teacher", report.teacher_accuracy), ("this student", report.student_accuracy)]
    lines = [f"| {name} | {100 * accuracy:.1f} |" for name, accuracy in scored if accuracy is not None]
    if not lines:
        return ""
    tokens = PREDICTED[plan.objective]
    head = (
        f"## Scores\n\n{tokens} tokens that are predicted rightly, in percent, on held-out sequences of the corpus.\n"
    )
    return "\n".join([head, "| | accuracy |", "| --- | --- |", *lines])


def _use(student: LanguageModel) -> str:
    code = (
        "```python\nfrom transformers import AutoModel, AutoTokenizer\n\n"
        'tokenizer = AutoTokenizer.from_pretrained("path/to/this/folder")\n'
        'encoder = AutoModel.from_pretrained("path/to/this/folder")\n```'
    )
    remark = (
        "To fine-tune it on a task: `xtremedistil model-ft --pt_model auto "
        "--pt_model_checkpoint path/to/this/folder ...`"
    )
    if student.family.can_be_student:
        remark += "\n\nAs the student of a task: `xtremedistil distil --pt_student_checkpoint path/to/this/folder ...`"
    if student.head is None:
        remark += (
            "\n\nIt has learnt from its teacher's hidden states or attention maps and has no language-modelling head."
        )
    return f"## Use\n\n{code}\n\n{remark}"


def _origin(plan: PretrainPlan, terms: Terms, report: PretrainReport, teacher: str) -> str:
    predicted = PREDICTED[plan.objective].lower()
    with_logits = "all" if plan.corpus.on_all_tokens else predicted
    soft = terms.soft_labels
    weights = {
        f"soft labels of {with_logits} tokens (T = {soft.temperature:g})": soft.weight,
        f"{predicted} tokens": terms.hard_label_weight,
        f"squared distance of logits of {with_logits} tokens": sum(one.weight for one in terms.further_soft_labels),
    }
    named = [f"{name} x {weight:g}" for name, weight in weights.items() if weight]
    named += [f"{match.name} ({match.loss}) x {match.weight:g}" for match in terms.matches]
    start = plan.student.checkpoint and _base_name(plan.student.checkpoint)
    updates = plan.updates
    layers = ", ".join(map(str, plan.student.layers or ()))
    start = start or (f"layers {layers} of the teacher" if layers else "random weights")
    facts = [
        f"teacher: `{teacher}`"
        if needs_teacher(terms)
        else f"tokenizer: that of `{teacher}`, which took no part in training",
        f"started from: {start}",
        f"corpus: {report.rows:,} sequences, {report.pieces:,} tokens",
        f"recipe: {plan.title}; {', '.join(named)}",
        f"{report.steps:,} updates, batches of {updates.batch_size * updates.gradient_accumulation_steps} sequences a "
        f"device, peak learning rate {updates.learning_rate:g}",
    ]
    return "\n".join(["## How it was made\n", *(f"- {fact}" for fact in facts)])


def _base_name(path: str) -> str:
    return os.path.basename(os.path.normpath(path))
