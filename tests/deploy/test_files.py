"""The files of deploy/, docker-compose.yml and the Dockerfile before the programs that will read them."""

from __future__ import annotations

import json
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from api.keeper import STOP_S
from api.server import GRACE_S
from api.settings import NOT_SETTINGS, Settings, load, variables
from orchestrator import limits
from orchestrator.api_keys import id_of
from tests.support.compose import COMPOSE, PROFILES, composed, services, tool
from tests.support.processes import ROOT
from tests.support.proxies import DEPLOY, HAProxy, Nginx, Proxy

THREE = [f"127.0.0.1:{port}" for port in (18_001, 18_002, 18_003)]


def seconds(duration: str) -> float:
    """A duration of Compose's output, such as 1m30s."""
    units = {"h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
    return sum(float(n) * units[unit] for n, unit in re.findall(r"([\d.]+)(ms|h|m|s)", duration))


def test_compose_takes_the_file():
    """Compose itself finds no fault in it, with any profile or none."""
    for profile in ("", *PROFILES):
        words = ["--profile", profile] if profile else []
        done = tool("docker-compose", "-f", str(COMPOSE), *words, "config", "--quiet")

        assert (done.returncode, done.stderr) == (0, "")


def test_the_file_follows_the_compose_specification():
    """Its schema catches what Compose lets pass."""
    done = tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE))

    assert done.returncode == 0, done.stdout


def test_each_profile_starts_what_it_promises():
    """No profile is one gateway with what it needs; two are three with replica and proxy; others look on."""
    one = {"gateway-1", "postgres", "valkey-1", "sentinel-1"}
    three = one | {"gateway-2", "gateway-3", "valkey-2", "sentinel-2", "sentinel-3"}
    started = {
        profile: {
            name for name, service in services().items() if profile in service.get("profiles", [profile])
        }
        for profile in ("", *PROFILES)
    }

    assert started == {
        "": one,
        "ha": three | {"nginx"},
        "ha-haproxy": three | {"haproxy"},
        "observability": one | {"collector", "tempo", "prometheus", "alertmanager", "grafana"},
        "logs": one | {"elasticsearch", "kibana", "filebeat"},
    }


def test_every_container_is_confined():
    """None is root, writes to its image, has a capability or may gain one, or lacks bounds or a check."""
    for name, service in services().items():
        bounds = service["deploy"]["resources"]["limits"]
        assert not service["user"].startswith(("0", "root")), name
        assert service["read_only"], name
        assert service["init"], name
        assert service["cap_drop"] == ["ALL"], name
        assert "cap_add" not in service, name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert {"cpus", "memory", "pids"} <= bounds.keys(), name
        assert {"test", "interval", "timeout", "start_period", "start_interval"} <= service[
            "healthcheck"
        ].keys()
        assert service["logging"]["options"]["max-size"], name
        assert all(wait["condition"] == "service_healthy" for wait in service.get("depends_on", {}).values())


def test_only_the_front_is_reachable_from_elsewhere():
    """Ports are published on 127.0.0.1 but for the proxy's; stores have no way out and none in."""
    published = {
        name: [port.get("host_ip", "") for port in service.get("ports", [])]
        for name, service in services().items()
    }

    assert {name for name, addresses in published.items() if "" in addresses} == {"nginx", "haproxy"}
    assert published["gateway-1"] == ["127.0.0.1"]
    assert composed()["networks"]["back"]["internal"]
    for name in ("postgres", "valkey-1", "valkey-2", "sentinel-1", "sentinel-2", "sentinel-3"):
        assert list(services()[name]["networks"]) == ["back"], name


def test_images_are_pinned():
    """Every image has a tag that says which release it is."""
    for name, service in services().items():
        tag = service["image"].partition(":")[2]
        pinned = r"\d+\.?\d*-.+|v?\d+\.\d+\.\d+"
        assert tag == "local" if "build" in service else re.fullmatch(pinned, tag), name


def test_what_is_mounted_exists():
    """Every mounted file and folder is in the project; every secret is made by deploy/make-secrets."""
    mounted = [
        Path(volume["source"])
        for service in services().values()
        for volume in service.get("volumes", [])
        if volume["type"] == "bind"
    ]
    made = set(re.findall(r"^put (\w+)", (DEPLOY / "make-secrets").read_text(encoding="utf-8"), re.MULTILINE))

    assert mounted
    assert [path for path in mounted if not path.exists()] == []
    assert {Path(secret["file"]).name for secret in composed()["secrets"].values()} == made


def test_each_gateway_keeps_its_journal():
    """Each instance has a volume of its own for /data: the journal is the one piece of state it has."""
    gateways = [service for name, service in services().items() if name.startswith("gateway")]
    data = [volume for gateway in gateways for volume in gateway["volumes"] if volume["target"] == "/data"]

    assert len({volume["source"] for volume in data}) == len(gateways) == 3
    assert all(volume["type"] == "volume" for volume in data)


def test_every_variable_is_a_setting():
    """Containers get no AMOS_ variable that AMOS does not read."""
    known = {name for field in Settings.model_fields for name in variables(field)} | NOT_SETTINGS
    given = {name for service in services().values() for name in service.get("environment", {})}

    assert {name for name in given if name.startswith("AMOS_")} <= known


def test_a_gateway_starts_from_its_environment_and_secrets(tmp_path: Path):
    """What deploy/make-secrets makes and what Compose sets are together a configuration that AMOS takes."""
    subprocess.run([DEPLOY / "make-secrets", tmp_path], check=True, capture_output=True)
    made = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    subprocess.run([DEPLOY / "make-secrets", tmp_path], check=True, capture_output=True)
    again = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    gateway = services()["gateway-1"]
    for name in made.keys() - {secret["source"] for secret in gateway["secrets"]}:
        (tmp_path / name).unlink()
    environment = {
        name: value.replace("/run/secrets", str(tmp_path)) for name, value in gateway["environment"].items()
    }

    settings = load(environment)

    assert again == made
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700
    assert settings.workers == 2
    assert not settings.is_loopback
    assert settings.trusted_proxies
    assert made["postgres_password"] in settings.database_url
    assert settings.api_keys("tavily") == ()
    assert settings.bootstrap_admin_key_file is not None
    assert id_of(settings.bootstrap_admin_key_file.read_text(encoding="utf-8"))


def test_traces_of_containers_go_where_the_env_file_says(monkeypatch: pytest.MonkeyPatch):
    """Compose hands the collector on to the gateway; nobody named means that no traces are exported."""

    def settings_of_traces() -> Settings:
        done = tool("docker-compose", "-f", str(COMPOSE), "config", "--format", "json")
        given = json.loads(done.stdout)["services"]["gateway-1"]["environment"]
        return load({name: value for name, value in given.items() if "OTEL" in name or "TRACES" in name})

    assert not settings_of_traces().exports_traces

    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector.example:4318")
    monkeypatch.setenv("AMOS_TRACES_SAMPLE_RATIO", "0.5")
    traced = settings_of_traces()

    assert traced.otlp_endpoint == "http://collector.example:4318"
    assert traced.traces_sample_ratio == 0.5


def test_a_container_may_take_the_time_that_stopping_takes():
    """Compose kills later than the supervisor does, the supervisor later than a call may take."""
    for name, service in services().items():
        if name.startswith("gateway"):
            assert seconds(service["stop_grace_period"]) > STOP_S + 10 > GRACE_S
        if "GATEWAY_1" in service.get("environment", {}):
            assert seconds(service["stop_grace_period"]) > limits.EXTRACT_DEADLINE_S_MAX


def test_proxies_and_gateways_know_each_other():
    """The addresses that gateways trust are the proxies', and those that proxies ask are the gateways'."""

    def address(name: str) -> str:
        found: str = services()[name]["networks"]["front"]["ipv4_address"]
        return found

    trusted = services()["gateway-1"]["environment"]["AMOS_TRUSTED_PROXIES"].split(",")

    assert trusted == [address("nginx"), address("haproxy")]
    for proxy in ("nginx", "haproxy"):
        asked = [services()[proxy]["environment"][f"GATEWAY_{number}"] for number in (1, 2, 3)]
        assert asked == [f"{address(f'gateway-{number}')}:8000" for number in (1, 2, 3)]


def test_hadolint_has_nothing_to_say():
    """The Dockerfile passes hadolint without an exception."""
    done = tool("hadolint", "Dockerfile")

    assert (done.returncode, done.stdout) == (0, "")
    assert "hadolint ignore" not in (ROOT / "Dockerfile").read_text(encoding="utf-8")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not on this machine")
def test_systemd_takes_the_unit(tmp_path: Path):
    """The unit passes systemd's own check, and leaves more time to stop than the supervisor takes."""
    text = (DEPLOY / "systemd/amos.service").read_text(encoding="utf-8")
    unit = tmp_path / "amos.service"
    unit.write_text(text.replace("/opt/amos/amos", str(ROOT / "amos")), encoding="utf-8")

    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)

    assert "amos.service" not in done.stderr
    assert done.returncode == 0
    assert int(re.findall(r"TimeoutStopSec=(\d+)", text)[0]) > STOP_S + 10


@pytest.mark.parametrize("kind", [Nginx, HAProxy])
def test_the_proxy_takes_its_files(kind: type[Proxy]):
    """The proxies themselves find no fault, and not a warning, in what they are given."""
    proxy = kind(THREE)
    proxy.prepare()

    done = subprocess.run(
        proxy.check(), env=proxy.variables, capture_output=True, text=True, check=False, timeout=30
    )

    assert done.returncode == 0, done.stderr
    assert "warn" not in (done.stdout + done.stderr).lower()
    if kind is Nginx:
        assert "${GATEWAY" not in (proxy.folder / "nginx.conf").read_text(encoding="utf-8")
    shutil.rmtree(proxy.folder)


def test_nginx_refuses_bodies_as_large_as_amos_does():
    """The limit of the body is one, whoever enforces it."""
    assert "client_max_body_size 1m;" in (DEPLOY / "nginx/nginx.conf.template").read_text(encoding="utf-8")
    assert limits.BODY_BYTES_MAX == 1024**2
