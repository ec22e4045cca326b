"""Makes training iterations of one implementation, one for each line of stdin.

  python benchmarks/rivals/worker.py MODULE DIM BATCH [OPTION ...]

MODULE is a file of this folder with `build(dim, batch, *options)`, which
returns a function that makes an iteration (five critic updates, one of the
generator) and returns the generator's loss. Each line that is printed holds the
seconds, the processor seconds, the peak memory of the process in bytes, and
the loss. Needs no package but those of MODULE.
"""

import importlib
import resource
import sys
import time

WARMUPS = 3
ENOUGH_SECS = 10.0  # of an iteration, after which one more warms up enough


def main() -> None:
    """Warms up, prints "ready SECONDS" (first iteration), then takes orders."""
    module, dim, batch, *options = sys.argv[1:]
    iterate = importlib.import_module(module).build(
        int(dim), int(batch), *options
    )
    start = time.perf_counter()
    iterate()
    first = time.perf_counter() - start
    for _ in range(WARMUPS - 1):
        start = time.perf_counter()
        iterate()
        if time.perf_counter() - start > ENOUGH_SECS:
            break
    print("ready", first, flush=True)
    for _ in sys.stdin:
        wall, processor = time.perf_counter(), time.process_time()
        loss = iterate()
        wall, processor = (
            time.perf_counter() - wall,
            time.process_time() - processor,
        )
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(wall, processor, peak, loss, flush=True)


if __name__ == "__main__":
    main()
