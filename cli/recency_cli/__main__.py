"""`python -m recency_cli`: the same as `recency`."""

from recency_cli.main import main

main()
