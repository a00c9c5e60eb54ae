"""Run the command line with `python -m foodex.cli`."""

from foodex.cli.main import main

main()
