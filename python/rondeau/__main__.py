"""`python -m rondeau`: see cli.py."""

from rondeau.cli import main

main()
