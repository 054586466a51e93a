"""What students and nbgrader get. In reading order: source, links, notebook, build, visible, earlier."""
