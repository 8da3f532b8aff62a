"""Zero-shot across languages: encoders tuned on English alone, scored in each language. A check of function.

    PYTHONPATH=. python benchmarks/cross_lingual.py --data $DATA --folder runs/cross-lingual

There is no multilingual checkpoint to begin with: a teacher (4 x 192) is trained on masked words of wikiann-multi's
text with the multilingual vocabulary of BERT, as far as that text uses it. Out of it come students (2 x 96) by
MiniLMv2's relations and by DistilBERT's loss; beside them stands the same student with random weights. Each is tuned on
wikiann-en.
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

import xtremedistil  # noqa: F401 - chooses legacy Keras

ROOT = Path(__file__).resolve().parents[1]
LANGUAGES = ("en", "de", "fr", "es", "ru")
SMALL = ["--num_hidden_layers", "2", "--hidden_size", "96", "--num_attention_heads", "6"]
WORDS = ["--recipe", "words"]
NOT_TRAINED = ["--steps", "1", "--learning_rate", "1e-30", "--weight_decay", "0"]
STUDENTS = {
    "random weights": ["--recipe", "minilmv2", "--relation_heads", "12", *NOT_TRAINED],
    "MiniLMv2": ["--recipe", "minilmv2", "--relation_heads", "12"],
    "DistilBERT's loss": ["--recipe", "distilbert"],
}


def command(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "xtremedistil.cli", *arguments], check=True, cwd=ROOT)


def write_corpus(data: Path, path: Path) -> None:
    lines = (data / "wikiann-multi" / "unlabeled.txt").read_text(encoding="utf-8").splitlines()
    train = (data / "wikiann-multi" / "train.tsv").read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([*lines, *(line.split("\t")[0] for line in train)]) + "\n", encoding="utf-8")


def write_beginning(data: Path, folder: Path) -> None:
    """A Bert of random weights with the multilingual vocabulary."""
    from xtremedistil.models.checkpoints import new_encoder
    from xtremedistil.models.families import FAMILIES
    from xtremedistil.pretraining.checkpoint_folder import write_checkpoint
    from xtremedistil.tasks.tokenizer import Tokenizer

    vocabulary = folder.parent / "vocabulary"
    shutil.copytree(data / "vocabs" / "bert-base-multilingual-cased", vocabulary, dirs_exist_ok=True)
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": False}
    (vocabulary / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    tokenizer, family = Tokenizer.load(vocabulary), FAMILIES["TFBertModel"]
    sizes = {"hidden_size": 192, "num_hidden_layers": 4, "num_attention_heads": 6, "intermediate_size": 768}
    encoder = new_encoder(
        family, name="tf_model", vocab_size=tokenizer.size, max_position_embeddings=128, seed=42, **sizes
    )
    write_checkpoint(str(folder), encoder, family, tokenizer, seq_len=128, card="Random weights.\n")


def pretrain(values, teacher: Path, folder: Path, *flags: str) -> Path:
    corpus, seed = str(values.folder / "corpus.txt"), str(values.seed)
    shared = ["--corpus", corpus, "--seq_len", "64", "--batch_size", "32", "--seed", seed, "--eval_steps", "500"]
    command("pretrain", "--pt_teacher_checkpoint", str(teacher), "--model_dir", str(folder), *shared, *flags)
    return folder / "checkpoint"


def tuned(values, checkpoint: Path, folder: Path) -> Path:
    """Tuned on English, as a folder that `predict` takes."""
    from xtremedistil.config import BaselineConfig
    from xtremedistil.fine_tuning import fine_tune
    from xtremedistil.pretraining.tuned_student import write_tuned_student

    task = str(values.data / "wikiann-en")
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
    fine_tune(config)
    write_tuned_student(config, task)
    return folder


def scored(values, folder: Path, language: str) -> float:
    task = values.folder / "tasks" / language
    source = values.data / "wikiann-multi"
    task.mkdir(parents=True, exist_ok=True)
    for name in ("labels.tsv", "train.tsv", "dev.tsv"):
        shutil.copy(source / name, task / name)
    shutil.copy(source / f"test.{language}.tsv", task / "test.tsv")
    out = folder / language
    command("predict", "--model_dir", str(folder), "--do_eval", "--task", str(task), "--output_dir", str(out))
    metrics = json.loads((out / "metrics.json").read_text())
    return metrics[metrics["primary"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with wikiann-multi, wikiann-en and vocabs")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--teacher_epochs", default="10")
    parser.add_argument("--epochs", default="5")
    parser.add_argument("--ft_epochs", type=int, default=5)
    parser.add_argument("--ft_rate", type=float, default=3e-4)
    parser.add_argument("--seed", type=int, default=42)
    values = parser.parse_args()
    values.folder.mkdir(parents=True, exist_ok=True)
    if not (values.folder / "corpus.txt").is_file():
        write_corpus(values.data, values.folder / "corpus.txt")
    beginning = values.folder / "beginning"
    if not beginning.is_dir():
        write_beginning(values.data, beginning)
    made = ["--student_vocab", "corpus", "--num_hidden_layers", "4", "--epochs", values.teacher_epochs]
    teacher = pretrain(values, beginning, values.folder / "teacher", *WORDS, *made)
    checkpoints = {"teacher": teacher}
    for number, (name, flags) in enumerate(STUDENTS.items()):
        folder = values.folder / f"student-{number}"
        checkpoints[name] = pretrain(values, teacher, folder, *SMALL, "--epochs", values.epochs, *flags)
    print(f"| tuned on English | {' | '.join(LANGUAGES)} |\n{'| --- ' * (1 + len(LANGUAGES))}|", flush=True)
    for name, checkpoint in checkpoints.items():
        folder = tuned(values, checkpoint, checkpoint.parent / "wikiann-en")
        scores = [f"{100 * scored(values, folder, language):.1f}" for language in LANGUAGES]
        print(f"| {name} | {' | '.join(scores)} |", flush=True)


if __name__ == "__main__":
    main()
