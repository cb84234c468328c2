"""The local deployment, act by act: parts, programs, migration, registration, documents.

Each act leaves what the next needs on the journey. Nothing here knows how the gateway works inside: it
deploys the programs, and the gateway is what their ECS task definitions say.
"""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path

import yaml

from stacks.local import engine
from stacks.local.engine_graph import Json
from stacks.local.parts import ports
from stacks.local.parts.addresses import HOST, Addresses
from stacks.local.parts.local_parts import Options, local_supervisor
from stacks.local.parts.oidc import People
from stacks.local.parts.part import PartError
from stacks.local.parts.places import REPOSITORY, Places
from stacks.local.parts.supervisor import Supervisor, stop_recorded
from stacks.local.progress import Outcome, StepError
from stacks.local.provider.aws_calls import Endpoint
from stacks.local.provider.containers import TaskFailed
from stacks.local.provider.parts_of import Parts
from stacks.local.provider.provider import MotoProvider

STACK = "local"
DEPLOYER = "llm-pipelines-local-deployer"
PLATFORM = REPOSITORY
WORKLOAD = REPOSITORY / "stacks" / "workloads" / "document_assistant"
PACKS = tuple(
    engine.Pack(REPOSITORY / "policy_packs" / name, in_process=True) for name in ("baseline_security", "llm_guardrails")
)
DOCUMENTS = REPOSITORY / "examples" / "documents"
PATIENCE_S = 180.0  # for a busy machine: whoever waits goes on as soon as it holds


@dataclass
class Journey:
    """What the acts so far have made."""

    places: Places
    addresses: Addresses
    model_url: str = ""
    platform: engine.Deployment | None = None
    workload: engine.Deployment | None = None
    supervisor: Supervisor = field(init=False)
    provider: MotoProvider = field(init=False)

    def __post_init__(self) -> None:
        self.supervisor = local_supervisor(self.places, self.addresses, Options(self.model_url))

    # --- acts -----------------------------------------------------------------------------------------

    def start_parts(self) -> Outcome:
        """Starts every part from empty data and points the AWS SDK at the local endpoint."""
        try:
            stop_recorded(self.places)
            self._require_free_ports()
            rows = self.supervisor.start_all()
        except PartError as error:
            raise StepError(str(error)) from None
        os.environ.update(aws_environment(self.places, self.addresses))
        self.provider = MotoProvider(
            Endpoint.from_environment(), parts=Parts(self.addresses, self.places), deployer_role=DEPLOYER
        )
        memory_mib = sum(row.rss_mib for row in rows)
        return Outcome(f"{len(rows)} parts, {memory_mib:,.0f} MiB", ".venv/bin/python -m stacks.local.parts status")

    def deploy_platform(self) -> Outcome:
        preview, self.platform = self._deploy(PLATFORM)
        return _deployed(preview, self.platform, self._record_of(self.platform))

    def migrate(self) -> Outcome:
        """Runs the migration task once, from the task definition that the platform registered."""
        try:
            self.provider.run_task(self.promised("taskDefinitions")["migrate"])
        except TaskFailed as error:
            raise StepError(str(error)) from None
        return Outcome("schema applied by the owner role", f"cat {shown(self.places.logs)}/gateway-migrate.log")

    def deploy_workload(self) -> Outcome:
        preview, self.workload = self._deploy(WORKLOAD)
        return _deployed(preview, self.workload, self._record_of(self.workload))

    def await_gateway(self) -> Outcome:
        """Waits until the gateway has its schema, keys and the workload's registration."""
        url = f"http://{HOST}:{self.addresses.operations}/readyz"
        wait_until(lambda: _answers(url), f"the gateway at {url}")
        return Outcome("every part it needs answers; the registration is loaded", f"curl -s {url}")

    def write_connection(self) -> Outcome:
        """Writes how to call the gateway and how to be one of the invented people."""
        people = People.read(self.places)
        roles = sorted({person.role for person in people.persons})
        connection = {
            "base_url": f"http://{HOST}:{self.addresses.gateway}/v1",
            "token_url": self.addresses.token_url,
            "grant_type": "password",
            "client": {"client_id": people.client_id, "client_secret": people.client_secret},
            "roles": roles,
            "users": [
                {"tenant": one.tenant, "role": one.role, "username": one.username, "password": one.password}
                for one in people.persons
            ],
            "models": ["local", "nova-lite"],
        }
        path = self.places.root / "connection.json"
        write_private(path, json.dumps(connection, indent=1) + "\n")
        write_private(self.places.root / "gateway.env", self._auditor_environment())
        return Outcome(f"{len(people.persons)} people, roles {', '.join(roles)}", f"cat {shown(path)}")

    def _require_free_ports(self) -> None:
        """The ports that the deployment takes later; each part looks after its own."""
        for what, port in (
            ("the gateway", self.addresses.gateway),
            ("the gateway's operations port", self.addresses.operations),
            ("the container credentials endpoint", self.addresses.container_credentials),
        ):
            if not ports.is_free(port):
                raise PartError(f"port {port}, where {what} listens, is taken by {ports.holder(port)}: end it first")

    # --- what the acts share -----------------------------------------------------------------------------

    def promised(self, name: str) -> Json:
        """One output of the platform's promise to other programs."""
        if self.platform is None:
            raise StepError("the platform is not deployed yet")
        return self.platform.outputs["platform"][name]

    def _deploy(self, program: Path) -> tuple[engine.Deployment, engine.Deployment]:
        """Judges the preview, every id unknown, before anything is made; then deploys, judged again."""
        preview = self._run(program, preview=True)
        deployment = self._run(program, preview=False)
        self._record(deployment)
        return preview, deployment

    def _run(self, program: Path, *, preview: bool) -> engine.Deployment:
        overrides = self._overrides() if program == PLATFORM else {}
        try:
            deployment = engine.run(
                program,
                STACK,
                config=overrides,
                preview=preview,
                provider=None if preview else self.provider,
                packs=PACKS,
                references={f"organization/llm-pipelines/{STACK}": self.platform.outputs} if self.platform else {},
            )
        except engine.EngineError as error:
            raise StepError(str(error)) from None
        if deployment.rejected:
            first = next(finding for finding in deployment.findings if finding.level == "mandatory")
            raise StepError(f"policy {first.policy} of {first.pack} forbids {first.urn}: {first.message}")
        return deployment

    def _overrides(self) -> dict[str, str]:
        """Configuration that this run changes: the model server, and the ports of a run beside another."""
        chosen = {}
        if self.model_url:
            chosen = {"llm-pipelines:modelUrl": self.model_url, "llm-pipelines:modelName": served_model(self.model_url)}
        if self.addresses != Addresses.default():
            chosen["llm-pipelines:environment"] = moved_environment(self.addresses)
        return chosen

    def _record(self, deployment: engine.Deployment) -> None:
        """Keeps the list of resources, so that every count can be checked."""
        rows = [
            {"type": one.type, "name": one.name, "id": one.id, "modelled": one.modelled, "urn": one.urn}
            for one in deployment.resources
        ]
        self._record_of(deployment).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")

    def _record_of(self, deployment: engine.Deployment) -> Path:
        return self.places.root / f"{deployment.project}.json"

    def _auditor_environment(self) -> str:
        """The gateway's environment for `gateway audit verify`, as the auditor, for a shell to read."""
        given = self.provider.task_environment(self.promised("taskDefinitions")["gateway"])
        environment = {**given, "GATEWAY_DATABASE_USER": "gateway_auditor"}
        return "".join(f"{name}={_quoted(value)}\n" for name, value in sorted(environment.items()))


def aws_environment(places: Places, addresses: Addresses) -> dict[str, str]:
    """The standard variables with which any AWS SDK finds the local endpoint."""
    return {
        "AWS_ENDPOINT_URL": addresses.aws_url,
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": addresses.bedrock_runtime_url,
        "AWS_CA_BUNDLE": str(places.ca_bundle),
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def moved_environment(addresses: Addresses) -> str:
    """The environment of Pulumi.local.yaml as JSON, with every loopback port moved to `addresses`."""
    settings = yaml.safe_load((PLATFORM / "stacks" / "platform" / "Pulumi.local.yaml").read_text(encoding="utf-8"))
    text = json.dumps(settings["config"]["llm-pipelines:environment"])
    for one in fields(Addresses):
        text = text.replace(
            f"{HOST}:{getattr(Addresses.default(), one.name)}", f"{HOST}:{getattr(addresses, one.name)}"
        )
    return text


def served_model(base_url: str) -> str:
    """The name under which a server offers its model: the first it lists; `local` where it lists none."""
    url = f"{base_url.rstrip('/')}/models"
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - the scheme is checked with the parts
            listed = [str(model["id"]) for model in json.loads(answer.read())["data"]]
    except (urllib.error.HTTPError, ValueError, KeyError, TypeError):
        return "local"  # a server of one model need not list it
    except OSError as error:
        raise StepError(f"MODEL_URL: {url} does not answer: {error}") from None
    return "local" if "local" in listed or not listed else listed[0]


def wait_until(holds: Callable[[], bool], what: str, seconds: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise StepError(f"{what} did not become ready within {seconds:.0f} s")
        time.sleep(0.1)


def write_private(path: Path, text: str) -> None:
    """Writes a file that only its owner can read, from the first byte on."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)


def _deployed(preview: engine.Deployment, deployment: engine.Deployment, record: Path) -> Outcome:
    counts = deployment.counts
    waited = sum(finding.level == "unknown" for finding in preview.findings)
    figure = (
        f"{counts.get('modelled', 0)} modelled, {counts.get('recorded only', 0)} recorded only; "
        f"0 violations, {waited} judgements waited for known values"
    )
    return Outcome(figure, f"cat {shown(record)}")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own loopback address
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "'\\''") + "'"


def shown(path: Path) -> str:
    return str(path.relative_to(REPOSITORY)) if path.is_relative_to(REPOSITORY) else str(path)
