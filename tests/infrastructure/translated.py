"""Write the stacks as CloudFormation would create them, for a scanner that does not evaluate SAM and conditions.

`python tests/infrastructure/translated.py FOLDER` writes one file for each environment in config/, and one for a stack
with every resource.
"""

import json
import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from infrastructure.template import EVERYTHING, JWT, configured, environments, stack


def stacks() -> dict[str, dict[str, str]]:
    """Return the parameters of each stack, by its name."""
    configurations = {name: configured(name) for name in environments()}
    # staging and prod leave the issuer to the team.
    return {name: JWT | {n: v for n, v in given.items() if v} for name, given in configurations.items()} | {
        "everything": EVERYTHING
    }


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, given in stacks().items():
        template = {"AWSTemplateFormatVersion": "2010-09-09", "Resources": stack(**given).resources}
        (folder / f"{name}.json").write_text(json.dumps(template, indent=2))


if __name__ == "__main__":
    logging.disable()  # The translator's remarks about its feature toggles.
    main(Path(sys.argv[1]))
