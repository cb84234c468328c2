"""Prints one pack's configuration, as a file for `pulumi preview --policy-pack-config`.

python -m policy_packs.configuration prod confidential llm-guardrails > llm-guardrails.json
"""

from __future__ import annotations

import argparse
import json

from policy_packs.configuration.loading import data_classes, environments, for_first_preview, settings_for
from policy_packs.packs import PACKS


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m policy_packs.configuration", description=__doc__.split("\n")[0])
    parser.add_argument("environment", choices=environments())
    parser.add_argument("data_class", choices=data_classes())
    parser.add_argument("pack", choices=tuple(PACKS))
    parser.add_argument("--first-preview", action="store_true", help="nothing exists yet: what is unknown is reported")
    chosen = parser.parse_args(arguments)
    settings = settings_for(chosen.environment, chosen.data_class)
    packs = for_first_preview(settings) if chosen.first_preview else settings
    print(json.dumps(packs[chosen.pack], indent=2, sort_keys=True))


if __name__ == "__main__":
    main()
