"""What a store loses to faults: `python bench/faults.py [--tries 50]`.

For each local store and fault: how often it was tried, how many recordings had been acknowledged (`put` had returned),
and how many of them a fresh process does not find as they were. That must be 0. Needs git; POSIX only.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread

from cachy.exchange import Response
from cachy.recording import Recording
from cachy.stores import Store, StoreError, open_store

KINDS = {"JSONL": "calls.jsonl", "folder": "calls/", "SQLite": "calls.db"}
GIT = ("git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main")


def line_of(key: str) -> bytes:
    """A recording whose size depends on its key: 0.3 to 60 KB."""
    text = f"{key} " * random.Random(key).choice((3, 90, 1800))
    request = {"method": "POST", "host": "api.openai.com", "path": "/v1/x", "body": {"json": {"n": key}}}
    answer = Response(200, (("content-type", "application/json"),), text.encode())
    return Recording(key, "2026-11-23T08:00:00Z", "openai", request, answer).to_line()


def keys(seed: str) -> Iterator[str]:
    source = random.Random(seed)
    while True:
        yield f"{source.getrandbits(128):032x}"


def write(store: Store, seed: str, count: int) -> list[str]:
    """The keys that were acknowledged: no more after an error."""
    done = []
    for key, _ in zip(keys(seed), range(count), strict=False):
        try:
            store.put(key, line_of(key))
        except StoreError:
            break
        done.append(key)
    return done


def worker(url: str, seed: str, count: str, limit: str, threads: str) -> None:
    """Writes and says what was acknowledged, a line each."""
    if int(limit):
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
    store = open_store(url)

    def work(number: int) -> None:
        for key, _ in zip(keys(f"{seed} {number}"), range(int(count)), strict=False):
            try:
                store.put(key, line_of(key))
            except StoreError:
                return
            os.write(1, f"{key}\n".encode())

    together = [Thread(target=work, args=(number,)) for number in range(int(threads))]
    for thread in together:
        thread.start()
    for thread in together:
        thread.join()


def start(url: str, seed: str, count: int, limit: int = 0, threads: int = 1) -> subprocess.Popen[str]:
    words = [sys.executable, __file__, "--worker", url, seed, str(count), str(limit), str(threads)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def acknowledged(process: subprocess.Popen[str]) -> list[str]:
    out, _ = process.communicate(timeout=300)
    return [key for key in out.split("\n")[:-1] if len(key) == 32]


# The faults: each gets the URL of a store that need not exist yet, and returns what was acknowledged


def many_writers(url: str, turn: int) -> list[str]:
    """16 processes of 4 threads at once."""
    writers = [start(url, f"{turn} {number}", 10, threads=4) for number in range(16)]
    return [key for writer in writers for key in acknowledged(writer)]


def killed(url: str, turn: int) -> list[str]:
    """kill -9 of one of three writers at a random moment."""
    writers = [start(url, f"{turn} {number}", 10_000 if not number else 20) for number in range(3)]
    first = writers[0].stdout
    assert first is not None
    head = first.readline().strip()
    time.sleep(random.Random(turn).random() * 0.05)
    writers[0].kill()
    done = [key for writer in writers for key in acknowledged(writer)]
    return [*done, head, *write(open_store(url), f"{turn} after", 3)]


def full(url: str, turn: int) -> list[str]:
    """No file may grow beyond some size: the disk is full; then there is room again."""
    done = acknowledged(start(url, str(turn), 200, limit=100_000 + 9_973 * turn))
    return done + write(open_store(url), f"{turn} after", 3)


def cut_off(url: str, turn: int) -> list[str]:
    """The last write did not reach the disk whole: its file is cut at a random byte; then writing goes on."""
    store = open_store(url)
    done = write(store, str(turn), 20)
    store.close()
    path = Path(url)
    chance = random.Random(turn)
    if path.is_dir():
        (last,) = path.rglob(f"{done[-1]}*")
        os.truncate(last, chance.randrange(last.stat().st_size))
    else:
        size = path.stat().st_size
        os.truncate(path, size - chance.randrange(1, len(line_of(done[-1]))))
    done.pop()
    return done + write(open_store(url), f"{turn} after", 3)


def git(*words: str, where: Path) -> None:
    subprocess.run([*GIT, *words], cwd=where, check=True, capture_output=True)


def merged(url: str, turn: int) -> list[str]:
    """Two branches that recorded different calls are merged, while a process that knew one of them goes on writing."""
    where, name = Path(url).parent, Path(url).name
    git("init", where=where)
    (where / ".gitattributes").write_text("*.jsonl merge=union eol=lf\n")
    store = open_store(url)
    done = write(store, f"{turn} base", 5)
    git("add", "-A", where=where)
    git("commit", "-m", "base", where=where)
    git("checkout", "-b", "other", where=where)
    done += write(store, f"{turn} other", 5)
    git("add", name.rstrip("/"), where=where)
    git("commit", "-m", "other", where=where)
    git("checkout", "main", where=where)
    done += write(store, f"{turn} main", 5)
    git("add", name.rstrip("/"), where=where)
    git("commit", "-m", "main", where=where)
    git("merge", "other", where=where)
    return done + write(store, f"{turn} after", 5)


FAULTS: dict[str, tuple[Callable[[str, int], list[str]], tuple[str, ...], float]] = {
    "16 processes × 4 threads": (many_writers, tuple(KINDS), 0.1),
    "kill -9 of a writer": (killed, tuple(KINDS), 1),
    "disk full": (full, tuple(KINDS), 1),
    "cut at a random byte": (cut_off, ("JSONL", "folder"), 1),  # SQLite's file is its own business
    "git merge under a writer": (merged, ("JSONL", "folder"), 0.4),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tries", type=int, default=50)
    parser.add_argument("--worker", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        worker(*options.worker)
        return
    print("| fault | store | tries | acknowledged | lost |\n|---|---|---|---|---|")
    worst = 0
    for fault, (cause, kinds, share) in FAULTS.items():
        for kind in kinds:
            tries, done, lost = max(1, round(options.tries * share)), 0, 0
            for turn in range(tries):
                folder = tempfile.mkdtemp()
                url = os.path.join(folder, KINDS[kind])
                known = cause(url, turn)
                fresh = open_store(url)
                done += len(known)
                lost += sum(fresh.get(key) != line_of(key) for key in known)
                fresh.close()
                shutil.rmtree(folder)
            worst = max(worst, lost)
            print(f"| {fault} | {kind} | {tries} | {done:,} | {lost} |", flush=True)
    sys.exit(worst > 0)


if __name__ == "__main__":
    main()
