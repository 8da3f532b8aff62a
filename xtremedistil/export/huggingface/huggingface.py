"""A student as a folder that PyTorch's transformers load: `BertForTokenClassification` and its kin.

The encoder goes over weight by weight. Behind it, the student has a projection and a classifier, which are both linear,
so that their product is the one linear layer that these classes have for tagging. For texts they have two, with tanh,
ReLU or GELU between; `straight_head.py` finds two that compute the same. Students that were such a class themselves
(`deployed.py`) have both.

Axes: H hidden, L labels.
"""

import os

import numpy as np
import tf_keras
import transformers

from xtremedistil.arguments import require_path
from xtremedistil.errors import InputError
from xtremedistil.export.common.config import ExportConfig
from xtremedistil.export.common.earlier_export import refuse_foreign
from xtremedistil.export.common.encoder_weights import Linear, linear_of, merged
from xtremedistil.export.common.parity import Exported, compare, refuse_difference
from xtremedistil.export.common.source import Source, open_source
from xtremedistil.export.common.validation import check_export
from xtremedistil.export.huggingface.checkpoint_files import (
    OWN_FILES,
    READ_FILES,
    input_names_of,
    write_card,
    write_config,
    write_tokenizer,
)
from xtremedistil.export.huggingface.linear_head import equivalent_linear_head
from xtremedistil.export.huggingface.model_card import model_card
from xtremedistil.export.huggingface.pytorch_state import is_made_here, state_in_pytorch, write_state
from xtremedistil.models.architectures.text_heads import TEXT_HEADS
from xtremedistil.models.checkpoints.weight_files import State
from xtremedistil.models.features.encoder_outputs import model_inputs
from xtremedistil.models.forward import make_predict_function
from xtremedistil.models.student import Student
from xtremedistil.storage import model_folder
from xtremedistil.storage.checksums import vouch
from xtremedistil.storage.folders import new_folder, size_of

FORM = "huggingface"


# Name of the layer norm that the state of a text comes from; {} is the number of the last layer.
_LAST = "encoder.layer.{}.output.LayerNorm"
TOP_NORMS = {family: f"{family}.{_LAST}" for family in ("bert", "electra", "roberta")} | {
    "distilbert": "distilbert.transformer.layer.{}.output_layer_norm",
    "xlm-roberta": f"roberta.{_LAST}",
}


def save_pretrained(
    model_dir: str,
    out: str,
    *,
    weights: str = model_folder.STUDENT_WEIGHTS,
    task: str | None = None,
    rows: str | None = None,
    tokenizer: str | None = None,
) -> Exported:
    """Writes the student of a model folder as a folder for PyTorch's transformers, with a model card.

    Args:
        out: the new folder; an earlier export there is replaced.
        weights: weight file in `model_dir`.
        task, rows: what to compare on; see `source.open_source`.
        tokenizer: folder or hub name, for folders of the original release, which hold none.

    Returns:
        how the folder compares with the student.

    Raises:
        InputError: the folder cannot be exported, `out` holds something else, or the export differs from the student.
    """
    require_path("out", out)
    require_path("tokenizer", tokenizer, optional=True)
    check_export(ExportConfig(model_dir=model_dir, to=(FORM,), weights=weights, task=task, rows=rows))
    return write_huggingface(open_source(model_dir, weights=weights, task=task, rows=rows, tokenizer=tokenizer), out)


def write_huggingface(source: Source, out: str) -> Exported:
    """The same from an opened student. `out` appears whole, once it was compared with the student, or not at all."""
    out = os.path.abspath(out)
    refuse_foreign(out, OWN_FILES, is_made_here)
    with new_folder(out) as folder:
        state, remarks = student_state(source.student)
        write_state(folder, state)
        _write_config(source, folder)
        write_tokenizer(folder, source.tokenizer, _input_names(source.student), source.saved["seq_len"])
        difference, agreement = _compared(source, folder)
        exported = Exported(
            form=FORM,
            path=os.path.basename(out),
            bytes=size_of(folder),
            rows=len(source.rows.features),
            largest_difference=difference,
            label_agreement=agreement,
            remarks=(*remarks, *_row_remarks(source, folder), *_label_remarks(source)),
        )
        parameters = sum(array.size for array in state.values())
        write_card(folder, model_card(source, exported, pytorch_class=pytorch_class(source), parameters=parameters))
        vouch(folder, READ_FILES)
    return exported


# The folder


def _write_config(source: Source, folder: str) -> None:
    """The encoder's configuration with the class and the labels."""
    config, labels = source.student.encoder.config, source.task.all_labels
    values = {
        "id2label": dict(enumerate(labels)),
        "label2id": {label: number for number, label in enumerate(labels)},
        "problem_type": None if source.task.by_position else source.task.problem_type,
    }
    if "classifier_dropout" in config.to_dict():
        values["classifier_dropout"] = None  # the hidden states' rate, which is the student's
    write_config(folder, config, pytorch_class(source), values)


def pytorch_class(source: Source) -> str:
    """The name of the class in PyTorch's transformers."""
    return _family_name(source.student) + source.task.huggingface_ending


def _family_name(student: Student) -> str:
    """What the names of the family's classes begin with."""
    return student.family.class_name.removeprefix("TF").removesuffix("Model")


def _input_names(student: Student) -> list[str]:
    return input_names_of(student.encoder, student.family)


# Weights


def student_state(student: Student) -> tuple[State, list[str]]:
    """All weights by PyTorch's names and in its layout (linear layers are [out, in]), and what was done to the head."""
    state = state_in_pytorch(student.encoder)
    classifier, remarks = linear_of(student.head), []
    activation = student.projection_activation
    if activation:
        inner = linear_of(student.projection)
        return state | _text_head(student, inner, classifier, activation), []
    if student.projection is not None:
        classifier = merged(linear_of(student.projection), classifier)
        remarks.append("the projection to the teacher's width is merged into the classifier: both are linear")
    if student.by_position:
        return state | _in_pytorch("classifier", classifier), remarks
    head = TEXT_HEADS[student.family.model_type]
    norm = TOP_NORMS[student.family.model_type].format(student.encoder.config.num_hidden_layers - 1)
    gamma, beta = (state[f"{norm}.{part}"] for part in ("weight", "bias"))
    inner, outer, remark = equivalent_linear_head(classifier, head.activation, gamma, beta)
    return state | _text_head(student, inner, outer, head.activation), [
        *remarks,
        f"{head.inner}, {head.activation} and {head.outer} stand for one layer: {remark}",
    ]


def _text_head(student: Student, inner: Linear, outer: Linear, activation: str) -> State:
    """Raises InputError where the family's class has another activation between the two."""
    head = TEXT_HEADS[student.family.model_type]
    if head.activation != activation:
        name = f"{_family_name(student)}ForSequenceClassification"
        raise InputError(f"{name} has {head.activation} in its head; the student has {activation}.")
    return _in_pytorch(head.inner, inner) | _in_pytorch(head.outer, outer)


def _in_pytorch(name: str, linear: Linear) -> State:
    return {f"{name}.weight": np.ascontiguousarray(linear.kernel.T), f"{name}.bias": linear.bias}


# Comparing


def _compared(source: Source, folder: str) -> tuple[float, float]:
    """Largest difference of logits and agreement of labels, by the TensorFlow class that reads the folder.

    Raises:
        InputError: the class finds a weight too many or too few, or other logits.
    """
    name = f"TF{pytorch_class(source)}"
    model, info = getattr(transformers, name).from_pretrained(folder, output_loading_info=True)
    wrong = [*info["missing_keys"], *info["unexpected_keys"], *info["mismatched_keys"]]
    if wrong:
        raise InputError(f"{name} does not find its weights in the export: {', '.join(map(str, wrong[:5]))}.")
    inputs = model_inputs()
    outputs = model({name: inputs[name] for name in _input_names(source.student)}, return_dict=True)
    predict = make_predict_function(tf_keras.Model(inputs, {"logits": outputs.logits}))
    difference, agreement = compare(source.logits, source.logits_of(predict), source.task.chosen)
    refuse_difference(FORM, difference)
    return difference, agreement


def _row_remarks(source: Source, folder: str) -> list[str]:
    """Whether the folder's tokenizer alone makes the rows that the student was trained on."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    features = source.rows.features
    rows = np.flatnonzero(np.bincount(features.example_ids)[features.example_ids] == 1)  # not in windows
    others = 0
    for row in rows:
        texts = source.task.text_of(source.rows.examples[features.example_ids[row]]).split("\t")
        found = tokenizer(*texts, truncation=True)["input_ids"]
        others += found != features.row(row)["input_ids"].tolist()
    if not others:
        return []
    return [
        f"for {others} of {len(rows)} texts the tokenizer alone makes other rows than the student was trained on "
        "(special tokens, blanks); xtremedistil's Predictor makes the right ones"
    ]


def _label_remarks(source: Source) -> list[str]:
    pseudo = source.task.pseudo_labels
    if not pseudo:
        return []
    return [f"the last {len(pseudo)} outputs ({', '.join(pseudo)}) are no labels: leave them out of the arg max"]
