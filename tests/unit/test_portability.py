"""The command line runs on Windows: nothing in it needs POSIX."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

CLI = Path(__file__).parents[2] / "cli"
FILES = sorted(path.relative_to(CLI) for path in CLI.rglob("*.py"))
MODULES = {"curses", "fcntl", "grp", "posix", "pty", "pwd", "readline", "resource", "syslog", "termios", "tty"}
ATTRIBUTES = {
    "os": {"fork", "forkpty", "getuid", "geteuid", "getgid", "getpgid", "killpg", "setsid", "uname", "O_NOFOLLOW"},
    "signal": {"SIGALRM", "SIGHUP", "SIGKILL", "SIGUSR1", "SIGUSR2", "alarm", "pause"},
    "socket": {"AF_UNIX"},
}


def posix_only(source: str) -> Iterator[str]:
    """Yield the modules and attributes of POSIX that the source uses."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names if alias.name.partition(".")[0] in MODULES)
            case ast.ImportFrom(module=str(module), names=names):
                if module.partition(".")[0] in MODULES:
                    yield module
                yield from (f"{module}.{alias.name}" for alias in names if alias.name in ATTRIBUTES.get(module, ()))
            case ast.Attribute(value=ast.Name(id=module), attr=name) if name in ATTRIBUTES.get(module, ()):
                yield f"{module}.{name}"


@pytest.mark.parametrize("path", FILES, ids=str)
def test_a_module_uses_nothing_of_posix_alone(path: Path) -> None:
    assert list(posix_only((CLI / path).read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "source",
    ["import fcntl", "import os\nos.fork()", "from os import setsid", "def f():\n    import pwd"],
)
def test_a_use_of_posix_is_found(source: str) -> None:
    assert list(posix_only(source))
