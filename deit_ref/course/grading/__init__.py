"""What comes back, read and graded. In reading order: submission and reading, sandbox with inside, prison and worker,
check, grade.
"""
