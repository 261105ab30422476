"""Writes the stacks as CloudFormation would make them, for a scanner that knows nothing of SAM, conditions or `Fn::If`.

`python tests/infrastructure/translated.py FOLDER`: one file for each environment in config/, and one for a stack with
everything that a parameter can add.
"""

import json
import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from infrastructure.template import EVERYTHING, JWT, ROOT, configured, stack


def stacks() -> dict[str, dict[str, str]]:
    """The parameters of each stack to look at, by its name."""
    environments = {path.stem: configured(path.stem) for path in (ROOT / "config").glob("*.yaml")}
    # The issuer is each team's own to fill in; the stack is the same with any.
    return {name: JWT | {n: v for n, v in given.items() if v} for name, given in environments.items()} | {
        "everything": EVERYTHING
    }


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, given in stacks().items():
        template = {"AWSTemplateFormatVersion": "2010-09-09", "Resources": stack(**given).resources}
        (folder / f"{name}.json").write_text(json.dumps(template, indent=2))


if __name__ == "__main__":
    logging.disable()  # The translator's remarks about itself.
    main(Path(sys.argv[1]))
