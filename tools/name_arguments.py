"""Names arguments in messages and docstrings as Python callers know them: `model_dir` in place of --model_dir.

    python tools/name_arguments.py

The command line turns them back into flags (`cli.with_flags`). Whole commands in messages stay as they are, and so do
`flags.py`, `flag_parser.py`, `cli.py`, the config.py files, whose help sentences are the command line's own, and
`quickstart/`.
"""

import io
import re
import tokenize
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LEFT_OUT = ("flags.py", "flag_parser.py", "cli.py", "config.py", "__main__.py")
WITH_VALUE = re.compile(r"`--(\w+) ([\w.]+)`")
FLAG = re.compile(r"`?(?<![\w-])--(\{?[A-Za-z][\w-]*\}?|\{[^{}]+\})`?")
COMMANDS = ("xtremedistil distil", "xtremedistil export", "xtremedistil pretrain", "xtremedistil model-ft", "python ")
KEEP = ("help", "help_all", "to")


def main() -> None:
    for path in sorted((ROOT / "xtremedistil").rglob("*.py")):
        if path.name in LEFT_OUT or "quickstart" in path.parts:
            continue
        text = path.read_text(encoding="utf-8")
        changed = renamed(text)
        if changed != text:
            path.write_text(changed, encoding="utf-8")
            print(path.relative_to(ROOT))


def renamed(text: str) -> str:
    lines = text.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    edits = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in (tokenize.STRING, tokenize.COMMENT):
            start = starts[token.start[0] - 1] + token.start[1]
            end = starts[token.end[0] - 1] + token.end[1]
            edits.append((start, end, in_string(token.string)))
    for start, end, new in reversed(edits):
        text = text[:start] + new + text[end:]
    return text


def in_string(text: str) -> str:
    if any(command in text for command in COMMANDS):
        return text
    text = WITH_VALUE.sub(r"`\1` \2", text)
    return FLAG.sub(lambda found: found[0] if found[1] in KEEP else f"`{found[1].replace('-', '_')}`", text)


if __name__ == "__main__":
    main()
