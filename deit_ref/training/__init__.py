"""How a DeiT is trained: recipes, distillation, masked pre-training, fine-tuning. Needs the `train` extra.

Files, in reading order:
    recipe         what the paper's tables say, as one dataclass
    data           labelled photos: folders and zips (folders), CIFAR's own archive (cifar, cifar_pickle)
    augmentation   crops, RandAugment (its operations: operations), erasing, mixup, cutmix
    batches        which photos a step sees, and how they are prepared
    masking        which patches SimMIM hides
    teacher        a convolutional network to learn from
    student        a DeiT as torch parameters: new, or from a checkpoint of another size or task
    objectives     what each kind of training makes small
    optimization   learning rates, parameter groups, averaged weights
    state          checkpoints that survive a crash
    evaluate       top-1, top-5, per class
    loop           the training loop
    run            from a recipe and a folder of photos to a checkpoint
"""
