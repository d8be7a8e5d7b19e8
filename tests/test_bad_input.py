"""Every bad input gets one clear ValueError or TypeError of ours, which names the argument.

"Of ours" is checked by the message's beginning: NumPy and Python do not name our arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from agreement import check
from agreement.checking import check_training_step
from manual_backprop import (
    SGD,
    BatchGenerator,
    CategoricalCrossentropy,
    Loss,
    NaiveDense,
    NaiveSequential,
    SparseCategoricalCrossentropy,
    evaluate,
    fit,
    get_gradients_of_loss_wrt_weights,
    one_training_step,
    update_weights,
)
from manual_backprop.losses import CTC, Circle

CATEGORICAL, SPARSE = "categorical_crossentropy", "sparse_categorical_crossentropy"
IMAGES = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
LABELS = np.array([0, 1, 2, 0, 1])
NAN, INF = float("nan"), float("inf")


def make_model() -> NaiveSequential:
    """4-6-3, tanh then softmax."""
    return NaiveSequential([NaiveDense(4, 6, "tanh", seed=0), NaiveDense(6, 3, "softmax", seed=1)])


def get_gradients(model: Any, images: Any, labels: Any, loss: Any = SPARSE) -> object:
    """get_gradients_of_loss_wrt_weights with predictions of the right shape."""
    predictions = np.full((5, 3), 1 / 3)
    return get_gradients_of_loss_wrt_weights(model, images, labels, predictions, loss)


# Everything that takes (model, images, labels, loss): its call, and what it calls the images.
ENTRIES: dict[str, tuple[Callable[..., object], str]] = {
    "check": (lambda m, x, y, loss=SPARSE: check(m, x, y, loss=loss, against=["keras"]), "inputs"),
    "check_training_step": (
        lambda m, x, y, loss=SPARSE: check_training_step(m, x, y, loss=loss, against=["keras"]),
        "inputs",
    ),
    "evaluate": (lambda m, x, y, loss=SPARSE: evaluate(m, x, y, loss=loss), "images"),
    "fit": (lambda m, x, y, loss=SPARSE: fit(m, x, y, 1, loss=loss, verbose="quiet"), "images"),
    "get_gradients": (get_gradients, "images_batch"),
    "one_training_step": (one_training_step, "images_batch"),
}
ENTRY = pytest.mark.parametrize("entry", sorted(ENTRIES))


def refused(call: Callable[[], object], kind: type[Exception], start: str) -> str:
    """The call raises exactly ``kind``, with a message of one line that starts so."""
    with pytest.raises(kind) as caught:
        call()
    message = str(caught.value)
    assert caught.type is kind
    assert message.startswith(start), message
    assert "\n" not in message
    return message


BAD_LABELS: dict[str, tuple[object, type[Exception]]] = {
    "complex": (LABELS.astype(complex), TypeError),
    "empty": ([], ValueError),
    "fractional": ([0, 1, 2, 0.5, 1], ValueError),
    "infinite": ([0, 1, 2, INF, 1], ValueError),
    "nan": ([0, 1, 2, NAN, 1], ValueError),
    "negative": ([0, 1, 2, -1, 1], ValueError),
    "none": (None, TypeError),
    "not_one_hot_two": (np.eye(3)[LABELS] + np.eye(3)[::-1][LABELS], ValueError),
    "not_one_hot_zero": (np.zeros((5, 3)), ValueError),
    "object": (np.array([0, 1, 2, None, 1], object), TypeError),
    "one_hot_nan": (np.full((5, 3), NAN), ValueError),
    "out_of_range": ([0, 1, 2, 3, 1], ValueError),
    "ragged": ([[0], [1, 2], [0], [1], [2]], ValueError),
    "rank_three": (np.zeros((5, 1, 1), int), ValueError),
    "scalar": (1, ValueError),
    "strings": (np.array(list("01201")), TypeError),
    "too_long": ([0, 1, 2, 0, 1, 2], ValueError),
    "too_short": ([0, 1, 2, 0], ValueError),
    "too_wide": (np.eye(4)[LABELS], ValueError),
}


@pytest.mark.parametrize("bad", sorted(BAD_LABELS))
@pytest.mark.parametrize("loss", [CATEGORICAL, SPARSE])
@ENTRY
def test_bad_labels_are_named(entry: str, loss: str, bad: str) -> None:
    """Whatever is wrong with class labels, each entry says so about "labels"."""
    labels, kind = BAD_LABELS[bad]
    refused(lambda: ENTRIES[entry][0](make_model(), IMAGES, labels, loss), kind, "labels: ")


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        ([0, 1, 2, NAN, 1], ValueError),
        (np.full((5, 2), 0.5), ValueError),
        (np.full((5, 3), INF), ValueError),
        (np.full((5, 3), NAN), ValueError),
        (np.zeros((5, 3), complex), TypeError),
    ],
    ids=["index_nan", "wrong_shape", "infinite", "nan", "complex"],
)
@pytest.mark.parametrize("loss", ["mean_absolute_error", "mean_squared_error"])
@ENTRY
def test_bad_targets_are_named(entry: str, loss: str, labels: Any, kind: type[Exception]) -> None:
    """Targets of a regression loss must be finite and of the predictions' shape."""
    refused(lambda: ENTRIES[entry][0](make_model(), IMAGES, labels, loss), kind, "labels: ")


@pytest.mark.parametrize("row", [[0.5, 0.25, 0.125], [0.5, 0.75, -0.25], [0.5, 0.5, NAN]], ids=str)
def test_rows_that_are_no_distribution_are_named(row: list[float]) -> None:
    """Categorical labels must be non-negative and sum to 1."""
    labels = [row] * 5
    refused(
        lambda: get_gradients(make_model(), IMAGES, labels, CATEGORICAL), ValueError, "labels: "
    )


def refused_labels(loss: Loss, labels: object, *shape: int) -> str:
    """What the loss says of labels for predictions of a shape."""
    return refused(lambda: loss.prepare(labels, np.zeros(shape)), ValueError, "labels: ")


def test_of_several_bad_values_the_first_is_shown_and_all_are_counted() -> None:
    """By its place, with what is wrong about it and what would be right."""
    images = IMAGES.astype(float)
    images[1, 2], images[3, 0] = NAN, 1e39
    message = refused(lambda: make_model()(images), ValueError, "inputs: 2 of 20 values")
    assert "the first, nan at [1, 2], is not finite" in message
    images[0, 1] = 1e40
    message = refused(lambda: make_model()(images), ValueError, "inputs: 3 of 20 values")
    assert "the first, 1e+40 at [0, 1], overflows float32" in message


def test_of_several_bad_labels_the_first_is_shown() -> None:
    """Whole numbers, rows and sequences, each with what a label has to be."""
    message = refused_labels(SparseCategoricalCrossentropy(), [0, 7, 1, 8], 4, 3)
    assert "7 at [1] is not a class; expected whole numbers from 0 to 2" in message
    rows = [[1, 0], [0.5, 0.25], [0, 1], [0.25, 0.25]]
    assert "row 1, [0.5, 0.25]," in refused_labels(CategoricalCrossentropy(), rows, 4, 2)
    assert "1.5 at [1] is not" in refused_labels(Circle(), [1, 1.5, 2, 2.5], 4, 2)
    gap = [[1, 2, 0, 0], [1, 0, 2, 0], [0, 0, 0, 1]]
    assert "row 1, [1, 0, 2, 0], has a 0" in refused_labels(CTC(), gap, 3, 5, 4)
    long = [[1, 2, 3, 0], [1, 1, 2, 0], [1, 1, 1, 1]]
    assert "row 1, [1, 1, 2, 0], needs 4 frames" in refused_labels(CTC(), long, 3, 3, 4)


@pytest.mark.parametrize("labels", [[1, 2, 1], [[1, 2]], [[1, 2]] * 4, [[[1]]] * 3], ids=str)
def test_labels_of_sequences_are_a_row_for_each_sample(labels: object) -> None:
    """Neither one axis nor three, and as many rows as samples."""
    assert "expected (3, longest)" in refused_labels(CTC(), labels, 3, 5, 4)


def test_identities_may_stand_in_a_column() -> None:
    """One for each sample, and no more."""
    predictions = np.zeros((3, 2))
    assert Circle().prepare([[4], [5], [4]], predictions).tolist() == [4, 5, 4]
    refused_labels(Circle(), [[4, 5]] * 3, 3, 2)


def test_a_distribution_may_miss_one_by_the_rounding_of_its_sum() -> None:
    """Of two numbers: two spacings of 1, and not half a spacing more."""
    slack = 2 * np.finfo(np.float32).eps
    predictions = np.zeros((1, 2), np.float32)
    at = np.array([[0.5 + slack, 0.5]], np.float32)
    assert np.array_equal(CategoricalCrossentropy().prepare(at, predictions), at)
    beyond = np.array([[0.5 + slack * 1.25, 0.5]], np.float32)
    refused(lambda: CategoricalCrossentropy().prepare(beyond, predictions), ValueError, "labels: ")


def test_where_there_is_one_class_a_zero_is_its_index() -> None:
    """And no row that sums to 0."""
    found = CategoricalCrossentropy().prepare([[0], [0]], np.zeros((2, 1)))
    assert found.tolist() == [[1], [1]]


def test_what_cannot_be_converted_says_so_itself() -> None:
    """An array of another library knows better than we do why it has no numbers for NumPy."""

    class Elsewhere:
        def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
            raise TypeError("lies on another device")

    refused(lambda: make_model()(Elsewhere()), TypeError, "lies on another device")


BAD_IMAGES: dict[str, tuple[object, type[Exception]]] = {
    "complex": (IMAGES.astype(complex), TypeError),
    "empty_batch": (np.zeros((0, 4)), ValueError),
    "empty_list": ([], ValueError),
    "infinite": (np.where(np.eye(5, 4), INF, IMAGES), ValueError),
    "nan": (np.where(np.eye(5, 4), NAN, IMAGES), ValueError),
    "none": (None, TypeError),
    "object": (np.full((5, 4), None), TypeError),
    "overflowing": (np.full((5, 4), 1e39), ValueError),
    "ragged": ([[1, 2, 3, 4], [1, 2]], ValueError),
    "rank_one": (IMAGES[0], ValueError),
    "rank_three": (IMAGES[:, :, None], ValueError),
    "scalar": (1.0, ValueError),
    "strings": (np.full((5, 4), "1"), TypeError),
    "too_narrow": (IMAGES[:, :3], ValueError),
}


@pytest.mark.parametrize("bad", sorted(BAD_IMAGES))
@ENTRY
def test_bad_images_are_named(entry: str, bad: str) -> None:
    """Whatever is wrong with the images, each entry says so by its own name for them."""
    (call, name), (images, kind) = ENTRIES[entry], BAD_IMAGES[bad]
    model = make_model()
    before = [w.copy() for w in model.weights]
    refused(lambda: call(model, images, LABELS), kind, f"{name}: ")
    assert all(np.array_equal(w, b) for w, b in zip(model.weights, before, strict=True))


@pytest.mark.parametrize("bad", sorted(BAD_IMAGES))
def test_calling_a_layer_or_a_model_names_bad_inputs(bad: str) -> None:
    """Both say what is wrong with "inputs"."""
    images, kind = BAD_IMAGES[bad]
    refused(lambda: make_model()(images), kind, "inputs: ")
    refused(lambda: NaiveDense(4, 3)(images), kind, "inputs: ")


@pytest.mark.parametrize("value", [NAN, INF, -INF])
@ENTRY
def test_weights_that_are_not_finite_are_named(entry: str, value: float) -> None:
    """One NaN or infinity among the weights is found, with the weight's name."""
    model = make_model()
    model.layers[1].W[2, 1] = value
    call = ENTRIES[entry][0]
    refused(lambda: call(model, IMAGES, LABELS), ValueError, "weights (dense_2.W): ")


@pytest.mark.parametrize(
    "model",
    [NaiveDense(4, 3), NaiveSequential, [NaiveDense(4, 3)], None],
    ids=["layer", "class", "list", "none"],
)
@ENTRY
def test_what_is_no_model_is_named(entry: str, model: object) -> None:
    """A bare layer, a class, a list or None in the model's place."""
    refused(lambda: ENTRIES[entry][0](model, IMAGES, LABELS), TypeError, "model: ")


@pytest.mark.parametrize(
    ("loss", "kind", "hint"),
    [
        (0.5, TypeError, "name or a Loss"),
        (None, TypeError, "name or a Loss"),
        ("categorical_cross_entropy", ValueError, "'categorical_crossentropy'"),
        ("mean_square_error", ValueError, "'mean_squared_error'"),
    ],
    ids=["value", "none", "misspelt", "misspelt_too"],
)
@ENTRY
def test_an_unknown_loss_is_named_with_the_nearest(
    entry: str, loss: object, kind: type[Exception], hint: str
) -> None:
    """A misspelt name brings the nearest one; a loss's value is no loss."""
    assert hint in refused(
        lambda: ENTRIES[entry][0](make_model(), IMAGES, LABELS, loss), kind, "loss: "
    )


@ENTRY
def test_a_loss_that_cannot_be_fused_is_named(entry: str) -> None:
    """path="fused" behind a tanh says what it needs."""
    model = NaiveSequential([NaiveDense(4, 3, "tanh")])
    loss = SparseCategoricalCrossentropy("fused")
    assert "softmax" in refused(
        lambda: ENTRIES[entry][0](model, IMAGES, LABELS, loss), ValueError, "loss: "
    )


def quiet_fit(**options: Any) -> object:
    """One epoch with the given options."""
    return fit(make_model(), IMAGES, LABELS, **{"epochs": 1, "verbose": "quiet", **options})


def layer(**options: Any) -> NaiveDense:
    """A layer of two inputs and three outputs with the given options."""
    return NaiveDense(**{"input_size": 2, "output_size": 3, **options})


# What takes the argument, what is wrong with it by value, and what by type.
WRONG: dict[str, tuple[Callable[..., object], list[object], list[object]]] = {
    "activation": (layer, ["rleu", ""], [5, len, IMAGES]),
    "batch_size": (quiet_fit, [0, -1], [2.0, "2", None, True]),
    "bias_initializer": (layer, ["zero", lambda s, g, d: [NAN] * 3], [5, None]),
    "dtype": (layer, ["float16", "int32", "flaot32", None, [1], {"a": 1}], []),
    "epochs": (quiet_fit, [0, -1], [2.0, "2", None, True]),
    "input_size": (layer, [0, -1], [2.0, "2", None, True]),
    "kernel_initializer": (
        layer,
        ["unifrom", lambda s, g, d: np.zeros(s[::-1]), lambda s, g, d: [[1], [1, 2]]],
        [5, None, np.zeros((2, 3)), lambda s, g, d: np.full(s, None)],
    ),
    "learning_rate": (SGD, [0, -1.0, NAN, INF], ["1", None, True, 1j]),
    "on_batch": (quiet_fit, [], [5, "print"]),
    "optimizer": (quiet_fit, ["sdg", "adem"], [5, None, 1e-3]),
    "output_size": (layer, [0, -1], [2.0, "2", None, True]),
    "path": (SparseCategoricalCrossentropy, ["fuse", 5, None], []),
    "seed": (layer, [-1], ["0", 0.5, [1]]),
    "validation_data": (
        quiet_fit,
        [(IMAGES[:, :2], LABELS), (IMAGES, [9] * 5)],
        [5, (IMAGES,), (IMAGES, LABELS, LABELS), IMAGES, (IMAGES, None)],
    ),
    "verbose": (quiet_fit, ["line", "", 1, None], []),
}
CASES = [
    pytest.param(argument, value, kind, id=f"{argument}_{kind.__name__}_{number}")
    for argument, (_, by_value, by_type) in sorted(WRONG.items())
    for kind, values in ((TypeError, by_type), (ValueError, by_value))
    for number, value in enumerate(values)
]


@pytest.mark.parametrize(("argument", "value", "kind"), CASES)
def test_a_bad_option_is_named(argument: str, value: object, kind: type[Exception]) -> None:
    """Sizes, names, rates, seeds and functions: the message starts with the argument's name."""
    refused(lambda: WRONG[argument][0](**{argument: value}), kind, f"{argument}: ")


@pytest.mark.parametrize(
    ("argument", "given", "nearest"),
    [
        ("activation", "rleu", "relu"),
        ("bias_initializer", "zero", "zeros"),
        ("kernel_initializer", "unit_unifrom", "unit_uniform"),
        ("optimizer", "sdg", "sgd"),
        ("path", "fuse", "fused"),
        ("verbose", "line", "lines"),
    ],
)
def test_the_nearest_name_is_suggested(argument: str, given: str, nearest: str) -> None:
    """A misspelt name of any family brings the right one."""
    message = refused(lambda: WRONG[argument][0](**{argument: given}), ValueError, f"{argument}: ")
    assert f"did you mean {nearest!r}?" in message


@pytest.mark.parametrize("value", [0, 2.0], ids=str)
def test_bad_batch_sizes_of_the_others_are_named(value: object) -> None:
    """evaluate and BatchGenerator check theirs as well."""
    kind = ValueError if value == 0 else TypeError
    refused(lambda: evaluate(make_model(), IMAGES, LABELS, batch_size=value), kind, "batch_size: ")
    refused(lambda: BatchGenerator(IMAGES, LABELS, value), kind, "batch_size: ")


MISFITS: dict[str, tuple[Callable[[], object], type[Exception], str]] = {
    "W_empty": (lambda: NaiveDense.from_weights(np.zeros((0, 3))), ValueError, "W: "),
    "W_nan": (lambda: NaiveDense.from_weights([[NAN]]), ValueError, "W: "),
    "W_ragged": (lambda: NaiveDense.from_weights([[1], [1, 2]]), ValueError, "W: "),
    "W_rank": (lambda: NaiveDense.from_weights(np.ones(3)), ValueError, "W: "),
    "W_strings": (lambda: NaiveDense.from_weights([["1"]]), TypeError, "W: "),
    "b_inf": (lambda: NaiveDense.from_weights([[1.0]], [INF]), ValueError, "b: "),
    "b_shape": (lambda: NaiveDense.from_weights(np.ones((2, 3)), np.ones(2)), ValueError, "b: "),
    "batches_labels": (lambda: BatchGenerator(IMAGES, LABELS[:4]), ValueError, "labels: "),
    "batches_none": (lambda: BatchGenerator([], []), ValueError, "images: "),
    "layers_class": (lambda: NaiveSequential([NaiveDense]), TypeError, "layers[0]: NaiveDense"),
    "layers_dtypes": (
        lambda: NaiveSequential([NaiveDense(2, 3), NaiveDense(3, 2, dtype="float64")]),
        ValueError,
        "layers: ",
    ),
    "layers_none": (lambda: NaiveSequential([]), ValueError, "layers: "),
    "layers_not_a_list": (lambda: NaiveSequential(NaiveDense(2, 3)), TypeError, "layers: "),
    "layers_number": (lambda: NaiveSequential([NaiveDense(2, 3), 5]), TypeError, "layers[1]: int"),
    "layers_sizes": (
        lambda: NaiveSequential([NaiveDense(2, 3), NaiveDense(4, 2)]),
        ValueError,
        "layers[1]: takes 4 inputs",
    ),
}


@pytest.mark.parametrize("name", sorted(MISFITS))
def test_what_cannot_form_a_layer_or_a_model_is_named(name: str) -> None:
    """Weights, batches and layers that do not fit say which of them, and why."""
    refused(*MISFITS[name])


PREDICTIONS: dict[str, tuple[object, type[Exception]]] = {
    "complex": (np.zeros((5, 3), complex), TypeError),
    "nan": (np.full((5, 3), NAN), ValueError),
    "none": (None, TypeError),
    "ragged": ([[1], [1, 2]], ValueError),
    "too_few": (np.zeros((4, 3)), ValueError),
    "transposed": (np.zeros((3, 5)), ValueError),
}


@pytest.mark.parametrize("bad", sorted(PREDICTIONS))
def test_bad_predictions_are_named(bad: str) -> None:
    """They must be what the model returned for the batch: finite, (batch, outputs)."""
    predictions, kind = PREDICTIONS[bad]
    call = get_gradients_of_loss_wrt_weights
    refused(lambda: call(make_model(), IMAGES, LABELS, predictions, SPARSE), kind, "predictions: ")


@pytest.mark.parametrize("subject", ["layer", "model"])
def test_a_bad_gradient_for_backward_is_named(subject: str) -> None:
    """Before any forward pass, of a wrong shape, or no numbers: backward says which."""
    target = make_model() if subject == "model" else NaiveDense(4, 3, "tanh")
    refused(lambda: target.backward(np.zeros((5, 3))), ValueError, "backward: ")
    target(IMAGES)
    refused(lambda: target.backward(np.zeros((4, 3))), ValueError, "grad_output: ")
    refused(lambda: target.backward([[1], [1, 2]]), ValueError, "grad_output: ")
    refused(lambda: target.backward(np.zeros((5, 3), complex)), TypeError, "grad_output: ")
    refused(lambda: target.backward(None), TypeError, "grad_output: ")


ONES = np.ones((2, 3))
UPDATES: dict[str, tuple[object, object, type[Exception], str]] = {
    "gradients_array": (ONES, [ONES], TypeError, "gradients: "),
    "gradients_complex": ([ONES * 1j], [ONES], TypeError, "gradients[0]: "),
    "gradients_nan": ([ONES, ONES * NAN], [ONES, ONES], ValueError, "gradients[1]: "),
    "gradients_none": (None, [ONES], TypeError, "gradients: "),
    "gradients_shape": ([ONES, ONES.T], [ONES, ONES], ValueError, "gradients[1]: "),
    "gradients_too_few": ([ONES], [ONES, ONES], ValueError, "gradients: got 1, expected 2"),
    "gradients_too_many": ([ONES, ONES], [ONES], ValueError, "gradients: got 2, expected 1"),
    "weights_integers": ([ONES], [np.ones((2, 3), int)], TypeError, "weights[0]: "),
    "weights_lists": ([ONES], [ONES.tolist()], TypeError, "weights[0]: "),
    "weights_nan": ([ONES], [ONES * NAN], ValueError, "weights[0]: "),
    "weights_none": ([ONES], None, TypeError, "weights: "),
    "weights_read_only": ([ONES], [np.broadcast_to(1.0, (2, 3))], ValueError, "weights[0]: "),
}


@pytest.mark.parametrize("bad", sorted(UPDATES))
def test_a_bad_update_is_named_and_changes_nothing(bad: str) -> None:
    """Count, shape, numbers and weights are checked before the first weight is touched."""
    gradients, weights, kind, start = UPDATES[bad]
    copies = [
        np.array(w) if isinstance(w, np.ndarray) and w.flags.writeable else w for w in weights or []
    ]
    refused(lambda: update_weights(gradients, copies if weights else None, 0.5), kind, start)
    for copy, weight in zip(copies, weights or [], strict=True):
        assert np.array_equal(copy, weight, equal_nan=True)


@pytest.mark.parametrize("name", ["kera", "keras-graf"])
def test_an_unknown_reference_is_named_with_the_nearest(name: str) -> None:
    """check says which of its modes was probably meant."""
    call = lambda: check(make_model(), IMAGES, LABELS, against=[name])  # noqa: E731
    assert "did you mean 'keras" in refused(call, ValueError, "against: ")
    refused(lambda: check(make_model(), IMAGES, LABELS, against=[]), ValueError, "against: ")


def test_references_that_are_no_names_are_named() -> None:
    """A number in the place of references is an error of ours."""
    refused(lambda: check(make_model(), IMAGES, LABELS, against=5), TypeError, "against: ")


def test_a_distribution_for_the_sparse_loss_is_named() -> None:
    """Soft labels are the categorical loss's; the sparse one asks for one-hot rows."""
    soft = np.full((5, 3), 1 / 3)
    refused(lambda: get_gradients(make_model(), IMAGES, soft), ValueError, "labels: row 0")
    targets = CategoricalCrossentropy().prepare(np.full((5, 2), 0.5), np.zeros((5, 2)))
    assert np.array_equal(targets, np.full((5, 2), 0.5))
