"""Puts the field's words in place of the package's own: names in code, and "piece" in texts.

    python tools/rename_words.py          may be run again; the second time it changes nothing

Names are changed as whole identifiers; texts are strings and comments. Keys and names of files stay: they are formats.
"""

import io
import re
import tokenize
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("xtremedistil", "tests", "benchmarks", "examples")
NAMES = {
    # training
    "Keeper": "SnapshotManager",
    "take_snapshot": "save_state",
    "go_on_from": "restore_state",
    "once": "run_once",
    "require_reach": "require_gradients",
    "own_steps": "step_function",
    "untuned": "without_autotune",
    "agree": "broadcast_from_chief",
    "in_turn": "folder_lock",
    "TargetReader": "BatchReader",
    "Recipe": "TrainingSettings",
    # distillation
    "Lesson": "FitInputs",
    "lesson": "fit_inputs",
    "lessons": "inputs_by_task",
    "KeptFit": "ResumableFit",
    "Taught": "TeacherOutputs",
    "TaughtRows": "DistillationDataset",
    "settle": "sync_word_embeddings",
    "claim": "bind_run",
    "check_claim": "check_run",
    "settle_live": "fix_live_mode",
    "settle_targets": "resolve_policy",
    "forget_pages": "release_pages",
    "spelled_out": "expand_recipe",
    "tuned_teacher": "load_or_finetune_teacher",
    "TunedTeacher": "FinetunedTeacher",
    "Computing": "OutputWriterConfig",
    "computing": "output_writer",
    "ExampleLogits": "ExternalLogits",
    "example_logits": "open_external_logits",
    "Targets": "CachedOutputs",
    "LiveTargets": "LiveOutputs",
    "compute_targets": "cached_outputs",
    "TargetSource": "OutputSource",
    "FileSource": "LogitFileSource",
    "FileTargets": "LogitFileOutputs",
    "TargetSize": "OutputSize",
    "target_size": "output_size",
    "AlignedTargets": "AlignedOutputs",
    "aligned_targets": "aligned_outputs",
    "JoinedTargets": "JoinedOutputs",
    "joined_targets": "joined_outputs",
    # models, tasks, tokenizers
    "TappedEncoder": "HookedEncoder",
    "WithHead": "Classifier",
    "straightened": "equivalent_linear_head",
    "sides_of": "texts_of",
    "from_sides": "from_texts",
    "say": "log",
    "piece_tags": "token_tags",
    "piece_scores": "token_scores",
    "pieces_among": "tokens_among",
    "kept_pieces": "kept_tokens",
    "ids_of_pieces": "ids_of_tokens",
    "pieces_from_file": "tokens_from_file",
    "check_other_pieces": "check_other_tokenizers",
    "best_pieces": "best_tokens",
    "BestPieces": "BestTokens",
    "next_pieces": "next_tokens",
    "piece_weights": "token_weights",
}
# A name that two modules have: it is changed where it comes from this one.
OF_MODULE = {"Place": ("TrainingState", "xtremedistil.training.state")}
TEXTS = [
    (re.compile(r"\bword pieces\b"), "tokens"),
    (re.compile(r"\bword piece\b"), "token"),
    (re.compile(r"\bWord pieces\b"), "Tokens"),
    (re.compile(r"(?<![\w.\"'])pieces\b(?!\.bin)(?![\"'_])"), "tokens"),
    (re.compile(r"(?<![\w.\"'])piece\b(?![\"'_])"), "token"),
    (re.compile(r"(?<![\w.\"'])Pieces\b(?![\"'_])"), "Tokens"),
]


def main() -> None:
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            changed = renamed(text)
            if changed != text:
                path.write_text(changed, encoding="utf-8")


def renamed(text: str) -> str:
    names = NAMES | {old: new for old, (new, module) in OF_MODULE.items() if _imports(text, module, old)}
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    edits = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        new = token.string
        if token.type == tokenize.NAME:
            new = names.get(token.string, token.string)
        elif token.type in (tokenize.STRING, tokenize.COMMENT):
            new = in_text(token.string, names)
        if new != token.string:
            at = starts[token.start[0] - 1] + token.start[1]
            edits.append((at, starts[token.end[0] - 1] + token.end[1], new))
    for start, end, new in reversed(edits):
        text = text[:start] + new + text[end:]
    return text


def _imports(text: str, module: str, name: str) -> bool:
    where = module.replace("xtremedistil.training.state", "xtremedistil/training/state")
    found = re.search(rf"from {re.escape(module)} import [^\n]*\b{name}\b", text)
    return bool(found) or f"class {name}:" in text and "best_score" in text and bool(where)


def in_text(text: str, names: dict[str, str]) -> str:
    """Prose, and the names in it: in backticks, and in the braces of f-strings."""
    for pattern, new in TEXTS:
        text = pattern.sub(new, text)
    text = re.sub(r"`(\w+)", lambda found: "`" + names.get(found[1], found[1]), text)
    if re.match(r"[rRbB]*[fF]", text):
        text = re.sub(r"\{[^{}]*\}", lambda found: _in_braces(found[0], names), text)
    return text


def _in_braces(code: str, names: dict[str, str]) -> str:
    return re.sub(r"\b(\w+)\b(?=\()", lambda found: names.get(found[1], found[1]), code)


if __name__ == "__main__":
    main()
