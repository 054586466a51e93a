"""What comes back, read and graded. In reading order: submission, sandbox with prison and worker, check, grade."""
