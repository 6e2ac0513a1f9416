"""The profile observability: what its programs are told fits together, as none of their images runs here."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.compose import composed, services
from tests.support.processes import ROOT
from tests.support.proxies import DEPLOY

PORTS = {"prometheus": "9090", "alertmanager": "9093", "grafana": "3000"}
"""Who is published, and where it listens."""

INSTANCES = {"one": ["gateway-1"], "ha": ["gateway-1", "gateway-2", "gateway-3"]}
INSTANCES["ha-haproxy"] = INSTANCES["ha"]

FRONT = {"one": "gateway-1:8000", "ha": "nginx:8080", "ha-haproxy": "haproxy:8080"}
"""Where callers ask, by the profile."""


def read(path: str) -> Any:
    """A file of the project that is YAML."""
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def targets(folder: str, job: str) -> list[str]:
    """What Prometheus scrapes in a job with these targets."""
    return [
        target
        for group in read(f"deploy/prometheus/targets/{folder}/{job}.yml")
        for target in group["targets"]
    ]


def seen_in(service: str) -> set[str]:
    """The paths that a container finds: what is mounted, its secrets, its volumes."""
    found = services()[service]
    secrets = {f"/run/secrets/{secret['source']}" for secret in found.get("secrets", [])}
    return secrets | {volume["target"] for volume in found["volumes"]}


def is_seen(service: str, path: str) -> bool:
    """Whether a path is in something that the container finds."""
    return any(Path(path).is_relative_to(one) for one in seen_in(service))


def paths_in(node: Any) -> set[str]:
    """Every absolute path in a configuration."""
    if isinstance(node, dict):
        return {path for value in node.values() for path in paths_in(value)}
    if isinstance(node, list):
        return {path for value in node for path in paths_in(value)}
    return {node} if isinstance(node, str) and re.match(r"/[a-z]+/", node) else set()


def meet(one: str, other: str) -> bool:
    """Whether two services are in one network."""
    return bool(services()[one]["networks"].keys() & services()[other]["networks"].keys())


@pytest.mark.parametrize("folder", INSTANCES)
def test_prometheus_asks_who_is_there(folder: str):
    """Each set of targets is every instance of its profile and one front, which it reaches and may name."""
    front, instances = targets(folder, "amos"), targets(folder, "amos-instance")
    allowed = services()["gateway-1"]["environment"]["AMOS_ALLOWED_HOSTS"].split(",")
    there = {folder, "observability"}

    assert front == [FRONT[folder]]
    assert instances == [f"{name}:8000" for name in INSTANCES[folder]]
    for target in (*front, *instances):
        name = target.partition(":")[0]
        assert name in allowed
        assert meet("prometheus", name)
        assert there & set(services()[name].get("profiles", there))


def test_programs_find_the_files_they_are_told_of():
    """Every path in a configuration is mounted, is a secret, or is a volume of the container."""
    named = {
        "prometheus": read("deploy/prometheus/prometheus.yml"),
        "alertmanager": read("deploy/alertmanager/alertmanager.yml"),
        "tempo": read("deploy/tempo/tempo.yml"),
    }
    for service, configuration in named.items():
        asked = paths_in(configuration) - {"/metrics/instance"}
        given = {word.partition("=")[2] for word in services()[service]["command"]}

        assert asked
        for path in asked | {path for path in given if path.startswith("/")}:
            assert is_seen(service, path), f"{service}: {path}"


def test_spans_find_their_way():
    """Gateways reach the collector where its receiver listens, and it reaches Tempo where that listens."""
    collector, tempo = read("deploy/otel/collector.yml"), read("deploy/tempo/tempo.yml")
    endpoint = collector["exporters"]["otlp_http/tempo"]["endpoint"]
    page = (ROOT / "docs/operations/observability.md").read_text(encoding="utf-8")

    assert collector["receivers"]["otlp"]["protocols"]["http"]["endpoint"].endswith(":4318")
    assert "OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318" in page
    assert endpoint == "http://tempo:4318"
    assert tempo["distributor"]["receivers"]["otlp"]["protocols"]["http"]["endpoint"].endswith(":4318")
    assert meet("gateway-1", "collector")
    assert meet("collector", "tempo")


def test_the_collector_uses_all_that_it_has():
    """Its pipelines name what is defined, and nothing is defined for nothing; memory is bounded first."""
    found = read("deploy/otel/collector.yml")
    pipeline = found["service"]["pipelines"]["traces"]

    for kind in ("receivers", "processors", "exporters"):
        assert set(pipeline[kind]) == found[kind].keys()
    assert set(found["service"]["extensions"]) == found["extensions"].keys()
    assert pipeline["processors"][0] == "memory_limiter"


def test_alerts_find_alertmanager():
    """Prometheus hands alerts to the service, and scrapes it and itself, where they listen."""
    found = read("deploy/prometheus/prometheus.yml")
    jobs = {job["job_name"]: job for job in found["scrape_configs"]}
    [manager] = [one["static_configs"][0]["targets"] for one in found["alerting"]["alertmanagers"]]

    assert manager == jobs["alertmanager"]["static_configs"][0]["targets"] == ["alertmanager:9093"]
    assert jobs["prometheus"]["static_configs"][0]["targets"] == ["localhost:9090"]
    assert meet("prometheus", "alertmanager")


def test_only_people_at_this_machine_reach_what_watches():
    """Published are the three that people look at, on 127.0.0.1; the rest is reached by name only."""
    published = {
        name: (port["host_ip"], port["published"], str(port["target"]))
        for name, service in services().items()
        if service.get("profiles") == ["observability"]
        for port in service.get("ports", [])
    }

    assert published == {name: ("127.0.0.1", port, port) for name, port in PORTS.items()}


def test_grafana_reaches_what_it_shows():
    """It is in a network with PostgreSQL, Prometheus and Tempo, and alone of what watches with the first."""
    watching = {name for name, service in services().items() if service.get("profiles") == ["observability"]}

    assert all(meet("grafana", name) for name in ("postgres", "prometheus", "tempo"))
    assert {name for name in watching if meet(name, "postgres")} == {"grafana"}


def test_volumes_are_where_programs_write():
    """Whatever is kept is in a volume of its own, as the file systems cannot be written to."""
    kept = {
        name: [volume["target"] for volume in service["volumes"] if volume["type"] == "volume"]
        for name, service in services().items()
        if service.get("profiles") == ["observability"]
    }

    assert kept == {
        "prometheus": ["/prometheus"], "alertmanager": ["/alertmanager"], "tempo": ["/var/tempo"],
        "grafana": ["/var/lib/grafana"], "collector": [],
    }  # fmt: skip
    assert kept.keys() - {"collector"} <= composed()["volumes"].keys()


def test_the_files_are_read_by_whom_they_are_for():
    """deploy/ has nothing for this profile that no container mounts."""
    mounted = {
        Path(volume["source"])
        for service in services().values()
        for volume in service.get("volumes", [])
        if volume["type"] == "bind"
    }
    files = [
        path
        for folder in ("prometheus", "alertmanager", "otel", "tempo")
        for path in (DEPLOY / folder).rglob("*.yml")
        if path.parent.name != "tests" and path.parent.parent.name != "targets"
    ]

    assert files
    for path in files:
        assert any(path.is_relative_to(one) for one in mounted), path
