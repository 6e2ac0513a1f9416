"""The rules and routes of deploy/prometheus and deploy/alertmanager before the programs that read them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.errors import UNRECORDED
from orchestrator.history import CALLERS_OWN
from orchestrator.projections.latency import WITHIN_S
from tests.support.alerting import ALERTMANAGER, PROMETHEUS, alerts, every_rule, rules, seconds, selectors
from tests.support.processes import ROOT
from tests.support.prometheus import amtool, promtool

RUNBOOKS = ROOT / "docs/operations/runbooks.md"
TESTS = sorted((PROMETHEUS / "tests").glob("*.yml"))

ALERTS = {rule["alert"]: rule for rule in alerts()}

FOREIGN = re.compile(r"up|(prometheus|alertmanager)_\w+")
"""What Prometheus and Alertmanager tell of themselves."""

PARTS = ("For callers", "See it", "Do", "Over")
"""What every runbook has, in this order."""

SECRET = re.compile(r"credentials|password|secret|token|slack_api_url|_key")
"""Keys of a configuration under which something may stand that opens something."""

OURS = {"overloaded", "keys_unavailable"}
"""Reasons for which a caller is turned away that are no caller's doing."""


def cases() -> list[tuple[str, dict[str, Any]]]:
    """Every look at an alert in the rules' own tests, by the alert's name."""
    found = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in TESTS]
    return [
        (case["alertname"], case)
        for file in found
        for test in file["tests"]
        for case in test.get("alert_rule_test", [])
    ]


def placed(folder: Path) -> Path:
    """deploy/prometheus where Compose mounts it, but in the folder; the path of its prometheus.yml."""
    shutil.copytree(PROMETHEUS, folder, dirs_exist_ok=True)
    (folder / "prometheus_key").write_text("key")
    text = (PROMETHEUS / "prometheus.yml").read_text(encoding="utf-8")
    text = text.replace("/etc/prometheus", str(folder)).replace("/run/secrets", str(folder))
    (folder / "prometheus.yml").write_text(text, encoding="utf-8")
    return folder / "prometheus.yml"


@pytest.mark.parametrize("targets", ["one", "ha", "ha-haproxy"])
def test_prometheus_takes_its_files(tmp_path: Path, targets: str):
    """Prometheus' own check finds no fault in configuration, rules and targets."""
    configuration = placed(tmp_path)
    for path in (tmp_path / "targets" / targets).iterdir():
        path.rename(tmp_path / "targets" / path.name)

    done = promtool("check", "config", configuration)

    assert done.returncode == 0, done.stderr
    assert "warn" not in (done.stdout + done.stderr).lower()
    assert done.stdout.count("rules found") == len(rules())


def test_each_rule_does_what_its_tests_say():
    """Every alert fires when it should, with the words it should, and not just below."""
    done = promtool("test", "rules", *TESTS)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_has_tests_of_both_kinds(name: str):
    """One in which it fires, and, but for the one that always does, one in which it does not."""
    looks = [case["exp_alerts"] for alert, case in cases() if alert == name]

    assert any(looks), "it never fires"
    assert name == "Watchdog" or not all(looks), "it always fires"


def test_every_window_of_an_alert_is_tested():
    """Alerts of one name differ by their window; each of them fires in some test."""
    fired = {
        (name, alert["exp_labels"].get("window")) for name, case in cases() for alert in case["exp_alerts"]
    }

    assert {(rule["alert"], rule["labels"].get("window")) for rule in alerts()} == fired


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_what_to_do(name: str):
    """It has a severity, words, and a runbook with everything that a tired operator needs."""
    page = RUNBOOKS.read_text(encoding="utf-8")
    section = page.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
    for rule in (rule for rule in alerts() if rule["alert"] == name):
        url = rule["annotations"]["runbook_url"]
        severity = rule["labels"]["severity"]

        assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
        assert url == f"{{{{ $externalLabels.docs }}}}/operations/runbooks.md#{name.lower()}"
        assert severity == "none" if name == "Watchdog" else severity in {"page", "ticket"}
        assert f"**{severity}**" in section
    assert re.findall(r"^\*\*([A-Z][\w ]+)\.\*\*", section, re.MULTILINE) == list(PARTS)


def test_no_runbook_is_of_an_alert_that_is_gone():
    """Every section is an alert's, in the order of the rules."""
    page = RUNBOOKS.read_text(encoding="utf-8")

    assert re.findall(r"^## (\w+)$", page, re.MULTILINE) == list(ALERTS)


def test_the_page_lists_what_is_there():
    """docs/operations/alerts.md has each alert with its severities, and each recorded name."""
    page = (ROOT / "docs/operations/alerts.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| \[`(\w+)`\]\(runbooks\.md#(\w+)\) \| ([a-z, ]+) \|", page, re.MULTILINE)
    severities = {
        name: [rule["labels"]["severity"] for rule in alerts() if rule["alert"] == name] for name in ALERTS
    }
    recorded = {rule["record"].partition(":ratio")[0] for rule in every_rule() if "record" in rule}

    assert listed == [
        (name, name.lower(), ", ".join(dict.fromkeys(found))) for name, found in severities.items()
    ]
    assert set(re.findall(r"`(\w+:amos_\w+(?::sum)?)", page)) == recorded


def test_rules_read_what_exists():
    """Each metric is on the page of metrics, recorded, or of Prometheus itself; every record is read."""
    documented = set(re.findall(r"`(amos_\w+)`", (ROOT / "docs/metrics.md").read_text(encoding="utf-8")))
    recorded = {rule["record"] for rule in every_rule() if "record" in rule}
    read = {selector.name for rule in every_rule() for selector in selectors(rule["expr"])}

    unknown = {
        name
        for name in read - recorded
        if not FOREIGN.fullmatch(name) and re.sub(r"_(bucket|count|sum)$", "", name) not in documented
    }

    assert unknown == set()
    assert recorded <= read


def test_what_counts_is_what_the_health_report_counts():
    """What only callers can mend is left out by the same list; these are the refusals that are our doing."""
    left_out = {
        tuple(matcher.value.split("|"))
        for rule in every_rule()
        for selector in selectors(rule["expr"])
        for matcher in selector.matchers.matchers
        if (selector.name, matcher.name) == ("amos_requests_total", "error")
    }
    turned_away = {
        tuple(matcher.value.split("|"))
        for rule in every_rule()
        for selector in selectors(rule["expr"])
        for matcher in selector.matchers.matchers
        if selector.name == "amos_refusals_total"
    }

    assert left_out == {tuple(sorted(CALLERS_OWN))}
    assert {frozenset(reasons) for reasons in turned_away} == {frozenset(OURS)}
    assert {getattr(error, "reason", "") for error in UNRECORDED} - OURS == {"", "anonymous_limit"}


def test_the_bound_of_the_latency_is_the_promised_one():
    """The rules ask for a bucket that exists, which is what the rollups count exactly."""
    [bound] = {
        matcher.value
        for rule in every_rule()
        for selector in selectors(rule["expr"])
        for matcher in selector.matchers.matchers
        if (selector.name, matcher.name) == ("amos_request_part_duration_seconds_bucket", "le")
    }

    assert float(bound) in WITHIN_S.values()


def test_burn_rates_are_those_of_the_handbook():
    """Both windows of each alert ask for the same burn; each spends the share of a month that it says."""
    for rule in (rule for rule in alerts() if "window" in rule["labels"]):
        ((burn, allowed),) = set(re.findall(r"> ([\d.]+) \* ([\d.]+)", rule["expr"]))
        long_, short = re.findall(r"ratio_increase(\w+) >", rule["expr"])

        assert float(allowed) == {"availability": 0.001, "latency": 0.01}[rule["labels"]["slo"]]
        assert re.findall(r"\[(\w+)\]\) >= (\d+)", rule["expr"]) == [(long_, "5")]
        assert long_ == rule["labels"]["window"]
        assert seconds(long_) == 12 * seconds(short)
        if told := re.search(r"At this rate (\d+) %", rule["annotations"]["description"]):
            assert float(burn) * seconds(long_) / seconds("30d") == pytest.approx(int(told[1]) / 100)


def test_alertmanager_takes_its_file():
    """Alertmanager's own check finds no fault in it."""
    done = amtool("check-config", ALERTMANAGER)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_reaches_whom_it_should(name: str):
    """Pages go to who is on call, tickets to the others, the watchdog to who listens for its silence."""
    labels = {"alertname": name, **ALERTS[name]["labels"]}
    who = {"page": "pages", "ticket": "tickets", "none": "watchdog"}[labels["severity"]]

    done = amtool(
        "config", "routes", "test", f"--config.file={ALERTMANAGER}", f"--verify.receivers={who}",
        *(f"{key}={value}" for key, value in labels.items()),
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr


def test_no_secret_stands_in_a_file():
    """What opens something is read from a file of its own, never written here."""
    for path in (ALERTMANAGER, *PROMETHEUS.rglob("*.yml")):
        named = set(keys_of(yaml.safe_load(path.read_text(encoding="utf-8"))))

        assert {key for key in named if SECRET.search(key) and not key.endswith("_file")} == set(), path


def keys_of(node: Any) -> Iterator[str]:
    """Every key in a configuration, however deep."""
    if isinstance(node, dict):
        yield from node
    for part in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from keys_of(part)
