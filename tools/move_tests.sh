#!/usr/bin/env bash
# Puts each test file into a folder named like the room that it tests.
set -euo pipefail
cd "$(dirname "$0")/.."
move() { # room old new
  mkdir -p "tests/$1"; [ -f "tests/$1/__init__.py" ] || touch "tests/$1/__init__.py"
  git mv "tests/test_$2.py" "tests/$1/test_$3.py"
}
while read -r room old new; do move "$room" "$old" "${new:-$old}"; done <<'TABLE'
storage artefacts run_folder
storage folders
data files text_files
tokenization tokenizer
tokenization vocabulary
tasks tagging token_classification
tasks classification sequence_classification
tasks class_weights
tasks few_labels label_sampling
models models graphs
models families
models features inner_tensors
models tapped_models hooks
models weights h5_weights
models original_release
models half_precision
models bilstm
losses losses labels_and_masks
losses probability_shift
losses schedules
terms layer_map
objectives objectives parts
console sigterm
training learning_rate
training snapshots
training training fit
training workers
evaluation parameter_summary
serving prediction predictor
export onnx_export onnx
export saved_model
export huggingface_export huggingface
export straight_head linear_head
export deployed
augmentation augmentation word_edits
augmentation masked_words masked_lm_words
augmentation masked_lm
distillation config
distillation stages
distillation recipes
distillation commands
distillation bad_input
distillation augmented_run
distillation augmented_transfer augmented_set
distillation transfer_rows transfer_set
distillation targets teacher_outputs
distillation logit_file logit_files
distillation outside_teacher external_teacher
distillation make_teacher_targets
distillation frozen_features student_states
distillation distiller
distillation fit_key
distillation unkillable
pretraining pretrain
pretraining pretrain_recipes recipes
pretraining bad_pretrain bad_input
pretraining checkpoint_folder
pretraining corpus_batches batches
pretraining corpus_files files
pretraining corpus_rows rows
pretraining masking
pretraining token_store
pretraining language_models
pretraining pretraining_benchmark benchmark
task_transfer task_transfer
quickstart sample_task
quickstart sample_teacher
TABLE
git mv tests/test_evaluation.py tests/test_metrics.py
