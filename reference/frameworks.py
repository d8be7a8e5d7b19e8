"""Importing TensorFlow and Keras: once, late, quietly, and with a clear error."""

from __future__ import annotations

import os
from functools import cache
from typing import Any


@cache
def frameworks() -> tuple[Any, Any]:
    """Return the modules (tensorflow, keras).

    Raises:
        ImportError: if either is missing, or if Keras runs on another backend.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    try:
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
    return tf, keras
