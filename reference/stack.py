"""Many draws of one architecture in a single call: a loop in the graph, over the same program.

A call into TensorFlow costs more than a small network's whole pass. Each turn of the loop runs
the very operations of a call for one draw; a test shows that it gives the very same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from manual_backprop import NaiveSequential
from manual_backprop.losses import Loss
from manual_backprop.trace import Trace
from manual_backprop.typing import Array
from reference.architecture import Architecture
from reference.frameworks import frameworks
from reference.functions import LossKey
from reference.twin import OpenTwin
from reference.witness import as_trace, quiet


class StackTwin(OpenTwin):
    """An ``OpenTwin`` whose arguments all have an axis of draws in front, and its results too."""

    def __init__(self, architecture: Architecture, loss: Loss) -> None:
        # A function of its own is optimized by itself, as one that is called directly. Inlined
        # into the loop, x · sigmoid(x) would no longer become the kernel that it is there.
        super().__init__(architecture, loss, experimental_attributes={"_noinline": True})
        tf, _ = frameworks()
        single = self.call
        self.results = single.structured_outputs
        # What is absent (a gradient, None) cannot be carried through a loop.
        present = _present(self.results)
        kinds = [tf.TensorSpec(None, tensor.dtype) for tensor in present]
        signature = tf.nest.map_structure(
            lambda spec: tf.TensorSpec([None, *spec.shape], spec.dtype), self.signature
        )

        def run(weights: Any, inputs: Any, labels: Any) -> list[Any]:
            return tf.map_fn(
                lambda draw: _present(single(*draw)),
                (weights, inputs, labels),
                parallel_iterations=1,
                fn_output_signature=kinds,
            )

        self.call = tf.function(run, input_signature=signature).get_concrete_function()

    def __call__(self, weights: Sequence[Array], inputs: Any, labels: Any) -> dict[str, Any]:
        """Run with the given weights on tensors."""
        found = iter(super().__call__(weights, inputs, labels))

        def filled(x: Any) -> Any:
            if isinstance(x, list | tuple):
                return [filled(entry) for entry in x]
            return None if x is None else next(found)

        return {key: filled(value) for key, value in self.results.items()}


def _present(result: dict[str, Any]) -> list[Any]:
    """The tensors of a twin's result in a row, without those that are absent."""
    rows = (x if isinstance(x, list | tuple) else [x] for x in result.values())
    return [tensor for row in rows for tensor in row if tensor is not None]


def stack_trace(
    model: NaiveSequential, weights: Sequence[Array], inputs: Array, targets: Array, loss: Loss
) -> Trace:
    """The traces of many draws, in graph mode, with an axis of draws in front of each array.

    Args:
        model: one of the draws, for its architecture.
        weights: for each of its weights (draws, *shape). inputs: (draws, batch, features).
        targets: what ``loss.prepare`` returned, (draws, …).
    """
    tf, _ = frameworks()
    architecture = Architecture.of(model)
    key = LossKey(loss, with_numbers=True)
    twin = _open_twin(architecture.without_sizes, key) or _sized_twin(architecture, key)
    with quiet():
        result = twin(weights, tf.constant(inputs), tf.constant(targets))
    return as_trace(model, architecture, inputs, result, twin.fused)


@lru_cache(maxsize=1024)
def _open_twin(architecture: Architecture, key: LossKey) -> StackTwin | None:
    return StackTwin.if_open(architecture, key.loss)


@lru_cache(maxsize=64)
def _sized_twin(architecture: Architecture, key: LossKey) -> StackTwin:
    return StackTwin(architecture, key.loss)
