"""Folders that the original release wrote: the same weights must give the numbers that it recorded."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

import xtremedistil  # noqa: F401 - chooses legacy Keras
from xtremedistil.errors import InputError
from xtremedistil.models.architectures.families import FAMILIES, find_family
from xtremedistil.models.checkpoints.h5_weights import load_weights, read_weights, save_weights, weight_name
from xtremedistil.models.checkpoints.pretrained import load_encoder, new_encoder_from_config, read_config
from xtremedistil.models.features.word_embeddings import word_embedding_variable

tf = pytest.importorskip("tensorflow")

from xtremedistil.models.student import build_student  # noqa: E402
from xtremedistil.models.teacher import build_teacher  # noqa: E402

HERE = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("XTREMEDISTIL_SHARED", HERE.parents[1] / "shared")) / "fixtures/original-release"
RUNS = [
    "ner-frozen-embedding-attention",
    "ner-compressed-embedding",
    "ner-electra-attention",
    "ner-from-scratch-frozen",
    "classification-plain",
]
FROM_SCRATCH = {
    "model_type": "bert",
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 3072,
}
BERT = FAMILIES["TFBertModel"]


class Run:
    """One folder of the original, and the models that it belongs to."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.settings = json.loads((folder / "xtremedistil-config.json").read_text())
        self.recorded = np.load(folder / "recorded.npz")
        self.by_position = self.settings["do_NER"]

    def checkpoint(self, flag: str) -> str:
        return str(self.folder.parent / "checkpoints" / Path(self.settings[flag]).name)

    def inputs(self, count: int | None = None) -> dict:
        names = ("input_ids", "attention_mask", "token_type_ids")
        return {name: tf.constant(self.recorded[name][:count]) for name in names}

    def teacher(self):
        config = read_config(self.checkpoint("pt_teacher_checkpoint"))
        family = find_family(self.settings["pt_teacher"], config["model_type"])
        encoder = new_encoder_from_config(config, family, name="tf_model")
        teacher = build_teacher(
            encoder, family, by_position=self.by_position, num_labels=len(self.settings["label_list"])
        )
        load_weights(str(self.folder / "model-ft.h5"), teacher.parts)
        return teacher

    def student(self):
        pretrained = self.settings["pt_student_checkpoint"]
        config = read_config(self.checkpoint("pt_student_checkpoint")) if pretrained else FROM_SCRATCH
        embedding = np.load(self.folder / "word_embedding.npy")
        student = build_student(
            new_encoder_from_config(config | {"vocab_size": len(embedding)}, BERT, name="student_2"),
            BERT,
            by_position=self.by_position,
            num_labels=len(self.settings["label_list"]),
            teacher_hidden_size=self.settings["teacher_hidden_size"],
        )
        table = word_embedding_variable(student.encoder)
        optional = [weight_name("student_2", table)]
        if load_weights(str(self.folder / "xtremedistil.h5"), student.parts, optional=optional):
            table.assign(embedding)
        return student


@pytest.fixture(params=RUNS)
def run(request) -> Run:
    for root in (SHARED, HERE / "data/original-release"):
        if (root / request.param).is_dir():
            return Run(root / request.param)
    pytest.skip(f"{request.param}: only one run is kept here; the others are in the folder XTREMEDISTIL_SHARED names")


def stage_one_names(settings: dict) -> list[str]:
    """What the original's first stage matched, in its order: hidden states from the top, then attention maps."""
    layers, student_layers = 4, 2
    states = student_layers + 1 if settings["distil_multi_hidden_states"] else 1
    maps = student_layers if settings["distil_attention"] else 0
    return [f"hidden_states_{layers - i}" for i in range(states)] + [
        f"attentions_{layers - 1 - i}" for i in range(maps)
    ]


def test_student_gives_the_recorded_logits(run):
    logits = run.student().model(run.inputs())["logits"]
    np.testing.assert_allclose(logits, run.recorded["student_logits"], atol=1e-6)


def test_teacher_gives_the_recorded_logits_and_features(run):
    teacher, names = run.teacher(), stage_one_names(run.settings)
    np.testing.assert_allclose(teacher.model(run.inputs())["logits"], run.recorded["teacher_logits"], atol=1e-6)
    features = teacher.feature_model(names)(run.inputs(8))
    assert f"teacher_feature_{len(names)}" not in run.recorded
    for number, name in enumerate(names):
        value, expected = features[name].numpy(), run.recorded[f"teacher_feature_{number}"]
        value = value[:, 0] if expected.ndim == 2 else value  # classification recorded the first position alone
        np.testing.assert_allclose(value, expected, atol=1e-5, err_msg=name)


def test_names_that_we_write_are_those_of_the_original(run, tmp_path):
    for model, name in ((run.teacher(), "model-ft.h5"), (run.student(), "xtremedistil.h5")):
        save_weights(str(tmp_path / name), model.parts)
        ours, theirs = read_weights(str(tmp_path / name)), read_weights(str(run.folder / name))
        assert list(ours) == list(theirs)
        for layer in ours:
            old = {entry for entry in theirs[layer] if "/pooler/" not in entry and entry != "Variable:0"}
            assert old <= set(ours[layer])
            assert {entry for entry in set(ours[layer]) - old if "word_embeddings" not in entry} == set()


def test_weights_of_another_task_are_refused(run):
    teacher = run.teacher()
    labels = teacher.head.units + 1
    other = build_teacher(teacher.encoder, teacher.family, by_position=run.by_position, num_labels=labels)
    with pytest.raises(InputError, match=rf"final_logits/bias:0 is \[{labels - 1}\] in the file and \[{labels}\]"):
        load_weights(str(run.folder / "model-ft.h5"), other.parts)


def test_checkpoint_that_torch_wrote_loads():
    folder = HERE / "data/original-release/checkpoints/student"
    encoder = load_encoder(str(folder), BERT, name="student_2")
    assert len(encoder.weights) == 37
    assert np.abs(word_embedding_variable(encoder).numpy()).max() > 0
