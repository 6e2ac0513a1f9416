"""The conformance kit: whether a provider keeps the contract of `ports.Provider`, asked of the real one.

`amos providers test NAME` runs it from the command line. From pytest:

    from orchestrator.providers.conformance import checks, subject

    @pytest.mark.parametrize("check", checks.ALL, ids=lambda check: check.name)
    async def test_it_is_a_good_provider(check):
        async with subject.Subject(make_my_provider) as mine:
            verdict = await check.on(mine)
        assert verdict.status != "failed", verdict

It looks at the provider itself, without the guard that AMOS puts around a plug-in (guard.py).
"""
