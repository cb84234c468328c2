"""`python -m tests.services.gateway.patient_gateway <command>`: the gateway's commands, patient with other parts."""

from __future__ import annotations

from services.gateway.command import main
from tests.services.gateway.patience import patient

if __name__ == "__main__":
    with patient():
        main()
