"""Hostile submissions: none gets an answer that it did not compute, and none stops the calls after it."""

import os
import socket
import textwrap
from pathlib import Path

import numpy as np
import pytest

import deit_ref
from deit_ref.course.grading import sandbox
from deit_ref.course.grading.sandbox import Answer, Call, Limits, _arrays, isolation_problem, run

SMALL = Limits(seconds=2.0, start_up=20.0, memory=2**30, answer_bytes=2**20)
HONEST = "\ndef g(x):\n    return x + 1\n"

# Each is the body of f(x); what is right is x + 1.
CRASHES = {
    "leaves": "import os; os._exit(0)",
    "leaves politely": "raise SystemExit(0)",
    "interrupts": "raise KeyboardInterrupt",
    "breaks memory": "import ctypes; ctypes.string_at(0)",
    "recurses": "return f(x)",
    "recurses in C": """
        import sys
        sys.setrecursionlimit(10**9)
        return f(x)""",
    "kills its parent": """
        import os, signal
        os.kill(os.getppid(), signal.SIGKILL)""",
    "kills everybody": """
        import os, signal
        os.kill(-1, signal.SIGKILL)
        os.kill(1, signal.SIGKILL)
        os.kill(0, signal.SIGKILL)""",
    "forks without end": """
        import os
        while True:
            try:
                os.fork()
            except OSError:
                pass""",
    "starts threads without end": """
        import threading
        while True:
            threading.Thread(target=f, args=(x,)).start()""",
    "allocates at once": "return np.ones(2**40)",
    "allocates bit by bit": """
        kept = []
        while True:
            kept.append(np.ones(2**20))""",
    "sleeps": """
        import time
        time.sleep(10**6)""",
    "never ends": "while True: pass",
    "cannot be interrupted": """
        import signal
        for number in range(1, 32):
            try:
                signal.signal(number, signal.SIG_IGN)
            except (OSError, ValueError):
                pass
        while True: pass""",
    "floods what it may write to": """
        import sys
        while True:
            print("score: 100" * 10**5)
            print("score: 100" * 10**5, file=sys.stderr)""",
    "fills the disk": """
        import tempfile
        kept = []
        while True:
            kept.append(tempfile.NamedTemporaryFile(delete=False))
            kept[-1].write(b"0" * 2**22)
            kept[-1].flush()""",
    "closes everything": """
        import os
        os.closerange(0, 100)
        raise ValueError""",
    "gives objects": "return np.array([object()])",
    "gives words": "return 'score: 100'",
    "gives nothing": "return None",
    "gives a huge answer": "return np.zeros(2**24)",
    "gives a list without end": "return type('L', (list,), {'__iter__': lambda self: iter(int, 1)})()",
    "gives what never becomes an array": "return type('A', (), {'__array__': lambda self, *a, **k: f(x)})()",
    "prints a score": """
        print('{"score": 100}')
        raise ValueError("score: 100")""",
    "spoils NumPy": """
        np.add = np.asarray = np.save = np.array_equal = np.abs = lambda *a, **k: True
        return x""",
    "spoils Python": """
        import builtins, io
        builtins.len = builtins.abs = lambda *a: 0
        io.BytesIO = None
        return x""",
    "spoils whoever calls it": """
        import sys
        sys.modules["__main__"].parts = lambda result: [np.zeros(1)]
        return x""",
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def isolated():
    assert isolation_problem() is None, "these tests need Linux namespaces"


def module(body):
    lines = textwrap.indent(textwrap.dedent(body).strip(), "    ")
    return f"import numpy as np\n\ndef f(x):\n{lines}\n{HONEST}"


def is_right(answer):
    return answer.arrays is not None and len(answer.arrays) == 1 and np.array_equal(answer.arrays[0], [3.0])


def asked(text, *functions, isolated=True, limits=SMALL):
    calls = [Call(name, (np.array([2.0]),)) for name in functions]
    return run({"student": text}, "student", calls, isolated=isolated, limits=limits)


def test_what_is_honest_is_right():
    assert [is_right(answer) for answer in asked(HONEST, "g", "g")] == [True, True]


@pytest.mark.parametrize("name", CRASHES)
def test_it_earns_nothing_and_stops_nothing_but_itself(name):
    hostile, honest = asked(module(CRASHES[name]), "f", "g")
    assert not is_right(hostile)
    # Whoever spoils the process that answers may lose the rest of it, but gains nothing.
    assert is_right(honest) or name.startswith("spoils")
    assert all(is_right(answer) for answer in asked(HONEST, "g", "g"))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("never ends", "did not come to an end within 2 seconds"),
        ("breaks memory", "its process ended: it crashed"),
        ("allocates at once", "MemoryError"),
        ("recurses", "RecursionError"),
        ("gives a huge answer", "bytes, at most 1048576 can be right"),
        ("prints a score", "ValueError: score: 100"),
    ],
)
def test_the_student_is_told_what_happened(name, words):
    assert words in asked(module(CRASHES[name]), "f")[0].problem


def test_after_a_crash_the_same_function_is_not_called_again():
    text = module("import os; os._exit(0)")
    answers = asked(text, "f", "f", "f", "g")
    assert "its process ended" in answers[0].problem
    assert [answer.problem for answer in answers[1:3]] == [
        "not run, because an earlier call of it did not come to an end."
    ] * 2
    assert is_right(answers[3])


# Each is the body of f(x), which gives 3 if it got at what it should not.
SPY = {
    "reads the solution": """
        from pathlib import Path
        return x + Path(PLACE).read_text().count("def split_heads(")""",
    "imports the solution": """
        import sys
        sys.path.insert(0, ROOT)
        from deit_ref.numpy_backend import attention
        return x + hasattr(attention, "split_heads")""",
    "looks for the solution": """
        import os
        found = 0
        for folder, _, names in os.walk(os.path.dirname(os.path.dirname(PLACE))):
            found += "attention.py" in names and folder.endswith("numpy_backend")
        return x + found""",
    "writes its grades": """
        open(GRADES, "w").write("student,total\\nme,100\\n")
        return x + 1""",
    "opens a connection": """
        import socket
        socket.create_connection(("127.0.0.1", PORT), timeout=5).close()
        return x + 1""",
    "reads the grader's memory": """
        import os
        from pathlib import Path
        command = Path(f"/proc/{GRADER}/cmdline").read_bytes()
        return x + (len(command) > 0)""",
    "signals the grader": """
        import os
        os.kill(GRADER, 0)
        return x + 1""",
}  # fmt: skip


@pytest.mark.parametrize("name", SPY)
def test_it_cannot_get_at_this_machine(name, tmp_path):
    """The same code without isolation can: so it would be seen if the walls were not there."""
    package = Path(deit_ref.__file__).parent
    grades = tmp_path / "grades.csv"
    grades.write_text("student,total\nme,0\n")
    with socket.create_server(("127.0.0.1", 0)) as server:
        known = {
            "PLACE": str(package / "numpy_backend" / "attention.py"),
            "ROOT": str(package.parent),
            "GRADES": str(grades),
            "PORT": server.getsockname()[1],
            "GRADER": os.getpid(),
        }
        text = "".join(f"{key} = {value!r}\n" for key, value in known.items()) + module(SPY[name])
        hostile, honest = asked(text, "f", "g")
        assert not is_right(hostile)
        assert is_right(honest)
        assert grades.read_text() == "student,total\nme,0\n"
        if name != "imports the solution":  # a part of the package stands in its way already
            assert is_right(asked(text, "f", isolated=False, limits=Limits())[0])
    assert ("me,100" in grades.read_text()) == (name == "writes its grades")


def test_a_copy_of_the_package_beside_the_libraries_is_covered_up(monkeypatch):
    package = Path(deit_ref.__file__).parent
    original = sandbox._visible
    monkeypatch.setattr(sandbox, "_visible", lambda: [*original(), str(package.parent)])
    listed = (
        f"import os\nreturn np.array([len(os.listdir({str(package)!r})), len(os.listdir({str(package.parent)!r}))])"
    )
    inside, beside = asked(module(listed), "f")[0].arrays[0]
    assert (inside, beside > 1) == (0, True)


def test_what_of_the_package_is_there_holds_no_solution():
    text = """
        import deit_ref, os
        from deit_ref.weights import Linear
        names = sorted(os.listdir(os.path.dirname(deit_ref.__file__)))
        return np.array([ord(letter) for letter in " ".join(names)])"""
    found = "".join(map(chr, asked(module(text), "f")[0].arrays[0])).split()
    shared = ["arrays", "chapters", "checks", "config", "image_processing", "outputs", "trace", "weights"]
    expected = ["__init__.py", *(f"{name}.py" for name in shared)]
    assert [name for name in found if name != "__pycache__"] == expected


def forged(content):
    return len(content).to_bytes(8, "little") + content


def header(words):
    text = words.encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize(
    "content",
    [
        header("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,)}") + bytes(8),
        header("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}") + bytes(8),
        header("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}") + b"\x80\x04K\x01.",
        header("{'descr': '<f8', 'fortran_order': False, 'shape': ((1,),)}") + bytes(8),
        header("{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (1,)}") + bytes(8),
        header("(" * 100),
        b"PK\x03\x04 no zip",
        b"\x80\x04K\x01.",
        b"",
    ],
)
def test_a_forged_answer_is_no_array(content):
    assert _arrays(forged(content)) is None
    text = module(f"""
        import os
        content = {content!r}
        frame = len(content).to_bytes(8, "little") + content
        for number in range(3, 1000):
            try:
                os.write(number, b"A" + len(frame).to_bytes(8, "little") + frame)
            except OSError:
                pass
        return x""")
    hostile, _ = asked(text, "f", "g")
    assert hostile == Answer()


def test_a_forged_size_is_refused():
    text = module("""
        import os
        for number in range(3, 1000):
            try:
                os.write(number, b"A" + (2**60).to_bytes(8, "little"))
            except OSError:
                pass
        return x""")
    hostile, honest = asked(text, "f", "g")
    assert "1152921504606846976 bytes" in hostile.problem
    assert is_right(honest)


def test_an_answer_of_more_arrays_than_anybody_needs_is_none():
    one = forged(header("{'descr': '<f8', 'fortran_order': False, 'shape': (1,)}") + bytes(8))
    assert len(_arrays(one * 1000)) == 1000
    assert _arrays(one * 1001) is None


def test_a_module_that_never_comes_up_costs_all_its_calls():
    late = asked("while True: pass" + HONEST, "f", "g", limits=Limits(start_up=3.0))
    assert [answer.problem for answer in late] == [
        "the file cannot be imported: it did not come to an end within 3 seconds."
    ] * 2
    first, second = asked("import os; os._exit(1)" + HONEST, "f", "g")
    assert "its process ended" in first.problem
    assert "its process ended" in second.problem
    assert "cannot be imported" in asked("raise ValueError('no')" + HONEST, "g")[0].problem
