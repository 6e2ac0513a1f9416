"""The export of traces behind its checkpoints, on both databases, with time moved by hand."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from api.settings import Settings
from api.trace_export import CollectorUnavailable
from orchestrator.errors import EventLogUnavailable
from orchestrator.events import AttemptStarted
from storage.sql_schema import upgrade
from storage.sql_traces import SqlTraces
from tests.support.clock import FakeClock
from tests.support.histories import answered, fallback, hit, miss, received, refused
from tests.support.otlp_receiver import spans_of
from tests.support.postgres import shared_postgres
from tests.support.processes import until
from tests.support.seeds import SEEDS
from tests.support.traces import POLICY, Log, exporting, names

if TYPE_CHECKING:
    pass


async def test_the_first_time_it_begins_at_the_present(log, receiver):
    """What an old log holds stays there; what comes from the start on goes out."""
    old = await log.write(hit(), age_s=10.0)
    async with exporting(log.settings, receiver, log.clock) as traces:
        log.clock.advance(1.0)
        new = await log.write(hit())
        await traces.export()

    assert (names(receiver, old), names(receiver, new)) == ([], ["search"])


async def test_another_exporter_goes_on_where_the_last_one_stopped(log, receiver):
    """What was exported is not exported again, what was not is: nothing is lost by a restart."""
    async with exporting(log.settings, receiver, log.clock) as traces:
        first = await log.write(hit())
        await traces.export()
    between = await log.write(hit())
    log.clock.advance(60.0)
    async with exporting(log.settings, receiver, log.clock) as traces:
        await traces.export()

    assert [names(receiver, one) for one in (first, between)] == [["search"]] * 2
    assert len(receiver.taken) == 2


async def test_a_restart_finds_what_another_machine_recorded_earlier_and_stored_later(log, receiver):
    """After a quiet time two machines bring what waited, each its own in order: all of it goes out."""
    async with exporting(log.settings, receiver, log.clock) as traces:
        await log.write(hit())
        await traces.export()
    log.clock.advance(POLICY.age_s_max + POLICY.certain_s + 60.0)
    waited = [await log.write(hit(), age_s=age_s) for age_s in (2.0, 1.0, 30.0, 29.0)]
    async with exporting(log.settings, receiver, log.clock) as traces:
        await traces.export()

    assert [names(receiver, one) for one in waited] == [["search"]] * 4


async def test_a_crash_after_the_export_repeats_the_same_ids(log, receiver, monkeypatch):
    """The checkpoint did not move: the batch goes out again, and is the same to the nanosecond."""
    async with exporting(log.settings, receiver, log.clock) as traces:
        await traces.export()
        execution_id = await log.write(miss())
        with monkeypatch.context() as patch:
            patch.setattr(SqlTraces, "move", crash)
            with pytest.raises(ConnectionResetError):
                await traces.export()
    async with exporting(log.settings, receiver, log.clock) as traces:
        await traces.export()

    assert len(receiver.taken) == 4
    assert names(receiver, execution_id) == ["search", "retrieval tavily"]


async def crash(*_: object) -> None:
    """What a process that is killed does of it."""
    raise ConnectionResetError


async def test_an_execution_goes_out_with_its_last_word(log, receiver):
    """Its frames may lie in different batches; the spans of all of them are there, once."""
    events = fallback()
    async with exporting(log.settings, receiver, log.clock) as traces:
        execution_id = await log.write(events[:4])
        await traces.export()
        await log.write(events[4:7], execution_id, first=5)
        await traces.export()
        assert receiver.taken == []
        await log.write(events[7:], execution_id, first=8)
        await traces.export()

    assert names(receiver, execution_id) == ["search", "retrieval local", "retrieval tavily"]
    assert len(receiver.taken) == 3


@pytest.mark.parametrize("seed", SEEDS)
async def test_however_frames_and_batches_are_cut_each_span_goes_out_once(log, receiver, seed):
    """Many executions at once, their frames interleaved, exported at drawn moments in small batches."""
    chance = random.Random(seed)
    late = (*miss()[:4], refused("cancelled"), miss()[4])
    histories = {
        str(uuid.UUID(int=chance.getrandbits(128))): chance.choice((hit(), miss(), fallback(), late))
        for _ in range(40)
    }
    expected = Counter(
        {execution_id: 1 + sum(isinstance(event, AttemptStarted) for event in events)
         for execution_id, events in histories.items()}
    )  # fmt: skip
    pending = dict.fromkeys(histories, 0)
    async with exporting(log.settings, receiver, log.clock, batch_frames=7) as traces:
        while pending:
            execution_id = chance.choice(sorted(pending))
            begun, events = pending[execution_id], histories[execution_id]
            until = chance.randint(begun + 1, len(events))
            await log.write(events[begun:until], execution_id, first=begun + 1)
            pending[execution_id] = until
            if until == len(events):
                del pending[execution_id]
            if chance.random() < 0.2:
                await traces.export()
        await traces.export()

    assert Counter({one: len(spans_of(receiver, one)) for one in histories}) == expected
    assert len(receiver.taken) == expected.total()


async def test_what_lost_its_process_goes_out_when_nothing_can_follow(log, receiver):
    """An execution without a last word, and an attempt that was open at it, end as unsettled errors."""
    async with exporting(log.settings, receiver, log.clock) as traces:
        await traces.export()
        died = await log.write(fallback()[:7])
        left = await log.write((*miss()[:4], refused("cancelled")))
        well = await log.write(miss()[:4])
        await log.write(miss()[4:], well, first=5)
        log.clock.advance(1)
        await traces.export()
        log.clock.advance(POLICY.certain_s - 1)
        await traces.export()
        before = [names(receiver, one) for one in (died, left, well)]
        for _ in range(3):
            log.clock.advance(2)
            await traces.export()

    assert before == [[], ["search"], ["search", "retrieval tavily"]]
    assert {span.name: span.attributes["error.type"] for span in spans_of(receiver, died)} == {
        "search": "unsettled",
        "retrieval tavily": "http_500",
        "retrieval local": "unsettled",
    }
    assert names(receiver, left) == ["search", "retrieval tavily"]
    assert spans_of(receiver, left)[1].attributes["error.type"] == "unsettled"
    assert len(receiver.taken) == 3 + 2 + 2


async def test_a_restart_does_not_forget_what_lost_its_process(log, receiver):
    """The second checkpoint remembers how far was looked."""
    async with exporting(log.settings, receiver, log.clock) as traces:
        await traces.export()
        died = await log.write(miss()[:4])
        await traces.export()
    log.clock.advance(30.0)
    async with exporting(log.settings, receiver, log.clock) as traces:
        await traces.export()
        log.clock.advance(POLICY.certain_s)
        await traces.export()

    assert names(receiver, died) == ["search", "retrieval tavily"]


async def test_what_is_too_old_is_passed_over_and_counted(log, receiver):
    """A collector that was away for ten minutes gets the last five of them."""
    receiver.behave(500)
    async with exporting(log.settings, receiver, log.clock) as traces:
        await traces.export()
        old = [await log.write(hit()) for _ in range(3)]
        with pytest.raises(CollectorUnavailable):
            await traces.export()
        log.clock.advance(POLICY.age_s_max + 1)
        new = [await log.write(hit()) for _ in range(2)]
        with pytest.raises(CollectorUnavailable):
            await traces.export()
        receiver.behave()
        await traces.export()

        assert (traces.status.exported, traces.status.dropped) == (2, 3)
    assert [names(receiver, one) for one in (*old, *new)] == [[]] * 3 + [["search"]] * 2


async def test_a_row_that_is_no_frame_holds_up_nothing(log, receiver):
    """It is passed over, and so is an event that makes no sense."""
    async with exporting(log.settings, receiver, log.clock) as traces:
        await traces.export()
        await log.write(hit())
        await log.run_sql("UPDATE frames SET events = 'oops'")
        await log.write((received(), answered(duration_s=1e300)))
        await log.write((received(), answered(duration_s=1e11)))
        execution_id = await log.write(hit())
        await traces.export()

    assert names(receiver, execution_id) == ["search"]


async def test_a_log_that_was_replaced_is_read_from_where_it_is(log, receiver):
    """By an older one, whose positions have not come so far: what is recorded there then goes out."""
    async with exporting(log.settings, receiver, log.clock) as traces:
        await traces.export()
        for _ in range(3):
            await log.write(hit())
        await traces.export()
        await log.run_sql("DELETE FROM frames")
        await log.run_sql("DELETE FROM checkpoints")
        await traces.export()
        log.clock.advance(1)
        execution_id = await log.write(hit())
        await traces.export()

    assert names(receiver, execution_id) == ["search"]
    assert len(receiver.taken) == 4


async def test_a_database_that_is_away_is_waited_for(log, receiver):
    """What was recorded is exported when it is back; a log that is not there yet is no fault."""
    async with exporting(log.settings, receiver, log.clock) as traces:
        stop = asyncio.Event()
        await traces.export()
        await log.write(hit())
        await log.run_sql("ALTER TABLE frames RENAME TO gone")
        async with traces.exporter.beside(stop):
            await asyncio.sleep(0.1)
            assert receiver.taken == []
            await log.run_sql("ALTER TABLE gone RENAME TO frames")
            await until(lambda: bool(receiver.taken), 10.0, lambda: str(traces.status))

    assert len(receiver.taken) == 1


async def test_a_lock_that_is_lost_is_taken_again(receiver, tmp_path):
    """A server that restarts ends every session: the next step fails, the one after it goes on."""
    settings = Settings(data_dir=tmp_path, database_url=shared_postgres().new_database(), key_pepper="p" * 32)
    await upgrade(settings.database_url)
    log = Log(settings, FakeClock())
    async with exporting(settings, receiver, log.clock) as traces:
        await traces.export()
        execution_id = await log.write(hit())
        await log.run_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        with pytest.raises(EventLogUnavailable):
            await traces.export()
        await traces.export()
    await log.aclose()

    assert names(receiver, execution_id) == ["search"]


async def test_of_several_recorders_of_one_server_one_exports(receiver, tmp_path):
    """The others leave it alone, say so, and take over when it has gone; nothing goes out twice."""
    settings = Settings(data_dir=tmp_path, database_url=shared_postgres().new_database(), key_pepper="p" * 32)
    await upgrade(settings.database_url)
    log = Log(settings, FakeClock())
    async with exporting(settings, receiver, log.clock) as second:
        async with exporting(settings, receiver, log.clock) as first:
            await first.export()
            one = await log.write(hit())
            await second.export()
            assert (second.status.is_elsewhere, receiver.taken) == (True, [])
            await first.export()
            await second.export()
        two = await log.write(hit())
        await second.export()
        assert not second.status.is_elsewhere
    await log.aclose()

    assert [names(receiver, execution_id) for execution_id in (one, two)] == [["search"]] * 2
    assert len(receiver.taken) == 2
