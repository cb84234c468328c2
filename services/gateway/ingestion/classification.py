"""The data class of a document: that of its workload, or higher when its content says so.

Masking removes what was recognised; that something was there says that more may be. So a document with
personal data or credentials is at least confidential. A document above its workload's class cannot be stored
there: the workload's boundary was chosen for less.
"""

from __future__ import annotations

from collections.abc import Mapping

from services.gateway.exchange import DataClass
from services.gateway.ingestion.rejection import Reason, Rejected

_ORDER = tuple(DataClass)


def classify(workload: DataClass, redactions: Mapping[str, int]) -> DataClass:
    """The document's class; Rejected when it is above the workload's."""
    if redactions and _ORDER.index(workload) < _ORDER.index(DataClass.CONFIDENTIAL):
        raise Rejected(Reason.DATA_CLASS_ABOVE_WORKLOAD)
    return workload
