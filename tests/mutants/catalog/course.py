"""What students get and hand in, and what it is worth."""

# ruff: noqa: E501
# fmt: off
from .. import planted

# The quick ones of a file first.
SUBMISSION = """test_course_grading::test_of_a_file_in_a_zip_no_more_is_unpacked_than_it_may_have
test_course_grading::test_who_writes_much_that_is_no_python_is_told_of_ten
test_course_grading::test_of_a_notebook_only_code_is_taken test_course_grading::test_a_decorator_goes_with_what_it_decorates
test_course_grading::test_of_a_block_all_that_would_run_must_be_a_definition
test_course_grading::test_many_cells_are_too_long_together test_course_grading::test_utf16_of_either_byte_order
test_course_grading::test_a_folder_goes_before_a_zip_of_the_same_student_and_may_be_called_like_one
test_course_grading::test_of_two_depths_of_a_zip_the_upper_is_taken_and_the_other_named test_course_finding
test_course_grading"""
GRADE = """test_course_grading::test_a_total_is_the_sum_of_hundredths
test_course_grading::test_what_is_remembered_belongs_to_one_submission_and_one_plan
test_course_grading::test_students_may_hand_in_different_assignments test_course_grading::test_a_missing_function_is_named
test_course_grading::test_lost_imports_and_helpers_of_the_release_are_there_again
test_course_grading::test_values_of_the_release_that_need_a_students_function_are_there_again
test_course_grading::test_a_second_run_grades_only_what_changed test_course_grading"""

PRISON = """test_sandbox::test_calls_of_the_system_that_no_task_needs_are_refused test_sandbox::test_nothing_outlives_a_grader_that_is_killed
test_sandbox::test_who_ends_before_the_inputs_are_read_keeps_nobody_waiting
test_sandbox::test_an_ordinary_user_can_lock_in_and_is_locked_in test_sandbox::test_it_cannot_get_at_this_machine test_sandbox"""

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
        "course/grading/compare.py", "test_course",
        ("<= bound * largest", "<= bound", "large numbers"),
        ("| (np.isnan(wide) & np.isnan(found))", "", "a result with NaN"),
        ("if right.dtype == np.uint8 and array.dtype != np.uint8:", "if False:", "bytes as floats"),
        ("if right.shape != array.shape:", "if right.size != array.size:", "another shape"),
        ("if len(expected) != len(got):", "if len(expected) < len(got):", "too few arrays"),
        ("(wide == found) |", "", "a result with infinity"),
        ("right.astype(np.complex128), array.astype(np.complex128)", "right.astype(np.float64), array.real.astype(np.float64)", "complex results"),
    ),
    *planted(
        "course/grading/known.py", "test_course",
        ("own = copy.deepcopy(case)", "own = case", "a function that changes its input"),
        ("if text.count(mistake.old) != 1:", "if text.count(mistake.old) < 1:", "a mistake that fits twice"),
    ),
    *planted(
        "course/grading/check.py", "test_course",
        ("for named, wrong in known.mistakes if same(wrong, got, bound))", "for named, wrong in known.mistakes)", "a mistake that is not known"),
    ),
    *planted(
        "course/grading/marks.py", GRADE,
        ("return round(sum(points), 2)", "return round(sum(points))", "a share of a point"),
        ("return round(sum(points), 2)", "return sum(points)", "hundredths that do not add up in binary"),
        ("if name not in found.names]", "if False]", "a lost value"),
        ("if others is not None and not first:", "if False:", "a missing function"),
        ("before=plan.before,", "before=\"\",", "lost imports"),
    ),
    *planted(
        "course/grading/grade.py", GRADE,
        ("plan.assignment.name, str(plan.seed), str(plan.isolated)", "plan.assignment.name, str(plan.isolated)", "another seed"),
        ("str(plan.seed), str(plan.isolated), repr", "str(plan.seed), repr", "with and without isolation"),
        ("graded = [_version(), plan", "graded = [plan", "another version"),
        ("json.dumps([*submitted, *graded, *hashes])", "json.dumps([*submitted, *graded])", "another submission"),
        ("there = set[str]().union(*found)", "there = set(names).intersection(*found)", "students who handed in different assignments"),
        ("elif not feedback.exists():", "elif False:", "a report that was deleted"),
        ("[submission.student, submission.place, str(submission.problem), *submission.others, *submission.notes]", "[submission.student, submission.place]", "another file beside it"),
    ),
    *planted(
        "course/grading/cells.py", "test_course_grading::test_no_cell_of_the_table_is_a_formula test_course_grading",
        ("re.compile(r\"\\s*[-=+@", "re.compile(r\"[-=+@", "a formula after a space"),
        ("printable(re.sub(r\"\\s\", \" \", text))", "printable(text)", "a name with a line's end in the table"),
    ),
    *planted(
        "course/grading/table.py", GRADE,
        ("tasks = list(dict.fromkeys(task[\"name\"] for result in results for task in result[\"tasks\"]))", "tasks = [task[\"name\"] for task in results[0][\"tasks\"]]", "two assignments in one table"),
    ),
    *planted(
        "course/grading/feedback.py", "test_course_grading::test_names_and_messages_are_text_in_a_report "
        "test_course_grading",
        ("return _ACTIVE_FIRST.sub(r\"\\1\\\\\\2\", text)", "return text", "a name that is a heading"),
        ("|(?<![^\\W_])_|_(?![^\\W_])", "", "emphasis by underscores"),
        ("file = f\", file {_plain(result['file'])}.\"", "file = f\", file {result['file']}.\"", "a file called *a*"),
    ),
    *planted(
        "course/grading/naming.py", SUBMISSION,
        ("kind, exact = 0, name in", "kind, exact = 3, name in", "a file in two places"),
        ("_JUNK = {\"__macosx\", ", "_JUNK = {", "a zip of a Mac"),
        ("if first.exact:  # the uppermost counts", "if False:", "a zip with a file in two depths"),
        ("words[:1] != [\"test\"]", "True", "a file of tests"),
    ),
    *planted(
        "course/grading/students.py", SUBMISSION,
        ("parts.insert(0 if is_folder else len(parts), Part(path, \"\"))", "parts.insert(0, Part(path, \"\"))", "a folder and a zip of one student"),
    ),
    *planted(
        "course/grading/submission.py", SUBMISSION,
        ("if part.path.is_dir():", "if part.path.is_dir() and not part.path.suffix:", "a folder called x.zip"),
        ("if len(content) > FILE_BYTES:", "if len(content) >= FILE_BYTES:", "exactly so many bytes in a zip"),
    ),
    *planted(
        "course/grading/searching.py", SUBMISSION,
        ("self.put(f\"{place}/{name}\" if place else name, inner, depth + 1)", "self.put(name, inner, depth + 1)", "a zip with folders"),
        ("= file.read(most)", "= file.read()", "a zip bomb"),
    ),
    *planted(
        "course/grading/needed.py", SUBMISSION,
        ("[*node.body, *handlers, *node.orelse, *getattr(node, \"finalbody\", [])]", "[*node.body]", "calls after else and except"),
        ("*node.orelse, *getattr(node, \"finalbody\", [])]", "*node.orelse]", "calls after finally"),
        ("handlers = [line for handler in getattr(node, \"handlers\", []) for line in handler.body]", "handlers = []", "calls after except"),
        ("waiting += uses[node].now | uses[node].later", "pass", "a value that needs another"),
        ("if node not in kept:", "if not kept:", "two values"),
    ),
    *planted(
        "course/grading/statements.py", SUBMISSION,
        ("(b\"\\xff\\xfe\", b\"\\xfe\\xff\")", "(b\"\\xff\\xfe\",)", "UTF-16, the other byte order"),
        ("sum(map(len, cells)) > CODE_BYTES", "max(map(len, cells)) > CODE_BYTES", "many cells that are too long together"),
        ("first = min([node.lineno, *(one.lineno for one in getattr(node, \"decorator_list\", []))])", "first = node.lineno", "a decorator"),
    ),
    *planted(
        "course/grading/modules.py", SUBMISSION,
        ("parts = [\"from __future__ import annotations\", _SPARED, before,", "parts = [_SPARED, before,", "a name that is missing in an annotation"),
        ("problems[PROBLEMS:] =", "problems[PROBLEMS + 1 :] =", "eleven cells that are not Python"),
    ),
    *planted(
        "course/grading/process.py", "test_sandbox::test_without_isolation_the_next_run_removes_what_a_killed_one_left",
        ("if left.lstat().st_uid == os.getuid() and _start_of(pid) != started.partition(\"_\")[0]:", "if left.lstat().st_uid == os.getuid():", "two graders at a time"),
        ("                shutil.rmtree(left)\n", "                pass\n", "what a killed grader left"),
    ),
    *planted(
        "course/grading/prison.py", PRISON,
        ("REMOUNT | RDONLY | NOSUID | NODEV, None)\n    small", "REMOUNT | NOSUID | NODEV, None)\n    small", "who writes beside the scratch folder"),
        (",nr_inodes=1k", "", "empty files"),
        ("add(\"clone\", errno.EPERM, _Condition(0, masked_equal, thread, 0))", "pass", "another process"),
        ("add(\"clone3\", errno.ENOSYS)", "pass", "another process"),
        ("    forbid(filters)\n", "", "any forbidden call"),
        ("call(\"umount2\", f\"/{OLD}\".encode(), DETACH)\n    os.rmdir(f\"/{OLD}\")", "pass", "the machine's files"),
    ),
    *planted(
        "course/grading/inside.py", "test_sandbox::test_who_lies_where_everybody_may_look_is_told test_sandbox::test_only_named_packages_are_there_even_if_a_course_stands_in_the_environment test_sandbox",
        ("real.is_relative_to(folder) and not any(real.is_relative_to(other) for other in hidden)", "real.is_relative_to(folder)", "a course below site-packages"),
        ("        real = Path(os.path.realpath(path))\n", "        real = Path(path)\n", "a link"),
        ("for path in (own, *beside) if path.is_dir()}", "for path in (own.parent, *beside) if path.is_dir()}", "another package"),
        ("return [str(path) for path in inside if path.is_dir()]", "return []", "packages in the standard library's folder"),
    ),
    *planted(
        "course/cut.py", "test_course",
        ("while start < first and not lines[start].startswith(\"#\"):", "while start < first:", "comments above a definition"),
        ("return min([node.lineno, *(decorator.lineno for decorator in decorators)])", "return node.lineno", "decorators"),
        ("for other in sorted(_direct(place)):", "for other in []:", "helpers"),
        ("or needs(place) & set(messages)}", "}", "a helper that calls a student's function"),
        ("stub(*unsolved[place]) if place in unsolved", "solution(place) if place in unsolved", "what a later assignment asks for"),
        ("        paragraphs.remove(found[0])\n", "", "a docstring that answers its task"),
    ),
    *planted(
        "course/grading/sandbox.py", "test_sandbox::test_a_forged_answer_is_no_array test_sandbox::test_a_forged_size_is_refused "
        "test_sandbox::test_an_answer_of_more_arrays_than_anybody_needs_is_none test_sandbox",
        ("            if call.function != broken:\n                break\n", "", "another function after a crash"),
        ("if size > left:", "if False:", "a forged size"),
        ("        left -= size\n", "", "many answers"),
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
