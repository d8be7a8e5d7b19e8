"""Isolated environments for releases of Keras, kept in a cache; offline once they are there.

One *base* for each TensorFlow and Python is a virtual environment. A release of Keras is a
directory of its own, installed without its declared dependencies, that a process finds before the
base's own Keras: adding a release costs seconds. A *source* is a copy of this tool, so that a
process sees nothing else of the environment that the tool runs in.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

# What Keras needs beside TensorFlow's own requirements; releases 3.0.x ask for dm-tree.
BESIDE = ("dm-tree", "rich", "namex", "h5py", "optree", "ml-dtypes", "packaging", "absl-py")
ROOMS = ("manual_backprop", "reference", "agreement")
COMPLETE = "complete"
VERSION = re.compile(r"\d+(\.\d+)*((a|b|rc|\.dev|\.post)\d+)?")


class UnavailableError(ValueError):
    """An environment that cannot be had; the message is one line that says why."""


def default_cache() -> Path:
    """Where caches of users are kept on this system, or $AGREEMENT_CACHE."""
    if "AGREEMENT_CACHE" in os.environ:
        return Path(os.environ["AGREEMENT_CACHE"])
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "agreement"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "agreement" / "Cache"
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "agreement"


@dataclass(frozen=True)
class Environments:
    """Bases, releases and the source, in one cache.

    Attributes:
        cache: the directory. python: the interpreter that bases are made with.
    """

    cache: Path
    python: str = sys.executable

    def base(self, tensorflow: str) -> Path:
        """The interpreter of the base with that TensorFlow, which is built if it is not there.

        Raises:
            UnavailableError: if it cannot be built.
        """
        checked("--tensorflow", tensorflow)
        place = self.cache / f"base-tensorflow-{tensorflow}-python-{self.python_version}"
        if not (place / COMPLETE).exists():
            shutil.rmtree(place, ignore_errors=True)
            self.cache.mkdir(parents=True, exist_ok=True)
            wanted = [f"tensorflow=={tensorflow}", *BESIDE]
            try:
                self._make(place)
                self._install(interpreter(place), wanted, f"tensorflow {tensorflow}")
                (place / COMPLETE).touch()
            except BaseException:
                shutil.rmtree(place, ignore_errors=True)
                raise
        return interpreter(place)

    def release(self, keras: str, base: Path) -> Path:
        """The directory of that release of Keras, which is installed if it is not there.

        Raises:
            UnavailableError: if there is no such release, or it does not install.
        """
        checked("keras", keras)
        place = self.cache / f"keras-{keras}"
        if not place.exists():
            self.cache.mkdir(parents=True, exist_ok=True)
            partial = self.cache / f".keras-{keras}.{secrets.token_hex(4)}"
            try:
                # The builds of every night are published under a name of their own.
                package = "keras-nightly" if ".dev" in keras else "keras"
                wanted = ["--no-deps", "--target", str(partial), f"{package}=={keras}"]
                self._install(base, wanted, f"keras {keras}")
                partial.replace(place)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
        return place

    @cached_property
    def python_version(self) -> str:
        """Of the interpreter, such as "3.11"."""
        asked = "import sys; print('%d.%d' % sys.version_info[:2])"
        return _run([self.python, "-c", asked], f"--python {self.python}").strip()

    def source(self) -> Path:
        """A copy of this tool's own packages, by the digest of what they say."""
        home = Path(__file__).resolve().parents[2]
        files = sorted(f for room in ROOMS for f in (home / room).rglob("*.py"))
        digest = hashlib.sha256()
        for file in files:
            digest.update(f"{file.relative_to(home)}\n".encode() + file.read_bytes())
        place = self.cache / f"source-{digest.hexdigest()[:16]}"
        if not place.exists():
            partial = self.cache / f".source.{secrets.token_hex(4)}"
            for file in files:
                copy = partial / file.relative_to(home)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, copy)
            try:
                partial.replace(place)
            except OSError:  # another process was first
                shutil.rmtree(partial, ignore_errors=True)
        return place

    def _make(self, place: Path) -> None:
        tool = shutil.which("uv")
        if tool is not None:
            _run([tool, "venv", "--quiet", "--python", self.python, str(place)], "uv venv")
        else:
            _run([self.python, "-m", "venv", str(place)], "venv")

    def _install(self, base: Path, wanted: Sequence[str], what: str) -> None:
        tool = shutil.which("uv")
        if tool is not None:
            command = [tool, "pip", "install", "--quiet", "--python", str(base), *wanted]
        else:
            quiet = ["--quiet", "--no-input", "--disable-pip-version-check"]
            command = [str(base), "-m", "pip", "install", *quiet, *wanted]
        _run(command, what)


def interpreter(place: Path) -> Path:
    """Of a virtual environment."""
    return place / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def checked(argument: str, version: str) -> str:
    """A version's number, and nothing that an installer would take for something else.

    Raises:
        UnavailableError: if it is not one.
    """
    if not VERSION.fullmatch(version):
        raise UnavailableError(
            f"{argument}: {version[:40]!r} is not a version; expected one such as 3.15.1."
        )
    return version


def surroundings(paths: Sequence[Path]) -> dict[str, str]:
    """The variables of a process that sees these directories first, and none of ours."""
    ours = ("PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV", "PYTHONSTARTUP")
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    return kept | {
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "PYTHONNOUSERSITE": "1",
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "",
    }


def _run(command: Sequence[str], what: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=surroundings(()))
    except OSError as error:
        raise UnavailableError(f"{what}: cannot run {command[0]} ({error}).") from None
    if done.returncode:
        raise UnavailableError(f"{what}: does not install: {last_line(done.stderr)}")
    return done.stdout


def last_line(text: str) -> str:
    """What an installer or a process said last, or the last thing that it called an error."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    lines = [line for line in lines if not re.match(r"[IWE]\d{4} \d\d:|WARNING: All log", line)]
    errors = [line for line in lines if re.match(r"(?i)(error|×|.*Error:)", line)]
    return (errors or lines or ["no reason given"])[-1][:300]
