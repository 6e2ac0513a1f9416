"""The core: what happens to a search, from the door to the providers and back.

Read in this order:

    model, events, errors, limits   the values: what is asked, answered, recorded, refused, bounded
    history                         what the events of one execution say together
    ports                           what the core needs from the outside
    service                         Service, Filter, stack(): the one shape everything has
    pipeline                        THE order of the stages, with a reason at each line
    filters/                        one stage a file
    fallback, per_url               services made of services: the provider chain; pages of an extract
    providers/                      one upstream a file
    roster, registrations, provider_admin   the providers of a process; which those are; changing that
    plugin                          what the author of another one imports
    api_keys, key_ring, key_admin   what a key is; all of them in memory; making and ending them
    recorder                        stamps facts and writes frames
    projections/                    pure folds from events to counts
    reports/                        what sums of counts mean
    gateway                         what the outside may call

Nothing here knows HTTP, SQL, Redis or the environment; the arrows are checked by tests/test_architecture.py.
"""
