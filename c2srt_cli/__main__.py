"""`python -m c2srt_cli` is `c2srt`."""

from c2srt_cli.cli import main

main()
