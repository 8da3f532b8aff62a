"""Gives flags their plain names in code, messages, tests and texts; the old names stay as aliases.

    python tools/rename_flags.py          in a checkout where flags still have their old names

Run twice, it changes nothing the second time. What it cannot tell from other things of the same name (`loss`, `steps`)
it changes only in the files that are listed.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TEXTS = [ROOT / "README.md", ROOT / "docs/scaling.md"]
PYTHON = [
    path for folder in ("xtremedistil", "tests", "benchmarks", "examples") for path in (ROOT / folder).rglob("*.py")
]

DISTIL = {
    "targets": "teacher_outputs",
    "targets_dir": "teacher_outputs_dir",
    "targets_precision": "teacher_outputs_precision",
    "teacher_targets": "teacher_logits",
    "loss": "soft_label_loss",
}
PRETRAIN = {
    "word_weight": "mlm_weight",
    "predict_all": "soft_labels_on_all_tokens",
    "mlm_share": "mlm_probability",
    "whole_words": "whole_word_mask",
    "steps": "max_steps",
}
ALL = DISTIL | PRETRAIN
PLAIN = [name for name in ALL if name not in ("loss", "steps")]  # of nothing but flags, after two dashes
KEYS = [name for name in PLAIN if name not in ("targets", "targets_precision")]  # likewise, in quotes

# Keys and keywords that elsewhere are of something else.
LISTED = {
    "targets": "tests/command_fixtures.py tests/distillation/test_bad_input.py tests/distillation/test_commands.py "
    "tests/distillation/test_external_teacher.py tests/distillation/test_recipes.py benchmarks/memory.py",
    "targets_precision": "tests/distillation/test_student_states.py tests/distillation/test_recipes.py",
    "loss": "xtremedistil/distillation/planning/config.py xtremedistil/distillation/planning/recipe_checks.py "
    "tests/distillation/test_config.py",
    "steps": "xtremedistil/pretraining/validation.py tests/pretraining/test_bad_input.py benchmarks/pretraining.py "
    "benchmarks/cross_lingual.py",
}
AS_THEY_ARE = ("xtremedistil/storage/model_folder.py", "tests/test_flags.py")  # name the old names
# Whole pieces of text, in the files where they stand.
EXACTLY = [
    ("xtremedistil/pretraining/recipes.py", '"word": ', '"mlm": '),
    ("xtremedistil/pretraining/recipes.py", 'weights["word"]', 'weights["mlm"]'),
    ("tests/distillation/test_recipes.py", ' loss="soft_label_kl"', ' soft_label_loss="soft_label_kl"'),
    ("tests/distillation/test_recipes.py", '"loss": "soft_label_kl"', '"soft_label_loss": "soft_label_kl"'),
    ("tests/distillation/test_external_teacher.py", '"loss": "soft_label_kl"', '"soft_label_loss": "soft_label_kl"'),
    ("tests/pretraining/test_pretrain.py", '"steps": ', '"max_steps": '),
    ("tests/pretraining/test_pretrain.py", " steps=", " max_steps="),
    ("tests/task_transfer/test_task_transfer.py", '("transfer", ', '("task-transfer", '),
    ("tests/test_cli.py", '("transfer", ', '("task-transfer", '),
]
FIELD = re.compile(r"^    (\w+): ", re.MULTILINE)
CONFIGS = ("xtremedistil/distillation/planning/config.py", "xtremedistil/pretraining/config.py")


def either(names) -> str:
    return "|".join(names)


def renamed(text: str, path: str) -> str:
    def by_name(match) -> str:
        return match[1] + ALL[match[2]]

    text = re.sub(rf"(?<![\w-])(--)({either(PLAIN)})\b", by_name, text)
    text = re.sub(r"\bxtremedistil transfer\b", "xtremedistil task-transfer", text)
    if not path.endswith(".py"):
        return re.sub(r"((?<![\w-])--)(loss|steps)\b", by_name, text)
    if path in AS_THEY_ARE:
        return text
    text = re.sub(rf"(\bconfig\.)({either(ALL)})\b", by_name, text)
    text = re.sub(rf'((?<!aliases=\()")({either(KEYS)})(?=")', by_name, text)
    text = re.sub(rf"([ (])({either(KEYS)})(?==)", by_name, text) if path.startswith("tests/distillation") else text
    for name, files in LISTED.items():
        if path in files.split():
            text = re.sub(rf'((?<!aliases=\()(?<!/ )")({name})(?=")', by_name, text)
            text = re.sub(rf"([ (])({name})(?==[^=])", by_name, text) if name.startswith("targets") else text
            text = re.sub(rf"(\b(?:best|graph|same|lstm|self)\.)({name})\b", by_name, text) if name == "loss" else text
            if not path.startswith("benchmarks"):
                text = re.sub(rf"(?<![\w-])(--)({name})\b", by_name, text)
    if path in CONFIGS:
        names = DISTIL if "distillation" in path else PRETRAIN
        aliases = re.compile(rf"^    ({either(names)}): (.*?)(,?)(\s*)\)\n(?=    \w|\n)", re.MULTILINE | re.DOTALL)
        text = aliases.sub(lambda m: f'    {names[m[1]]}: {m[2]}, aliases=("{m[1]}",))\n', text)
        text = text.replace("self.teacher_targets", "self.teacher_logits")
    for file, old, new in EXACTLY:
        text = text.replace(old, new) if file == path else text
    return text


def main() -> None:
    for path in map(Path.resolve, map(Path, sys.argv[1:])) if sys.argv[1:] else [*PYTHON, *TEXTS]:
        name, before = str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")
        if (after := renamed(before, name)) != before:
            path.write_text(after, encoding="utf-8")
            print(name)


if __name__ == "__main__":
    main()
