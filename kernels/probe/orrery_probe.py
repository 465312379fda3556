#!/usr/bin/env python3
"""Times the kernels of this container and writes them as a profile of Orrery.

One file without dependencies beyond what it times: copy it into the container that trains or serves, and run it there.
What cannot be imported is named and left out; nothing stands for it.

    python3 orrery_probe.py --plan                 what would run; needs neither torch nor a device
    python3 orrery_probe.py --out h100.profile.json
    python3 orrery_probe.py --only dense --only grouped_mm --seconds 2

Every time is the median of batches between two events, back to back over changing buffers of random data, after a
warm-up. Forward, gradients of inputs (dgrad) and of weights (wgrad) are timed apart. Each curve holds the law that was
fitted to its times, the shapes, who measured, and whose kernels they are.
"""

import argparse
import datetime
import importlib
import json
import math
import os
import platform
import statistics
import sys
import time

SCHEMA = "profile/1"
# Dense rates and memory bandwidth of data sheets: TFLOP/s of bf16 and fp8, GB/s; the more exact name first.
SHEETS = [
    ("H100-PCIe-80GB", ("h100", "pcie"), 756.0, 1513.0, 2000.0),
    ("H100-SXM5-80GB", ("h100",), 989.0, 1979.0, 3350.0),
    ("H800-SXM5-80GB", ("h800",), 989.0, 1979.0, 3350.0),
    ("H200-SXM-141GB", ("h200",), 989.0, 1979.0, 4800.0),
    ("H20-96GB", ("h20",), 148.0, 296.0, 4000.0),
    ("B200-SXM-180GB", ("b200",), 2250.0, 4500.0, 7700.0),
    ("A100-SXM4-40GB", ("a100", "40gb"), 312.0, 312.0, 1555.0),
    ("A100-SXM4-80GB", ("a100",), 312.0, 312.0, 2039.0),
    ("L40S-48GB", ("l40s",), 362.0, 733.0, 864.0),
]
DENSE = [(m, n, k) for m in (256, 1024, 4096, 8192) for n, k in ((4096, 7168), (7168, 2048), (8192, 8192))]
# (experts, rows of each, columns, depth)
GROUPED = [(8, rows, n, k) for rows in (128, 512, 2048) for n, k in ((4096, 7168), (7168, 2048), (3584, 4096))]
# (sequences, tokens, heads, key-value heads, width)
ATTENTION = [(1, 4096, 32, 8, 128), (1, 16384, 32, 8, 128), (4, 4096, 32, 32, 128)]
COPIES = [64 << 20, 1 << 30]


class Case:
    """One shape of one operation by one library."""

    def __init__(self, source, op, precision, direction, shape, modules, build):
        self.source, self.op, self.precision, self.direction = source, op, precision, direction
        self.shape, self.modules, self.build = shape, modules, build

    def name(self):
        shape = "x".join(str(extent) for extent in self.shape)
        return f"{self.source}-{self.op}-{self.precision or 'any'}-{self.direction}-{shape}"

    def missing(self):
        """The first module that cannot be imported, with why; None where all can."""
        for module in self.modules:
            try:
                importlib.import_module(module)
            except Exception as fault:  # a broken build raises what it likes
                return f"{module}: {type(fault).__name__}: {fault}"
        return None


def randn(torch, *shape, dtype=None):
    return torch.randn(*shape, device="cuda", dtype=torch.float32).to(dtype or torch.bfloat16)


def seeded_rows(torch, experts, rows):
    """Rows of each expert: as a router without preference sends them, the same every time."""
    generator = torch.Generator().manual_seed(1)
    chosen = torch.randint(0, experts, (experts * rows,), generator=generator)
    return torch.bincount(chosen, minlength=experts)


def build_copy(torch, size):
    pairs = [(randn(torch, size // 2), torch.empty(size // 2, device="cuda", dtype=torch.bfloat16)) for _ in range(2)]
    return [lambda pair=pair: pair[1].copy_(pair[0]) for pair in pairs]


def build_dense(torch, direction, m, n, k):
    calls = []
    for _ in range(2):
        x, w, g = randn(torch, m, k), randn(torch, n, k), randn(torch, m, n)
        if direction == "forward":
            calls.append(lambda x=x, w=w: x @ w.t())
        elif direction == "dgrad":
            calls.append(lambda g=g, w=w: g @ w)
        else:
            calls.append(lambda g=g, x=x: g.t() @ x)
    return calls


def build_grouped_mm(torch, direction, experts, rows, n, k):
    """torch's own grouped product."""
    counts = seeded_rows(torch, experts, rows)
    ends = torch.cumsum(counts, 0).to(device="cuda", dtype=torch.int32)
    total = int(counts.sum())
    grouped = getattr(torch.nn.functional, "grouped_mm", None) or torch._grouped_mm
    calls = []
    for _ in range(2):
        x, w, g = randn(torch, total, k), randn(torch, experts, k, n), randn(torch, total, n)
        if direction == "forward":
            calls.append(lambda x=x, w=w: grouped(x, w, offs=ends))
        elif direction == "dgrad":
            calls.append(lambda g=g, w=w: grouped(g, w.transpose(1, 2), offs=ends))
        else:
            calls.append(lambda x=x, g=g: grouped(x.t(), g, offs=ends))
    return calls


def build_te(torch, direction, m, n, k):
    import transformer_engine.pytorch as te

    layer = te.Linear(k, n, bias=False, params_dtype=torch.bfloat16, device="cuda")
    calls = []
    for _ in range(2):
        x, g = randn(torch, m, k).requires_grad_(), randn(torch, m, n)
        if direction == "forward":
            def call(x=x):
                with torch.no_grad(), te.fp8_autocast(enabled=True):
                    layer(x)
        else:
            # Both gradients: the library computes them together.
            with te.fp8_autocast(enabled=True):
                y = layer(x)
            def call(y=y, g=g):
                y.backward(g, retain_graph=True)
        calls.append(call)
    return calls


def build_deepgemm(torch, experts, rows, n, k):
    import deep_gemm
    from deep_gemm.utils import per_block_cast_to_fp8, per_token_cast_to_fp8

    aligned = (rows + 127) // 128 * 128
    total = experts * aligned
    indices = torch.arange(experts, device="cuda", dtype=torch.int32).repeat_interleave(aligned)
    x = per_token_cast_to_fp8(randn(torch, total, k), use_ue8m0=False)
    weights = [per_block_cast_to_fp8(randn(torch, n, k), use_ue8m0=False) for _ in range(experts)]
    w = (torch.stack([pair[0] for pair in weights]), torch.stack([pair[1] for pair in weights]))
    y = torch.empty(total, n, device="cuda", dtype=torch.bfloat16)
    call = getattr(deep_gemm, "m_grouped_fp8_gemm_nt_contiguous", None)
    call = call or deep_gemm.m_grouped_gemm_fp8_fp8_bf16_nt_contiguous
    return [lambda: call(x, w, y, indices)]


def build_flash(torch, direction, sequences, tokens, heads, kv_heads, width):
    from flash_attn import flash_attn_func

    calls = []
    for _ in range(2):
        q = randn(torch, sequences, tokens, heads, width).requires_grad_()
        k = randn(torch, sequences, tokens, kv_heads, width).requires_grad_()
        v = randn(torch, sequences, tokens, kv_heads, width).requires_grad_()
        if direction == "forward":
            def call(q=q, k=k, v=v):
                with torch.no_grad():
                    flash_attn_func(q, k, v, causal=True)
        else:
            y = flash_attn_func(q, k, v, causal=True)
            g = torch.randn_like(y)
            def call(y=y, g=g):
                y.backward(g, retain_graph=True)
        calls.append(call)
    return calls


def cases():
    """Everything that can be timed, in order."""
    found = []
    for size in COPIES:
        found.append(Case("torch", "memory_pass", None, "forward", (size,), ["torch"],
                          lambda torch, size=size: build_copy(torch, size)))
    for direction in ("forward", "dgrad", "wgrad"):
        for shape in DENSE:
            found.append(Case("cublaslt", "gemm", "bf16", direction, shape, ["torch"],
                              lambda torch, d=direction, s=shape: build_dense(torch, d, *s)))
        for shape in GROUPED:
            found.append(Case("torch-grouped-mm", "grouped_gemm", "bf16", direction, shape, ["torch"],
                              lambda torch, d=direction, s=shape: build_grouped_mm(torch, d, *s)))
    for direction in ("forward", "backward"):
        for shape in DENSE:
            found.append(Case("te", "gemm", "fp8", direction, shape, ["torch", "transformer_engine.pytorch"],
                              lambda torch, d=direction, s=shape: build_te(torch, d, *s)))
        for shape in ATTENTION:
            found.append(Case("flash-attn", "attention_" + direction, "bf16", direction, shape,
                              ["torch", "flash_attn"],
                              lambda torch, d=direction, s=shape: build_flash(torch, d, *s)))
    for shape in GROUPED:
        found.append(Case("deepgemm", "grouped_gemm", "fp8", "forward", shape, ["torch", "deep_gemm"],
                          lambda torch, s=shape: build_deepgemm(torch, *s)))
    return found


def flops(case):
    """Useful operations: real rows, causal attention counted half; gradients of TE are two products."""
    if case.op == "gemm":
        m, n, k = case.shape
        return 2.0 * m * n * k * (2.0 if case.direction == "backward" else 1.0)
    if case.op == "grouped_gemm":
        experts, rows, n, k = case.shape
        return 2.0 * experts * rows * n * k
    if case.op.startswith("attention"):
        sequences, tokens, heads, _, width = case.shape
        forward = 2.0 * (tokens * tokens / 2.0) * 2 * width * heads * sequences
        return forward * (2.5 if case.direction == "backward" else 1.0)
    return 0.0


def moved(case):
    """The least memory traffic, in bytes."""
    size = 1 if case.precision == "fp8" else 2
    if case.op == "memory_pass":
        return 2 * case.shape[0]
    if case.op == "gemm":
        m, n, k = case.shape
        return (m * k + n * k) * size + 2 * m * n
    if case.op == "grouped_gemm":
        experts, rows, n, k = case.shape
        return (experts * rows * k + experts * n * k) * size + 2 * experts * rows * n
    sequences, tokens, heads, kv_heads, width = case.shape
    forward = sequences * tokens * (heads + kv_heads) * 2 * width * 2
    return forward * (2 if case.direction == "backward" else 1)


def timed(torch, calls, seconds):
    """Median time of one call, and how many batches it is of."""
    for call in calls * 3:
        call()
    torch.cuda.synchronize()
    begin = time.monotonic()
    for call in calls:
        call()
    torch.cuda.synchronize()
    once = max((time.monotonic() - begin) / len(calls), 1e-6)
    launches = max(len(calls), min(2000, int(0.01 / once)))
    samples, begin = [], time.monotonic()
    warm_until = begin + min(3.0, seconds / 2)
    while len(samples) < 30 or time.monotonic() < begin + seconds:
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        for launch in range(launches):
            calls[launch % len(calls)]()
        end.record()
        end.synchronize()
        if time.monotonic() >= warm_until:
            samples.append(start.elapsed_time(end) / 1e3 / launches)
        if time.monotonic() > begin + seconds + 15:
            break
    return statistics.median(samples), len(samples)


def sheet_of(name):
    words = "".join(letter if letter.isalnum() else " " for letter in name.lower()).split()
    for sheet in SHEETS:
        if all(word in words for word in sheet[1]):
            return sheet
    return None


def spread(errors):
    """Standard deviation of ln(predicted / measured) about zero; 0.1 where so few rows say nothing."""
    if len(errors) < 3:
        return 0.1
    return math.sqrt(sum(error * error for error in errors) / len(errors))


def roof(parts):
    return sum(part ** 4 for part in parts) ** 0.25


def fit(predict, rows, grid):
    """The parameters of `grid` (lists of candidates) with the least sum of |ln(predicted / measured)|, found by going
    through one parameter after the other until none gets better."""
    current = [values[len(values) // 2] for values in grid]
    loss = lambda parameters: sum(abs(math.log(predict(parameters, row[0]) / row[1])) for row in rows)
    best = loss(current)
    improved = True
    while improved:
        improved = False
        for at, values in enumerate(grid):
            for value in values:
                candidate = current[:at] + [value] + current[at + 1:]
                now = loss(candidate)
                if now < best - 1e-12:
                    best, current, improved = now, candidate, True
    return current


def steps(low, high, count):
    return [low * (high / low) ** (i / (count - 1)) for i in range(count)]


def tiled_law(rows, peak, bandwidth, units):
    """The law of tiled products: as `TiledLaw` of orrery-profile."""
    def extents(case):
        if case.op == "gemm":
            m, n, k = case.shape
            if case.direction == "dgrad":
                n, k = k, n
            if case.direction == "wgrad":
                m, n, k = n, k, m
            return math.ceil(m / 128), n, k
        experts, per_expert, n, k = case.shape
        if case.direction == "dgrad":
            n, k = k, n
        return experts * math.ceil(per_expert / 128), n, k

    def predict(parameters, case):
        efficiency, offset, memory, overhead = parameters
        row_tiles, n, k = extents(case)
        waves = row_tiles * math.ceil(n / 128) / units + 0.1
        compute = waves * units * 2.0 * 128 * 128 * (k + offset) / (peak * efficiency)
        return overhead + roof([compute, moved(case) / (bandwidth * memory)])

    grid = [steps(0.2, 1.0, 60), steps(1, 1500, 30), steps(0.3, 0.95, 30), steps(5e-7, 5e-6, 12)]
    found = fit(predict, rows, grid)
    law = {"kind": "tiled", "peak": peak, "bandwidth": bandwidth, "num_units": units, "tile_rows": 128,
           "tile_columns": 128, "efficiency": round(found[0], 4), "sustained": 1.0,
           "depth_offset": round(found[1], 1), "tail_waves": 0.1, "memory_efficiency": round(found[2], 4),
           "overhead_picos": int(found[3] * 1e12)}
    return law, [math.log(predict(found, case) / seconds) for case, seconds in rows]


def attention_law(rows, peak, bandwidth):
    def predict(parameters, case):
        efficiency, half, memory, overhead = parameters
        compute = flops(case) / (peak * efficiency) * (1.0 + half / case.shape[1])
        return overhead + roof([compute, moved(case) / (bandwidth * memory)])

    found = fit(predict, rows, [steps(0.1, 1.0, 60), steps(10, 4000, 30), steps(0.3, 0.95, 10), steps(5e-7, 2e-5, 12)])
    law = {"kind": "attention", "peak": peak, "bandwidth": bandwidth, "qk_dim": rows[0][0].shape[4],
           "efficiency": round(found[0], 4), "half_length": round(found[1], 1),
           "memory_efficiency": round(found[2], 4), "overhead_picos": int(found[3] * 1e12)}
    return law, [math.log(predict(found, case) / seconds) for case, seconds in rows]


def pass_law(rows, bandwidth):
    share = statistics.median(moved(case) / (seconds * bandwidth) for case, seconds in rows)
    law = {"kind": "pass", "bandwidth": bandwidth, "memory_efficiency": round(share, 4), "overhead_picos": 2000000}
    return law, [math.log(moved(case) / (share * bandwidth) / seconds) for case, seconds in rows]


def coordinates(case):
    """The shape as profiles write it."""
    if case.op == "memory_pass":
        return [moved(case), 0, 0]
    if case.op == "gemm":
        return list(case.shape)
    if case.op == "grouped_gemm":
        experts, rows, n, k = case.shape
        return [experts * rows, n, k]
    return [case.shape[1], case.shape[1], case.shape[4]]


# What a direction is called in a profile: gradients of inputs are products like any other, those of weights add up.
OPS = {("gemm", "wgrad"): "gemm_weight", ("grouped_gemm", "wgrad"): "gemm_weight"}


def curves(rows, sheet, units, place):
    """A curve for every (operation, precision, source) that was timed."""
    bandwidth = sheet[4] * 1e9
    groups = {}
    for case, seconds in rows:
        if case.direction == "backward" and case.source == "te":
            continue  # two products in one time: told in the notes, no curve of one product
        op = OPS.get((case.op, case.direction), case.op)
        groups.setdefault((op, case.precision, case.source), []).append((case, seconds))
    found = []
    for (op, precision, source), group in groups.items():
        peak = (sheet[3] if precision == "fp8" else sheet[2]) * 1e12
        if op == "memory_pass":
            law, errors = pass_law(group, bandwidth)
        elif op.startswith("attention"):
            law, errors = attention_law(group, peak, bandwidth)
        else:
            law, errors = tiled_law(group, peak, bandwidth, units)
        shapes = sorted(coordinates(case) for case, _ in group)
        dimensions = 1 if op == "memory_pass" else 3
        ranges = [{"min": min(s[d] for s in shapes), "max": max(s[d] for s in shapes)} for d in range(dimensions)]
        mape = sum(abs(math.expm1(error)) for error in errors) / len(errors)
        found.append({
            "op": op, "precision": precision, "mask": "causal" if op.startswith("attention") else None,
            "kernel_source": source, "law": law, "gap_picos": 0,
            "points": {"ranges": ranges, "shapes": shapes},
            "fitted": {"rows": len(group), "mape": float(f"{mape:.3e}"), "spread": float(f"{spread(errors):.3e}")},
            "provenance": place(group),
        })
    return found


def version_of(module):
    try:
        loaded = importlib.import_module(module)
    except Exception:
        return None
    return getattr(loaded, "__version__", "unknown")


def run(arguments):
    try:
        import torch
    except Exception as fault:
        print(f"orrery_probe: torch cannot be imported: {fault}\n  = help: run this inside the container that trains or "
              "serves; `--plan` needs no torch", file=sys.stderr)
        return 3
    if not torch.cuda.is_available():
        print("orrery_probe: torch sees no device\n  = help: run the container with `--gpus all`; "
              "`orrery-collector doctor` says what is missing", file=sys.stderr)
        return 3
    properties = torch.cuda.get_device_properties(0)
    sheet = sheet_of(properties.name)
    if sheet is None:
        print(f"orrery_probe: no data sheet of `{properties.name}`\n  = help: add a line to SHEETS: a fit needs a peak to "
              "begin from", file=sys.stderr)
        return 3
    rows, left_out = [], []
    chosen = [case for case in cases() if selected(case, arguments.only)]
    for number, case in enumerate(chosen, 1):
        reason = case.missing()
        if reason is None:
            try:
                seconds, samples = timed(torch, case.build(torch), arguments.seconds)
            except Exception as fault:  # a library refuses a shape or a device in its own way
                reason = f"{type(fault).__name__}: {fault}"
        torch.cuda.empty_cache()
        if reason is not None:
            left_out.append(f"{case.name()}: {reason.splitlines()[0] if reason else reason}")
            print(f"[{number}/{len(chosen)}] {left_out[-1]}", file=sys.stderr)
            continue
        rows.append((case, seconds))
        rate = flops(case) / seconds / 1e12
        print(f"[{number}/{len(chosen)}] {case.name()}: {seconds * 1e6:.1f} us, {rate:.0f} TFLOP/s, "
              f"{moved(case) / seconds / 1e9:.0f} GB/s, {samples} batches", file=sys.stderr)
    if not rows:
        print("orrery_probe: nothing could be timed; the lines above say why", file=sys.stderr)
        return 3
    today = datetime.date.today().isoformat()
    modules = {"cublaslt": "torch", "torch": "torch", "torch-grouped-mm": "torch", "te": "transformer_engine",
               "deepgemm": "deep_gemm", "flash-attn": "flash_attn"}

    def place(group):
        module = modules[group[0][0].source]
        return {"measured_by": arguments.measured_by, "source": os.path.basename(arguments.out),
                "rows": ", ".join(sorted({case.direction for case, _ in group})), "date": today,
                "version": f"{module} {version_of(module)}, CUDA {torch.version.cuda}",
                "note": "back to back over changing buffers, random data; includes the library's own launches"}

    notes = [f"Timed by orrery_probe.py on `{properties.name}`, torch {torch.__version__}."]
    notes += [f"{case.name()}: {seconds * 1e6:.1f} us (both gradients in one time, no curve)"
              for case, seconds in rows if case.direction == "backward" and case.source == "te"]
    notes += [f"Not timed: {reason}" for reason in left_out]
    deepep = version_of("deep_ep")
    notes.append("DeepEP is not timed here: its exchange needs a rank for each device; use `torchrun` with its own "
                 f"tests ({'installed: ' + deepep if deepep else 'not installed'}).")
    profile = {"schema": SCHEMA, "name": os.path.basename(arguments.out).replace(".profile.json", ""),
               "device": sheet[0], "stacks": ["container"], "date": today, "notes": notes,
               "kernels": curves(rows, sheet, properties.multi_processor_count, place),
               "collectives": [], "ratios": [], "exchanges": []}
    with open(arguments.out, "w", encoding="utf-8") as file:
        json.dump(profile, file, indent=2)
        file.write("\n")
    print(f"profile: {arguments.out}: {len(profile['kernels'])} curves of {len(rows)} times, {len(left_out)} left out")
    return 0


def selected(case, parts):
    return not parts or any(part in case.name() for part in parts)


def plan(arguments):
    chosen = [case for case in cases() if selected(case, arguments.only)]
    for case in chosen:
        print(f"{case.name():<64}{flops(case) / 1e9:>12.1f} GFLOP{moved(case) / 2**20:>12.1f} MiB  "
              f"needs {', '.join(case.modules)}")
    print(f"\n{len(chosen)} measurements, about {len(chosen) * (arguments.seconds + 2) / 60:.0f} min")
    return 0


def main():
    parser = argparse.ArgumentParser(description="Times the kernels of this container and writes a profile of Orrery.")
    parser.add_argument("--plan", action="store_true", help="print what would run; needs neither torch nor a device")
    parser.add_argument("--out", default="container.profile.json", help="where the profile goes")
    parser.add_argument("--only", action="append", default=[], help="measurements whose names hold this; repeatable")
    parser.add_argument("--seconds", type=float, default=6.0, help="time for each measurement")
    parser.add_argument("--measured-by", default=platform.node() or "unknown", help="who measures, for the profile")
    arguments = parser.parse_args()
    return plan(arguments) if arguments.plan else run(arguments)


if __name__ == "__main__":
    sys.exit(main())
