"""Runs where vLLM is installed: `vllm bench serve WORDS`, without the command line's other commands.

vLLM 0.19.1 lies here without its compiled parts and beside newer libraries: what its other commands import is
not all there, and not needed.
"""

from __future__ import annotations

import sys


def main() -> None:
    """See the module."""
    from vllm.benchmarks.serve import add_cli_args
    from vllm.benchmarks.serve import main as benchmark
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    parser = FlexibleArgumentParser(prog="vllm bench serve")
    add_cli_args(parser)
    benchmark(parser.parse_args(sys.argv[1:]))


if __name__ == "__main__":
    main()
