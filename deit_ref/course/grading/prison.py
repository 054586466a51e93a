"""What a grader starts in place of a student's Python: it locks itself in, then runs `worker.py` beside the submission.

    python -I prison.py JOB.json        (started by `sandbox.run`, never by hand)

Linux only. New namespaces hide the machine's files, processes and network; what is left of the file system is a
read-only copy of Python's own folders, with the reference solution covered up, and a small scratch folder. It imports
nothing but the standard library, because it runs before anything is hidden.

Source: namespaces(7), mount_namespaces(7), pivot_root(2), user_namespaces(7), setrlimit(2).
"""

import ctypes
import json
import os
import resource
import signal
import sys
from pathlib import Path

NEWNS, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET = 0x20000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
RDONLY, NOSUID, NODEV, REMOUNT, BIND, REC, PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
DETACH = 2
SET_PDEATHSIG, SET_NO_NEW_PRIVS = 1, 38

# Folders of the new root; the names are such that no Python is installed below them, as it may be below /tmp.
WORK, SCRATCH, OLD = "deit_ref_submission", "deit_ref_scratch", "deit_ref_old"

_libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Lock in, then become the worker."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    namespaces(job["uid"])
    child = os.fork()  # the first process of the new process namespace: when it ends, all others in it do
    if child:
        _, status = os.waitpid(child, 0)
        os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
    file_system(job)
    limits(job)
    if job["uid"] is not None:
        os.setgroups([])
        os.setresgid(job["uid"], job["uid"], job["uid"])
        os.setresuid(job["uid"], job["uid"], job["uid"])
    call("prctl", SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    call("prctl", SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    environment = {"PATH": "/usr/bin:/bin", "HOME": f"/{SCRATCH}", "TMPDIR": f"/{SCRATCH}"}
    environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    worker = [f"/{WORK}/worker.py", f"/{WORK}", str(job["answers"])]
    os.execve(job["python"], [job["python"], "-I", "-X", "utf8", *worker], environment)


def namespaces(uid: int | None) -> None:
    """Leave the machine's mounts, processes and network; without root's rights, by a user namespace."""
    own, group = os.getuid(), os.getgid()
    flags = NEWNS | NEWUTS | NEWIPC | NEWPID | NEWNET
    call("unshare", flags if uid is not None else flags | NEWUSER)
    if uid is None:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{own} {own} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
        # Nobody inside gets rights again by a user namespace of their own.
        Path("/proc/sys/user/max_user_namespaces").write_text("0")


def file_system(job: dict[str, object]) -> None:
    """A new root of a few read-only folders."""
    root = str(job["root"])
    call("mount", b"none", b"/", None, REC | PRIVATE, None)
    call("mount", b"tmpfs", root.encode(), b"tmpfs", NOSUID | NODEV, b"size=64m,mode=755")
    for path in job["visible"]:  # type: ignore[attr-defined]
        bind(path, root + path)
    for path in job["covered"]:  # type: ignore[attr-defined]
        if os.path.isdir(root + path):
            call("mount", b"tmpfs", (root + path).encode(), b"tmpfs", RDONLY | NOSUID | NODEV, b"size=4k,mode=555")
    for name in ("null", "urandom"):
        bind(f"/dev/{name}", f"{root}/dev/{name}")
    work = Path(root, WORK)
    work.mkdir()
    for name, text in job["files"].items():  # type: ignore[attr-defined]
        path = work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for name in (SCRATCH, OLD):
        Path(root, name).mkdir()
    os.chdir(root)
    call("pivot_root", b".", OLD.encode())
    os.chdir("/")
    call("umount2", f"/{OLD}".encode(), DETACH)
    os.rmdir(f"/{OLD}")
    call("mount", b"none", b"/", None, REMOUNT | RDONLY | NOSUID | NODEV, None)
    call("mount", b"tmpfs", f"/{SCRATCH}".encode(), b"tmpfs", NOSUID | NODEV, b"size=16m,mode=1777")
    os.chdir(f"/{SCRATCH}")


def bind(source: str, target: str) -> None:
    """Show a file or folder at another place, for reading."""
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if not os.path.exists(target):
            open(target, "w").close()
    call("mount", source.encode(), target.encode(), None, BIND | REC, None)
    if os.path.isdir(source):  # a device stays writable
        # Flags that a user namespace may not lift have to be kept.
        call("mount", b"none", target.encode(), None, BIND | REMOUNT | RDONLY | NOSUID | NODEV, None)


def limits(job: dict[str, object]) -> None:
    """Memory, processes, file size; time is kept by whoever waits."""
    for name in ("AS", "NPROC", "FSIZE", "CPU"):
        value = int(job[name])  # type: ignore[call-overload]
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


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
