"""How a DeiT is trained: recipes, distillation, masked pre-training, fine-tuning. Needs the `train` extra.

Files, in reading order:
    recipe         what the paper's tables say, as one dataclass
    fitted         a recipe for few photos, or few epochs
    augmentation   crops, mirror images, erasing
    randaugment    RandAugment and its fifteen operations
    surroundings   photos on other grounds, in other colors
    mixing         labels as probabilities, mixup, cutmix
    prepared       photos resized as they are read, and kept
    batches        which photos a step sees, and how they are prepared
    masking        which patches SimMIM hides
    teacher        a convolutional network to learn from
    student        a DeiT as torch parameters: new, or from a checkpoint of another size or task
    objectives     what each kind of training makes small
    muon           an optimizer for matrices
    optimization   learning rates, parameter groups, averaged weights
    state          what the next step depends on, and checkpoints of it that survive a crash
    metrics        what a run tells about itself: metrics.jsonl, the progress bar
    loop           step after step, measured and saved
    answers        what a model answered: top-1, top-5, per class, what was taken for what
    evaluate       a model asked, photo by photo
    calibration    whether a model is right as often as it says
    measures       what a card tells
    processes      one program in several processes, and what ends them
    run            from a recipe and a folder of photos to a checkpoint
    bundle         from a finished run to a folder that ships with the package
    card           its card: what was measured, and how it was trained
"""
