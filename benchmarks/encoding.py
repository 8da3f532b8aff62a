"""How fast sentences for tagging are encoded, beside the original's rule of tokenising every prefix of a sentence.

    python benchmarks/encoding.py [--tokenizer $DATA/checkpoint] [--file $DATA/wikiann-en/unlabeled.txt] [--full]

Without --tokenizer a small WordPiece vocabulary is made. Generated sentences of several lengths are timed, and before
them those of --file. Ours is all of `TokenClassification.encode` on all sentences; no word is kept between runs. The
prefix rule is the tokenisation alone, on a subsample whose time is scaled up. Times are of the processor, all threads
together, unless called wall.
"""

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import accumulate, chain, islice, pairwise
from pathlib import Path

from xtremedistil.tasks import TaggedSentence, TokenClassification
from xtremedistil.tokenization.tokenizer import Tokenizer

SUBSAMPLE = 1_000
SEQ_LEN = 128
LENGTHS = (8, 16, 32, 64)
RECUT_LENGTHS = (8, 16, 32, 64, 128, 256, 512)
WORDS_PER_LENGTH = 160_000
COLUMNS = "{:12} {:>9} {:>6} {:>11} {:>12} {:>7} {:>10}  {}"
SYLLABLES = "ba de fi go ku la me ni po ru sa ti vo wu xe za".split()


def generated_sentences(count: int, length: int, seed: int = 7) -> list[list[str]]:
    """Sentences of `length` words, drawn from 20,000 made-up words with a long tail."""
    draw = random.Random(seed)
    words = ["".join(draw.choices(SYLLABLES, k=draw.randint(1, 5))) for _ in range(20_000)]
    weights = list(accumulate(1 / rank for rank in range(1, len(words) + 1)))
    return [draw.choices(words, cum_weights=weights, k=length) for _ in range(count)]


def generated_tokenizer(folder: Path) -> Tokenizer:
    """WordPiece with whole syllables, so that longer words have several tokens."""
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *SYLLABLES, *(f"##{syllable}" for syllable in SYLLABLES)]
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer"}), encoding="utf-8")
    return Tokenizer.load(folder)


def encode_by_prefixes(tokenizer: Tokenizer, sentences: list[list[str]]) -> list[list[list[int]]]:
    """The original's rule: `tokenize` of each prefix, and ids of the last one."""
    hugging_face, encoded = tokenizer._hf, []
    for words in sentences:
        tokens, covered = [], [0]
        for count in range(1, len(words) + 1):
            tokens = hugging_face.tokenize(" ".join(words[:count]))
            covered.append(len(tokens))
        ids = hugging_face.convert_tokens_to_ids(tokens)
        encoded.append([ids[start:stop] for start, stop in pairwise(covered)])
    return encoded


def seconds(run: Callable, repeats: int = 5) -> tuple[float, float]:
    """Median processor and wall time of `repeats` runs."""
    times = []
    for _ in range(repeats):
        processor, wall = time.process_time(), time.perf_counter()
        run()
        times.append((time.process_time() - processor, time.perf_counter() - wall))
    return statistics.median(first for first, _ in times), statistics.median(second for _, second in times)


def compare(name: str, tokenizer: Tokenizer, sentences: list[list[str]], full: bool) -> None:
    """Prints one line: both times for all sentences, and their ratio."""
    task, examples = TokenClassification(["O"]), [TaggedSentence(words) for words in sentences]
    sample = sentences if full else random.Random(1).sample(sentences, min(SUBSAMPLE, len(sentences)))
    scale = len(sentences) / len(sample)
    ours, ours_wall = seconds(lambda: task.encode(examples, tokenizer, SEQ_LEN))
    prefix, prefix_wall = seconds(lambda: encode_by_prefixes(tokenizer, sample), repeats=1 if full else 3)
    same = tokenizer.encode_words(sample) == encode_by_prefixes(tokenizer, sample)
    words = sum(map(len, sentences)) / len(sentences)
    ratios = f"{scale * prefix / ours:.1f}", f"{scale * prefix_wall / ours_wall:.1f}"
    line = name, f"{len(sentences):,}", f"{words:.1f}", f"{ours:.3f}", f"{scale * prefix:.2f}", *ratios
    print(COLUMNS.format(*line, "yes" if same else "NO"), flush=True)


def linearity(tokenizer: Tokenizer, sentences: list[list[str]]) -> None:
    """Prints the time per word for the same words cut into sentences of growing length."""
    task, stream = TokenClassification(["O"]), [word for words in sentences for word in words][:WORDS_PER_LENGTH]
    print(f"\nThe same {len(stream):,} words, recut\nwords per sentence   microseconds per word")
    for length in RECUT_LENGTHS:
        rows = [TaggedSentence(stream[i : i + length]) for i in range(0, len(stream), length)]
        spent, _ = seconds(lambda rows=rows: task.encode(rows, tokenizer, SEQ_LEN))
        print(f"{length:18} {1e6 * spent / len(stream):10.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", help="folder or hub name of a tokenizer")
    parser.add_argument(
        "--file", nargs="+", help="sentences, words separated by single spaces; columns after the first are ignored"
    )
    parser.add_argument("--sentences", type=int, default=20_000, help="how many (default 20000)")
    parser.add_argument("--full", action="store_true", help="tokenise all sentences by prefixes, not a subsample")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = Tokenizer.load(options.tokenizer) if options.tokenizer else generated_tokenizer(Path(folder))
        sets = {f"{length} words": generated_sentences(options.sentences, length) for length in LENGTHS}
        if options.file:
            read = chain.from_iterable(TokenClassification(["O"]).read(file, labelled=False) for file in options.file)
            sets = {"from --file": [example.words for example in islice(read, options.sentences)], **sets}
        scope = "all sentences" if options.full else f"a random {SUBSAMPLE:,}, scaled"
        print(f"tokenizer {tokenizer.name}, prefix rule on {scope}")
        print(COLUMNS.format("set", "sentences", "words", "encode, s", "prefixes, s", "ratio", "wall ratio", "same"))
        for name, sentences in sets.items():
            compare(name, tokenizer, sentences, options.full)
        linearity(tokenizer, next(iter(sets.values())))


if __name__ == "__main__":
    main()
