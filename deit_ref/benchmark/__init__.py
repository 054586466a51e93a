"""This project and its peers, side by side: figures come from these scripts, never from a test."""
