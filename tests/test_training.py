"""Batches, single steps, ``fit``, ``evaluate`` and the optimizer."""

from __future__ import annotations

import numpy as np
import pytest
import rich.progress

from agreement.bounded import bounded_as
from agreement.cases import NETWORK_LOSSES
from agreement.checking import check_training_step
from manual_backprop import (
    SGD,
    BatchGenerator,
    NaiveDense,
    NaiveSequential,
    evaluate,
    fit,
    get_gradients_of_loss_wrt_weights,
    losses,
    one_training_step,
    update_weights,
)
from manual_backprop.activations import Softmax
from manual_backprop.regularizers import L2

SPARSE = "sparse_categorical_crossentropy"
LABELS = np.arange(23) % 3
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])


def make_model(dtype: str = "float32") -> NaiveSequential:
    """4-6-3, tanh then softmax."""
    generator = np.random.default_rng(0)
    options = {"kernel_initializer": "glorot_uniform", "dtype": dtype, "seed": generator}
    return NaiveSequential(
        [NaiveDense(4, 6, "tanh", **options), NaiveDense(6, 3, "softmax", **options)]
    )


def make_images(dtype: str = "float32") -> np.ndarray:
    """23 samples of four features, in eighths."""
    return (np.random.default_rng(1).integers(-16, 17, (23, 4)) / 8).astype(dtype)


def weights_of(model: NaiveSequential) -> list[list]:
    """All weights as lists, which compare exactly."""
    return [w.tolist() for w in model.weights]


def test_batches_deal_every_sample_once_in_order() -> None:
    """next(), iteration and len agree; the last batch is short; then StopIteration."""
    batches = BatchGenerator(make_images(), LABELS, 5)
    assert len(batches) == batches.num_batches == 5
    dealt = list(batches)
    assert [len(x) for x, _ in dealt] == [5, 5, 5, 5, 3]
    assert np.array_equal(np.concatenate([x for x, _ in dealt]), make_images())
    assert np.array_equal(np.concatenate([y for _, y in dealt]), LABELS)
    with pytest.raises(StopIteration):
        batches.next()


def test_a_batch_has_128_samples_unless_another_size_is_given() -> None:
    """To a generator and to ``fit``."""
    images, labels, seen = np.zeros((129, 4)), np.zeros(129, int), []
    assert [len(x) for x, _ in BatchGenerator(images, labels)] == [128, 1]
    watch = lambda step, x, y: seen.append(len(x))  # noqa: E731
    fit(make_model(), images, labels, 1, on_batch=watch, verbose="quiet")
    assert seen == [128, 1]


def test_a_single_number_is_no_data_set() -> None:
    """Neither in the place of images nor of labels."""
    for images, labels, name in ((5, [1], "images"), ([[1.0]], 5, "labels")):
        with pytest.raises(ValueError, match=f"^{name}: "):
            BatchGenerator(images, labels)


def test_update_weights_writes_into_the_very_arrays() -> None:
    """w − η·g lands in the model's own arrays; gradients stay, and nothing is shared."""
    model = make_model("float64")
    weights, before = model.weights, [w.copy() for w in model.weights]
    gradients = [np.full(w.shape, 0.5) for w in weights]
    update_weights(gradients, weights, 0.25)
    assert all(w is v for w, v in zip(model.weights, weights, strict=True))
    for weight, old, gradient in zip(model.weights, before, gradients, strict=True):
        assert np.array_equal(weight, old - 0.25 * gradient)
        assert np.array_equal(gradient, np.full(gradient.shape, 0.5))
        gradient[...] = 7
        assert np.array_equal(weight, old - 0.125)


@pytest.mark.parametrize("form", ["arrays", "big_endian", "fortran", "lists"])
def test_update_weights_takes_gradients_in_any_form(form: str) -> None:
    """Lists, the other byte order or columns first: the same bits in the weights."""
    convert = {
        "arrays": lambda g: g,
        "big_endian": lambda g: g.astype(">f8"),
        "fortran": np.asfortranarray,
        "lists": lambda g: g.tolist(),
    }[form]
    weight, gradient = np.ones((2, 3)), np.arange(6.0).reshape(2, 3)
    update_weights([convert(gradient)], [weight])
    assert np.array_equal(weight, np.ones((2, 3)) - 1e-3 * gradient)


def test_update_weights_takes_weights_that_carry_errors() -> None:
    """Their centres are updated like numbers; weights beside them are checked all the same."""
    weight, carrying = np.ones((2, 3)), bounded_as(np.ones((2, 3)))
    gradient = np.arange(6.0).reshape(2, 3)
    update_weights([gradient, gradient], [carrying, weight])
    assert np.array_equal(carrying.value, weight)
    with pytest.raises(TypeError, match=r"^weights\[1\]: is list"):
        update_weights([gradient, gradient], [carrying, weight.tolist()])


@DTYPES
def test_sgd_is_within_the_bound_of_one_product_and_one_difference(dtype: str) -> None:
    """SGD(0.3) on random numbers, in the weight's dtype, against the error-carrying formula."""
    generator = np.random.default_rng(2)
    weight, gradient = (generator.normal(size=(4, 3)).astype(dtype) for _ in range(2))
    expected = bounded_as(weight) - 0.3 * bounded_as(gradient)
    SGD(0.3).apply([gradient], [weight])
    assert weight.dtype == dtype
    assert (np.abs(weight - expected.value) <= expected.error).all()
    assert repr(SGD(0.3)) == "SGD(learning_rate=0.3)"


@pytest.mark.parametrize("rate", [1, 0.5, np.float32(0.5), np.float64(0.5)], ids=repr)
def test_a_learning_rate_is_any_positive_real_number(rate: float) -> None:
    """Python's and NumPy's numbers alike, without changing the weight's dtype."""
    weight = np.ones(2, np.float32)
    update_weights([np.ones(2, np.float32)], [weight], rate)
    assert np.array_equal(weight, np.full(2, 1 - float(rate), np.float32))


@pytest.mark.parametrize("loss", sorted(NETWORK_LOSSES))
def test_one_step_is_forward_gradients_and_update(loss: str) -> None:
    """one_training_step returns the loss before the step and leaves the updated weights."""
    model, twin, images = make_model(), make_model(), make_images()
    value = one_training_step(model, images, LABELS, loss, SGD(0.1))
    predictions = twin(images)
    update_weights(
        get_gradients_of_loss_wrt_weights(twin, images, LABELS, predictions, loss),
        twin.weights,
        0.1,
    )
    assert weights_of(model) == weights_of(twin)
    assert value == evaluate(make_model(), images, LABELS, loss=loss, batch_size=23).loss
    assert type(value) is float


@pytest.mark.parametrize("loss", sorted(NETWORK_LOSSES))
def test_keras_agrees_on_a_whole_training_step(loss: str) -> None:
    """The tape twin with keras.optimizers.SGD ends within the bounds of the weights."""
    report = check_training_step(make_model(), make_images(), LABELS, loss=loss, against=["keras"])
    assert report.agrees, str(report)


@pytest.mark.parametrize("batch_size", [1, 5, 23, 100])
def test_fit_is_single_steps_in_order(batch_size: int) -> None:
    """Two epochs leave bit for bit the weights of as many single steps; the last may be short."""
    model, twin = make_model(), make_model()
    history = fit(model, make_images(), LABELS, 2, batch_size, optimizer=SGD(0.1), verbose="quiet")
    totals = []
    for _ in range(2):
        total = 0.0
        for images, labels in BatchGenerator(make_images(), LABELS, batch_size):
            total += one_training_step(twin, images, labels, SPARSE, SGD(0.1)) * len(images)
        totals.append(total / 23)
    assert weights_of(model) == weights_of(twin)
    assert history.loss == totals


@pytest.mark.parametrize("scale", [1.0, 2.0, 8.0])
def test_a_scaled_loss_makes_the_same_step(scale: float) -> None:
    """Powers of two are taken out of the gradients exactly."""
    plain, scaled = make_model(), make_model()
    one_training_step(plain, make_images(), LABELS)
    one_training_step(scaled, make_images(), LABELS, optimizer=SGD(loss_scale_factor=scale))
    assert weights_of(scaled) == weights_of(plain)


def test_penalties_are_part_of_the_loss_of_a_step() -> None:
    """½ Σ W², and ½ Σ y² over 16 samples, are added; all numbers are exact."""
    images, kernel = make_images("float64")[:16], make_images("float64")[:4]
    values = []
    for names in ([], ["kernel_regularizer", "activity_regularizer"]):
        options = dict.fromkeys(names, L2(0.5)) | {"kernel_initializer": lambda *_: kernel}
        model = NaiveSequential([NaiveDense(4, 4, dtype="float64", **options)])
        values.append(one_training_step(model, images, np.zeros((16, 4)), "mean_squared_error"))
    penalty = np.square(kernel).sum() / 2 + np.square(images @ kernel).sum() / 32
    assert values[1] - values[0] == penalty


def test_fit_tells_each_batch_before_its_step() -> None:
    """on_batch sees steps 0, 1, … across epochs, in order, while the weights are still old."""
    model, seen = make_model(), []

    def watch(step: int, images: np.ndarray, labels: np.ndarray) -> None:
        seen.append((step, images.tolist(), labels.tolist(), weights_of(model)))

    fit(model, make_images(), LABELS, 2, 10, on_batch=watch, verbose="quiet")
    parts = [slice(0, 10), slice(10, 20), slice(20, 23)] * 2
    assert [s for s, *_ in seen] == list(range(6))
    assert [x for _, x, _, _ in seen] == [make_images()[part].tolist() for part in parts]
    assert [y for _, _, y, _ in seen] == [LABELS[part].tolist() for part in parts]
    assert seen[0][3] == weights_of(make_model())
    assert all(
        a[3] != b[3] for a, b in zip(seen, [*seen[1:], (0, 0, 0, weights_of(model))], strict=True)
    )


def test_fit_history_has_a_number_per_epoch() -> None:
    """Loss and accuracy are means over the epoch's samples; validation is there if asked for."""
    images, held_out = make_images(), (make_images()[:7], LABELS[:7])
    model = make_model()
    history = fit(
        model, images, LABELS, 3, 23, optimizer=SGD(0.1), validation_data=held_out, verbose="quiet"
    )
    assert [len(v) for v in vars(history).values()] == [3, 3, 3, 3]
    assert history.loss[2] < history.loss[1] < history.loss[0]
    before = evaluate(make_model(), images, LABELS, batch_size=23)
    assert (history.loss[0], history.accuracy[0]) == before
    after = evaluate(model, *held_out)
    assert (history.validation_loss[-1], history.validation_accuracy[-1]) == after
    bare = fit(make_model(), images, LABELS, 3, 23, verbose="quiet")
    assert (bare.validation_loss, bare.validation_accuracy) == ([], [])


def test_validation_data_does_not_change_the_training() -> None:
    """With and without it the weights end up the same, bit for bit."""
    models = make_model(), make_model()
    for model, validation in zip(models, (None, (make_images()[:7], LABELS[:7])), strict=True):
        fit(model, make_images(), LABELS, 2, 5, validation_data=validation, verbose="quiet")
    assert weights_of(models[0]) == weights_of(models[1])


def orders(seed: object, shuffle: bool = True) -> list[list[int]]:
    """The order of the samples in each of three epochs, recognised by their first feature."""
    seen: list[int] = []
    images = np.zeros((23, 4))
    images[:, 0] = np.arange(23)
    fit(
        make_model(),
        images,
        LABELS,
        3,
        5,
        shuffle=shuffle,
        seed=seed,
        verbose="quiet",
        on_batch=lambda step, x, y: seen.extend(x[:, 0].astype(int).tolist()),
    )
    return [seen[i : i + 23] for i in range(0, 69, 23)]


def test_shuffling_is_determined_by_its_seed() -> None:
    """Each epoch is a new permutation; the same seed repeats them all, another does not."""
    found = orders(7)
    assert all(sorted(order) == list(range(23)) for order in found)
    assert len({tuple(order) for order in found}) == 3
    assert found == orders(7) == orders(np.random.default_rng(7))
    assert found != orders(8)
    assert orders(7, shuffle=False) == [list(range(23))] * 3


def test_shuffling_keeps_images_and_labels_together() -> None:
    """Every image still comes with its own label."""
    images, pairs = np.zeros((23, 4)), []
    images[:, 0] = np.arange(23)

    def watch(step: int, x: np.ndarray, y: np.ndarray) -> None:
        pairs.extend(zip(x[:, 0].astype(int).tolist(), y.tolist(), strict=True))

    fit(make_model(), images, LABELS, 1, 5, shuffle=True, seed=7, on_batch=watch, verbose="quiet")
    assert sorted(pairs) == list(enumerate(LABELS.tolist()))


def test_lines_print_the_loss_every_hundred_batches(capsys: pytest.CaptureFixture[str]) -> None:
    """By default each epoch prints its number, then its batches 0, 100, … with their loss."""
    images = np.tile(make_images(), (5, 1))
    fit(make_model(), images, np.tile(LABELS, 5), 2, 1)
    lines = capsys.readouterr().out.splitlines()
    heads = [line.split(":")[0].strip() for line in lines]
    once = ["loss at batch 0", "loss at batch 100"]
    assert heads == ["epoch 1", *once, "epoch 2", *once]
    first = one_training_step(make_model(), images[:1], LABELS[:1])
    assert lines[1] == f"  loss at batch 0: {first:.4f}"


def test_quiet_prints_nothing_and_a_bar_counts_to_the_end(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """verbose="quiet" is silent, and "bar" ends at 100 % of the last epoch."""
    fit(make_model(), make_images(), LABELS, 2, 5, verbose="quiet")
    assert capfd.readouterr() == ("", "")
    fit(make_model(), make_images(), LABELS, 2, 5, verbose="bar")
    printed = capfd.readouterr().out
    assert "epoch 2/2" in printed
    assert "100%" in printed


def test_a_bar_counts_every_batch_once(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Two epochs of five batches are ten."""
    bars = []

    class Kept(rich.progress.Progress):
        def __init__(self) -> None:
            super().__init__()
            bars.append(self)

    monkeypatch.setattr(rich.progress, "Progress", Kept)
    fit(make_model(), make_images(), LABELS, 2, 5, verbose="bar")
    ((task,),) = (bar.tasks for bar in bars)
    assert (task.total, task.completed) == (10, 10)


@pytest.mark.parametrize("batch_size", [1, 7, 23, 1024])
def test_evaluate_is_the_mean_over_samples_in_batches_of_any_size(batch_size: int) -> None:
    """Loss is within the bound of the mean, accuracy is exact, and no weight changes."""
    model = make_model("float64")
    images = make_images("float64")
    found = evaluate(model, images, LABELS, batch_size=batch_size)
    predictions = model(images)
    assert found.accuracy == np.mean(
        [row.argmax() == y for row, y in zip(predictions, LABELS, strict=True)]
    )
    x, W1, b1, W2, b2 = (bounded_as(a) for a in (images, *model.weights))
    z = np.tanh(x @ W1 + b1) @ W2 + b2
    total = 0
    for start in range(0, 23, batch_size):
        part = slice(start, start + batch_size)
        mean = losses.get(SPARSE).forward_from_logits(z[part], LABELS[part])
        total = mean * len(LABELS[part]) + total
    expected = total / 23
    assert abs(found.loss - expected.value) <= expected.error
    assert weights_of(model) == weights_of(make_model("float64"))


def test_evaluate_deals_1024_samples_at_a_time_unless_another_number_is_given() -> None:
    """Which a sum shows: it weighs as much as the batch that it is the sum of."""
    model, samples = make_model("float64"), 1030
    images = np.random.default_rng(0).normal(size=(samples, model.input_size or 0))
    labels = np.resize(LABELS, samples)
    loss = losses.SparseCategoricalCrossentropy(reduction="sum")
    found = evaluate(model, images, labels, loss=loss)
    assert found == evaluate(model, images, labels, loss=loss, batch_size=1024)
    assert found != evaluate(model, images, labels, loss=loss, batch_size=1023)
    assert found != evaluate(model, images, labels, loss=loss, batch_size=1025)


def test_validation_is_in_batches_of_1024_samples() -> None:
    """As in ``evaluate``."""
    model, samples = make_model("float64"), 1030
    images = np.random.default_rng(0).normal(size=(samples, model.input_size or 0))
    labels = np.resize(LABELS, samples)
    loss = losses.SparseCategoricalCrossentropy(reduction="sum")
    data = images, labels
    history = fit(model, *data, 1, samples, loss=loss, validation_data=data, verbose="quiet")
    assert history.validation_loss == [evaluate(model, *data, loss=loss).loss]


def test_activations_along_the_batch_can_be_trained() -> None:
    """What is looked at before the first step is a batch of one."""
    model = NaiveSequential(
        [NaiveDense(3, 4, Softmax(axis=0), seed=0), NaiveDense(4, 2, "softmax", seed=1)]
    )
    history = fit(model, np.ones((4, 3)), np.array([0, 1, 0, 1]), 1, 2, verbose="quiet")
    assert np.isfinite(history.loss).all()


def test_ties_count_for_the_first_class() -> None:
    """With all outputs equal the prediction is class 0."""
    model = NaiveSequential([NaiveDense(4, 3, "softmax", kernel_initializer="zeros")])
    assert evaluate(model, make_images()[:3], [0, 1, 0]).accuracy == 2 / 3
    assert evaluate(model, make_images()[:3], [1, 2, 1]).accuracy == 0


@pytest.mark.parametrize("call", ["evaluate", "fit", "one_training_step"])
def test_training_leaves_no_trace_in_the_callers_arrays(call: str) -> None:
    """Images and labels are neither changed nor kept: overwriting them later changes nothing."""
    model, twin = make_model(), make_model()
    for subject in (model, twin):
        images, labels = make_images(), LABELS.copy()
        if call == "evaluate":
            evaluate(subject, images, labels)
        elif call == "fit":
            fit(subject, images, labels, 1, 23, verbose="quiet")
        else:
            one_training_step(subject, images, labels)
        assert np.array_equal(images, make_images())
        assert np.array_equal(labels, LABELS)
        if subject is model:
            images[...], labels[...] = 7, 0
        subject.backward(np.ones((23, 3), np.float32) * np.arange(3, dtype=np.float32))
    assert [g.tolist() for g in model.gradients] == [g.tolist() for g in twin.gradients]


@pytest.mark.parametrize("form", ["big_endian", "fortran", "lists", "read_only", "strided"])
def test_fit_takes_images_in_any_layout(form: str) -> None:
    """The trained weights are bit-identical however images and labels are stored."""
    images, labels = make_images(), LABELS.copy()
    if form == "big_endian":
        images, labels = images.astype(">f4"), labels.astype(">i8")
    elif form == "fortran":
        images = np.asfortranarray(images)
    elif form == "lists":
        images, labels = images.tolist(), labels.tolist()
    elif form == "read_only":
        images.flags.writeable = labels.flags.writeable = False
    else:
        images, labels = np.repeat(images, 2, axis=1)[:, ::2], np.repeat(labels, 2)[::2]
    model, twin = make_model(), make_model()
    fit(model, images, labels, 2, 5, verbose="quiet")
    fit(twin, make_images(), LABELS, 2, 5, verbose="quiet")
    assert weights_of(model) == weights_of(twin)
