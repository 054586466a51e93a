"""What comes back, read and graded. In reading order: submission and reading, sandbox and worker, process with what is
inside of the prison, check with compare, known and likeness, plan, marks, feedback, grade; fingerprints, what is kept
of a submission's code; cells, history and table, what is kept of a class.
"""
