"""Histories: many clients check tokens while their sessions begin, change and end and everything breaks.

Every call is recorded with its begin and its end on one clock, and judged when all is over.

    calls           what a history is made of
    judge           whether it keeps the promise; pure, and tested by histories that it must not blame
    ways            every way of checking a token: strictly, from the service's memory, from the SDK's
    client          checks in all of these ways, over and over
    client_process  the same in a process of its own, to be stopped
    acts            what users and operators do, recorded
    life            users whose sessions begin, change and end by a seeded plan of acts
    faults          what breaks meanwhile, by a seeded plan too
    world           the Redis, the service, the wires between them, and the clients
    rounds          runs histories, many at once, judges and counts
"""
