"""A command as a process: closed streams, encodings, full disks, signals, and words that it does not know."""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from strategies import TINY

import deit_ref
from deit_ref import checks
from deit_ref.commands import COMMANDS, main
from deit_ref.photos import bundled_photo

PHOTO = str(bundled_photo())
COMMAND = [sys.executable, "-m", "deit_ref"]
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
posix_only = pytest.mark.skipif(sys.platform == "win32", reason="a shell and signals of POSIX")


@pytest.fixture(autouse=sys.platform != "win32")
def signals_are_heard():
    """Under nohup and in the background of a shell, some are ignored, which programs hand on to those they start."""
    ignored = [n for n in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) == signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small checkpoint whose classes are called in several scripts, and with what steers a terminal."""
    path = tmp_path_factory.mktemp("checkpoint")
    names = ("\u65e5\u672c", "k\u00e4se", "red\x1b[31m", *map(str, range(3, TINY.num_labels)))
    deit_ref.save_weights(deit_ref.init_weights(TINY, "classification", seed=0, class_names=names), path)
    return str(path)


def shell(words, **environment):
    """Exit code, standard output and standard error of `deit-ref` with a redirection at its end."""
    line = f'"{sys.executable}" -m deit_ref {words}'
    done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, env={**os.environ, **environment})
    return done.returncode, done.stdout.decode(), done.stderr.decode()


WORDS = {
    "classify": f"classify {PHOTO} --weights {{}}",
    "inspect": f"inspect {PHOTO} --weights {{}}",
    "compare": f"compare {PHOTO} --weights {{}}",
    "attention": f"attention {PHOTO} --weights {{}} --out {{}}/new.png --force",
    "reconstruct": f"reconstruct {PHOTO} --out {{}}/new.png --force",
    "preprocess": f"preprocess {PHOTO} {PHOTO} --weights {{}} --out {{}}/new.npy --force",
    "convert": "convert {} {}/new",
    "train-teacher": "train-teacher --show",
    "train": "train --recipe deit-300 --show",
    "finetune": "finetune --show",
    "evaluate": "evaluate --data {}/nowhere",
    "check": "check {}",
    "benchmark": "benchmark --models large",
    "course": "course build --out {}/course --assignment a7",
}


@posix_only
@pytest.mark.parametrize("command", COMMANDS)
def test_closed_streams_are_no_traceback(folder, tmp_path, command):
    words = WORDS[command].replace("{}/", f"{tmp_path}/").format(folder)
    quiet = command == "attention"
    refused = command in ("evaluate", "benchmark")
    code, out, err = shell(f"{words} >&-")
    assert (code, out) == (0 if quiet else 2, "")
    assert "Traceback" not in err
    if not quiet and not refused:
        assert err.splitlines()[-1].startswith("deit-ref: error: standard output is closed")
    for path in tmp_path.rglob("*"):  # no file has taken the stream's number, and its text
        assert path.is_dir() or b"deit-ref" not in path.read_bytes()[:8]


@posix_only
def test_messages_do_not_go_to_the_results_where_standard_error_is_closed(folder):
    assert shell(f"classify absent.jpg --weights {folder} 2>&-") == (2, "", "")
    code, out, _ = shell(f"classify {PHOTO} absent.jpg --weights {folder} --json 2>&-")
    assert code == 1
    assert [line[:9] for line in out.splitlines()] == ['{"image":'] * 2
    assert shell(f"classify {PHOTO} --weights {folder} <&- >&- 2>&-")[0] == 2


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_is_one_line(folder, unbuffered):
    code, _, err = shell(f"classify {PHOTO} --weights {folder} >/dev/full", PYTHONUNBUFFERED=unbuffered)
    assert code == 2
    assert re.fullmatch(r"deit-ref: error: .*No space left on device.*\n", err)


@posix_only
@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_names_that_a_stream_cannot_encode_are_written_by_their_codes(folder, tmp_path, encoding):
    photo = tmp_path / "\u00fc\U0001f600\x1b[2J.png"
    Image.new("RGB", (40, 40)).save(photo)
    (tmp_path / "\u00fc\x07.jpg").write_bytes(b"no image")
    out = tmp_path / "answers.jsonl"
    for words in ("--top 99", "--top 99 --json", f"--top 99 --out '{out}'"):
        line = f'"{sys.executable}" -m deit_ref classify "{tmp_path}" --weights {folder} {words}'
        environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
        done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, env=environment)
        shown, said = done.stdout.decode(encoding), done.stderr.decode(encoding)
        assert done.returncode == 1, said
        assert "Traceback" not in said
        assert not {*"\x1b\x07"} & {*shown, *said}
        if words == "--top 99":
            assert "\\x1b[2J.png" in shown
            assert "red\\x1b[31m" in shown
            assert ("\u65e5\u672c" if encoding == "utf-8" else "\\u65e5\\u672c") in shown
            assert ("k\\xe4se" if encoding == "ascii" else "k\u00e4se") in shown
    assert "\\u65e5\\u672c" in out.read_text(encoding="ascii")


def processes_of(session):
    """Those that live, as /proc tells."""
    found = []
    for place in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            state, _, _, its_session = place.joinpath("stat").read_text().rpartition(")")[2].split()[:4]
            if int(its_session) == session and state != "Z":
                found.append(int(place.name))
    return found


def wait_until(true):
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@linux_only
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("early", [False, True])
def test_no_worker_stays_when_classify_is_ended(folder, tmp_path, number, early):
    photos = [PHOTO] * 5000
    out = tmp_path / "answers.jsonl"
    words = [*COMMAND, "classify", *photos, "--weights", folder, "--workers", "2", "--out", str(out)]
    said = tmp_path / "said"  # a pipe would stay open as long as a worker
    with said.open("wb") as file, subprocess.Popen(words, stderr=file, start_new_session=True) as process:
        # Two workers and what counts their semaphores; they know what to do once an answer has come.
        unfinished = Path(f"{out}.unfinished")
        wait_until(lambda: len(processes_of(process.pid)) >= 4)
        wait_until(lambda: early or (unfinished.exists() and unfinished.stat().st_size))
        if number == signal.SIGINT:  # as a terminal sends it, to all of them
            os.killpg(process.pid, number)
        else:
            os.kill(process.pid, number)
        process.wait()
        assert process.returncode == (-number if number == signal.SIGKILL else 128 + number)
        try:
            wait_until(lambda: processes_of(process.pid) == [])
        finally:
            for left in processes_of(process.pid):
                os.kill(left, signal.SIGKILL)
    if not early or number == signal.SIGINT:  # a worker may say that it was told nothing yet
        assert b"Traceback" not in said.read_bytes()
    assert not out.exists()


def run(capsys, *argv):
    try:
        code = main([str(word) for word in argv])
    except SystemExit as stopped:
        code = stopped.code
    captured = capsys.readouterr()
    return code, captured.out, captured.err


NAMES = [(), *((name,) for name in COMMANDS), *(("course", name) for name in ("build", "grade", "report", "export"))]


@pytest.mark.parametrize("words", NAMES, ids=" ".join)
def test_help_fits_80_columns(capsys, monkeypatch, words):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = run(capsys, *words, "--help")
    assert (code, err) == (0, "")
    assert [line for line in out.splitlines() if len(line) > 79] == []
    assert "examples:\n  deit-ref " in out


def test_help_is_wrapped_by_sentences_and_keeps_what_is_indented(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    _, out, _ = run(capsys, "check", "--help")
    assert max(map(len, out[out.index("Photos: in") :].splitlines())) <= 58
    assert "\n  deit-ref check mine/ --json\n\nPhotos: in class folders" in out


def test_without_a_command_the_help_is_shown(capsys):
    for words in ((), ("course",)):
        assert run(capsys, *words) == run(capsys, *words, "--help")


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (("clasify", "a.jpg"), "got 'clasify'. Did you mean 'classify'? (see deit-ref --help)"),
        (("course", "bild"), "got 'bild'. Did you mean 'build'? (see deit-ref course --help)"),
        (("classify", "--wieghts=x"), "--wieghts=x. Did you mean '--weights'? (see deit-ref classify --help)"),
        (("inspect", "--backend", "touch"), "got 'touch'. Did you mean 'torch'? (see deit-ref inspect --help)"),
        (("classify", "--color", "red"), "unrecognized arguments: --color. (see deit-ref classify --help)"),
        (("inspect", "a.jpg", "b.jpg"), "unrecognized arguments: b.jpg. (see deit-ref inspect --help)"),
    ],
)
def test_a_word_that_is_not_known_is_met_with_the_one_that_was_meant(capsys, words, meant):
    code, out, err = run(capsys, *words)
    assert (code, out) == (2, "")
    assert err.endswith(f"{meant}\n")
    assert err.count("\n") == 1


def test_a_file_that_is_there_is_replaced_only_if_that_is_said(capsys, folder, tmp_path):
    for command, name, words in (
        ("attention", "a.png", [PHOTO, "--weights", folder]),
        ("reconstruct", "r.png", [PHOTO]),
        ("preprocess", "p.npy", [PHOTO, "--weights", folder]),
        ("classify", "c.jsonl", [PHOTO, "--weights", folder]),
    ):
        path = tmp_path / name
        path.write_bytes(b"mine")
        code, out, err = run(capsys, command, *words, "--out", path)
        assert (code, out) == (2, "")
        assert err == f"deit-ref: error: {path} is there already: choose another name, or add --force to replace it.\n"
        assert path.read_bytes() == b"mine"
        code, _, err = run(capsys, command, *words, "--out", path, "--force")
        assert code == 0
        assert f"deit-ref: {path}: " in err
        assert path.read_bytes() != b"mine"
    for words in (
        ("evaluate", tmp_path, "--confusion", tmp_path / "a.png"),
        ("benchmark", "--json", tmp_path / "b.json"),
        ("course", "grade", tmp_path, "--seed", 7, "--out", tmp_path / "g.csv"),
        ("course", "report", tmp_path / "t.csv", "--out", tmp_path / "r.html"),
        ("course", "report", tmp_path / "t.csv", "--out", tmp_path / "new.html", "--json", tmp_path / "r.json"),
        ("course", "export", tmp_path / "t.csv", "--to", "csv", "--out", tmp_path / "e.csv"),
    ):
        words[-1].write_bytes(b"mine")
        code, _, err = run(capsys, *words)
        assert code == 2
        assert f"{words[-1]} is there already: choose another name, or add --force" in err
        assert words[-1].read_bytes() == b"mine"
    code, _, err = run(capsys, "attention", tmp_path / "a.png", "--out", tmp_path / "a.png", "--force")
    assert "is the image itself, which would be lost" in err


def test_classify_says_what_it_wrote(capsys, folder, tmp_path):
    out = tmp_path / "answers.jsonl"
    words = ("--weights", folder, "--out", out, "--force")
    assert run(capsys, "classify", PHOTO, *words) == (0, "", f"deit-ref: {out}: 1 answer, 0 of them errors.\n")
    code, _, err = run(capsys, "classify", PHOTO, tmp_path / "absent.jpg", *words)
    assert code == 1
    assert err.endswith(f"deit-ref: {out}: 2 answers, 1 of them errors.\n")


def test_pictures_are_measured_by_width_and_height(capsys, folder, tmp_path):
    out = tmp_path / "seen.png"
    run(capsys, "preprocess", PHOTO, PHOTO, "--weights", folder, "--out", out)
    with Image.open(out) as picture:
        assert picture.width == 2 * picture.height
        _, _, err = run(capsys, "preprocess", PHOTO, PHOTO, "--weights", folder, "--out", out, "--force")
        assert err == f"deit-ref: {out}: a picture of {picture.width}x{picture.height} pixels, width x height.\n"


def test_folders_without_a_photo_say_what_is_there(capsys, folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.setattr("deit_ref.photo_names.heic_is_read", lambda: False)
    (tmp_path / "empty").mkdir()
    (tmp_path / "phone").mkdir()
    (tmp_path / "phone" / "1.heic").write_bytes(b"")
    for command in (["classify"], ["inspect"], ["compare"], ["preprocess", "--out", tmp_path / "x.npy"]):
        _, _, err = run(capsys, *command, tmp_path / "empty", "--weights", folder)
        assert "is a folder, expected an image file: it is empty." in err
        _, _, err = run(capsys, *command, tmp_path / "phone", "--weights", folder)
        assert "in it are 1 .heic (pip install pillow-heif to read them), none of them an image" in err


def test_amounts_are_said_as_people_do():
    assert checks.amount(0, "photo") == "0 photos"
    assert checks.amount(1, "class", "classes") == "1 class"
    assert checks.amount(2, "class", "classes") == "2 classes"


def test_numbers_that_no_file_has_taken(folder, tmp_path):
    """The array written is the array, whatever was closed."""
    out = tmp_path / "x.npy"
    assert shell(f"preprocess {PHOTO} --weights {folder} --out '{out}' >&- 2>&-")[0] == 0
    assert np.load(out).shape == (1, TINY.num_channels, *TINY.image_shape)
