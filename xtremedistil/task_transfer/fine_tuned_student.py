"""A fine-tuned model as the folder of a student, for prediction and export like all others."""

from xtremedistil.finetuning.plan import FineTuningPlan
from xtremedistil.models.architectures.families import AUTO, find_family
from xtremedistil.models.architectures.text_heads import TEXT_HEADS
from xtremedistil.models.checkpoints.h5_weights import load_weights, save_weights
from xtremedistil.models.checkpoints.pretrained import load_encoder, read_config
from xtremedistil.models.student import ENCODER_NAME, Student, build_student
from xtremedistil.models.student_folder import new_settings
from xtremedistil.models.teacher import HEAD_NAME, INNER_NAME, head_widths
from xtremedistil.storage import model_folder
from xtremedistil.storage.checksums import write_vouched_json
from xtremedistil.tasks import Task, open_task

FINE_TUNED_ENCODER = "tf_model"  # its layer in model-ft.h5


def write_fine_tuned_student(plan: FineTuningPlan, task_folder: str) -> None:
    """Writes a student beside the `model-ft.h5` of a finished fine-tuning; its configuration comes last.

    Args:
        task_folder: where prediction finds the task's test file.
    """
    task = open_task(plan.task, plan.kind)
    student = _student_of(plan, task)
    save_weights(plan.path(model_folder.STUDENT_WEIGHTS), student.parts)
    saved = new_settings(student, task, folder=task_folder, seq_len=plan.seq_len, seed=plan.options.seed)
    write_vouched_json(plan.path(model_folder.CONFIG), saved)


def _student_of(plan: FineTuningPlan, task: Task) -> Student:
    """A student whose head reads the encoder's last hidden state, or a dense layer on it, as the fine-tuned model's."""
    family = find_family(AUTO, read_config(plan.checkpoint)["model_type"])
    encoder = load_encoder(plan.checkpoint, family, name=ENCODER_NAME)
    path = plan.path(model_folder.TEACHER_WEIGHTS)
    _, inner_width = head_widths(path)
    inner = {"teacher_hidden_size": inner_width or encoder.config.hidden_size}
    if inner_width:
        inner["projection_activation"] = TEXT_HEADS[family.model_type].activation
    head = {"by_position": task.by_position, "problem_type": task.problem_type, "num_labels": len(task.all_labels)}
    student = build_student(encoder, family, **head, **inner)
    parts = {FINE_TUNED_ENCODER: student.blocks["student"], HEAD_NAME: student.blocks["head"]}
    if inner_width:
        parts[INNER_NAME] = student.blocks["dense"]
    load_weights(path, parts)
    return student
