"""Recording the installed Keras; also a program of its own, for a process of another release.

``python -m agreement.upgrade.recorder FILE`` needs no more than NumPy, TensorFlow and Keras: the
judge and the command line stay at home.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Sequence

import numpy as np

from agreement.upgrade.items import Item, catalogue_items, chosen
from agreement.upgrade.recording import Case, Recording, write_recording
from reference.observe_model import located


def record(
    only: Sequence[str] = (),
    model: str = "",
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> Recording:
    """Run every item on the installed Keras.

    Args:
        only: families or members; all without, but with a model then only the model.
        model: FILE.py:FUNCTION, the user's own model; see ``agreement.upgrade.models``.
        advance: told (done, total).

    Raises:
        ValueError: for an unknown family, or a model that cannot be loaded.
        ImportError: where Keras or TensorFlow cannot be imported.
    """
    families = () if model and not only else chosen(only)
    if model:
        located(model)
    items: list[Item] = list(catalogue_items(families))
    _fix_what_varies()
    if model:
        from agreement.upgrade.models import model_items

        items += model_items(model)
    recording = Recording(versions(), machine(), list(families), model)
    for number, item in enumerate(items):
        advance(number, len(items))
        seen = item.observe(item.cases)
        recording.cases[item.key] = {
            name: Case(dict(item.cases.get(name, {})), observation)
            for name, observation in seen.items()
        }
    advance(len(items), len(items))
    recording.title = f"keras {recording.versions['keras']}"
    return recording


def _fix_what_varies() -> None:
    """One thread and no fast paths of the machine's own: sums are added in one order."""
    from reference.frameworks import frameworks

    os.environ.setdefault("TF_DETERMINISTIC_OPS", "1")
    tf, keras = frameworks()
    keras.utils.set_random_seed(0)
    try:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        pass  # TensorFlow has begun to work: what it has chosen stays


def versions() -> dict[str, str]:
    """The releases that a recording speaks of."""
    from reference.frameworks import frameworks

    tf, keras = frameworks()
    return {
        "keras": keras.__version__,
        "tensorflow": tf.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def machine() -> dict[str, str]:
    """The platform and its processor."""
    name = platform.processor()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as handle:
            lines = [line for line in handle if line.startswith("model name")]
        name = lines[0].partition(":")[2].strip() if lines else name
    except OSError:
        pass  # not on this system
    return {"platform": platform.platform(), "processor": name or platform.machine()}


def main() -> None:
    """Record as told; progress goes to standard output, a JSON list on each line."""
    parser = argparse.ArgumentParser(prog="recorder")
    parser.add_argument("file")
    parser.add_argument("--only", default="")
    parser.add_argument("--model", default="")
    asked = parser.parse_args()
    shown = [-1]

    def advance(done: int, total: int) -> None:
        if 50 * done // max(total, 1) != shown[0]:
            shown[0] = 50 * done // max(total, 1)
            print(json.dumps([done, total]), flush=True)

    try:
        found = record([name for name in asked.only.split(",") if name], asked.model, advance)
        write_recording(asked.file, found)
    except Exception as error:
        print(f"{type(error).__name__}: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
