"""The way back: the gradient of every chapter that has something to differentiate."""
