"""pytest's entry to Invar: who has the field, and which instrument measures.

Under `invar run` the first thing is to become repeatable, before any module of the suite is imported.
"""

import os
import sys
from collections.abc import Generator
from typing import Any, Optional

import pytest

from . import _native, byte_code, layout, options, repeatable, rivals
from .isolation import Isolation
from .simulation import Simulation
from .suite import Instrument, Suite
from .walltime import Disabled, Walltime

_simulation: "pytest.StashKey[Simulation]" = pytest.StashKey()
_rivals: "pytest.StashKey[list[str]]" = pytest.StashKey()


@pytest.hookimpl
def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    # The same options twice would stop pytest.
    if "benchmark" not in rivals.active(pluginmanager):
        options.add(parser)


# The outermost wrapper: before pytest captures the outputs, which the next program is to inherit.
@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config, args: list[str]) -> Generator[None, Any, None]:
    manager = early_config.pluginmanager
    early_config.stash[_rivals] = rivals.active(manager)
    state = _native.state()
    try:
        if state == "fresh" and not repeatable.measures_nothing(args):
            repeatable.restart()
        measures = state == "ready"
        # Workers of pytest-xdist find what the process that has started them had written.
        if measures and "PYTEST_XDIST_WORKER" not in os.environ:
            which = byte_code.written_by_copy(early_config, args)
            measures = which != "copy"
            if which == "again":
                repeatable.begin_again()
    except OSError as error:
        raise pytest.UsageError(f"pytest-invar: cannot start again repeatably: {error}") from error
    if measures:
        try:
            _native.attach()
            layout.shift(_native.layout())
        except (OSError, RuntimeError) as error:
            _native.warning(str(error))
            _native.finished(int(pytest.ExitCode.USAGE_ERROR))
            raise pytest.UsageError(f"pytest-invar: {error}") from error
        rivals.displace(manager, early_config.stash[_rivals])
        rivals.silence_disturbers(early_config)
        # What earlier runs left behind is no part of this one.
        manager.consider_pluginarg("no:cacheprovider")
        early_config.stash[_simulation] = Simulation()
    yield


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    for name in ("benchmark", "codspeed_benchmark"):
        config.addinivalue_line(
            "markers", f"{name}(**options): measure this test; see the plugin pytest-invar."
        )
    simulation = config.stash.get(_simulation, None)
    if simulation is None and config.stash.get(_rivals, []):
        return
    if config.getoption("--benchmark-only") and config.getoption("--benchmark-disable"):
        raise pytest.UsageError("--benchmark-only and --benchmark-disable exclude each other")
    if config.getoption("--benchmark-only") and config.getoption("--benchmark-skip"):
        raise pytest.UsageError("--benchmark-only and --benchmark-skip exclude each other")
    if simulation is not None and config.option.basetemp is None:
        config.option.basetemp = _native.scratch_directory()
    # A worker of pytest-xdist has threads, and a fork has not.
    if simulation is not None and _native.isolated() and not _workers(config):
        config.pluginmanager.register(Isolation(simulation), "invar-isolation")
    elif simulation is not None and _native.jobs() > 1:
        _native.warning(
            "benchmarks share one process here, so they are measured one after the other (--jobs)"
        )
    config.pluginmanager.register(Suite(config, _instrument(config, simulation)), "invar-suite")


def _instrument(config: pytest.Config, simulation: Optional[Simulation]) -> Instrument:
    if config.getoption("--benchmark-disable"):
        return Disabled()
    if simulation is not None:
        return simulation
    # Workers side by side would time each other.
    return Disabled() if _workers(config) else Walltime()


def _workers(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput") or config.getoption("dist", "no") != "no"


def pytest_report_header(config: pytest.Config) -> list[str]:
    simulated = _simulation in config.stash
    lines = []
    if config.stash.get(_rivals, []):
        lines.append(rivals.sentence(config.stash[_rivals], simulated))
        if not simulated:
            return [f"invar: {line}" for line in lines]
    if simulated:
        lines.append("measures by simulation")
        if not _native.is_repeatable():
            lines.append("address-space randomisation is on, so counts may vary between runs")
        # Workers of pytest-xdist are executed by it, and have been warned of already.
        elif not (_native.is_placed() or hasattr(config, "workerinput")):
            lines.append(
                "the kernel has placed the memory (seccomp or the program's format forbids it to be placed by Invar),"
                " so counts may differ from those of another kernel"
            )
            _native.warning(lines[-1])
        if sys.flags.hash_randomization:
            lines.append(
                "hashes are random (does python run with -I or -E?), so counts may vary between runs"
            )
            _native.warning(lines[-1])
        if _workers(config):
            lines.append(
                "pytest-xdist hands out tests by who is free, so counts may vary between runs; -n 0 does not"
            )
            if not hasattr(config, "workerinput"):
                _native.warning(lines[-1])
    elif _workers(config):
        lines.append("benchmarks are called but not timed, since pytest-xdist runs tests side by side")
    ignored = options.without_effect(config)
    if ignored:
        lines.append(ignored)
    return [f"invar: {line}" for line in lines]
