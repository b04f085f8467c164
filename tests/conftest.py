"""Settings that hold for all tests."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Generator

# One BLAS thread in every process, kernels of notebooks included. The bytes of a
# product depend on the number of threads, and several processes share the cores.
# Before the first import of NumPy.
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
# Kernels print a warning about frozen modules without it.
os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")

# Jupyter and IPython keep settings and history in the home folder. The tests get empty
# ones, so a person's own neither help nor suffer. Processes of pytest-xdist inherit them.
_created_home = None
if "FLOWBOOK_TEST_HOME" not in os.environ:
    _created_home = os.environ["FLOWBOOK_TEST_HOME"] = tempfile.mkdtemp(prefix="flowbook-test-")
for _name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "FLOWBOOK_CACHE"):
    os.environ[_name] = os.path.join(os.environ["FLOWBOOK_TEST_HOME"], _name.lower())

import random
import signal

import hypothesis
import numpy as np
import pytest

from tests.tools import lab

# A shell starts what it runs in the background deaf to Ctrl-C, which some tests send.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Programs, not tests; importing them to look for docstrings could run them.
collect_ignore = ["bench", "tools"]

# The same examples on every run and machine, so that a failure is a change in the code.
# To search for new ones: HYPOTHESIS_PROFILE=explore make test
hypothesis.settings.register_profile(
    "ci",
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.register_profile("explore", parent=hypothesis.settings.get_profile("ci"), derandomize=False)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(autouse=True)
def _seeds() -> None:
    """No test depends on the ones before it through a global generator."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("browser") and (reason := lab.missing()):
        pytest.skip(reason)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """A test whose page lost its kernel says nothing of flowbook: it is repeated once, and the summary lists it."""
    try:
        return (yield)
    except lab.DeafPage:
        pyfuncitem.user_properties.append(("repeated", "JupyterLab's page got no answer from an idle kernel"))
        wanted = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
        pyfuncitem.obj(**wanted)
        return True


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for report in (each for reports in terminalreporter.stats.values() for each in reports):
        for name, reason in getattr(report, "user_properties", ()):
            if name == "repeated" and report.when == "call":
                terminalreporter.write_line(f"REPEATED {report.nodeid}: {reason}")


def pytest_unconfigure() -> None:
    if _created_home is not None:
        shutil.rmtree(_created_home, ignore_errors=True)
        os.environ.pop("FLOWBOOK_TEST_HOME", None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden texts of failing tests anew")
