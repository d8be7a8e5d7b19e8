"""Importing TensorFlow and Keras: once, late, quietly, and with a clear error."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from functools import cache
from typing import Any


@cache
def frameworks() -> tuple[Any, Any]:
    """Return the modules (tensorflow, keras).

    Raises:
        ImportError: if either is missing, or if Keras runs on another backend.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    try:
        with _quiet_stderr():
            import keras
            import tensorflow as tf
    except ImportError as error:
        raise ImportError(
            f"the Keras references need TensorFlow and Keras ({error}); "
            f"install them with: pip install tensorflow keras"
        ) from error
    if keras.backend.backend() != "tensorflow":
        raise ImportError(
            f"the references need Keras on TensorFlow, but it runs on {keras.backend.backend()!r}; "
            f"set the environment variable KERAS_BACKEND=tensorflow."
        )
    # One traced function per structure is the plan here, not the mistake it warns about.
    tf.get_logger().setLevel("ERROR")
    return tf, keras


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Hold back what TensorFlow's C++ side writes while loading, whatever its log level.

    Nothing is lost on failure: an import error carries its own message.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@contextlib.contextmanager
def floatx(dtype: str) -> Iterator[None]:
    """Let Keras keep and compute learning rates in the model's dtype, not in float32 always."""
    _, keras = frameworks()
    before = keras.config.floatx()
    keras.config.set_floatx(dtype)
    try:
        yield
    finally:
        keras.config.set_floatx(before)


def set_mask(tensor: Any, mask: Any) -> None:
    """Have Keras' losses leave out what a mask does.

    Releases before 3.6 have no function for it.
    """
    _, keras = frameworks()
    setter = getattr(keras.src.backend, "set_keras_mask", None)
    if setter is None:
        tensor._keras_mask = mask
    else:
        setter(tensor, mask)
