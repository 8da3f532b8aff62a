"""Where each module of commit a6cf75a goes: new module -> the old ones that it is made of.

An entry "old" takes the whole module; ("old", "name name ...") takes these top-level definitions of it, with the
private ones that nothing else uses. `move_modules.py` carries it out.
"""

ROOMS = {
    # rooms that are one file
    "errors": ["errors", "problems", ("use_validation", "TENSORFLOW")],
    "flags": [
        "training_flags",
        ("config", "LEGACY_LEARNING_RATE DEFAULT_SEED rate_or_auto resolve_seed"),
    ],
    "metrics": ["evaluation", "conlleval"],
    "flag_checks": [
        (
            "validation",
            "open_checkpoint LARGEST_SEED AT_LEAST_ONE too_small number_problems not_finite device_problems "
            "length_problems",
        )
    ],
    "cli": ["cli"],
    # storage
    "storage.files": [
        (
            "artefacts",
            "atomic_file write_json SEAL write_sealed read_sealed write_array reserved_array forget_pages read_json "
            "fingerprint",
        )
    ],
    "storage.folders": ["folders"],
    "storage.model_folder": [
        (
            "artefacts",
            "STUDENT_WEIGHTS CONTINUED_WEIGHTS BASELINE_WEIGHTS BASELINE_HISTORY CONFIG WORD_EMBEDDING TEACHER_WEIGHTS "
            "TEACHER_RECORD REPORT METRICS PREDICTIONS JSON_PREDICTIONS TARGETS SNAPSHOTS FROZEN_FEATURES ONNX "
            "FUSED_ONNX INT8_ONNX SAVED_MODEL HUGGING_FACE EXPORTS FORMAT_VERSION ALWAYS_SAVED read_config weight_file "
            "fingerprint_checkpoint",
        )
    ],
    "storage.run_folder": [
        (
            "artefacts",
            "TEACHER_KEY LIVE_KEY RUN_SETTINGS SHA256 claim check_claim bind_teacher settle_live remove_run",
        )
    ],
    # data
    "data.text_files": ["tasks.files"],
    "data.features": ["tasks.features"],
    "data.padding": ["tasks.padding"],
    # tokenization
    "tokenization.tokenizer": ["tasks.tokenizer"],
    "tokenization.serving_tokenizer": ["tasks.fast_tokenizer"],
    "tokenization.loading": ["tasks.tokenizer_source"],
    "tokenization.definition": ["pretraining.tokenizer_definition"],
    "tokenization.vocabulary": ["pretraining.vocabulary"],
    "tokenization.trimmed_tokenizer": ["pretraining.trimmed_tokenizer"],
    "tokenization.model_folder": [("inference", "load_tokenizer")],
    # tasks
    "tasks": ["tasks"],
    "tasks.problem_types": ["models.problem_types"],
    "tasks.token_classification": ["tasks.tagging"],
    "tasks.sequence_classification": ["tasks.classification"],
    "tasks.class_weights": ["tasks.class_weights"],
    "tasks.label_sampling": ["tasks.few_labels"],
    "tasks.labelled_sets": [("distillation.corpus", "read_labelled_sets task_fingerprint")],
    # models
    "models.architectures.families": ["models.families"],
    "models.architectures.shapes": ["models.shapes"],
    "models.architectures.bilstm": ["models.bilstm"],
    "models.architectures.lstm": ["models.lstm"],
    "models.architectures.half_precision": ["models.half_precision"],
    "models.checkpoints.pretrained": ["models.checkpoints"],
    "models.checkpoints.weight_files": ["models.state_files"],
    "models.checkpoints.h5_weights": ["weights"],
    "models.features.names": ["models.feature_names"],
    "models.features.extraction": ["models.features"],
    "models.features.hooks": ["models.taps"],
    "models.features.sub_layers": ["models.sub_layers"],
    "models.features.attention_projections": ["models.projection_paths"],
    "models.features.encoder_outputs": ["models.encoder"],
    "models.student": ["models.student"],
    "models.teacher": ["models.teacher"],
    "models.classifier": ["models.with_head"],
    "models.adapters": ["models.task_model"],
    "models.projections": ["models.matching"],
    "models.factorized_embedding": ["models.mapped_embedding"],
    "models.features.word_embeddings": ["models.embeddings"],
    "models.vocabulary_trimming": ["models.trimmed"],
    "models.layer_initialization": ["models.layer_picking"],
    "models.prediction": ["prediction"],
    "models.forward": ["models.forward"],
    "models.student_folder": ["models.restored"],
    "models.original_release": ["original_release"],
    "models.language_model.language_head": ["models.language_head"],
    "models.language_model.language_model": ["models.language_model"],
    # losses
    "losses": ["distillation.losses"],
    "losses.hidden_states": ["distillation.losses.hidden"],
    "losses.attention": ["distillation.losses.attention"],
    "losses.logits": ["distillation.losses.soft_labels", "distillation.losses.correlation"],
    "losses.relations": ["distillation.losses.relations"],
    "losses.batch_similarity": [
        "distillation.losses.similarities",
        "distillation.losses.geometry",
        "distillation.losses.rows",
    ],
    "losses.layer_pairs": ["distillation.losses.layer_pairs"],
    "losses.transport": ["distillation.losses.transport"],
    "losses.labels": ["distillation.losses.gold_labels"],
    "losses.masking": ["distillation.losses.masks", "distillation.losses.norms"],
    "losses.specs": ["distillation.loss_options", "distillation.loss_kinds"],
    "losses.temperature_schedules": ["distillation.schedules"],
    "losses.weight_schedules": ["distillation.weight_schedules"],
    "losses.probability_shift": ["distillation.probability_shift"],
    # terms
    "terms.match": ["distillation.match"],
    "terms.match_parsing": ["distillation.match_text"],
    "terms.match_widths": ["distillation.match_widths"],
    "terms.layer_map": [
        (
            "distillation.layer_map",
            "LAST UNIFORM SKIP LAYER_MAPS TRANSPORTS layer_map parse_layer_map mapped_matches transport_matches "
            "relation_matches read_maps checked_layers teacher_names",
        )
    ],
    "terms.soft_labels": [
        (
            "distillation.soft_labels",
            "COMBINATIONS OF_PROBABILITIES SoftLabels ARGUMENTS parse_temperature_schedule written_temperatures "
            "read_temperatures",
        )
    ],
    "terms.textbrewer": ["distillation.textbrewer"],
    "terms.terms": ["distillation.terms"],
    # console
    "console.progress": ["reporting.progress"],
    "console.quiet": ["quiet"],
    "console.sigterm": ["sigterm"],
    # training
    "training.loop": ["training.loop"],
    "training.trainer": [("training.trainer", "Recipe Trainer new_dropout_seed")],
    "training.objectives": [("training.trainer", "Loss Objective")],
    "training.batching": ["training.batches"],
    "training.state": ["training.place"],
    "training.snapshots": ["training.snapshots"],
    "training.gradient_accumulation": ["training.gradient_sums"],
    "training.multi_task": ["training.task_mix"],
    "training.run_once": ["distillation.checkpoints"],
    "training.optimizer": ["training.optimizer"],
    "training.learning_rate": ["training.learning_rate"],
    "training.strategy": ["training.strategy"],
    "training.workers": ["training.workers"],
    "training.dropout": ["training.dropout"],
    # objectives
    "objectives.position_masks": [
        "distillation.word_mask",
        ("distillation.objectives", "PREFIX target_prefix ROWS REAL ALL FIRST WORDS loss_mask"),
    ],
    "objectives.parts": [
        (
            "distillation.objectives",
            "joined matches_objective scheduled original_representation_objective SOFT_LABELS logits_objective "
            "soft_label_loss labels_objective",
        )
    ],
    "objectives.multi_teacher": ["distillation.several_teachers"],
    "objectives.gold_labels": ["distillation.gold_labels"],
    "objectives.term_checks": ["distillation.term_checks"],
    "objectives.from_terms": ["distillation.terms_objective"],
    "objectives.aligned_names": [("distillation.aligned_rows", "aligned_name")],
    "objectives.held_out_loss": ["distillation.held_out_loss"],
    "objectives.gradient_check": ["distillation.reach"],
    # evaluation
    "evaluation.scorer": ["scoring"],
    "evaluation.report": ["reporting.report", "reporting.transfer_table"],
    "evaluation.parameter_summary": ["reporting.parameter_summary"],
    # serving
    "serving.onnx_runtime": ["onnx_session"],
    "serving.predictor": [("inference", "RUNTIMES SHOWN_AROUND Predictor load_predictor")],
    # export
    "export.common.config": [("use_config", "EXPORT_FORMS ExportConfig")],
    "export.common.validation": [("use_validation", "check_export NEEDED_BY_EXPORTS")],
    "export.export": ["export.command", ("export.onnx_files", "export_onnx")],
    "export.common.source": ["export.source"],
    "export.common.parity": ["export.parity"],
    "export.common.earlier_export": ["export.earlier_export"],
    "export.common.encoder_weights": ["export.encoder_weights"],
    "export.onnx.graph_builder": ["export.onnx_graph"],
    "export.onnx.standard_graph": ["export.plain_graph"],
    "export.onnx.transformer_graph": ["export.fused_graph"],
    "export.onnx.bilstm_graph": ["export.bilstm_graph"],
    "export.onnx.student_graph": ["export.student_graph"],
    "export.onnx.onnx_files": [
        ("export.onnx_files", "PLAIN FUSED INT8 write_onnx measured metric_of write_graphs file_notes")
    ],
    "export.onnx.quantization": ["export.quantization"],
    "export.saved_model.saved_model": ["export.saved_model"],
    "export.saved_model.graph_tokenizer": ["export.graph_tokenizer"],
    "export.saved_model.graph_tokens": ["export.graph_pieces"],
    "export.saved_model.graph_labels": ["export.graph_labels"],
    "export.saved_model.character_table": ["export.character_table"],
    "export.huggingface.huggingface": ["export.huggingface"],
    "export.huggingface.linear_head": ["export.straight_head"],
    "export.huggingface.model_card": ["export.model_card"],
    "export.huggingface.pytorch_state": ["export.pytorch_state"],
    "export.huggingface.checkpoint_files": ["export.checkpoint_files"],
    "export.huggingface.deployed": ["export.deployed"],
    # inference
    "inference.config": [("use_config", "Prediction PredictConfig OnnxPredictConfig")],
    "inference.validation": [("use_validation", "check_predict check_predict_onnx")],
    "inference.predict": ["predict_command"],
    # finetuning
    "finetuning.config": ["tuning_config"],
    "finetuning.validation": [("validation", "check_baseline check_continue")],
    "finetuning.finetune": ["fine_tuning"],
    "finetuning.supervised": ["distillation.on_labels"],
    # augmentation
    "augmentation.word_edits": ["augmentation"],
    "augmentation.masked_lm_words": ["masked_words"],
    "augmentation.masked_lm": ["models.masked_lm"],
    # distillation
    "distillation.planning.config": [
        (
            "config",
            "SCRATCH_LEARNING_RATE LABELS_RATE_SHARE LEGACY_INTERMEDIATE_SIZE ORIGINAL JOINT BEST RECIPES "
            "LAST_WITH_LAST PAIRS MASKED_LM AUGMENTATIONS DistilConfig spelled_out resolve",
        )
    ],
    "distillation.planning.validation": [("validation", "MATCHED check_distil add_distil_problems")],
    "distillation.planning.configured_terms": [
        ("distillation.layer_map", "configured_matches"),
        ("distillation.soft_labels", "configured_soft_labels"),
    ],
    "distillation.planning.recipe_checks": ["recipe_validation"],
    "distillation.planning.stages": ["distillation.stages"],
    "distillation.planning.model_shapes": ["distillation.run_shapes"],
    "distillation.planning.path_checks": ["distillation.match_paths"],
    "distillation.planning.run_vocabulary": ["distillation.run_vocabulary"],
    "distillation.data.transfer_set": ["distillation.transfer_rows"],
    "distillation.data.augmented_set": ["distillation.augmented_transfer"],
    "distillation.data.corpus": [
        (
            "distillation.corpus",
            "KEY_LETTERS ROWS DEALING_SEED OnChief Corpus at_once read_corpus store_of data_fingerprint",
        )
    ],
    "distillation.data.encoded_inputs": ["distillation.encodings"],
    "distillation.data.joined_rows": ["distillation.joined_rows"],
    "distillation.teacher_outputs.cache": ["distillation.targets"],
    "distillation.teacher_outputs.cache_writer": ["distillation.target_parts"],
    "distillation.teacher_outputs.disk_size": ["distillation.target_size"],
    "distillation.teacher_outputs.logit_files": ["distillation.logit_file"],
    "distillation.teacher_outputs.npz_logits": ["distillation.npz_logits"],
    "distillation.teacher_outputs.parquet_logits": ["distillation.parquet_logits"],
    "distillation.teacher_outputs.logit_checks": ["distillation.logit_checks", "distillation.label_columns"],
    "distillation.teacher_outputs.external_logits": ["distillation.example_logits"],
    "distillation.teacher_outputs.logit_source": ["distillation.file_source"],
    "distillation.teacher_outputs.onnx_teacher": ["distillation.onnx_teacher"],
    "distillation.teacher_outputs.external_teacher": ["distillation.outside_teacher"],
    "distillation.teacher_outputs.word_alignment": [
        ("distillation.aligned_rows", "NOWHERE AlignedTargets aligned_targets require_same_rows")
    ],
    "distillation.pipeline.run_context": ["distillation.setting"],
    "distillation.pipeline.term_table": ["distillation.term_table"],
    "distillation.pipeline.dry_run": ["distillation.dry_run"],
    "distillation.pipeline.teacher": ["distillation.tuned_teacher"],
    "distillation.pipeline.student": ["distillation.initial_student"],
    "distillation.pipeline.student_states": ["distillation.frozen_features"],
    "distillation.pipeline.output_source": ["distillation.target_source"],
    "distillation.pipeline.transfer_stage": ["distillation.transfer"],
    "distillation.pipeline.distil": ["distillation.distil"],
    "distillation.distiller.distiller": ["distillation.distiller"],
    "distillation.distiller.multi_task": ["distillation.several_tasks"],
    "distillation.distiller.dataset": ["distillation.taught_rows"],
    "distillation.distiller.row_checks": ["distillation.row_checks"],
    "distillation.distiller.logits_mask": ["distillation.logits_mask"],
    "distillation.distiller.fit_inputs": ["distillation.lesson", "distillation.fit_key"],
    # pretraining
    "pretraining.config": ["pretraining.pretrain_config"],
    "pretraining.validation": ["pretraining.pretrain_validation"],
    "pretraining.recipes": ["pretraining.recipes"],
    "pretraining.student_shape": ["pretraining.student_shape"],
    "pretraining.models": ["pretraining.initial_models"],
    "pretraining.live_teacher": ["pretraining.live_teacher"],
    "pretraining.teacher_head": ["pretraining.teacher_head"],
    "pretraining.head_record": ["pretraining.head_record"],
    "pretraining.language_objective": ["pretraining.language_objective"],
    "pretraining.language_score": ["pretraining.language_score"],
    "pretraining.checkpoint_folder": ["pretraining.checkpoint_folder"],
    "pretraining.report": ["pretraining.pretrain_report"],
    "pretraining.card": ["pretraining.pretrain_card"],
    "pretraining.run_corpus": ["pretraining.pretrain_corpus"],
    "pretraining.pretrain": ["pretraining.pretrain"],
    "pretraining.corpus.files": ["pretraining.corpus_files"],
    "pretraining.corpus.store_parts": ["pretraining.store_parts"],
    "pretraining.corpus.store_writer": ["pretraining.store_writer"],
    "pretraining.corpus.token_store": ["pretraining.token_store"],
    "pretraining.corpus.rows": ["pretraining.corpus_rows"],
    "pretraining.corpus.reader": ["pretraining.corpus_reader"],
    "pretraining.corpus.masking": ["pretraining.masking"],
    "pretraining.corpus.batches": ["pretraining.corpus_batches"],
    # task transfer
    "task_transfer.config": ["pretraining.transfer_config"],
    "task_transfer.validation": ["transfer_validation"],
    "task_transfer.steps": ["pretraining.transfer_steps"],
    "task_transfer.source_encoder": ["pretraining.source_encoder"],
    "task_transfer.tuned_student": ["pretraining.tuned_student"],
    "task_transfer.task_transfer": ["pretraining.task_transfer"],
    # quick start
    "quickstart.run": ["quickstart"],
    "quickstart.sample_facts": ["sample_facts"],
    "quickstart.sample_task": ["sample_task"],
    "quickstart.sample_teacher": ["sample_teacher"],
}

PACKAGES = {
    "storage": "Files and folders on disk: atomic writes, locks, what a model folder and a run's folder hold.",
    "data": "Text files line by line; encoded rows as arrays; padding.",
    "tokenization": "Tokenizers: loading, encoding, trimming; the one that serving uses needs no transformers.",
    "models": "Teachers and students as Keras models.",
    "models.architectures": "Model families, their sizes, and the BiLSTM that is our own.",
    "models.checkpoints": "Weights in files: loading Hugging Face checkpoints, reading and writing h5 by name.",
    "models.features": "Hidden states, attention maps and other inner tensors of an encoder, by name.",
    "models.language_model": "Encoders with a language-modelling head.",
    "terms": "What a student learns, as data: matches of tensors, soft labels, labels.",
    "console": "What a person sees in the terminal, and signals.",
    "training": "The training loop and all that it needs.",
    "objectives": "Terms as functions that a fit minimises.",
    "evaluation": "Scores, reports, parameter counts.",
    "serving": "Prediction with Keras or ONNX Runtime from Python.",
    "export": "Students in the forms that people deploy.",
    "export.common": "What all exports share: the student with rows to compare on, parity, weights by what they do.",
    "export.onnx": "ONNX graphs, float32 and int8.",
    "export.saved_model": "SavedModel that takes text and returns labels.",
    "export.huggingface": "Folders for PyTorch's transformers.",
    "inference": "The predict commands.",
    "finetuning": "Training on labels only.",
    "augmentation": "More unlabelled text, made from the text there is.",
    "distillation": "Distillation: planning, data, teacher outputs, the pipeline of a run, and `Distiller`.",
    "distillation.planning": "Flags, their checks, and what they come to.",
    "distillation.data": "Rows that a run reads.",
    "distillation.teacher_outputs": "What teachers say of rows, on disk or computed when asked.",
    "distillation.pipeline": "One run from flags to a model folder.",
    "distillation.distiller": "`Distiller` and `fit_tasks`.",
    "pretraining": "General students from plain text.",
    "pretraining.corpus": "The corpus: files, token store, rows, masking, batches.",
    "task_transfer": "A source task's student, reused on a target task.",
    "quickstart": "The quick start: a generated task, a real teacher, one run.",
}
