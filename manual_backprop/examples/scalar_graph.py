"""A scalar computation graph: nodes that know only their inputs and the incoming gradient."""

from __future__ import annotations

from collections import Counter


class Node:
    """A number in the graph: given, or computed by a subclass from its inputs."""

    def __init__(self, value: float, *inputs: Node) -> None:
        self.value = value
        self.inputs = inputs

    def backward(self, grad_output: float) -> tuple[float, ...]:
        """One gradient per input; with ``grad_output`` 1 these are the edge derivatives."""
        return ()


class Multiply(Node):
    """y = a·b: (1) ∂y/∂a = b, (2) ∂y/∂b = a."""

    def __init__(self, left: Node, right: Node) -> None:
        super().__init__(left.value * right.value, left, right)

    def backward(self, grad_output: float) -> tuple[float, ...]:
        left, right = self.inputs
        return grad_output * right.value, grad_output * left.value  # (1), (2)


class Add(Node):
    """y = a + b: (1) ∂y/∂a = ∂y/∂b = 1."""

    def __init__(self, left: Node, right: Node) -> None:
        super().__init__(left.value + right.value, left, right)

    def backward(self, grad_output: float) -> tuple[float, ...]:
        return grad_output, grad_output  # (1)


class AbsoluteError(Node):
    """y = |t − p|: (1) ∂y/∂p = sign(p − t) = −∂y/∂t; (2) 0 is chosen at the kink p = t."""

    def __init__(self, target: Node, prediction: Node) -> None:
        super().__init__(abs(target.value - prediction.value), target, prediction)

    def backward(self, grad_output: float) -> tuple[float, ...]:
        target, prediction = (node.value for node in self.inputs)
        sign = (prediction > target) - (prediction < target)  # (1), (2)
        return -sign * grad_output, sign * grad_output


def gradients(output: Node) -> dict[Node, float]:
    """The derivative of ``output`` with respect to every node that it depends on.

    (1) ∂output/∂output = 1
    (2) ∂output/∂node = Σ over its uses of (∂output/∂use)(∂use/∂node): the chain rule
    """
    uses: Counter[Node] = Counter()
    waiting = [output]
    while waiting:
        inputs = waiting.pop().inputs
        waiting += [node for node in dict.fromkeys(inputs) if node not in uses]
        uses.update(inputs)
    totals = {output: 1.0}  # (1)
    ready = [output]
    while ready:
        use = ready.pop()
        for node, gradient in zip(use.inputs, use.backward(totals[use]), strict=True):
            totals[node] = totals.get(node, 0.0) + gradient  # (2)
            uses[node] -= 1
            # The sum (2) must be complete before the walk goes further down.
            if uses[node] == 0:
                ready.append(node)
    return totals


def main() -> None:
    """Print the edge derivatives and the chained gradients of |y_true − (x·w + b)|."""
    x, w, b, y_true = Node(2.0), Node(3.0), Node(1.0), Node(4.0)
    x1 = Multiply(x, w)
    x2 = Add(x1, b)
    loss = AbsoluteError(y_true, x2)
    print("loss =", loss.value)
    print("∂loss/∂x2 =", loss.backward(1.0)[1])
    print("∂x2/∂x1, ∂x2/∂b =", x2.backward(1.0))
    print("∂x1/∂w =", x1.backward(1.0)[1])
    chained = gradients(loss)
    print("∂loss/∂w =", chained[w], "and ∂loss/∂b =", chained[b])


if __name__ == "__main__":
    main()
