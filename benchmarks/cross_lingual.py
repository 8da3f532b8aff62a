"""Zero-shot across languages: encoders tuned on English alone, scored in each language. A check of function.

    PYTHONPATH=. python benchmarks/cross_lingual.py --data $DATA --folder runs/cross-lingual \
        --teacher_steps 4000 --steps 2000

There is no multilingual checkpoint to begin with: a teacher (4 x 192) is trained on masked words of wikiann-multi's
text with the multilingual vocabulary of BERT, as far as that text uses it. Out of it come students (2 x 96) by
MiniLMv2's relations and by DistilBERT's loss; beside them stands the same student with random weights. Each is tuned on
wikiann-en. Folders are named by what their results hang on; what is finished there is taken over.
"""

import argparse
import contextlib
import json
import shutil
from pathlib import Path

from benchmarks.pretraining import name_of, row_of, seconds, timed
from xtremedistil.finetuning.config import BaselineConfig
from xtremedistil.finetuning.finetune import fine_tune
from xtremedistil.finetuning.plan import fine_tuning_plan
from xtremedistil.inference.config import PredictConfig
from xtremedistil.inference.predict import evaluate_folder
from xtremedistil.models.architectures.families import FAMILIES
from xtremedistil.models.checkpoints.pretrained import new_encoder
from xtremedistil.pretraining.checkpoint_folder import write_checkpoint
from xtremedistil.pretraining.config import PretrainConfig
from xtremedistil.pretraining.pretrain import pretrain
from xtremedistil.pretraining.report import REPORT
from xtremedistil.serving.predictor import load_predictor
from xtremedistil.storage.files import write_json
from xtremedistil.storage.model_folder import CONFIG, METRICS
from xtremedistil.task_transfer.fine_tuned_student import write_fine_tuned_student
from xtremedistil.tokenization.tokenizer import Tokenizer

LANGUAGES = ("en", "de", "fr", "es", "ru")
SMALL = {"num_hidden_layers": 2, "hidden_size": 96, "num_attention_heads": 6}
V2 = {"recipe": "minilmv2", "relation_heads": 12}
STUDENTS = {
    "random weights": V2 | {"max_steps": 1, "learning_rate": 1e-30, "weight_decay": 0.0},
    "MiniLMv2": V2,
    "DistilBERT's loss": {"recipe": "distilbert"},
}


def write_corpus(data: Path, path: Path) -> None:
    lines = (data / "wikiann-multi" / "unlabeled.txt").read_text(encoding="utf-8").splitlines()
    train = (data / "wikiann-multi" / "train.tsv").read_text(encoding="utf-8").splitlines()
    content = "\n".join([*lines, *(line.split("\t")[0] for line in train)]) + "\n"
    if not path.is_file() or path.read_text(encoding="utf-8") != content:  # a corpus is told by its time of change
        path.write_text(content, encoding="utf-8")


def write_beginning(data: Path, folder: Path) -> None:
    """A Bert of random weights with the multilingual vocabulary."""
    vocabulary = folder.parent / "vocabulary"
    vocabulary.mkdir(exist_ok=True)
    for source in (data / "vocabs" / "bert-base-multilingual-cased").iterdir():
        shutil.copyfile(source, vocabulary / source.name)
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": False}
    (vocabulary / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    tokenizer, family = Tokenizer.load(vocabulary), FAMILIES["TFBertModel"]
    sizes = {"hidden_size": 192, "num_hidden_layers": 4, "num_attention_heads": 6, "intermediate_size": 768}
    encoder = new_encoder(
        family, name="tf_model", vocab_size=tokenizer.size, max_position_embeddings=128, seed=42, **sizes
    )
    write_checkpoint(str(folder), encoder, family, tokenizer, seq_len=128, card="Random weights.\n")


def budget(steps: int, epochs: float) -> dict:
    return {"max_steps": steps} if steps else {"epochs": epochs}


def pretrained(values, teacher: Path, name: str, **flags) -> Path:
    """The folder of a run, which is told by the name, its budget and its teacher's; it has a `checkpoint`."""
    spent = [f"{flag}{flags[flag]:g}" for flag in ("max_steps", "epochs") if flag in flags]
    place = values.folder if teacher == values.folder / "beginning" else teacher.parent
    folder = place / name_of(name, *spent, f"seed{values.seed}")
    config = PretrainConfig(
        pt_teacher_checkpoint=str(teacher),
        corpus=(str(values.folder / "corpus.txt"),),
        corpus_dir=str(values.folder / "tokens"),
        model_dir=str(folder),
        seq_len=64,
        batch_size=32,
        eval_steps=500,
        seed=values.seed,
        **flags,
    )
    with contextlib.nullcontext() if (folder / REPORT).is_file() else timed(folder):
        pretrain(config)
    return folder


def tuned(values, checkpoint: Path) -> Path:
    """Tuned on English, as a student's folder."""
    task = str(values.data / "wikiann-en")
    name = name_of("wikiann-en", f"epochs{values.ft_epochs}", f"rate{values.ft_rate:g}", f"seed{values.seed}")
    folder = checkpoint.parent / name
    config = BaselineConfig(
        task=task,
        do_NER=True,
        seq_len=64,
        pt_model="auto",
        pt_model_checkpoint=str(checkpoint),
        model_dir=str(folder),
        batch_size=32,
        ft_epochs=values.ft_epochs,
        learning_rate=values.ft_rate,
        seed=values.seed,
    )
    if not (folder / CONFIG).is_file():  # which is written last
        plan = fine_tuning_plan(config)
        with timed(folder):
            if not (folder / METRICS).is_file():
                fine_tune(plan)
            write_fine_tuned_student(plan, task)
    return folder


def scored(values, folder: Path) -> dict[str, float]:
    """F1 by language."""
    path = folder / "languages.json"
    if not path.is_file():
        with timed(folder):
            predictor = load_predictor(str(folder), batch_size=256)
            found = {}
            for language in LANGUAGES:
                config = PredictConfig(model_dir=str(folder), task=str(language_task(values, language)))
                metrics = evaluate_folder(config, predictor)
                found[language] = metrics[metrics["primary"]]
            write_json(str(path), found)
    return json.loads(path.read_text())


def language_task(values, language: str) -> Path:
    task, source = values.folder / "tasks" / language, values.data / "wikiann-multi"
    task.mkdir(parents=True, exist_ok=True)
    for name in ("labels.tsv", "train.tsv", "dev.tsv"):
        shutil.copyfile(source / name, task / name)
    shutil.copyfile(source / f"test.{language}.tsv", task / "test.tsv")
    return task


def flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with wikiann-multi, wikiann-en and vocabs")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--teacher_steps", type=int, default=0, help="updates of the teacher, not --teacher_epochs")
    parser.add_argument("--teacher_epochs", type=float, default=10.0)
    parser.add_argument("--steps", type=int, default=0, help="updates of each student, in place of --epochs")
    parser.add_argument("--epochs", type=float, default=5.0)
    parser.add_argument("--ft_epochs", type=int, default=5)
    parser.add_argument("--ft_rate", type=float, default=3e-4)
    parser.add_argument("--seed", type=int, default=42)
    return parser.parse_args()


def main() -> None:
    values = flags()
    values.folder.mkdir(parents=True, exist_ok=True)
    write_corpus(values.data, values.folder / "corpus.txt")
    beginning = values.folder / "beginning"
    if not beginning.is_dir():
        write_beginning(values.data, beginning)
    made = {"recipe": "words", "student_vocab": "corpus", "num_hidden_layers": 4}
    teacher = pretrained(values, beginning, "teacher", **made, **budget(values.teacher_steps, values.teacher_epochs))
    folders = {"teacher": teacher}
    for name, recipe in STUDENTS.items():
        spent = {} if "max_steps" in recipe else budget(values.steps, values.epochs)
        folders[name] = pretrained(values, teacher / "checkpoint", name, **SMALL, **recipe, **spent)
    print(
        row_of("tuned on English", *LANGUAGES, "s in all"), "| --- " * (2 + len(LANGUAGES)) + "|", sep="\n", flush=True
    )
    for name, folder in folders.items():
        place = tuned(values, folder / "checkpoint")
        found = scored(values, place)
        spent = f"{seconds(folder) + seconds(place):,.0f}"
        print(row_of(name, *(f"{100 * found[language]:.1f}" for language in LANGUAGES), spent), flush=True)


if __name__ == "__main__":
    main()
