"""Other plugins: those that bring a `benchmark` fixture too, and those that would disturb a simulation."""

import importlib.util
import os

import pytest

# What each is called as a plugin, and as a module.
_RIVALS: dict[str, str] = {"benchmark": "pytest_benchmark", "codspeed": "pytest_codspeed"}


def active(manager: pytest.PytestPluginManager) -> list[str]:
    """The rivals that this session loads, by their plugin names. Right before all of them are loaded, too."""
    return [name for name, module in _RIVALS.items() if _is_active(manager, name, module)]


def _is_active(manager: pytest.PytestPluginManager, name: str, module: str) -> bool:
    if manager.is_blocked(name):
        return False
    if manager.has_plugin(name) or manager.has_plugin(f"{module}.plugin"):
        return True
    if os.environ.get("PYTEST_DISABLE_PLUGIN_AUTOLOAD"):
        return False
    return importlib.util.find_spec(module) is not None


def displace(manager: pytest.PytestPluginManager, names: list[str]) -> None:
    """Takes rivals out of the session. Their command-line options stay known, so command lines stay valid."""
    for name in names:
        manager.set_blocked(name)
        plugin = manager.get_plugin(f"{_RIVALS[name]}.plugin")
        if plugin is not None:
            manager.unregister(plugin)


def silence_disturbers(config: pytest.Config) -> None:
    """Keeps plugins out that make every run another one (an order of chance) or measure themselves (coverage)."""
    for name in ("randomly", "random_order", "random-order"):
        config.pluginmanager.set_blocked(name)
    # What `--no-cov` does.
    config.known_args_namespace.no_cov = True


def sentence(names: list[str], measuring: bool) -> str:
    """What the user should know about who measures."""
    others = " and ".join(_RIVALS[name].replace("_", "-") for name in names)
    if measuring:
        return f"{others} is installed too: under `invar run` the benchmark fixture is pytest-invar's"
    return f"{others} is installed too: without `invar run` the benchmark fixture is left to it"
