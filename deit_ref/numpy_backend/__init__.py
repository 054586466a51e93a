"""The book: every component of DeiT, from pixels to logits, in NumPy. Read it in the order of deit_ref.chapters."""
