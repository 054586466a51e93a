"""What is handed out, to students and to nbgrader. In reading order: source, notebook, build, visible, earlier."""
