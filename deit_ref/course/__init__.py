"""The course: seven assignments, graded and handed out. In reading order: task, cut, assignments, grading, release."""
