"""What all sockets and event streams of a process have between them."""

from __future__ import annotations

from dataclasses import dataclass, field

from holdfast.transport.callers import Callers
from holdfast.transport.figures import Figures
from holdfast.transport.multicast import Multicast
from holdfast.transport.patience import Patience
from holdfast.transport.request import Ports


@dataclass(slots=True)
class Exchange:
    """One process' own; made of its ports, whose limits it keeps."""

    ports: Ports
    figures: Figures = field(default_factory=Figures)
    patience: Patience = field(init=False)
    multicast: Multicast = field(init=False)
    sockets_by_address: Callers = field(init=False)
    sockets_by_account: Callers = field(init=False)
    subscriptions: Callers = field(init=False)

    def __post_init__(self) -> None:
        limits = self.ports.limits
        self.patience = Patience(limits.send)
        self.multicast = Multicast(self.figures)
        self.sockets_by_address = Callers(limits.sockets_per_address)
        self.sockets_by_account = Callers(limits.sockets_per_account)
        self.subscriptions = Callers(limits.subscriptions_per_caller)
