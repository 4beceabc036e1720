"""An SMSC to try things against: SMPP 3.4, thousands of messages a second on one loop, with the manners and
faults that operators' SMSCs have. Needs no Django.

    with simulator.start_in_thread(simulator.Settings(latency=simulator.Span(0.02, 0.08))) as smsc:
        connect_to(smsc.host, smsc.port)
"""

from smpp_bind.simulator.reading import SettingsError, Span
from smpp_bind.simulator.running import Running, run, start_in_thread
from smpp_bind.simulator.settings import Settings

__all__ = ["Running", "Settings", "SettingsError", "Span", "run", "start_in_thread"]
