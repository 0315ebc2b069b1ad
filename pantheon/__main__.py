"""``python -m pantheon`` and the ``pantheon`` console script."""

from pantheon.shell.cli.app import main

if __name__ == "__main__":
    main()
