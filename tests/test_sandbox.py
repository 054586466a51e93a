"""Hostile submissions: none gets an answer that it did not compute, and none stops the calls after it."""

import contextlib
import errno
import json
import os
import select
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import textwrap
import venv
from pathlib import Path

import numpy as np
import pytest

import deit_ref
from deit_ref.course.grading import inside, prison, process, sandbox
from deit_ref.course.grading.process import Limits
from deit_ref.course.grading.sandbox import Call, _arrays, isolation_problem, run

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
    "imports a package that no task names": """
        __import__("PIL")  # the plain statement is refused without isolation, too
        return x + 1""",
    "reads what else is installed": """
        import os
        return x + any(os.path.exists(path) for path in ("/bin/sh", "/usr/bin", "/etc/passwd", "/proc/self/maps"))""",
    "starts another process": """
        import os
        if os.fork() == 0:
            os._exit(0)
        os.wait()
        return x + 1""",
    "starts another program": """
        import subprocess, sys
        subprocess.run([sys.executable, "-c", ""], check=True)
        return x + 1""",
    "opens a pair of sockets": """
        import socket
        for end in socket.socketpair():
            end.close()
        return x + 1""",
    "shares memory that belongs to nobody": """
        import ctypes
        libc = ctypes.CDLL(None)
        found = libc.shmget(0, ctypes.c_size_t(3 * 2**30), 0o1600)
        libc.shmctl(found, 0, None)
        return x + (found >= 0)""",
    "keeps memory as a file": """
        import os
        os.close(os.memfd_create("kept"))
        return x + 1""",
    "is root in a world of its own": """
        import ctypes
        return x + (ctypes.CDLL(None).unshare(0x10000000) == 0)""",
    "keeps many files open": """
        import os
        for descriptor in [os.dup(0) for _ in range(200)]:
            os.close(descriptor)
        return x + 1""",
    "fills the disk with names": """
        import os, tempfile
        with tempfile.TemporaryDirectory() as folder:
            for i in range(2000):
                open(f"{folder}/{i}", "w").close()
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


def test_what_of_the_package_is_there_holds_no_solution():
    text = """
        import deit_ref, os
        from deit_ref.weights import Linear
        top = os.path.dirname(deit_ref.__file__)
        names = [os.path.relpath(os.path.join(at, name), top) for at, _, names in os.walk(top) for name in names]
        return np.array([ord(letter) for letter in " ".join(names)])"""
    found = "".join(map(chr, asked(module(text), "f")[0].arrays[0])).split()
    shared = ["arrays", "chapters", "checks", "config", "image_processing", "outputs", "trace", "weights"]
    empty = [f"{folder}__init__.py" for folder in ("", "course/", "course/grading/")]
    expected = [*empty, *(f"{name}.py" for name in shared), "course/grading/spared.py", "course/grading/uses.py"]
    assert sorted(name for name in found if "__pycache__" not in name) == sorted(expected)


def test_calls_of_the_system_that_no_task_needs_are_refused():
    """Asked with arguments that make no sense: without the filter each fails in another way, or does not fail."""
    library = prison.seccomp()
    names = [name for name in (*prison.FORBIDDEN, "clone3") if library.seccomp_syscall_resolve_name(name.encode()) >= 0]
    assert len(names) > 30
    numbers = [library.seccomp_syscall_resolve_name(name.encode()) for name in names]
    text = module(f"""
        import ctypes
        libc = ctypes.CDLL(None, use_errno=True)
        found = []
        for number in {numbers}:
            ctypes.set_errno(0)
            libc.syscall(number, -1, -1, -1, -1, -1)
            found.append(ctypes.get_errno())
        return np.array(found)""")
    (answer,) = asked(text, "f")
    found = dict(zip(names, answer.arrays[0].tolist(), strict=True))
    assert found.pop("clone3", errno.ENOSYS) == errno.ENOSYS  # so that threads are made by `clone`
    assert {name: code for name, code in found.items() if code != errno.EPERM} == {}


def test_the_root_holds_what_is_named_and_nothing_else():
    places = (Path(sysconfig.get_path("stdlib"), name) for name in ("site-packages", "dist-packages"))
    paths = ["/", "/dev", *(str(path) for path in places if path.is_dir())]
    (answer,) = asked(module(f"""
        import json, os
        found = json.dumps([sorted(os.listdir(path)) for path in {paths!r}])
        return np.frombuffer(found.encode(), np.uint8)"""), "f")  # fmt: skip
    root, devices, *covered = json.loads(answer.arrays[0].tobytes())
    shown = [*inside.folders().values(), *inside.libraries(), f"/{prison.WORK}", f"/{prison.SCRATCH}", "/dev"]
    assert root == sorted({path.split("/")[1] for path in shown})
    assert devices == ["null", "urandom"]
    assert not any(covered)


def test_only_named_packages_are_there_even_if_a_course_stands_in_the_environment(tmp_path):
    """The folder of the course is the environment, too: solutions and what others handed in lie below its prefix."""
    venv.create(tmp_path, symlinks=True)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(tmp_path)}))
    (packages / "others.pth").write_text("\n".join(path for path in sys.path if path))
    secrets = [tmp_path / "teacher" / "solution.py", packages / "solution.py", packages / "numpy_extra" / "solution.py"]
    for path in secrets:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x = 1")
    text = f"""
        import os, sys
        sys.path += {[str(path.parent) for path in secrets]}
        found = [os.path.exists(path) for path in {[str(path) for path in secrets]}]
        try:
            __import__("solution")
        except ImportError:
            return np.array([*found, False])
        return np.array([*found, True])"""
    script = f"""
import sys
from deit_ref.course.grading.sandbox import Call, run
assert sys.prefix == {str(tmp_path)!r}
for isolated in (True, False):
    (answer,) = run({{"student": {module(text)!r}}}, "student", [Call("f", (1,))], isolated=isolated)
    print(answer.arrays[0].tolist() if answer.arrays else answer.problem)
"""
    command = [str(tmp_path / "bin" / "python"), "-c", script]
    found = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert found.stderr == ""
    assert found.stdout.split("\n")[:2] == [str([False] * 4), str([True] * 4)]


@pytest.mark.parametrize("isolated", [True, False])
def test_what_is_named_can_be_imported(isolated):
    text = module("""
        import jaxtyping, scipy.special, numpy.linalg, ssl, sqlite3, lzma, decimal
        return scipy.special.erf(0 * x) + numpy.linalg.inv(np.eye(1))[0] + x""")
    assert is_right(asked(text, "f", isolated=isolated, limits=Limits())[0])


def test_who_lies_where_everybody_may_look_is_told(tmp_path, monkeypatch):
    """Below a folder that is shown, whatever link leads there; not below one that is covered up there."""
    stdlib = tmp_path / "lib"
    (stdlib / "site-packages" / "course").mkdir(parents=True)
    (stdlib / "course").mkdir()
    (tmp_path / "link").symlink_to(stdlib / "course")
    monkeypatch.setattr(inside, "folders", lambda: {str(stdlib): str(stdlib)})
    reason = f"lies in {stdlib}, which every submission may read"
    assert inside.exposed([tmp_path, stdlib / "course"]) == f"{stdlib / 'course'} {reason}"
    assert inside.exposed([tmp_path / "link" / "new.csv"]) == f"{tmp_path / 'link' / 'new.csv'} {reason}"
    assert inside.exposed([stdlib]) == f"{stdlib} {reason}"
    assert inside.exposed([tmp_path, stdlib / "site-packages" / "course", tmp_path / "library"]) is None


def test_why_nothing_can_be_locked_in_is_said(monkeypatch, tmp_path):
    broken = Path(prison.__file__).read_text().replace('"libseccomp.so.2"', '"libnone.so"')
    place = tmp_path / "course" / "grading"
    place.mkdir(parents=True)
    (place / "prison.py").write_text(broken)
    grading = [f"course/grading/{name}.py" for name in ("worker", "uses", "spared")]
    for name in (*(f"{name}.py" for name in sandbox.SHARED), *grading):
        (tmp_path / name).write_text("")
    for user in (sandbox, process):
        monkeypatch.setattr(user, "files", lambda name: tmp_path)
    problem = "it cannot be locked in: OSError: libseccomp is missing: install the system's package libseccomp2"
    assert problem in isolation_problem()
    monkeypatch.undo()
    monkeypatch.setattr(inside.os, "defpath", str(tmp_path))
    monkeypatch.setattr(process, "libraries", inside.libraries.__wrapped__)
    assert "the command ldd, which says what Python is linked to, cannot be run" in isolation_problem()
    monkeypatch.undo()
    monkeypatch.setattr(sandbox, "PACKAGES", (*inside.PACKAGES, "no_such_package"))
    assert "No module named 'no_such_package'" in isolation_problem()


def test_who_ends_before_the_inputs_are_read_keeps_nobody_waiting():
    """With more of them than a pipe holds."""
    calls = [Call("g", (np.zeros(10**6),))]
    (answer,) = run({"student": HONEST}, "student", calls, limits=Limits(memory=2**20))
    assert "its process ended" in answer.problem or "cannot be locked in" in answer.problem


# A grader that says when the submission runs. It takes away the order to end with its parent, and never ends.
IMMORTAL = """
import ctypes, os, signal
ctypes.CDLL(None).prctl(1, 0, 0, 0, 0)
for number in range(1, 32):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass

def f(x):
    while True:
        pass
"""
GRADER = f"""
from deit_ref.course.grading import sandbox
first = sandbox._read
def read(*arguments):
    content = first(*arguments)
    print("runs" if content[:1] == b"R" else content, flush=True)
    return content
sandbox._read = read
limits = sandbox.Limits(seconds=1000.0)
sandbox.run({{"student": {IMMORTAL!r}}}, "student", [sandbox.Call("f", (1,))], limits=limits, isolated=ISOLATED)
"""


def descendants(pid):
    """The processes below one, as the system lists them."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found[1:]


@contextlib.contextmanager
def grader(folder, *, isolated):
    """A grader whose submission runs already, with its temporary files in a folder."""
    script = GRADER.replace("ISOLATED", str(isolated))
    environment = {**os.environ, "TMPDIR": str(folder)}
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as running:
        try:
            assert running.stdout.readline() == "runs\n"
            yield running
        finally:
            running.kill()


def test_nothing_outlives_a_grader_that_is_killed(tmp_path):
    with grader(tmp_path, isolated=True) as running:
        below = {pid: os.pidfd_open(pid) for pid in descendants(running.pid)}
        assert len(below) == 3
        running.kill()
        try:
            for descriptor in below.values():  # ready to be read when its process has ended
                assert select.select([descriptor], [], [], 60)[0], "it still runs"
        finally:
            for descriptor in below.values():
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                os.close(descriptor)
    assert list(tmp_path.iterdir()) == []


def test_without_isolation_the_next_run_removes_what_a_killed_one_left(tmp_path, monkeypatch):
    with contextlib.ExitStack() as stack:
        below = []  # what is killed after the grader, which would clean up behind it
        stack.callback(lambda: [os.kill(pid, signal.SIGKILL) for pid in below])
        running = stack.enter_context(grader(tmp_path, isolated=False))
        below += descendants(running.pid)
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        (tmp_path / f"{process.LEFT}of_another_kind").write_text("")
        assert is_right(asked(HONEST, "g", isolated=False)[0])
        assert len(list(tmp_path.iterdir())) == 2  # nothing of a grader that lives is removed
    assert is_right(asked(HONEST, "g", isolated=False)[0])
    assert [path.name for path in tmp_path.iterdir()] == [f"{process.LEFT}of_another_kind"]


def opened_to_others(paths):
    """Shell commands that open the way to folders, in mounts of its own, where it is closed as into root's home."""
    closed = {path: [one for one in reversed(Path(path).parents) if not one.stat().st_mode & 0o001] for path in paths}
    closed = {path: ways[0] for path, ways in closed.items() if ways}
    lines = ["mount -t tmpfs none /mnt", "cd /mnt"]
    lines += [f"mkdir {i} && mount --rbind '{path}' {i}" for i, path in enumerate(closed)]
    lines += [f"mount -t tmpfs -o mode=755 none '{way}'" for way in sorted({*closed.values()})]
    lines += [f"mkdir -p '{path}' && mount --move {i} '{path}'" for i, path in enumerate(closed)]
    return "".join(f"{line}\n" for line in lines)


def test_an_ordinary_user_can_lock_in_and_is_locked_in():
    """Without root's rights, by a user namespace: what counts is seen from a user that owns nothing."""
    text = module("""
        import ctypes, os
        shared = ctypes.CDLL(None).shmget(0, 2**20, 0o1600) >= 0
        try:
            written = bool(open("/deit_ref_submission/new", "w"))
        except OSError:
            written = False
        return x + 1 + os.path.exists("/etc/passwd") + shared + (os.getuid() == 0) + written""")
    script = f"""
import os
from deit_ref.course.grading.sandbox import Call, isolation_problem, run
assert os.getuid() != 0
problem = isolation_problem()
print(problem or [run({{"student": {text!r}}}, "student", [Call("f", (2.0,))])[0].arrays[0].tolist()])
"""
    command = [sys.executable, "-c", script]
    if os.getuid() == 0:
        opened = opened_to_others([sys.base_prefix, sys.prefix, *(path for path in sys.path if os.path.isdir(path))])
        drop = "exec setpriv --reuid 65534 --regid 65534 --clear-groups --"
        command = ["unshare", "--mount", "sh", "-ec", f'{opened}{drop} "$@"', "sh", *command]
    found = subprocess.run(command, capture_output=True, text=True, cwd="/", check=False)
    if "unshare: " in found.stdout:
        pytest.skip(f"this system lets no ordinary user have namespaces: {found.stdout}")
    assert (found.stdout, found.stderr) == ("[3.0]\n", "")


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
    assert (hostile.arrays, hostile.problem) == (None, None)


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


def test_all_answers_together_are_limited():
    """Or a submission could fill the grader's own memory, an answer at a time, of as many functions as it has."""
    text = "import numpy as np\n" + "".join(f"def f{i}(x):\n    return np.zeros(10**5)\n" for i in range(3)) + HONEST
    answers = asked(text, "f0", "f1", "f2", "g")
    assert [answer.arrays is not None for answer in answers] == [True, False, False, True]
    assert "its answer has 800196 bytes, at most 248380 can be right." in answers[1].problem


def test_a_module_that_never_comes_up_costs_all_its_calls():
    late = asked("while True: pass" + HONEST, "f", "g", limits=Limits(start_up=3.0))
    assert [answer.problem for answer in late] == [
        "the file cannot be imported: it did not come to an end within 3 seconds."
    ] * 2
    first, second = asked("import os; os._exit(1)" + HONEST, "f", "g")
    assert "its process ended" in first.problem
    assert "its process ended" in second.problem
    assert "cannot be imported" in asked("raise ValueError('no')" + HONEST, "g")[0].problem
