"""Hugging Face students as model folders: the same logits, and every export of them."""

import numpy as np
import pytest

import xtremedistil
from tests.model_fixtures import tiny_config
from xtremedistil.models.architectures.families import FAMILIES
from xtremedistil.terms.soft_labels import SoftLabels
from xtremedistil.terms.terms import Terms

tf = pytest.importorskip("tensorflow")
transformers = pytest.importorskip("transformers")

from xtremedistil.distillation.distiller.distiller import Distiller  # noqa: E402
from xtremedistil.export.huggingface.deployed import student_of  # noqa: E402
from xtremedistil.export.huggingface.huggingface import student_state  # noqa: E402
from xtremedistil.export.huggingface.pytorch_state import state_in_pytorch  # noqa: E402
from xtremedistil.models.adapters import TaskModel  # noqa: E402

pytestmark = pytest.mark.usefixtures("eagerly")
FROM_LABELS = Terms(SoftLabels(weight=0.0), hard_label_weight=1.0)
CLASSES = ["animal", "town", "nothing"]
# Text heads differ from family to family, but XLM-RoBERTa's; for tagging all have one linear layer of the same name.
CASES = [(f"TF{name}Model", "SequenceClassification") for name in ("Bert", "Electra", "Roberta", "DistilBert")]
CASES.append(("TFBertModel", "TokenClassification"))


def hugging_face(class_name: str, kind: str, **changes):
    """A tiny model with a head whose every weight matters."""
    config_class = getattr(transformers, FAMILIES[class_name].config_class_name)
    config = config_class.from_dict(tiny_config(class_name) | {"num_labels": len(CLASSES)} | changes)
    model = getattr(transformers, class_name.replace("Model", f"For{kind}"))(config)
    model.build_in_name_scope()
    generator = np.random.default_rng(7)
    for variable in model.weights:
        variable.assign(0.3 * generator.standard_normal(variable.shape).astype(np.float32))
    return model


@pytest.mark.parametrize(("class_name", "kind"), CASES)
def test_weights_go_over_and_come_back(class_name, kind):
    model = hugging_face(class_name, kind)
    student = student_of(TaskModel(model))  # which compares logits
    state, remarks = student_state(student)
    own = state_in_pytorch(model)
    assert (state.keys(), remarks) == (own.keys(), [])
    for name, array in state.items():
        np.testing.assert_array_equal(array, own[name])


@pytest.mark.slow
@pytest.mark.parametrize(("class_name", "kind"), CASES)
def test_fused_graph_has_the_whole_head(class_name, kind):
    pytest.importorskip("onnx", reason="the onnx extra is not installed")
    pytest.importorskip("onnxruntime", reason="the onnx extra is not installed")
    from xtremedistil.export.onnx.student_graph import build_student_graph, weights_of
    from xtremedistil.serving.onnx_runtime import OnnxFunction

    model = TaskModel(hugging_face(class_name, kind))
    notes = {"xtremedistil": "sequence_classification", "labels": CLASSES, "weights": ""}
    graph = build_student_graph(weights_of(student_of(model)), notes=notes)
    ids = np.random.default_rng(1).integers(3, 40, (3, 7)).astype(np.int32)
    batch = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    found = OnnxFunction(graph.SerializeToString(), "graph")(batch)["logits"]
    np.testing.assert_allclose(found, model.model(batch, training=False)["logits"], atol=1e-4)


def test_deployed_student_predicts_as_the_model_does(word_piece_folder, tmp_path):
    tokenizer = transformers.AutoTokenizer.from_pretrained(word_piece_folder)
    model = hugging_face("TFBertModel", "SequenceClassification", vocab_size=len(tokenizer))
    distiller = Distiller(None, model, FROM_LABELS)
    distiller.deploy(str(tmp_path), tokenizer, labels=CLASSES, seq_len=16)
    predictor, texts = xtremedistil.load_predictor(str(tmp_path)), ["the cat sat", "mary ran in london"]
    expected = [tf.nn.softmax(model(tokenizer(text, return_tensors="tf")).logits[0]).numpy() for text in texts]
    np.testing.assert_allclose(predictor.probabilities(texts), expected, atol=1e-5)
    assert predictor(texts) == [CLASSES[np.argmax(row)] for row in expected]
    restored = xtremedistil.load_student(str(tmp_path))
    assert "dense_2" in {layer.name for layer in restored.layers}
    with pytest.raises(ValueError, match="There are 1 labels for 3 logits"):
        distiller.deploy(str(tmp_path), tokenizer, labels=["one"])
    longest = model.config.max_position_embeddings
    with pytest.raises(ValueError, match=f"seq_len is {longest + 1}; the model has positions for {longest} tokens"):
        distiller.deploy(str(tmp_path), tokenizer, labels=CLASSES, seq_len=longest + 1)


def test_deployed_student_of_several_labels_answers_with_lists(word_piece_folder, tmp_path):
    tokenizer = transformers.AutoTokenizer.from_pretrained(word_piece_folder)
    sizes = {"vocab_size": len(tokenizer), "problem_type": "multi_label_classification"}
    model, names = hugging_face("TFBertModel", "SequenceClassification", **sizes), ["a, b", "c", "d"]
    distiller, folder = Distiller(None, model, FROM_LABELS), str(tmp_path / "m")
    with pytest.raises(ValueError, match="'a, b' holds the separator of labels, ','"):
        distiller.deploy(folder, tokenizer, labels=names, seq_len=16)
    assert not (tmp_path / "m").exists()
    texts = ["the cat sat", "mary ran in london", "john"]
    distiller.fit({**tokenizer(texts), "labels": [[1, 0, 1], [0, 0, 0], [0, 1, 0]]}, epochs=2, learning_rate=1e-3)
    distiller.deploy(folder, tokenizer, labels=names, seq_len=16, label_separator=";")
    predictor = xtremedistil.load_predictor(folder)
    logits = np.concatenate([model(tokenizer(text, return_tensors="tf")).logits for text in texts])
    np.testing.assert_allclose(predictor.probabilities(texts), tf.sigmoid(logits), atol=1e-5)
    assert predictor(texts) == [[names[number] for number in np.flatnonzero(row > 0)] for row in logits]


def test_models_that_no_folder_has_a_form_for_are_refused(word_piece_folder, tmp_path):
    spans = hugging_face("TFBertModel", "QuestionAnswering", num_labels=2)
    scores = hugging_face("TFBertModel", "SequenceClassification", num_labels=1)
    for model in (spans, scores):
        with pytest.raises(ValueError, match="has no form as a model folder"):
            student_of(TaskModel(model))
    small = hugging_face("TFBertModel", "SequenceClassification", vocab_size=20)
    with pytest.raises(ValueError, match="tokens, the student knows 20"):
        Distiller(None, small, FROM_LABELS).deploy(str(tmp_path), word_piece_folder)
