"""The course: seven assignments, graded and handed out. In reading order: task, cut, assignments, grading, release;
then report and export, for whoever has a class.
"""
