"""What `amos serve` would refuse or warn of: keys, pepper, open doors, the certificate. Starts nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.cli.doctor_finding import FAILURE, OK, WARNING, Finding
from api.keys import pepper
from api.safe_start import bootstrap_key, open_doors
from api.tls import check, tls_files
from orchestrator.errors import SettingsError

if TYPE_CHECKING:
    from api.settings import Settings


async def check_start(settings: Settings) -> list[Finding]:
    """What stands in the way of a start, and what is to be said of a certificate where there is one."""
    faults = []
    try:
        # With the database of the data folder the pepper is made by the first start, and no doctor makes it.
        if not settings.has_own_database:
            pepper(settings)
        if settings.bootstrap_admin_key_file is not None:
            bootstrap_key(settings.bootstrap_admin_key_file)
    except SettingsError as error:
        faults.append(error.message.removesuffix("."))
    faults += await open_doors(settings)
    found = [Finding(name="start", status=FAILURE, detail=f"{fault}.") for fault in faults]
    if not found:
        found.append(Finding(name="start", status=OK, detail=f"nothing forbids to listen on {settings.host}"))
    return [*found, *_certificate(settings)]


def _certificate(settings: Settings) -> list[Finding]:
    files = tls_files(settings)
    if files is None:
        return []
    try:
        advice = check(files)
    except SettingsError as error:
        return [Finding(name="certificate", status=FAILURE, detail=error.message)]
    if advice:
        step = "Replace the files and start AMOS again."
        return [Finding(name="certificate", status=WARNING, detail=advice, next_step=step)]
    return [Finding(name="certificate", status=OK, detail=f"{files.cert} is valid")]
