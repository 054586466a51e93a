"""A class at a glance. In reading order: summary, similarity, page."""
