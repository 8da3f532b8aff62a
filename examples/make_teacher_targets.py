"""What a PyTorch model says of a transfer file, for --teacher_logits: any classifier of transformers can be a teacher.

    python examples/make_teacher_targets.py --model distilbert/distilbert-base-uncased-finetuned-sst-2-english \\
        --labels 0 1 --transfer_file unlabeled.txt --out targets.npz

Needs torch, transformers and numpy alone, so that they may be newer than those of xtremedistil. The logits of the
whole file are held in memory. A word for which the tokenizer has no token gets logits of 0.
"""

import argparse
import functools
import gzip
import hashlib
from itertools import islice

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification, AutoTokenizer

LINES_AT_A_TIME = 10_000  # sorted by length among themselves


def examples(path):
    """The columns of each line that is not blank: row ids count these lines from 0."""
    with (gzip.open if path.endswith(".gz") else open)(path, "rt", encoding="utf-8-sig", newline="\n") as file:
        yield from (line.rstrip("\r\n").split("\t") for line in file if line.strip())


@torch.no_grad()
def run(model, tokenizer, batch_size, encoding):
    """Logits of each encoded row: [L], or [tokens, L] for tagging, where the last tokens may be padding."""
    names = [name for name in ("input_ids", "attention_mask", "token_type_ids") if name in encoding]
    rows = [dict(zip(names, row, strict=True)) for row in zip(*(encoding[name] for name in names), strict=True)]
    logits, order = [None] * len(rows), sorted(range(len(rows)), key=lambda row: -len(rows[row]["input_ids"]))
    for start in range(0, len(order), batch_size):
        numbers = order[start : start + batch_size]
        batch = tokenizer.pad([rows[number] for number in numbers], return_tensors="pt").to(model.device)
        for number, values in zip(numbers, model(**batch).logits.float().cpu().numpy(), strict=True):
            logits[number] = values
    return logits


def word_logits(sentences, tokenizer, max_length, run_model):
    """A vector for each word, that of its first token: [words, L]. What is too long is cut into windows that overlap; a
    word is read where most is seen around it."""
    cut = {"truncation": True, "max_length": max_length, "stride": max_length // 3}
    encoding = tokenizer(sentences, is_split_into_words=True, return_overflowing_tokens=True, **cut)
    logits, starts = run_model(encoding), np.cumsum([0, *map(len, sentences)])
    vectors, context = np.zeros((starts[-1], logits[0].shape[1]), np.float32), np.full(starts[-1], -1)
    for row, sentence in enumerate(encoding["overflow_to_sample_mapping"]):
        words = encoding.word_ids(row)
        for position, word in enumerate(words):
            if word is not None and (position == 0 or words[position - 1] != word):
                place, seen = starts[sentence] + word, min(position, len(words) - 1 - position)
                if seen > context[place]:
                    vectors[place], context[place] = logits[row][position], seen
    return vectors


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="folder or hub name, with its tokenizer")
    parser.add_argument("--transfer_file", required=True, help="one example a line, plain or .gz")
    parser.add_argument("--out", required=True, help="the .npz file to write")
    parser.add_argument("--do_NER", action="store_true", help="tag words, separated by single spaces")
    parser.add_argument("--do_pairwise", action="store_true", help="classify pairs (text<TAB>text)")
    parser.add_argument("--labels", nargs="+", help="what the task calls the model's outputs, in the model's order")
    parser.add_argument("--max_length", type=int, default=512, help="most tokens of a row")
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    flags = parser.parse_args()
    # RoBERTa's tokenizer takes words only if it is to put the space before each of them.
    tokenizer = AutoTokenizer.from_pretrained(flags.model, **({"add_prefix_space": True} if flags.do_NER else {}))
    kind = AutoModelForTokenClassification if flags.do_NER else AutoModelForSequenceClassification
    model = kind.from_pretrained(flags.model).to(flags.device).eval()
    if tokenizer.pad_token is None:
        tokenizer.pad_token, model.config.pad_token_id = tokenizer.eos_token, tokenizer.eos_token_id
    tokenizer.padding_side, longest = "right", min(flags.max_length, tokenizer.model_max_length)
    run_model, logits, counts = functools.partial(run, model, tokenizer, flags.batch_size), [], []
    rows = examples(flags.transfer_file)
    while block := list(islice(rows, LINES_AT_A_TIME)):
        if flags.do_NER:
            sentences = [row[0].split(" ") for row in block]
            logits.append(word_logits(sentences, tokenizer, longest, run_model))
            counts += map(len, sentences)
        else:
            texts = [[row[column] for row in block] for column in range(1 + flags.do_pairwise)]
            logits.append(np.stack(run_model(tokenizer(*texts, truncation=True, max_length=longest))))
            counts += [1] * len(block)
        print(f"{len(counts):,} lines", flush=True)
    labels = flags.labels or [model.config.id2label[number] for number in range(model.config.num_labels)]
    with open(flags.transfer_file, "rb") as file:
        arrays = {"transfer_sha256": hashlib.sha256(file.read()).hexdigest(), "labels": np.array(labels)}
    arrays |= {"word_counts": np.array(counts)} if flags.do_NER else {}
    np.savez(flags.out, row_ids=np.arange(len(counts)), logits=np.concatenate(logits), **arrays)


if __name__ == "__main__":
    main()
