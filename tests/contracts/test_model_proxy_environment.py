"""The model proxy starts from the environment that its pod gives it; the two are written in different rooms."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.cluster_layout import Port
from components.model_server import CERTIFICATE_PATH, LEAVE_S
from components.model_server_arguments import API_KEY_PATH, SEQUENCES_MAX
from services.model_proxy.settings import N_MOST, Settings, SettingsError
from services.model_weights import command
from tests.contracts.programs import CLUSTERS
from tests.criteria.manifests import Manifest, containers, model_servers, named, variables

pytestmark = [
    pytest.mark.xdist_group("programs"),
    pytest.mark.filterwarnings("ignore:.* has been deprecated in favor of:DeprecationWarning"),
]
EVERY_CLUSTER = pytest.mark.parametrize("stack", CLUSTERS)


def environment(stack: str, folder: Path) -> dict[str, str]:
    """What the container sees, with its volumes in `folder`."""
    proxy = named(containers(pod(stack)), "proxy")
    for path, files in ((CERTIFICATE_PATH, ("tls.crt", "tls.key")), (API_KEY_PATH, ("api-key",))):
        place = folder / path.lstrip("/")
        place.mkdir(parents=True)
        for file in files:
            (place / file).write_text("x", encoding="utf-8")
    given = variables(proxy)
    return {name: f"{folder}{value}" if value.startswith("/run/") else value for name, value in given.items()}


def pod(stack: str) -> Manifest:
    return model_servers(stack)[0]["spec"]["template"]["spec"]


@EVERY_CLUSTER
def test_the_proxy_starts_from_its_pod(stack: str, tmp_path: Path) -> None:
    settings = Settings.from_environment(environment(stack, tmp_path))

    assert settings.upstream == f"http://127.0.0.1:{Port.MODEL_SERVER}"
    assert (settings.listen.port, settings.health_listen.port) == (Port.MODEL_PROXY, Port.MODEL_PROXY_HEALTH)
    assert settings.n_max == SEQUENCES_MAX == N_MOST


@EVERY_CLUSTER
@pytest.mark.parametrize("name", ["MODEL_PROXY_UPSTREAM", "MODEL_PROXY_API_KEY_FILE", "MODEL_PROXY_CERTIFICATE"])
def test_without_a_variable_it_does_not_start(stack: str, name: str, tmp_path: Path) -> None:
    given = environment(stack, tmp_path)
    del given[name]

    with pytest.raises(SettingsError, match=name):
        Settings.from_environment(given)


@EVERY_CLUSTER
def test_the_proxy_outlives_the_server_it_passes_to(stack: str, tmp_path: Path) -> None:
    """A sidecar is told to end when the server has ended: what is left is the time to send the last bytes."""
    given, drain_s = pod(stack), Settings.from_environment(environment(stack, tmp_path)).drain_s
    proxy, server = named(containers(given), "proxy"), named(containers(given), "server")
    (shutdown,) = [int(one.partition("=")[2]) for one in server["args"] if one.startswith("--shutdown-timeout=")]

    assert proxy["restartPolicy"] == "Always"
    assert given["terminationGracePeriodSeconds"] > LEAVE_S + shutdown + drain_s


@EVERY_CLUSTER
@pytest.mark.parametrize("name", ["fetch-weights", "verify-weights"])
def test_the_commands_for_weights_are_understood(stack: str, name: str) -> None:
    """Argument names are read by the command's own parser; running them is another test's."""
    container = named(containers(pod(stack)), name)
    options = command._parser().parse_args(container["args"])

    assert str(options.bundle) == "/weights"
    assert options.manifest_sha256
