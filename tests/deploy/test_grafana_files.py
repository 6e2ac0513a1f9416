"""The files for Grafana, held against its own schema and against each other; no Grafana is asked.

grafana_schema.json is made of what Grafana publishes (its first line says how). What it does not say, such as
that panels do not overlap, is said here.
"""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from grafana.generate import FOLDER, PAGE, files
from grafana.model import COLUMNS, SCHEMA_VERSION
from tests.support.grafana import panels_of
from tests.support.processes import ROOT
from tests.support.prometheus import promtool

SCHEMA: dict[str, Any] = json.loads((ROOT / "tests/support/grafana_schema.json").read_text(encoding="utf-8"))
DASHBOARDS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in FOLDER.glob("*.json")}
PROVISIONING = ROOT / "grafana" / "provisioning"
WITHOUT_FIELDS = {"stat", "text"}
"""Kinds of panels without settings of single fields."""


def provisioned(kind: str) -> dict[str, Any]:
    """The file of a kind, as YAML says it."""
    found: dict[str, Any] = yaml.safe_load((PROVISIONING / kind / "amos.yaml").read_text(encoding="utf-8"))
    return found


def faults(value: Any, schema: dict[str, Any]) -> list[str]:
    """What is wrong with a value, each with its place."""
    found = jsonschema.Draft7Validator(schema).iter_errors(value)
    return [f"{'/'.join(map(str, fault.absolute_path))}: {fault.message}" for fault in found]


def panels() -> list[tuple[str, dict[str, Any]]]:
    """Every panel with its name."""
    return [
        (f"{uid} / {panel['title']}", panel)
        for uid, dashboard in DASHBOARDS.items()
        for panel in panels_of(dashboard)
    ]


def test_the_files_are_what_their_source_makes():
    """`python -m grafana.generate` changes nothing: each file is made, and there is no other one."""
    kept = {path: path.read_text(encoding="utf-8") for path in (PAGE, *FOLDER.iterdir())}

    assert kept == files()


@pytest.mark.parametrize("uid", DASHBOARDS)
def test_a_dashboard_is_as_grafana_says(uid):
    """Grafana's schema takes it, and each panel's options and fields are those of its kind."""
    dashboard = DASHBOARDS[uid]
    assert faults(dashboard, SCHEMA["dashboard"]) == []
    for panel in panels_of(dashboard):
        kind = panel["type"].replace("-", "")
        assert faults(panel["options"], SCHEMA[f"{kind}.options"]) == [], panel["title"]
        custom = panel["fieldConfig"]["defaults"].get("custom", {})
        if kind in WITHOUT_FIELDS:
            assert not custom
        else:
            assert faults(custom, SCHEMA[f"{kind}.custom"]) == [], panel["title"]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("fieldConfig", "defaults", "thresholds", "mode"), "absolut"),
        (("gridPos", "x"), "left"),
        (("nonsense",), 1),
    ],
)
def test_what_grafana_would_not_take_is_found(path, value):
    """A wrong word, a wrong type or an unknown field in a panel is a fault that names its place."""
    dashboard = json.loads(json.dumps(DASHBOARDS["amos-overview"]))
    place = next(panel for panel in panels_of(dashboard) if panel["type"] == "stat")
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value

    assert faults(dashboard, SCHEMA["dashboard"])


@pytest.mark.parametrize("uid", DASHBOARDS)
def test_a_dashboard_is_the_same_everywhere(uid):
    """Its file names it, no instance has numbered it, and Classic ends at this version of the schema."""
    dashboard = DASHBOARDS[uid]

    assert (dashboard["uid"], dashboard["id"], dashboard["schemaVersion"]) == (uid, None, SCHEMA_VERSION)
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    titles = [panel["title"] for panel in panels_of(dashboard)]
    assert len(titles) == len(set(titles)), "two panels of one name"


@pytest.mark.parametrize("uid", DASHBOARDS)
def test_panels_do_not_overlap(uid):
    """Each lies within the grid, and no two on the same place."""
    places = [panel["gridPos"] for panel in DASHBOARDS[uid]["panels"]]

    for place in places:
        assert 0 <= place["x"] < place["x"] + place["w"] <= COLUMNS
    for one, other in itertools.combinations(places, 2):
        apart = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert apart or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]


@pytest.mark.parametrize(
    ("name", "panel"), panels(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_panel_can_be_read(name, panel):
    """It says what it shows, in a unit that Grafana knows, and its queries have letters of their own."""
    if panel["type"] == "text":
        assert panel["options"]["content"].strip()
        return
    properties = [item for found in panel["fieldConfig"]["overrides"] for item in found["properties"]]
    units = [item["value"] for item in properties if item["id"] == "unit"]
    units += [
        panel["fieldConfig"]["defaults"].get("unit", ""),
        panel["options"].get("yAxis", {}).get("unit", ""),
    ]
    letters = [target["refId"] for target in panel["targets"]]

    assert len(panel["description"]) > 20
    assert not {unit for unit in units if unit} - set(SCHEMA["units"])
    assert panel["type"] in {"table", "state-timeline"} or any(units), "a figure has a unit"
    assert letters == sorted(set(letters))
    assert all(len(set(target) & {"rawSql", "expr"}) == 1 for target in panel["targets"])


def test_every_data_source_is_provisioned():
    """Panels, marks and choices name data sources by variables, whose first value is one that is there."""
    sources = {source["uid"]: source["type"] for source in provisioned("datasources")["datasources"]}
    for uid, dashboard in DASHBOARDS.items():
        variables = {
            "${" + variable["name"] + "}": (variable["query"], variable["current"]["value"])
            for variable in dashboard["templating"]["list"]
            if variable["type"] == "datasource"
        }
        assert all(sources[value] == kind for kind, value in variables.values()), uid
        named = re.findall(r'"datasource": \{"type": "([^"]+)", "uid": "([^"]+)"', json.dumps(dashboard))
        assert named
        assert all(variables[reference][0] == kind for kind, reference in named), uid


def test_no_macro_has_parentheses_in_its_argument():
    """Grafana ends the argument at the first one that closes."""
    for name, panel in panels():
        for target in panel.get("targets", ()):
            torn = re.findall(r"\$__\w+\([^()]*\([^)]*\)", target.get("rawSql", ""))
            assert not torn, f"{name}: {torn}"


def test_links_to_traces_and_executions_are_whole():
    """Each id in the tables of executions leads to the console, each trace to Tempo."""
    urls = [
        link["url"]
        for _, panel in panels()
        for found in panel["fieldConfig"]["overrides"]
        for item in found["properties"]
        if item["id"] == "links"
        for link in item["value"]
    ]
    console = [url for url in urls if url == "${console}/console/executions/${__value.raw}"]
    tempo = [url for url in urls if url.startswith("/explore?") and "${__data.fields.trace_id}" in url]

    assert (len(console), len(tempo)) == (2, 2)
    assert len(urls) == 4
    assert all(url.count("${tempo}") == 2 for url in tempo)


def test_data_sources_hold_no_secret():
    """Their uids are their own, and what is secret is read from a file."""
    sources = provisioned("datasources")["datasources"]

    assert len({source["uid"] for source in sources}) == len(sources) == 3
    for source in sources:
        assert {"name", "uid", "type", "access", "url", "jsonData"} <= set(source)
        for secret in source.get("secureJsonData", {}).values():
            assert re.fullmatch(r"\$__file\{/run/secrets/\w+\}", secret)
    assert sum(source.get("isDefault", False) for source in sources) == 1


def test_dashboards_are_read_from_where_they_lie():
    """The provider reads the folder that Compose mounts, and nobody changes there what is made here."""
    (provider,) = provisioned("dashboards")["providers"]

    assert provider["type"] == "file"
    assert provider["options"]["path"] == "/var/lib/grafana/dashboards"
    assert not provider["allowUiUpdates"]


def test_grafana_is_not_alarmed_by_what_prometheus_tells(tmp_path: Path):
    """A target that is down is an alert of Prometheus: Grafana speaks only if there is no answer at all."""
    rule = next(
        rule
        for group in provisioned("alerting")["groups"]
        for rule in group["rules"]
        if rule["title"] == "AmosPrometheusSilent"
    )
    asked, condition = rule["data"]
    limit = condition["model"]["conditions"][0]["evaluator"]
    looks = [{"expr": f"({asked['model']['expr']}) < {limit['params'][0]}", "eval_time": "5m"}]
    down = {"interval": "1m", "input_series": [{"series": 'up{job="amos"}', "values": "0x10"}]}
    (tmp_path / "down.yml").write_text(yaml.safe_dump({"tests": [{**down, "promql_expr_test": looks}]}))

    done = promtool("test", "rules", tmp_path / "down.yml")

    assert limit["type"] == "lt"
    assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_of_grafana_are_whole():
    """Each asks a data source there is, ends in a condition of its own, has a receiver and a page to read."""
    alerting = provisioned("alerting")
    sources = {source["uid"] for source in provisioned("datasources")["datasources"]}
    receivers = {point["name"] for point in alerting["contactPoints"]}
    assert {policy["receiver"] for policy in alerting["policies"]} <= receivers
    rules = [rule for group in alerting["groups"] for rule in group["rules"]]
    page = (ROOT / "docs/operations/dashboards.md").read_text(encoding="utf-8").lower()

    assert len({rule["uid"] for rule in rules}) == len(rules) == 2
    for rule in rules:
        asked, condition = rule["data"]
        assert asked["datasourceUid"] in sources
        assert condition["datasourceUid"] == "__expr__"
        assert rule["condition"] == condition["refId"] == condition["model"]["refId"]
        assert condition["model"]["expression"] == asked["refId"] == asked["model"]["refId"]
        assert {"summary", "description", "runbook_url"} == set(rule["annotations"])
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["noDataState"] == rule["execErrState"] == "Alerting"
        path, _, heading = rule["annotations"]["runbook_url"].partition("#")
        assert path.endswith("docs.example.org/amos/operations/dashboards.md")
        assert f"### {heading}" in page
