"""``python -m pantheon.testing.chaos_child FOLDER``: one night, killed where one asks; the same command resumes it.

Prints how often each crash point was reached, as JSON, when the night has come to its end.
"""

import argparse
import asyncio
import json
import sys
from pathlib import Path

from pantheon.ports.crash_points import CrashPoint, install_hook
from pantheon.testing.chaos_fork import Reaper
from pantheon.testing.chaos_night import ChaosNight


def main() -> int:
    """Run or resume the night of a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--notes", type=int, default=2)
    parser.add_argument("--point", type=CrashPoint, help="crash point to die at")
    parser.add_argument("--occurrence", type=int, default=1)
    asked = parser.parse_args()
    reaper = Reaper(asked.point, asked.occurrence)
    install_hook(reaper)
    asyncio.run(ChaosNight(asked.folder, asked.notes).run())
    sys.stdout.write(json.dumps(reaper.reached, sort_keys=True) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
