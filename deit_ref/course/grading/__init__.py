"""What comes back, read and graded. In reading order: submission and reading, sandbox and worker, process with what is
inside of the prison, check, plan, marks, feedback, grade.
"""
