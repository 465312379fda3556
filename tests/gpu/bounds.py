#!/usr/bin/env python3
"""Holds what tests/gpu/run has measured against its bounds; a line for each: holds, FAILS, or not measured."""

import json
import re
import sys
from pathlib import Path

# Operations of a unit in a cycle: 512 multiply-adds on each of 4 tensor cores (NVIDIA H100 white paper), 2 operations each.
FLOPS_PER_CYCLE = 4096
UNITS = {"H100": 132, "H200": 132}


def measured(path):
    """Times in seconds, errors and clocks by name."""
    if not path.is_file():
        return {}
    found = {}
    for line in path.read_text().splitlines()[1:]:
        try:
            record = json.loads(line)
        except ValueError:
            continue
        found[record["id"]] = record["measured"]
    return found


def seconds(record):
    return record["p50_picos"] / 1e12


def grouped(name):
    match = re.fullmatch(r"grouped-(bf16|fp8)-(\d+)x(\d+)x(\d+)x(\d+)-sustained", name)
    return match and (match[1], *map(int, match.groups()[1:]))


def dense(name):
    match = re.fullmatch(r"dense-(bf16|fp8)-(\d+)x(\d+)x(\d+)-sustained", name)
    return match and (match[1], *map(int, match.groups()[1:]))


def copied(name):
    match = re.fullmatch(r"copy-(\d+)-sustained", name)
    return match and 2 * int(match[1])


def passed(name):
    """Least bytes of a pass."""
    if match := re.fullmatch(r"swiglu-(\d+)x(\d+)-sustained", name):
        rows, inner = map(int, match.groups())
        return 6 * rows * inner
    if match := re.fullmatch(r"(gather|combine)-(\d+)x(\d+)x(\d+)-sustained", name):
        tokens, top_k, hidden = map(int, match.groups()[1:])
        indices = 4 * tokens * top_k * (1 if match[1] == "gather" else 2)
        return 2 * tokens * hidden + 2 * tokens * top_k * hidden + indices
    return None


def rates(records, work):
    return {name: work(name) / seconds(record) for name, record in records.items() if work(name)}


def bounds(folder):
    """(what, value, bound, whether it holds); a value of None is not measured."""
    first = measured(folder / "run-1.profile.json.measured.jsonl") or measured(folder / "run-1.profile.json.part.jsonl")
    second = measured(folder / "run-2.profile.json.measured.jsonl") or measured(folder / "run-2.profile.json.part.jsonl")
    copy = max(rates(first, copied).values(), default=None)
    for precision, share in (("bf16", 0.85), ("fp8", 0.70)):
        product = lambda name: (shape := dense(name)) and shape[0] == precision and 2.0 * shape[1] * shape[2] * shape[3]
        best = max(rates(first, product).values(), default=None)
        names = [name for name in first if (shape := grouped(name)) and shape[0] == precision and shape[2] >= 512]
        for name in names:
            _, experts, rows, n, k = grouped(name)
            rate = 2.0 * experts * rows * n * k / seconds(first[name])
            value = rate / best if best else None
            yield f"{name} over the best dense product", value, f">= {share:.2f}", value is not None and value >= share
        if not names:
            yield f"grouped {precision} over the best dense product", None, f">= {share:.2f}", False
    for kind in ("swiglu", "gather", "combine"):
        found = [rate for name, rate in rates(first, passed).items() if name.startswith(kind)]
        value = found[0] / copy if found and copy else None
        yield f"{kind} over copy bandwidth", value, ">= 0.85", value is not None and value >= 0.85
    for precision, most in (("bf16", 1e-2), ("fp8", 4e-2)):
        errors = [r["error"] for name, r in first.items() if grouped(name) and grouped(name)[0] == precision]
        errors = [error for error in errors if error is not None]
        value = max(errors, default=None)
        yield f"largest relative error, grouped {precision}", value, f"<= {most:.0e}", value is not None and value <= most
    both = [abs(seconds(first[name]) / seconds(second[name]) - 1) for name in first.keys() & second.keys()]
    value = max(both, default=None)
    yield "run-to-run band", value, "<= 0.01", value is not None and value <= 0.01
    yield from telemetry(folder)


def telemetry(folder):
    load = measured(folder / "load.profile.json.measured.jsonl")
    text = (folder / "telemetry.txt").read_text() if (folder / "telemetry.txt").is_file() else ""
    active = [float(line.split()[-1]) for line in text.splitlines() if line.startswith("orrery_gpu_tensor_active_ratio")]
    record = load.get("dense-bf16-8192x8192x8192-sustained")
    provenance = (folder / "provenance.txt").read_text() if (folder / "provenance.txt").is_file() else ""
    units = next((count for name, count in UNITS.items() if name in provenance), None)
    value = None
    if record and record.get("clock_hertz") and active and units:
        mfu = 2.0 * 8192**3 / (seconds(record) * units * FLOPS_PER_CYCLE * record["clock_hertz"])
        value = mfu - max(active)
    yield "MFU by clock less tensor activity", value, "<= 0.03", value is not None and value <= 0.03
    value = None
    if (folder / "overhead.txt").is_file():
        ticks, rate, span = map(float, (folder / "overhead.txt").read_text().split())
        value = ticks / rate / max(span, 1.0)
    yield "share of a core that telemetry takes", value, "<= 0.005", value is not None and value <= 0.005


def main():
    states = []
    for what, value, bound, holds in bounds(Path(sys.argv[1])):
        states.append("not measured" if value is None else "holds" if holds else "FAILS")
        shown = "-" if value is None else f"{value:.4g}"
        print(f"{what:<64}{shown:>12} {bound:<10} {states[-1]}")
    # A bound that does not hold says more than one that was not measured.
    return 1 if "FAILS" in states else 3 if "not measured" in states else 0


if __name__ == "__main__":
    sys.exit(main())
