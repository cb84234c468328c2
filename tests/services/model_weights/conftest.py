"""A bundle that may enter, in a folder of the test's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.services.model_weights.bundles import Bundle, IntakeKey, bundle


@pytest.fixture(scope="session")
def intake_key() -> IntakeKey:
    return IntakeKey()


@pytest.fixture
def weights(tmp_path: Path, intake_key: IntakeKey) -> Bundle:
    folder = tmp_path / "model"
    folder.mkdir()
    return bundle(folder, intake_key)
