"""Labeled photos: found, read and looked at before they are used. Needs no torch.

Files, in reading order:
    sources    what lies in a folder or archive, as a tree of names (archives: zips, tars)
    layout     which of these names are splits, which are classes
    cifar      CIFAR-10's own archive (its pickles: cifar_pickle)
    images     the photos of a split, with their labels, read one at a time
    opening    from a path to those
    examine    every photo read once: what it is, which are there twice
    survey     from photos to a report of what is wrong (report)
    held_out   a share of them to judge by
    classes    their labels, where weights know other classes or more
"""
