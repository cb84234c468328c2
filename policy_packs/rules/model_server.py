"""Model servers in a cluster: our image, the weights we chose, nothing that runs on being read, bounded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from typing import Final

from policy_packs.kubernetes_workload import JOB, WORKLOADS, Container, Pod, deployment
from policy_packs.model_pod import CommandLine, is_model_pod, is_vllm, variable
from policy_packs.resource import Resource
from policy_packs.rule import Controls, NotApplicable, Outcome, Rule, Severity, Unclear, demand, forbid
from policy_packs.tristate import Truth, all_of, any_of, negate
from policy_packs.view import View

_OURS: Final = "111122223333.dkr.ecr.eu-central-1.amazonaws.com/vllm@sha256:" + "0" * 64
_REVISION: Final = "0123456789abcdef" * 2 + "01234567"
_OFFLINE: Final[dict[str, object]] = {"name": "HF_HUB_OFFLINE", "value": "1"}
_GPU: Final = {"limits": {"nvidia.com/gpu": "1"}}


def _server(*arguments: str, env: list[dict[str, object]] | None = None, **container: object) -> Resource:
    """A deployment of one vLLM, offline unless told otherwise."""
    variables = [_OFFLINE] if env is None else env
    main = {"name": "server", "image": _OURS, "args": [*arguments], "env": variables, **container}
    return deployment({"containers": [main]})


def _supply_chain(*atlas: str) -> Controls:
    return Controls(
        soc2=("CC6.8", "CC8.1"),
        iso27001_2022=("A.5.21", "A.8.9"),
        nist_800_53_r5=("SR-3", "SI-7", "CM-14"),
        owasp_llm=("LLM04:2026",),
        atlas=atlas,
    )


def _from_registry(workload: Resource) -> Iterator[Outcome]:
    pod = Pod.of(workload)
    is_model = is_model_pod(pod)
    if is_model is not Truth.YES:
        yield NotApplicable("no model runs in it") if is_model is Truth.NO else Unclear("spec")
        return
    for image in (container.at("image") for container in pod.containers()):
        by_digest = image.matches(r".+@sha256:[0-9a-f]{64}")
        yield from demand(_is_of(image, workload.settings["registries"]), "no registry of ours", image)
        yield from demand(by_digest, "a tag may name another image tomorrow", image)


def _is_of(image: View, registries: object) -> Truth:
    host, slash, _ = image.text.partition("/")
    allowed = registries if isinstance(registries, list | tuple) else ()
    found = any(fnmatchcase(host, str(one)) for one in allowed)
    return Truth.UNKNOWN if image.is_unknown else Truth.of(found and slash != "")


def _model(**container: object) -> Resource:
    return deployment({"containers": [{"resources": _GPU, **container}]})


IMAGE_FROM_OWN_REGISTRY = Rule(
    name="kubernetes-model-require-image-from-own-registry",
    description="Every container of a pod with a model runs an image by digest, from a private registry.",
    severity=Severity.HIGH,
    controls=_supply_chain("AML.T0010.001", "AML.T0010.004", "AML.M0014"),
    remediation="Copy the image to a private ECR repository, and name it as repository@sha256:….",
    settings={"registries": ["*.dkr.ecr.*.amazonaws.com", "*.dkr-ecr.*.on.aws"]},
    resource_types=WORKLOADS,
    check=_from_registry,
    obeys={
        "ours, with a GPU": _model(image=_OURS),
        "ours, with a Neuron device": _model(
            image=_OURS.replace("dkr.ecr", "dkr-ecr").replace("amazonaws.com", "on.aws"),
            resources={"requests": {"aws.amazon.com/neuroncore": "2"}},
        ),
    },
    breaks={
        "the public one": _model(image="docker.io/vllm/vllm-openai@sha256:" + "0" * 64),
        "the public one, known by its name": deployment(
            {"containers": [{"image": "vllm/vllm-openai@sha256:" + "0" * 64}]}
        ),
        **{
            f"the public one of another server: {name}": deployment(
                {"containers": [{"image": f"{name}@sha256:" + "0" * 64}]}
            )
            for name in (
                "ghcr.io/huggingface/text-generation-inference",
                "nvcr.io/nvidia/tritonserver",
                "ollama/ollama",
                "lmsysorg/sglang",
            )
        },
        "a slice of a GPU": _model(image="app", resources={"limits": {"nvidia.com/mig-1g.5gb": "1"}}),
        "a GPU of AMD's": _model(image="app", resources={"limits": {"amd.com/gpu": 1.0}}),
        "by tag": _model(image=_OURS.partition("@")[0] + ":1.0"),
        "a name that looks like the registry": _model(image="111122223333.dkr.ecr.eu-central-1.amazonaws.com"),
        "the registry's name in another": _model(image=f"mirror.example/{_OURS}"),
        "what prepares the model": deployment(
            {"initContainers": [{"image": "busybox"}], "containers": [{"image": _OURS, "resources": _GPU}]}
        ),
    },
    neighbours={
        "no model: another rule asks for the digest": deployment({"containers": [{"image": "nginx"}]}),
        "zero GPUs": deployment({"containers": [{"image": "nginx", "resources": {"limits": {"nvidia.com/gpu": "0"}}}]}),
        "a registry named after a server": deployment({"containers": [{"image": "vllm.example/nginx"}]}),
        "memory": deployment({"containers": [{"image": "nginx", "resources": {"limits": {"memory": "1Gi"}}}]}),
    },
)


Judge = Callable[[Container], Iterator[Outcome]]


def _of_vllm(judge: Judge) -> Callable[[Resource], Iterator[Outcome]]:
    """A check of every container that is vLLM; one that may be waits."""

    def check(workload: Resource) -> Iterator[Outcome]:
        found = [(one, is_vllm(one)) for one in Pod.of(workload).containers()]
        if all(truth is Truth.NO for _, truth in found):
            yield NotApplicable("no vLLM")
        for container, truth in found:
            if truth is Truth.UNKNOWN:
                yield Unclear(container.at("image").path)
            if truth is Truth.YES:
                yield from judge(container)

    return check


def _pinned(container: Container) -> Iterator[Outcome]:
    line, offline = CommandLine.of(container), variable(container, "HF_HUB_OFFLINE")
    model, tokenizer = line.model(), line.value("--tokenizer")
    is_fixed = any_of(_is_local(model), all_of(model.is_given(), _is_commit(line.value("--revision"))))
    is_tokenizer_fixed = any_of(
        negate(tokenizer.is_given()), _is_local(tokenizer), _is_commit(line.value("--tokenizer-revision"))
    )
    is_offline = offline.at("value").matches("(?i:1|on|yes|true)")
    yield from demand(is_fixed, "the weights are not pinned", model)
    yield from demand(is_tokenizer_fixed, "the tokenizer is not pinned", tokenizer)
    yield from demand(is_offline, "HF_HUB_OFFLINE is not 1: it may fetch others", offline)
    yield from forbid(line.has("--trust-remote-code"), "code that comes with the weights is run", model)
    yield from forbid(line.has("--config"), "flags in a file cannot be judged", model)


def _is_local(name: View) -> Truth:
    return name.matches(r"\.{0,2}/.*")


def _is_commit(revision: View) -> Truth:
    return revision.matches("[0-9a-f]{40}")


_NAMED: Final = ("serve", "organization/model", "--revision", _REVISION)

PINNED_MODEL = Rule(
    name="kubernetes-vllm-require-pinned-model",
    description="vLLM serves weights from a path of the pod or of one commit, offline, and runs none of their code.",
    severity=Severity.HIGH,
    controls=_supply_chain("AML.T0010.003", "AML.T0058", "AML.M0014", "AML.M0023"),
    remediation="Serve a verified path, or --revision with the whole commit; HF_HUB_OFFLINE=1; no --trust-remote-code.",
    resource_types=WORKLOADS,
    check=_of_vllm(_pinned),
    obeys={
        "a path": _server("serve", "/weights"),
        "a path by flag": _server("--model=/weights"),
        "a path from here": _server("serve", "./weights"),
        "a path beside": _server("serve", "../weights"),
        "a path handed on by a shell": _server(
            "/weights", "--port=8000", command=["/bin/sh", "-c", 'exec vllm serve "$@"', "vllm"]
        ),
        "one commit": _server(*_NAMED),
        "one commit, written together": _server("--model", "organization/model", f"--revision={_REVISION}"),
        "the last of two": _server(*_NAMED[:2], "--revision", "main", "--revision", _REVISION),
        "a tokenizer of a path": _server("serve", "/weights", "--tokenizer=/tokenizer"),
        "a tokenizer of one commit": _server(
            "serve", "/weights", "--tokenizer", "organization/model", "--tokenizer-revision", _REVISION
        ),
        "offline, said otherwise": _server("serve", "/weights", env=[{"name": "HF_HUB_OFFLINE", "value": "True"}]),
        "offline at last": _server(
            "serve", "/weights", env=[{"name": "HF_HUB_OFFLINE", "value": "0"}, {"name": "HOME"}, _OFFLINE]
        ),
    },
    breaks={
        "whatever the branch says": _server("serve", "organization/model"),
        "a branch": _server("serve", "organization/model", "--revision", "main"),
        "a commit cut short": _server("serve", "organization/model", "--revision", _REVISION[:8]),
        "a flag without a value": _server("serve", "organization/model", "--revision", "--port=8000"),
        "no model: vLLM's own default": _server("serve", "--port=8000"),
        "nothing at all": _server(),
        "a revision of no model": _server("--revision", _REVISION),
        "handed on by a shell": _server("organization/model", command=["/bin/sh", "-c", 'vllm serve "$@"', "vllm"]),
        "a tokenizer of a branch": _server("serve", "/weights", "--tokenizer", "organization/model"),
        "online": _server("serve", "/weights", env=[]),
        "online, said": _server("serve", "/weights", env=[{"name": "HF_HUB_OFFLINE", "value": "0"}]),
        "online at last": _server("serve", "/weights", env=[_OFFLINE, {"name": "HF_HUB_OFFLINE", "value": "0"}]),
        "its own code": _server("serve", "/weights", "--trust-remote-code"),
        "its own code, with underscores": _server("serve", "/weights", "--trust_remote_code=true"),
        "flags in a file": _server("serve", "/weights", "--config", "/etc/vllm.yaml"),
        "an image of another name": _server("serve", "organization/model", image="server", command=["vllm"]),
        "as a module of Python": _server(
            "--model=organization/model", image="server", command=["python", "-m", "vllm.entrypoints.openai.api_server"]
        ),
        "a program by its path": _server("serve", "organization/model", image="app", command=["/usr/bin/vllm"]),
        "a job": Resource.example(
            JOB, {"spec": {"template": {"spec": {"containers": [{"image": _OURS, "args": [*_NAMED[:2]]}]}}}}
        ),
    },
    neighbours={
        "another server": _server("serve", "organization/model", image="registry.example/ollama"),
        "vLLM's name in a word": _server("--backend=vllm", image="registry.example/router"),
        "no vLLM": deployment({"containers": [{"image": "nginx"}]}),
    },
)

# The first two are vLLM's and Hugging Face's; the others stream the same format.
_SAFE_FORMATS: Final = ("safetensors", "mistral", "runai_streamer", "fastsafetensors", "tensorizer")
_SWITCHES: Final = ("VLLM_ALLOW_INSECURE_SERIALIZATION", "VLLM_ALLOW_RUNTIME_LORA_UPDATING")


def _safe(container: Container) -> Iterator[Outcome]:
    loader, elsewhere = CommandLine.of(container).value("--load-format"), container.at("envFrom")
    yield from demand(loader.equals(*_SAFE_FORMATS), "--load-format may read pickles, which run code", loader)
    for switch in (variable(container, name) for name in _SWITCHES):
        is_off = any_of(negate(switch.is_given()), switch.at("value").matches("(?i:0|false|)"))
        yield from demand(is_off, "it takes code or weights from whoever asks", switch)
    yield from forbid(elsewhere.is_given(), "variables from elsewhere cannot be judged", elsewhere)


_SAFETENSORS: Final = "--load-format=safetensors"

SAFE_LOADER = Rule(
    name="kubernetes-vllm-require-safe-loader",
    description="vLLM reads weights in a format that runs no code, and takes neither objects nor adapters at run time.",
    severity=Severity.HIGH,
    controls=_supply_chain("AML.T0011.000", "AML.T0018", "AML.M0011"),
    remediation="Set --load-format=safetensors; leave insecure serialization and runtime LoRA updating off.",
    resource_types=WORKLOADS,
    check=_of_vllm(_safe),
    obeys={
        "said": _server(_SAFETENSORS),
        "said in two words": _server("--load_format", "safetensors"),
        **{
            f"streamed: {one}": _server(f"--load-format={one}")
            for one in ("mistral", "runai_streamer", "fastsafetensors", "tensorizer")
        },
        "switches that are off": _server(
            _SAFETENSORS,
            env=[
                {"name": "VLLM_ALLOW_INSECURE_SERIALIZATION", "value": "0"},
                {"name": "VLLM_ALLOW_RUNTIME_LORA_UPDATING", "value": "False"},
            ],
        ),
        "a switch that says nothing": _server(
            _SAFETENSORS, env=[{"name": "VLLM_ALLOW_RUNTIME_LORA_UPDATING", "value": ""}]
        ),
    },
    breaks={
        "left out: pickles where there is nothing else": _server("serve", "/weights"),
        **{one: _server(f"--load-format={one}") for one in ("pt", "npcache", "auto")},
        "pickles at last": _server(_SAFETENSORS, "--load-format", "pt"),
        "objects": _server(_SAFETENSORS, env=[{"name": "VLLM_ALLOW_INSECURE_SERIALIZATION", "value": "1"}]),
        "adapters": _server(_SAFETENSORS, env=[{"name": "VLLM_ALLOW_RUNTIME_LORA_UPDATING", "value": "true"}]),
        "a switch that is set elsewhere": _server(
            _SAFETENSORS,
            env=[{"name": "VLLM_ALLOW_RUNTIME_LORA_UPDATING", "valueFrom": {"configMapKeyRef": {"key": "lora"}}}],
        ),
        "variables from elsewhere": _server(_SAFETENSORS, envFrom=[{"configMapRef": {"name": "vllm"}}]),
    },
    neighbours={
        "another server": _server("--load-format=pt", image="registry.example/ollama"),
        "no vLLM": deployment({"containers": [{"image": "nginx", "envFrom": [{"configMapRef": {"name": "n"}}]}]}),
    },
)


def _bounded(container: Container) -> Iterator[Outcome]:
    line = CommandLine.of(container)
    for flag in ("--max-model-len", "--max-num-seqs"):
        limit = line.value(flag)
        yield from demand(limit.matches(r"[1-9]\d*(\.\d+)?[kKmM]?"), f"{flag} gives no number", limit)


_BOUNDS: Final = ("--max-model-len=32768", "--max-num-seqs=64")

BOUNDED = Rule(
    name="kubernetes-vllm-require-bounds",
    description="vLLM is told how long a request may be and how many it serves at once.",
    severity=Severity.MEDIUM,
    controls=Controls(
        soc2=("A1.1",),
        iso27001_2022=("A.8.6",),
        nist_800_53_r5=("SC-5", "SC-6"),
        owasp_llm=("LLM06:2026",),
        atlas=("AML.T0029", "AML.T0034", "AML.M0004"),
    ),
    remediation="Set --max-model-len and --max-num-seqs.",
    resource_types=WORKLOADS,
    check=_of_vllm(_bounded),
    obeys={
        "both": _server(*_BOUNDS),
        "in other words": _server("--max_model_len", "25.6k", "--max_num_seqs", "1"),
    },
    breaks={
        "neither": _server("serve", "/weights"),
        "no length": _server(_BOUNDS[1]),
        "no number at once": _server(_BOUNDS[0]),
        "whatever fits": _server("--max-model-len=auto", _BOUNDS[1]),
        "none at all": _server(_BOUNDS[0], "--max-num-seqs=0"),
        "a flag without a value": _server("--max-model-len", *_BOUNDS[1:]),
    },
    neighbours={
        "another server": _server(image="registry.example/ollama"),
        "no vLLM": deployment({"containers": [{"image": "nginx"}]}),
    },
)
