"""How long a person waits for a miss: `python bench/miss.py [--quick]`.

From the call to `cachy.Miss`, through httpx, with so many recordings of the same endpoint in the store: the first
call of a process, once as on a fresh clone, where the store is read (`cold`), once with the index that an earlier
process left, and the median of the later ones. `hit` is the first call when it is recorded: what opening the store
costs by itself.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SIZES = (10, 1_000, 10_000, 100_000)
SYLLABLES = [start + vowel + end for start in "bdfglmnprstv" for vowel in "aeiou" for end in ("", "r", "nd")]
WORDS = [one + other for one in SYLLABLES[::3] for other in SYLLABLES]
URL = "https://api.openai.com/v1/chat/completions"


def question(number: int) -> dict[str, Any]:
    """A request of 3 KB: a system prompt that all share, and a question of its own."""
    chosen = random.Random(0).choices(WORDS, k=400), random.Random(number).choices(WORDS, k=100)
    system, user = (" ".join(words) for words in chosen)
    return {"model": "gpt-5-mini", "messages": [
        {"role": "system", "content": system}, {"role": "user", "content": f"{number}: {user}"}]}  # fmt: skip


def fill(store: Path, count: int) -> None:
    from cachy.exchange import Response
    from cachy.keys import from_object
    from cachy.recording import Recording

    answer = json.dumps(
        {"choices": [{"finish_reason": "stop", "message": {"content": "answer " * 150}}]}
    ).encode()
    place = {"method": "POST", "host": "api.openai.com", "path": "/v1/chat/completions"}
    with store.open("wb") as file:
        for number in range(count):
            wanted = from_object({**place, "body": {"json": question(number)}})
            response = Response(200, (("content-type", "application/json"),), answer)
            recording = Recording(wanted.key, "2026-11-23T08:00:00Z", "openai", wanted.data(), response)
            file.write(recording.to_line() + b"\n")


def measure(store: Path, count: int, asked: str) -> dict[str, Any]:
    """In a process of its own: milliseconds of the first call, and the median of twenty more."""
    import httpx

    import cachy

    cachy.enable("replay", store=store, summary=False)
    took, words = [], ""
    with httpx.Client() as client:
        for turn in range(1 if asked == "hit" else 21):
            body = question(max(0, count - 5))
            if asked != "hit":
                body["messages"][1]["content"] += f" turn {turn}"
            started = time.perf_counter()
            try:
                client.post(URL, json=body)
            except cachy.Miss as miss:
                words = str(miss)
            took.append((time.perf_counter() - started) * 1000)
            assert (not words) == (asked == "hit")
    return {"first": took[0], "later": statistics.median(took[1:] or took), "words": words}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="10 and 1,000 recordings only")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        store, count, asked = options.worker
        print(json.dumps(measure(Path(store), int(count), asked)))
        return
    print(
        "| recordings | hit, cold | hit | miss, cold | miss | later misses | |\n|---|---|---|---|---|---|---|"
    )
    for count in SIZES[:2] if options.quick else SIZES:
        with tempfile.TemporaryDirectory() as folder:
            store = Path(folder) / "cachy.jsonl"
            fill(store, count)
            cold_hit = worker(store, count, "hit", options.repeat, None)
            cold_miss = worker(store, count, "miss", options.repeat, None)
            caches = Path(folder) / "caches"
            worker(store, count, "hit", 1, caches)  # leaves the index
            hit = worker(store, count, "hit", options.repeat, caches)
            miss = worker(store, count, "miss", options.repeat, caches)
            searched = [line.strip() for line in miss["words"].splitlines() if "searched" in line]
            cells = (
                *(f"{run['first']:.0f} ms" for run in (cold_hit, hit, cold_miss, miss)),
                f"{miss['later']:.0f} ms",
                *(searched or [""]),
            )
            print(f"| {count:,} | {' | '.join(cells)} |", flush=True)


def worker(store: Path, count: int, asked: str, repeat: int, caches: Path | None) -> dict[str, Any]:
    """The median of several processes, with the user's `caches` there, or each with none."""
    found = []
    for turn in range(repeat):
        command = [sys.executable, __file__, "--worker", str(store), str(count), asked]
        env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        env["XDG_CACHE_HOME"] = str(caches or store.with_name(f"none-{asked}-{turn}"))
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
        found.append(json.loads(done.stdout))
    medians = {name: statistics.median(run[name] for run in found) for name in ("first", "later")}
    return {**found[-1], **medians}


if __name__ == "__main__":
    main()
