"""`python -m rushlight` is the `rushlight` command."""

from .cli import main

main()
