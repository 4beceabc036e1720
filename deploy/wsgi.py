"""The WSGI entry point of the supervised API: `config.wsgi`, in a process that ends with granian's main one.

A granian worker outlives a killed main process and would go on answering on a port that nobody supervises.
"""

import os
import signal

from deploy import child, gate

child.die_with(parent=os.getppid(), death_signal=signal.SIGKILL)

from config.wsgi import application  # noqa: E402  the request above must be made before anything slow

gate.wait()

__all__ = ["application"]
