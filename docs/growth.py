"""Draws docs/growth.svg from the result of `cargo xtask bench --growth --format json`.

    python docs/growth.py growth.json growth.svg
"""

import json
import sys

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

source, target = sys.argv[1:]
points = json.load(open(source))
plt.rcParams.update({"font.size": 9, "svg.hashsalt": "growth"})
figure, axes = plt.subplots(2, 3, figsize=(9, 5), sharey="row", layout="constrained")
for column, (key, label, others) in enumerate(
    [
        ("batch", "clips of a batch", ("clip_seconds", "mels")),
        ("clip_seconds", "clip, s", ("batch", "mels")),
        ("mels", "mel bands", ("batch", "clip_seconds")),
    ]
):
    # Those that share the other two sizes with the most points; of a size that was measured more than
    # once, the fastest.
    groups = {}
    for point in points:
        known = groups.setdefault(tuple(point[other] for other in others), {})
        if point["seconds"] < known.get(point[key], {"seconds": float("inf")})["seconds"]:
            known[point[key]] = point
    line = sorted(max(groups.values(), key=len).items())
    xs = [x for x, _ in line]
    for row, (value, name) in enumerate(
        [
            (lambda point: point["seconds"], "seconds of an update"),
            (lambda point: point["device_bytes"] / 2**20, "MiB on the device"),
        ]
    ):
        axis = axes[row][column]
        ys = [value(point) for _, point in line]
        axis.loglog(xs, ys, "o-", base=2, color="#1a5fb4", markersize=4)
        # As if time and memory were proportional to the size.
        axis.loglog(xs, [ys[-1] * x / xs[-1] for x in xs], ":", base=2, color="#777777")
        axis.set_xticks(xs, [f"{x:g}" for x in xs])
        axis.minorticks_off()
        axis.grid(color="#dddddd", linewidth=0.5)
        if column == 0:
            axis.set_ylabel(name)
        if row == 1:
            axis.set_xlabel(label)
figure.savefig(target, metadata={"Date": None})
