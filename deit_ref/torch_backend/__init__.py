"""The mirror: the chapters of deit_ref.numpy_backend again, under the same names, in torch's own idiom."""
