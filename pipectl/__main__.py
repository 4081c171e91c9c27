"""`python -m pipectl`, and the entry point of the exe."""

import _signal  # type: ignore[import-not-found] # `signal` would be a module more
import os

if __name__ == "__main__":
    # There is nothing to tear down before `main`; an import that Ctrl+C interrupts would end with a traceback.
    _signal.signal(_signal.SIGINT, lambda *_: os._exit(130))
    from pipectl.cli import main

    main()
