"""The pytest plugin as other projects see it: runs of pytest inside of tests."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

# Loaded before any inner run: what such a run loads is forgotten at its end.
from agreement import pytest_baseline, pytest_fixture, pytest_plugin  # noqa: F401
from agreement.tally import Tally
from agreement.upgrade import judgement  # noqa: F401
from agreement.upgrade.recording import Recording, read_recording, write_recording
from agreement.upgrade.releases import Asked, run_recorder

pytest_plugins = ("pytester",)

HERE = str(Path(__file__).resolve().parents[1])
PLUGIN = ("-p", pytest_plugin.__name__)
SUITE = """
    import numpy as np
    from manual_backprop import NaiveDense, NaiveSequential

    class Mine(NaiveDense):
        def backward_affine(self, grad_pre_activation):
            grad_inputs = super().backward_affine(grad_pre_activation)
            self.gradients[0] /= len(self.inputs)
            return grad_inputs

    def parts(agreement, kind=NaiveDense):
        inputs = agreement.array(np.linspace(-1, 1, 20).reshape(5, 4))
        model = NaiveSequential([kind(4, 3, "tanh", seed=0, dtype=agreement.dtype)])
        return model, inputs, agreement.array(np.ones((5, 3)))

    def test_right(agreement):
        report = agreement.check(*parts(agreement), loss="mean_squared_error")
        assert agreement.require(report).agrees

    def test_wrong(agreement):
        agreement.assert_agreement(*parts(agreement, Mine), loss="mean_squared_error")
"""


@pytest.fixture(autouse=True)
def _found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes find this checkout, whatever is installed, and no options of the outer run."""
    monkeypatch.setenv("PYTHONPATH", HERE)
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the installed Keras does, in a process of its own."""
    path = tmp_path_factory.mktemp("recorded") / "baseline.npz"
    run_recorder(Path(sys.executable), [Path(HERE)], path, Asked(("activations/relu",)))
    return path


@pytest.fixture
def _quick(recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The installed Keras is recorded in no time: it does what it did."""

    def record(before: Recording, root: Path) -> Recording:
        return read_recording(recorded)

    monkeypatch.setattr(pytest_baseline, "record_installed", record)


def test_a_tally_survives_the_way_from_a_worker() -> None:
    """An infinite error/bound included, which JSON does not know."""
    one = Tally(Counter({"agree": 1}), 2, Counter({"AGREE": 3}), ["dual"], float("inf"), "here")
    assert Tally.from_json(one.to_json()) == one
    json.loads(one.to_json(), parse_constant=pytest.fail)
    both = Tally(Counter({"agree": 1}), 1, Counter({"KINK": 1}), ["manual"], 0.5, "there")
    both.merge(one, "test_it")
    assert (both.checks["agree"], both.tensors, both.where) == (2, 3, "here in test_it")
    assert both.witnesses == ["manual", "dual"]
    assert Tally().lines() == []


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_a_wrong_manual_layer_fails_and_the_summary_names_the_worst(
    pytester: pytest.Pytester, workers: tuple[str, ...]
) -> None:
    """The remark is the failure; what all workers judged is summed up once."""
    pytester.makepyfile(test_mine=SUITE)
    options = ("--agreement-against", "dual", "--agreement-dtype", "float64")
    done = pytester.runpytest_inprocess(*PLUGIN, *options, *workers)
    done.assert_outcomes(passed=1, failed=1)
    done.stdout.fnmatch_lines(
        [
            "*AgreementError: mine_1.grad_W disagrees (local view)",
            "*look at Mine.backward_affine",
            "*= agreement =*",
            "2 checks: 1 agree, 1 disagree",
            "16 tensors by the witnesses manual, dual: 56 AGREE, 2 DISAGREE",
            "worst error/bound *: mine_1.grad_W (* view, *) in test_mine.py::test_wrong",
        ]
    )


def test_references_and_dtype_come_from_the_ini_file_and_reach_every_check(
    pytester: pytest.Pytester,
) -> None:
    """With dual numbers left out where they have no part; of fixtures of any scope."""
    pytester.makeini("[pytest]\nagreement_against = keras, dual\nagreement_dtype = float64")
    pytester.makepyfile(
        """
        import numpy as np
        import pytest
        from manual_backprop.activations import Celu
        from manual_backprop.optimizers import SGD
        from manual_backprop.optimizers.schedules import InverseTimeDecay

        @pytest.fixture(scope="module")
        def report(agreement):
            inputs = agreement.array([[0.5]])
            return agreement.check_function(Celu(), inputs, np.ones_like(inputs))

        def witnesses(report):
            return {v.witness for v in report.verdicts}

        def test_all(agreement, report):
            assert agreement.references == ("keras", "dual")
            assert agreement.array([1]).dtype == np.float64
            assert witnesses(report) == {"manual", "keras"}
            weights, gradients = {"w": agreement.array([0.0])}, [[agreement.array([1.0])]]
            assert witnesses(agreement.check_trajectory(SGD(0.1), weights, gradients)) == {
                "manual", "keras"
            }
            decay = InverseTimeDecay(0.1, 2, 0.5)
            assert agreement.check_schedule(decay, [0, 1]).agrees
            with pytest.raises(ValueError, match="add keras to --agreement-against"):
                agreement.check_schedule(decay, [0, 1], against="dual")
        """
    )
    # A process of its own: a framework that this one loads and forgets cannot be loaded again.
    done = pytester.runpytest_subprocess(*PLUGIN)
    done.assert_outcomes(passed=1)
    done.stdout.fnmatch_lines(["3 checks: 3 agree"])


def test_without_use_nothing_is_printed_or_loaded(pytester: pytest.Pytester) -> None:
    """Neither NumPy nor a framework, in a run that has the plugin and does not use it."""
    pytester.makepyfile(
        """
        import sys

        def test_nothing():
            assert "agreement.pytest_plugin" in sys.modules
            assert not {"numpy", "tensorflow", "keras", "rich", "typer"} & set(sys.modules)
        """
    )
    others = ("-p", "no:hypothesispytest", "-p", "no:xdist")
    done = pytester.runpytest_subprocess(*PLUGIN, *others)
    done.assert_outcomes(passed=1)
    done.stdout.no_fnmatch_line("*= agreement =*")


def test_the_entry_point_and_the_option_do_not_meet_and_it_can_be_left_out(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Installed under the name "agreement", and named a second time, or blocked."""
    monkeypatch.setenv("PYTHONPATH", f"{pytester.path}:{HERE}")
    about = pytester.mkdir("elsewhere-1.0.dist-info")
    (about / "METADATA").write_text("Name: elsewhere\nVersion: 1.0\n", encoding="utf-8")
    (about / "entry_points.txt").write_text(
        "[pytest11]\nagreement = agreement.pytest_entry\n", encoding="utf-8"
    )
    pytester.makepyfile(
        """
        import os

        def test_options(request):
            there = request.config.getoption("agreement_dtype", "none") is None
            assert there == (os.environ["HERE"] == "yes")
        """
    )
    left_out = ("-p", "no:agreement")
    for options in ((), PLUGIN, left_out, (*left_out, "-n", "1")):
        monkeypatch.setenv("HERE", "no" if "no:agreement" in options else "yes")
        done = pytester.runpytest_subprocess(*options)
        assert done.parseoutcomes() == {"passed": 1}, options


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (("against", "kears"), "unknown name 'kears'; did you mean 'keras'*"),
        (("dtype", "half"), "got 'half', expected float32 or float64."),
        (("baseline", "none.npz"), "there is no file none.npz; make it by*"),
        (("baseline", "bad.npz"), "*bad.npz: is not a readable recording*"),
    ],
)
def test_a_wrong_option_is_one_clear_error_of_usage(
    pytester: pytest.Pytester, option: tuple[str, str], words: str
) -> None:
    """Before any test runs."""
    (pytester.path / "bad.npz").write_text("not a recording", encoding="utf-8")
    name, value = option
    done = pytester.runpytest_inprocess(*PLUGIN, f"--agreement-{name}", value)
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines([f"ERROR: --agreement-{name}: {words}"])


def test_a_tampered_baseline_is_an_error_of_usage(
    pytester: pytest.Pytester, recorded: Path
) -> None:
    """Its checksum does not fit."""
    with np.load(recorded) as archive:
        members = dict(archive)
    members["float32"] = members["float32"] + 1
    np.savez("tampered.npz", **members)
    done = pytester.runpytest_inprocess(*PLUGIN, "--agreement-baseline", "tampered.npz")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["ERROR: --agreement-baseline: *its checksum does not fit*"])


def planted(recording: Recording) -> None:
    """Keras of the day of the recording had another value, derivative and dtype's twin of it."""
    for key, cases in recording.cases.items():
        if key.startswith("activations/relu/defaults/float64"):
            tensors = cases["smooth"].observation.tensors
            name = next(iter(tensors))
            tensors[name] = tensors[name] * 1.5


def gone(recording: Recording) -> None:
    """Recorded with inputs that nobody draws any more: it cannot be judged."""
    for cases in recording.cases.values():
        for case in cases.values():
            case.inputs["inputs"] = np.zeros(3)


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (planted, "activations/relu changed (fix): *float64*by hand*"),
        (gone, "*could not be compared*could not judge"),
    ],
)
def test_a_change_since_the_baseline_fails_the_run_in_words(
    pytester: pytest.Pytester,
    recorded: Path,
    change: Callable[[Recording], None],
    words: str,
) -> None:
    """A line for each function, how to see all of it and how to accept it; no traceback."""
    before = read_recording(recorded)
    change(before)
    write_recording("old.npz", before)
    done = pytester.runpytest_inprocess(*PLUGIN, "--agreement-baseline", "old.npz", "-rf")
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(
        [
            words,
            "to see all of it: agreement compare *old.npz",
            "to accept it: agreement record *old.npz --only activations/relu",
            "FAILED old.npz::installed keras*",
        ]
    )
    done.stdout.no_fnmatch_line("*Traceback*")


@pytest.mark.usefixtures("_quick")
def test_the_ini_baseline_counts_in_runs_of_directories(
    pytester: pytest.Pytester, recorded: Path
) -> None:
    """Not in those of one test; once where the file lies among the tests; -k leaves it out."""
    (pytester.mkdir("tests") / "keras.npz").write_bytes(recorded.read_bytes())
    (pytester.path / "tests" / "test_other.py").write_text("def test_other(): pass")
    (pytester.mkdir("more") / "test_more.py").write_text("def test_more(): pass")
    pytester.makeini("[pytest]\nagreement_baseline = tests/keras.npz")
    for arguments, passed in (
        ([], 3),
        (["tests"], 2),
        (["more"], 2),
        (["more/test_more.py"], 1),
        (["more/test_more.py::test_more"], 1),
        (["tests/keras.npz"], 1),
        (["more", "-k", "not installed"], 1),
    ):
        done = pytester.runpytest_inprocess(*PLUGIN, *arguments)
        assert done.parseoutcomes()["passed"] == passed, arguments
    done = pytester.runpytest_inprocess(*PLUGIN, "tests/keras.npz")
    done.stdout.fnmatch_lines(["keras.npz: keras * → keras *identical*nothing changed"])


def test_the_installed_keras_is_compared_by_a_worker(
    pytester: pytest.Pytester, recorded: Path
) -> None:
    """Really recorded, once, and told to the process that prints."""
    (pytester.path / "baseline.npz").write_bytes(recorded.read_bytes())
    pytester.makepyfile("def test_other(): pass")
    done = pytester.runpytest_inprocess(*PLUGIN, "-n", "1", "--agreement-baseline", "baseline.npz")
    done.assert_outcomes(passed=2)
    done.stdout.fnmatch_lines(["baseline.npz: keras *identical*nothing changed"])


def test_a_models_file_is_looked_for_from_the_root_directory_on(
    tmp_path: Path, recorded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the run was started; an absolute path stays one. Imports are those of the run."""
    seen: list[Asked] = []

    def record(python: Path, paths: list[Path], file: Path, asked: Asked, what: str) -> None:
        assert [str(path) for path in paths] == [str(Path(p).absolute()) for p in sys.path if p]
        seen.append(asked)
        file.write_bytes(recorded.read_bytes())

    monkeypatch.setattr("agreement.upgrade.releases.run_recorder", record)
    before = read_recording(recorded)
    for given in ("models/mine.py:build", f"{tmp_path / 'models' / 'mine.py'}:build", ""):
        before.model = given
        pytest_baseline.record_installed(before, tmp_path)
    wanted = f"{tmp_path / 'models' / 'mine.py'}:build"
    assert [asked.model for asked in seen] == [wanted, wanted, ""]
    assert {asked.only for asked in seen} == {("activations/relu",)}
