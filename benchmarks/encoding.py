"""How fast sentences for tagging are encoded, beside the original's rule of tokenising every prefix of a sentence.

    python benchmarks/encoding.py --tokenizer $DATA/checkpoint [--file $DATA/wikiann-en/unlabeled.txt] [--full]

Without --tokenizer a small WordPiece vocabulary is made; without --file sentences are generated.
"""

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from xtremedistil.tasks import TaggedSentence, TokenClassification
from xtremedistil.tasks.tokenizer import Tokenizer

SUBSAMPLE = 1_000
LENGTHS = (16, 32, 64, 128, 256, 512)
PIECES_PER_LENGTH = 100_000
SYLLABLES = "ba de fi go ku la me ni po ru sa ti vo wu xe za".split()


def generated_sentences(count: int, seed: int = 7) -> list[list[str]]:
    """Sentences of 3 to 30 words, drawn from 20,000 made-up words with a long tail."""
    draw = random.Random(seed)
    words = ["".join(draw.choices(SYLLABLES, k=draw.randint(1, 5))) for _ in range(20_000)]
    weights = [1 / rank for rank in range(1, len(words) + 1)]
    drawn = iter(draw.choices(words, weights, k=31 * count))
    return [[next(drawn) for _ in range(draw.randint(3, 30))] for _ in range(count)]


def generated_tokenizer(folder: Path) -> Tokenizer:
    """WordPiece with whole syllables, so that longer words have several pieces."""
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *SYLLABLES, *(f"##{syllable}" for syllable in SYLLABLES)]
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer"}), encoding="utf-8")
    return Tokenizer.load(folder)


def encode_by_prefixes(tokenizer: Tokenizer, sentences: list[list[str]]) -> list[list[list[int]]]:
    """The original's rule, one call for each prefix."""
    encoded = []
    for words in sentences:
        pieces, covered, ids = [], [], []
        for count in range(1, len(words) + 1):
            ids = tokenizer._hf(" ".join(words[:count]), add_special_tokens=False, verbose=False)["input_ids"]
            covered.append(len(ids))
        for start, stop in zip([0, *covered], covered, strict=False):
            pieces.append(ids[start:stop])
        encoded.append(pieces)
    return encoded


def seconds(run: Callable, repeats: int = 3) -> float:
    """Median time of `repeats` runs."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def compare(tokenizer: Tokenizer, sentences: list[list[str]], full: bool) -> None:
    """Prints both rates. The prefix rule is timed on a subsample, and its rate is that of the subsample."""
    task, examples = TokenClassification(["O"]), [TaggedSentence(words) for words in sentences]
    ours = seconds(lambda: task.encode(examples, tokenizer, 128))
    words = sum(map(len, sentences)) / len(sentences)
    print(f"{len(sentences):,} sentences of {words:.1f} words, tokenizer {tokenizer.name}")
    print(f"encode, whole             {len(sentences) / ours:10,.0f} sentences/s  ({ours:.2f} s, median of 3)")
    sample = sentences if full else random.Random(1).sample(sentences, min(SUBSAMPLE, len(sentences)))
    by_word = seconds(lambda: tokenizer.encode_words(sentences))
    prefix = seconds(lambda: encode_by_prefixes(tokenizer, sample), repeats=1)
    rate, prefix_rate = len(sentences) / by_word, len(sample) / prefix
    scope = (
        "all sentences"
        if full
        else f"a random {len(sample):,}; all would take about {len(sentences) / prefix_rate:.0f} s"
    )
    print(f"tokenisation by word      {rate:10,.0f} sentences/s")
    print(f"tokenisation by prefixes  {prefix_rate:10,.0f} sentences/s  ({scope})")
    shown = sample[:SUBSAMPLE]
    same = tokenizer.encode_words(shown) == encode_by_prefixes(tokenizer, shown)
    print(
        f"ratio                     {rate / prefix_rate:10.1f}  (same pieces on the sample: {'yes' if same else 'NO'})"
    )


def linearity(tokenizer: Tokenizer, sentences: list[list[str]]) -> None:
    """Prints the time per piece for sentences of growing length."""
    task, stream = TokenClassification(["O"]), [word for words in sentences for word in words]
    print("words per sentence   microseconds per piece")
    for length in LENGTHS:
        rows = [TaggedSentence(stream[i : i + length]) for i in range(0, min(PIECES_PER_LENGTH, len(stream)), length)]
        pieces = sum(len(word) for row in tokenizer.encode_words([row.words for row in rows]) for word in row)
        spent = seconds(lambda rows=rows: task.encode(rows, tokenizer, 128))
        print(f"{length:18} {1e6 * spent / pieces:10.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", help="folder or hub name of a tokenizer")
    parser.add_argument(
        "--file", help="sentences, words separated by single spaces; columns after the first are ignored"
    )
    parser.add_argument("--sentences", type=int, default=20_000, help="how many (default 20000)")
    parser.add_argument("--full", action="store_true", help="tokenise all sentences by prefixes, not a subsample")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = Tokenizer.load(options.tokenizer) if options.tokenizer else generated_tokenizer(Path(folder))
        if options.file:
            examples = TokenClassification(["O"]).read(options.file, labelled=False)
            sentences = [example.words for example in examples[: options.sentences]]
        else:
            sentences = generated_sentences(options.sentences)
        compare(tokenizer, sentences, options.full)
        linearity(tokenizer, sentences)


if __name__ == "__main__":
    main()
