"""The child process that serves one model file: ``python -P -m pantheon.adapters.llama_child``.

Invariants:
- it reads one JSON line from stdin and keeps stdin open: its end means that the parent is gone, and so is this;
- the kernel kills it as well when its parent dies, for loading a model holds the interpreter's lock for seconds,
  in which no thread of Python can watch anything;
- importing this module does nothing, and needs nothing of Pantheon.
"""

import ctypes
import json
import os
import signal
import sys
import threading
from typing import Any

PR_SET_PDEATHSIG = 1
ORPHANED = 3
"""Exit code when the parent was gone before the first line."""


def main() -> None:
    """Serve until stdin ends. Never returns."""
    line = sys.stdin.buffer.readline()
    if not line:
        sys.exit(ORPHANED)
    wanted = json.loads(line)
    if wanted["parent_thread_is_main"]:
        # The signal comes when the *thread* that started this process ends: only the main one lives long enough.
        _die_with(wanted["parent_pid"])
    threading.Thread(target=_leave_at_end_of_input, name="stdin", daemon=True).start()
    try:
        server = _serve(wanted)
    except RuntimeError as error:
        # One line, not a traceback: the end of the log is what a person gets to see.
        sys.exit(f"the server did not start: {error}")
    print(f"serving {wanted['alias']} on {server.listening_address}", file=sys.stderr, flush=True)  # noqa: T201 (the log)
    while True:
        signal.pause()


def _die_with(parent: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0):
        print(f"prctl: {os.strerror(ctypes.get_errno())}", file=sys.stderr, flush=True)  # noqa: T201 (the log)
    if os.getppid() != parent:
        sys.exit(ORPHANED)


def _leave_at_end_of_input() -> None:
    while os.read(0, 4096):
        continue
    os._exit(0)


def _serve(wanted: dict[str, Any]) -> Any:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = wanted["model"]
    params.model_alias = {wanted["alias"]}
    params.hostnames = [wanted["socket"]]
    params.n_ctx = wanted["context_tokens"]
    params.n_parallel = wanted["slots"]
    params.n_ubatch = wanted["batch_tokens"]
    params.cpuparams.n_threads = wanted["threads"]
    params.cpuparams_batch.n_threads = wanted["threads"]
    params.cache_ram_mib = wanted["cache_ram_mib"]
    params.slot_prompt_similarity = wanted["slot_similarity"]
    params.kv_unified = True  # slots share one context, so that a lone request may use all of it
    params.fit_params = False  # what was asked for, or an error; never silently less
    params.ctx_shift = False  # a prompt that is too long is an error; never silently cut
    params.endpoint_metrics = True
    params.endpoint_slots = True
    params.offline = True
    params.ui = False
    params.warmup = True
    return xllamacpp.Server(params)


if __name__ == "__main__":
    main()
