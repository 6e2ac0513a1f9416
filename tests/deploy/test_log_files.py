"""What brings log lines into Elasticsearch: none of its programs is here, so files are held against ours."""

from __future__ import annotations

import json
import subprocess
import threading
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from api.logs.places import FILES_KEPT
from tests.support import ecs
from tests.support.compose import services
from tests.support.processes import ROOT, environment

TEMPLATE = ROOT / "deploy/elasticsearch/index-template.json"


def filebeat() -> dict[str, Any]:
    """The configuration of Filebeat."""
    found: dict[str, Any] = yaml.safe_load(
        (ROOT / "deploy/filebeat/filebeat.yml").read_text(encoding="utf-8")
    )
    return found


def mapped(properties: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """The types of a template's mappings by dotted names."""
    found: dict[str, str] = {}
    for name, field in properties.items():
        if "properties" in field:
            found |= mapped(field["properties"], f"{prefix}{name}.")
        else:
            found[prefix + name] = field["type"]
    return found


def test_the_template_knows_every_field_of_a_line_by_its_type():
    """One that is missing would be guessed, and a wrong one refuse the line."""
    template = json.loads(TEMPLATE.read_text(encoding="utf-8"))

    found = mapped(template["template"]["mappings"]["properties"])

    expected = {name: kind.removesuffix("[]") for name, kind in {**ecs.FIELDS, **ecs.OURS}.items()}
    streams = {f"data_stream.{part}": "constant_keyword" for part in ("type", "dataset", "namespace")}
    assert found == expected | streams
    assert any(
        fnmatch(filebeat()["output.elasticsearch"]["index"], one) for one in template["index_patterns"]
    )


def test_filebeat_reads_what_the_gateways_write():
    """Every gateway's file and what is rotated from it, and not the lock beside it, on one volume."""
    (source,) = filebeat()["filebeat.inputs"]
    paths: list[str] = source["paths"]
    files = [
        service["environment"]["AMOS_LOG_FILE"]
        for name, service in services().items()
        if name.startswith("gateway")
    ]

    assert len(set(files)) == len(files) == 3
    for file in files:
        for name in (file, *(f"{file}.{number}" for number in range(1, FILES_KEPT + 1))):
            assert any(fnmatch(name, path) for path in paths), name
        assert not any(fnmatch(f"{file}.lock", path) for path in paths)
    mounted = {
        name: [
            (volume["source"], volume.get("read_only", False))
            for volume in service.get("volumes", [])
            if volume["target"] == "/var/log/amos"
        ]
        for name, service in services().items()
    }
    assert mounted["filebeat"] == [("logs", True)]
    assert mounted["gateway-1"] == mounted["gateway-3"] == [("logs", False)]
    assert services()["filebeat"]["user"].startswith("10001:"), "the files are for their owner and a group"


def test_filebeat_takes_lines_as_they_are():
    """Their fields are the event's, and a line that came twice is one document; filestream's reference."""
    (source,) = filebeat()["filebeat.inputs"]
    (parser,) = source["parsers"]

    assert (source["type"], source["id"]) == ("filestream", "amos")
    assert parser["ndjson"] == {
        "target": "",
        "overwrite_keys": True,
        "expand_keys": True,
        "add_error_key": True,
    }
    by_name = {name: options for one in filebeat()["processors"] for name, options in one.items()}
    assert by_name["fingerprint"]["target_field"] == "@metadata._id"
    assert set(by_name["fingerprint"]["fields"]) <= ecs.FIELDS.keys()
    assert 64 <= source["prospector.scanner.fingerprint.length"] <= 400, "less than the first line has"


def test_elasticsearch_is_reached_by_its_two_clients_only():
    """It is on a network of its own without a way out, and wants a password."""
    on_network = {name for name, service in services().items() if "logs" in service["networks"]}

    assert on_network == {"elasticsearch", "kibana", "filebeat"}
    assert list(services()["elasticsearch"]["networks"]) == ["logs"]
    assert services()["elasticsearch"]["environment"]["xpack.security.enabled"] == "true"
    assert "ports" not in services()["elasticsearch"]


class Elasticsearch(BaseHTTPRequestHandler):
    """Notes what it is asked."""

    asked: list[tuple[str, str, str, Any]] = []  # noqa: RUF012 - one for all requests
    status = 200

    def _note(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.asked.append((self.command, self.path, self.headers["Authorization"], json.loads(body)))
        self.send_response(self.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_PUT = do_POST = _note  # noqa: N815 - the names that the library calls

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def prepared(folder: Path, status: int) -> subprocess.CompletedProcess[str]:
    """deploy/elasticsearch/prepare, run as in the container, against a server that notes its requests."""
    for name in ("elastic", "kibana", "filebeat"):
        (folder / f"{name}_password").write_text(f"{name}-canary")
    Elasticsearch.asked.clear()
    Elasticsearch.status = status
    server = ThreadingHTTPServer(("127.0.0.1", 0), Elasticsearch)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    env = {
        "ELASTICSEARCH_URL": f"http://127.0.0.1:{server.server_port}",
        "SECRETS": str(folder),
        "TEMPLATE": str(TEMPLATE),
        "NO_PROXY": "127.0.0.1",
    }
    try:
        with (ROOT / "deploy/elasticsearch/prepare").open() as script:
            return subprocess.run(
                ["sh"],
                stdin=script,
                env=environment(env),
                capture_output=True,
                text=True,
                check=False,
                timeout=30,
            )
    finally:
        server.shutdown()
        server.server_close()


def test_what_elasticsearch_needs_is_made(tmp_path: Path):
    """Template, role and users, as the superuser; no password is shown."""
    done = prepared(tmp_path, 200)

    assert (done.returncode, done.stderr) == (0, "")
    assert "canary" not in done.stdout
    assert {authorization for _, _, authorization, _ in Elasticsearch.asked} == {
        "Basic ZWxhc3RpYzplbGFzdGljLWNhbmFyeQ=="
    }
    by_path = {f"{method} {path}": body for method, path, _, body in Elasticsearch.asked}
    assert by_path["PUT /_index_template/logs-amos"] == json.loads(TEMPLATE.read_text(encoding="utf-8"))
    assert by_path["POST /_security/user/kibana_system/_password"] == {"password": "kibana-canary"}
    assert by_path["PUT /_security/user/amos_filebeat"] == {
        "password": "filebeat-canary",
        "roles": ["amos_filebeat"],
    }
    role = by_path["PUT /_security/role/amos_filebeat"]
    assert role["indices"] == [{"names": ["logs-amos-*"], "privileges": ["auto_configure", "create_doc"]}]


def test_an_elasticsearch_that_refuses_ends_it(tmp_path: Path):
    """Nothing is claimed to be made then."""
    done = prepared(tmp_path, 401)

    assert done.returncode != 0
    assert "made" not in done.stdout


def test_what_kibana_imports_belongs_together():
    """Each object has its parts, and refers to one that is there."""
    text = (ROOT / "deploy/kibana/amos.ndjson").read_text(encoding="utf-8")
    objects = [json.loads(line) for line in text.splitlines()]

    ids = {(one["type"], one["id"]) for one in objects}
    assert ids == {("index-pattern", "amos-logs"), ("search", "amos-failures")}
    assert {(one["type"], one["id"]) for each in objects for one in each["references"]} <= ids
    assert set(objects[1]["attributes"]["columns"]) <= ecs.FIELDS.keys()
    assert json.loads(objects[1]["attributes"]["kibanaSavedObjectMeta"]["searchSourceJSON"])["query"]
