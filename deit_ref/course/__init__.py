"""The course: six assignments, handed out and graded. In reading order: task, cut, check, sandbox, grade, build."""
