"""What a grader starts in place of a student's Python: it locks itself in, then runs a file beside the submission.

    python -I -S prison.py ANSWERS LIFELINE < JOB        (started by `sandbox.py`, never by hand)

Linux only. Three processes stand in a row. The first leaves the machine's namespaces and waits. The second, the first
of the new process namespace, builds a file system of a few read-only folders, in memory, and then watches the
lifeline: a pipe that ends when the grader does, however that happens, and with this process the kernel ends all others
of the namespace. The third has no rights left; it becomes the worker. Nothing is written to the machine's disk.

It imports nothing but the standard library, because it runs before anything is hidden.

Source: namespaces(7), mount_namespaces(7), pid_namespaces(7), pivot_root(2), user_namespaces(7), setrlimit(2),
tmpfs(5), seccomp_rule_add(3).
"""

import ctypes
import errno
import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

NEWNS, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET = 0x20000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
RDONLY, NOSUID, NODEV, REMOUNT, BIND, REC, PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
DETACH = 2
SET_NO_NEW_PRIVS = 38

# Folders of the new root; the names are such that no Python is installed below them.
WORK, SCRATCH, OLD = "deit_ref_submission", "deit_ref_scratch", "deit_ref_old"
ROOT = "/proc"  # the new root is put together on top of it: every system has it, and nothing to be shown lies below it

# What the limits of a process do not count, or what has been a way out of namespaces before, and no task needs.
FORBIDDEN = (
    *("fork", "vfork"),  # one process, whose memory has one limit; of `clone` only threads are left
    *("shmget", "msgget", "semget", "mq_open", "memfd_create", "memfd_secret"),  # memory that belongs to no process
    *("socket", "socketpair", "inotify_init", "inotify_init1", "fanotify_init"),  # buffers in the kernel
    *("add_key", "request_key", "keyctl"),
    *("io_uring_setup", "io_uring_enter", "io_uring_register"),  # calls that no filter sees
    *("unshare", "setns", "mount", "umount2", "pivot_root", "chroot", "open_tree", "move_mount", "fsopen", "fsmount"),
    *("ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "pidfd_open", "pidfd_getfd", "kcmp"),
    *("bpf", "perf_event_open", "userfaultfd", "name_to_handle_at", "open_by_handle_at"),
)

_libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Lock in, then become the worker; what goes wrong before that is told as an answer."""
    answers, lifeline = map(int, sys.argv[1:])
    os.set_inheritable(lifeline, False)
    try:
        job = json.loads(received(int.from_bytes(received(8), "little")))
        filters = seccomp()
        namespaces(job["uid"])
        if os.fork():
            let_go(answers)
            os.wait()
            os._exit(0)
        file_system(job)
        if os.fork():
            let_go(answers)
            os.read(lifeline, 1)  # nobody ever writes to it
            os._exit(0)
        become_the_worker(job, answers, filters)
    except Exception as error:
        text = f"{type(error).__name__}: {error}".encode()
        os.write(answers, b"P" + len(text).to_bytes(8, "little") + text)
        os._exit(1)


def let_go(answers: int) -> None:
    """Whoever holds an end of a pipe keeps the grader waiting at the other when the worker has ended."""
    os.close(0)
    os.close(answers)


def received(size: int) -> bytes:
    """So many bytes of standard input, and not one more: the rest is for the worker."""
    content = b""
    while len(content) < size:
        part = os.read(0, size - len(content))
        if not part:
            raise EOFError("the job ended early")
        content += part
    return content


def namespaces(uid: int | None) -> None:
    """Leave the machine's mounts, processes and network; without root's rights, by a user namespace."""
    own, group = os.getuid(), os.getgid()
    flags = NEWNS | NEWUTS | NEWIPC | NEWPID | NEWNET
    call("unshare", flags if uid is not None else flags | NEWUSER)
    if uid is None:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{own} {own} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")


def file_system(job: dict[str, Any]) -> None:
    """A new root of a few read-only folders."""
    call("mount", b"none", b"/", None, REC | PRIVATE, None)
    call("mount", b"tmpfs", ROOT.encode(), b"tmpfs", NOSUID | NODEV, b"size=64m,nr_inodes=4k,mode=755")
    os.chdir(ROOT)
    for source, target in job["visible"]:
        bind(source, ROOT + target)
    for path in job["covered"]:
        call("mount", b"tmpfs", (ROOT + path).encode(), b"tmpfs", RDONLY | NOSUID | NODEV, b"size=4k,mode=555")
    for name in ("null", "urandom"):
        bind(f"/dev/{name}", f"{ROOT}/dev/{name}", writable=True)
    for name, text in job["files"].items():
        path = Path(ROOT, WORK, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for name in (SCRATCH, OLD):
        Path(ROOT, name).mkdir()
    call("pivot_root", b".", OLD.encode())
    os.chdir("/")
    call("umount2", f"/{OLD}".encode(), DETACH)
    os.rmdir(f"/{OLD}")
    call("mount", b"none", b"/", None, REMOUNT | RDONLY | NOSUID | NODEV, None)
    small = b"size=16m,nr_inodes=1k,mode=1777"  # an empty file takes memory, too
    call("mount", b"tmpfs", f"/{SCRATCH}".encode(), b"tmpfs", NOSUID | NODEV, small)
    os.chdir(f"/{SCRATCH}")


def bind(source: str, target: str, *, writable: bool = False) -> None:
    """Show a file or folder at another place, for reading."""
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        Path(target).touch()
    call("mount", source.encode(), target.encode(), None, BIND | REC, None)
    if not writable:
        # Flags that a user namespace may not lift have to be kept.
        call("mount", b"none", target.encode(), None, BIND | REMOUNT | RDONLY | NOSUID | NODEV, None)


def become_the_worker(job: dict[str, Any], answers: int, filters: ctypes.CDLL) -> None:
    """Without rights, with little memory, few threads and few calls of the system; time is kept by whoever waits."""
    for name, value in job["limits"].items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))
    if job["uid"] is not None:
        os.setgroups([])
        os.setresgid(job["uid"], job["uid"], job["uid"])
        os.setresuid(job["uid"], job["uid"], job["uid"])
    call("prctl", SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    forbid(filters)
    environment = {"PATH": "/usr/bin:/bin", "HOME": f"/{SCRATCH}", "TMPDIR": f"/{SCRATCH}"}
    environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    worker = [f"/{WORK}/{job['script']}", str(answers), f"/{WORK}", *job["path"]]
    os.execve(job["python"], [job["python"], "-I", "-X", "utf8", *worker], environment)


class _Condition(ctypes.Structure):
    """`struct scmp_arg_cmp` of libseccomp: what an argument of a call must be for a rule to hold."""

    _fields_ = (
        ("argument", ctypes.c_uint),
        ("comparison", ctypes.c_int),
        ("mask", ctypes.c_uint64),
        ("value", ctypes.c_uint64),
    )


def seccomp() -> ctypes.CDLL:
    """The library that writes filters of calls; it has to be there before the machine's files are hidden."""
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError as error:
        raise OSError("libseccomp is missing: install the system's package libseccomp2 or libseccomp") from error
    library.seccomp_init.restype = ctypes.c_void_p
    return library


def forbid(library: ctypes.CDLL) -> None:
    """From now on the calls of FORBIDDEN fail; one that the library is too old to know is left out."""
    allow, refuse, masked_equal, thread = 0x7FFF0000, 0x00050000, 7, 0x10000
    filters = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(allow)))

    def add(name: str, number: int, *conditions: _Condition) -> None:
        call_number = library.seccomp_syscall_resolve_name(name.encode())
        if call_number != -1:
            given = (_Condition * len(conditions))(*conditions)
            action = ctypes.c_uint32(refuse | number)
            succeeded(library.seccomp_rule_add_array(filters, action, call_number, len(conditions), given), name)

    for name in FORBIDDEN:
        add(name, errno.EPERM)
    add("clone3", errno.ENOSYS)  # its flags lie in memory, where no filter looks; the C library then takes `clone`
    add("clone", errno.EPERM, _Condition(0, masked_equal, thread, 0))
    succeeded(library.seccomp_load(filters), "seccomp_load")


def succeeded(result: int, what: str) -> None:
    """Raise what a function of libseccomp gives when it fails."""
    if result != 0:
        raise OSError(-result, f"{what}: {os.strerror(-result)}")


def call(name: str, *arguments: object) -> None:
    """A call of the C library that fails loudly."""
    if name == "pivot_root":  # glibc has no function for it
        number = {"x86_64": 155, "aarch64": 41}[os.uname().machine]
        result = _libc.syscall(number, *arguments)
    else:
        result = getattr(_libc, name)(*arguments)
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}", *[str(argument) for argument in arguments[:1]])


if __name__ == "__main__":
    main()
