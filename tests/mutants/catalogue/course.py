"""What students get and hand in, and what it is worth."""

# ruff: noqa: E501
# fmt: off
from .. import planted

# The quick ones of a file first.
SUBMISSION = """test_course_grading::test_of_a_notebook_only_code_is_taken test_course_grading::test_a_decorator_goes_with_what_it_decorates
test_course_grading::test_of_a_block_all_that_would_run_must_be_a_definition
test_course_grading::test_many_cells_are_too_long_together test_course_grading::test_utf16_of_either_byte_order
test_course_grading::test_a_folder_goes_before_a_zip_of_the_same_student_and_may_be_called_like_one
test_course_grading::test_of_two_depths_of_a_zip_the_upper_is_taken_and_the_other_named test_course_grading"""
GRADE = """test_course_grading::test_a_total_is_the_sum_of_hundredths
test_course_grading::test_what_is_remembered_belongs_to_one_submission_and_one_plan
test_course_grading::test_students_may_hand_in_different_assignments test_course_grading::test_a_missing_function_is_named
test_course_grading::test_lost_imports_and_helpers_of_the_release_are_there_again
test_course_grading::test_values_of_the_release_that_need_a_students_function_are_there_again
test_course_grading::test_a_second_run_grades_only_what_changed test_course_grading"""

MUTANTS = [
    *planted(
        "course/task.py", "test_course",
        ("math.floor(100 * task.points * right / cases) / 100", "round(task.points * right / cases)", "a third of the cases"),
        ("math.floor(100 * task.points * right / cases) / 100", "task.points * right / cases", "a third of the cases"),
        ("math.floor(100 *", "math.ceil(100 *", "all but one of many cases"),
        ("[seed, *task.function.encode()]", "[seed]", "two tasks"),
        ("return sum(task.points for task in self.tasks)", "return len(self.tasks)", "any"),
    ),
    *planted(
        "course/grading/check.py", "test_course",
        ("<= bound * largest", "<= bound", "large numbers"),
        ("| (np.isnan(wide) & np.isnan(found))", "", "a result with NaN"),
        ("if right.dtype == np.uint8 and array.dtype != np.uint8:", "if False:", "bytes as floats"),
        ("if right.shape != array.shape:", "if right.size != array.size:", "another shape"),
        ("own = copy.deepcopy(case)", "own = case", "a function that changes its input"),
        ("if len(expected) != len(got):", "if len(expected) < len(got):", "too few arrays"),
        ("difference(wrong, got, max(task.bound, 1e-6)) is None", "difference(wrong, got, 1.0) is None", "a mistake that is not known"),
        ("if text.count(mistake.old) != 1:", "if text.count(mistake.old) < 1:", "a mistake that fits twice"),
        ("(wide == found) |", "", "a result with infinity"),
        ("right.astype(np.complex128), array.astype(np.complex128)", "right.astype(np.float64), array.real.astype(np.float64)", "complex results"),
    ),
    *planted(
        "course/grading/grade.py", GRADE,
        ("total = round(sum(task[\"points\"] for task in tasks), 2)", "total = round(sum(task[\"points\"] for task in tasks))", "a share of a point"),
        ("total = round(sum(task[\"points\"] for task in tasks), 2)", "total = sum(task[\"points\"] for task in tasks)", "hundredths that do not add up in binary"),
        ("plan.assignment.name, str(plan.seed), str(plan.isolated)", "plan.assignment.name, str(plan.isolated)", "another seed"),
        ("str(plan.seed), str(plan.isolated), repr", "str(plan.seed), repr", "with and without isolation"),
        ("graded = [_version(), plan", "graded = [plan", "another version"),
        ("json.dumps([*submitted, *graded, hashlib.sha256(submission.content).hexdigest()])", "json.dumps([*submitted, *graded])", "another submission"),
        ("if name not in code.names]", "if False]", "a lost value"),
        ("if any(read(*who, each.assignment.name).place for who in class_.items())", "if all(read(*who, each.assignment.name).place for who in class_.items())", "students who handed in different assignments"),
        ("elif not feedback.exists():", "elif False:", "a report that was deleted"),
        ("[submission.student, submission.place, str(submission.problem), *submission.others]", "[submission.student, submission.place]", "another file beside it"),
        ("tasks = list(dict.fromkeys(task[\"name\"] for row in rows for task in row[\"tasks\"]))", "tasks = [task[\"name\"] for task in rows[0][\"tasks\"]]", "two assignments in one table"),
        ("else len(found) if task.name in code.names else len(cases)", "else len(found)", "a missing function"),
        ("before=plan.before)", "before=\"\")", "lost imports"),
    ),
    *planted(
        "course/grading/submission.py", SUBMISSION,
        ("first = min([node.lineno, *(one.lineno for one in getattr(node, \"decorator_list\", []))]) - 1", "first = node.lineno - 1", "a decorator"),
        ("[*node.body, *handlers, *node.orelse, *getattr(node, \"finalbody\", [])]", "[*node.body]", "calls after else and except"),
        ("*node.orelse, *getattr(node, \"finalbody\", [])]", "*node.orelse]", "calls after finally"),
        ("handlers = [line for handler in getattr(node, \"handlers\", []) for line in handler.body]", "handlers = []", "calls after except"),
        ("path.suffix == \".zip\" and not path.is_dir()", "path.suffix == \".zip\"", "a folder called x.zip"),
        ("(b\"\\xff\\xfe\", b\"\\xfe\\xff\")", "(b\"\\xff\\xfe\",)", "UTF-16, the other byte order"),
        ("if len(content) > FILE_BYTES:", "if len(content) >= FILE_BYTES:", "exactly so many bytes"),
        ("others = (name for name in names[1:] if files[name].args != files[names[0]].args)", "others = names[1:]", "a zip with folders"),
        ("not name.startswith(\"__MACOSX/\")", "True", "a zip of a Mac"),
        ("(*files, *(f\"{assignment}/{file}\" for file in files),", "(*(f\"{assignment}/{file}\" for file in files), *files,", "a file in two places"),
        ("key=lambda name: (name.count(\"/\"), name)", "key=lambda name: (-name.count(\"/\"), name)", "a zip with a file in two depths"),
        ("found.setdefault(path.name.removesuffix(\".zip\"), path)", "found[path.name.removesuffix(\".zip\")] = path", "a folder and a zip of one student"),
        ("if isinstance(node, _ASSIGNED) and _stored(node) & needed:", "if False:", "a value that needs another"),
        ("parts = [\"from __future__ import annotations\", before,", "parts = [before,", "a name that is missing in an annotation"),
        ("sum(map(len, cells)) > CODE_BYTES", "max(map(len, cells)) > CODE_BYTES", "many cells that are too long together"),
    ),
    *planted(
        "course/cut.py", "test_course",
        ("while start < first and not lines[start].startswith(\"#\"):", "while start < first:", "comments above a definition"),
        ("return min([node.lineno, *(decorator.lineno for decorator in decorators)])", "return node.lineno", "decorators"),
        ("for other in sorted(_direct(place)):", "for other in []:", "helpers"),
        ("or needs(place) & set(messages)}", "}", "a helper that calls a student's function"),
    ),
    *planted(
        "course/grading/sandbox.py", "test_sandbox::test_a_forged_answer_is_no_array test_sandbox::test_a_forged_size_is_refused "
        "test_sandbox::test_an_answer_of_more_arrays_than_anybody_needs_is_none test_sandbox",
        ("            if call.function != broken:\n                break\n", "", "another function after a crash"),
        ("if size > limits.answer_bytes:", "if False:", "a forged size"),
        ("dtype.kind not in \"biufc\" or", "", "an answer of text"),
        ("if len(arrays) > most:", "if len(arrays) >= most:", "exactly so many arrays"),
    ),
    *planted(
        "course/release/build.py", "test_course_grading::test_what_is_for_teachers_alone_is_not_among_a_students_files test_course_grading",
        ("if seed == PUBLIC_SEED:", "if False:", "the visible seed"),
        ("seeded(PUBLIC_SEED, task)", "seeded(0, task)", "what students see"),
        ("if not cell.for_students:", "if False:", "rubrics"),
    ),
]
