"""The command ``drsn-jax``, also ``python -m drsn_jax``: one name for the experiment scripts."""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import drsn_jax
from drsn_jax.cli import commands, console


def main() -> None:
    """Run the command that the arguments of this process name, with the arguments behind it."""
    program = "python -m drsn_jax" if Path(sys.argv[0]).name == "__main__.py" else "drsn-jax"
    name, *rest = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help"):
        console.run(lambda: console.say(_help(program)))
    elif name == "--version":
        print(f"drsn-jax {drsn_jax.__version__}")
    elif name not in commands.COMMANDS:
        print(f"error: {program} has no command {name!r}: choose one of {', '.join(commands.COMMANDS)}", file=sys.stderr)
        sys.exit(2)
    else:
        command = commands.COMMANDS[name]
        sys.argv[1:] = rest
        with commands.started_by(program, name):
            # imported inside, because a script needs packages of the extra experiments, which may be missing
            console.run(lambda: _load(command.script).main(), command.interrupted)


def _help(program: str) -> str:
    """Return the help text: the usage and a line for each command."""
    lines = [f"  {name:10}{command.summary}" for name, command in commands.COMMANDS.items()]
    return "\n".join(
        [
            f"usage: {program} COMMAND [OPTIONS]",
            "",
            "Deep Residual Shrinkage Networks: train them on recordings of machines, and ask them what they hear.",
            "",
            "commands:",
            *lines,
            "",
            f"{program} COMMAND --help lists the options of a command, {program} --version the version.",
        ]
    )


def _load(script: str) -> ModuleType:
    """Import a script of the folder ``experiments``, which an installed package holds as ``drsn_jax.experiments``."""
    name = f"drsn_jax.experiments.{script}"
    file = Path(__file__).parents[1] / "experiments" / f"{script}.py"
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # a checkout that is not installed has the folder beside the package
        if error.name not in (name, "drsn_jax.experiments") or not file.is_file():
            raise
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
