"""The mean of what one or more teachers say of a transfer file, as a file for `--teacher_logits`.

    PYTHONPATH=. python benchmarks/mean_logits.py --work '[{...flags}, [folder, folder], [42, 43], "mean.npz"]'

Called by `recipes.py`. The teachers are of one checkpoint, tuned with different seeds; each is tuned where its folder
holds none yet.
"""

import argparse
import dataclasses
import json

import numpy as np

import xtremedistil  # noqa: F401 - chooses legacy Keras


def mean_logits(flags: dict, folders: list[str], seeds: list[int], out: str) -> None:
    from xtremedistil.distillation.pipeline.run_context import open_run
    from xtremedistil.distillation.pipeline.teacher import load_or_finetune_teacher
    from xtremedistil.distillation.planning.config import DistilConfig
    from xtremedistil.distillation.planning.planner import make_plan
    from xtremedistil.models.forward import make_predict_function
    from xtremedistil.models.prediction import predict_logits
    from xtremedistil.training.strategy import make_strategy
    from xtremedistil.training.workers import Workers

    config = DistilConfig(**flags, model_dir=folders[0], teacher_model_dir=folders[0])
    strategy = make_strategy(config.strategy)
    said = []
    for folder, seed in zip(folders, seeds, strict=True):
        own = dataclasses.replace(config, model_dir=folder, teacher_model_dir=folder, seed=seed)
        run = open_run(make_plan(own), strategy, Workers(strategy))
        task, tokenizer = run.corpus.task, run.corpus.tokenizer
        predict = make_predict_function(load_or_finetune_teacher(run).teacher.model)
        examples = list(task.read(config.transfer_file, labelled=False))
        features = task.encode(examples, tokenizer, config.seq_len)
        logits = predict_logits(predict, features, batch_size=config.teacher_batch_size, pad_id=tokenizer.pad_id)
        said.append(by_word(features, logits, [len(e.words) for e in examples]) if config.do_NER else np.stack(logits))
    counts = {"word_counts": np.array([len(example.words) for example in examples])} if config.do_NER else {}
    labels = np.array([str(label) for label in task.labels])
    np.savez(out, row_ids=np.arange(len(examples)), logits=np.mean(said, axis=0), labels=labels, **counts)


def by_word(features, logits, words: list[int]) -> np.ndarray:
    """[words of all examples, L]: what is said at the position that answers for each word."""
    starts = np.cumsum([0, *words])
    found = np.zeros((starts[-1], logits[0].shape[-1]), np.float32)
    for row, values in enumerate(logits):
        ids = features.word_ids[features.offsets[row] : features.offsets[row + 1]]
        answers = ids >= 0
        found[starts[features.example_ids[row]] + ids[answers]] = values[answers]
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", required=True, help="what to do, as JSON")
    mean_logits(*json.loads(parser.parse_args().work))
