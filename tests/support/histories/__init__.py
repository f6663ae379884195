"""Histories: many clients check tokens while their sessions begin, change and end and everything breaks.

Every call is recorded with its begin and its end on one clock, and judged when all is over.

    calls       what a history is made of
    judge       whether it keeps the promise
    ways        every way of checking a token: strictly, from the service's memory, from the SDK's
    client      checks in all of these ways, over and over; in this process, or in one of its own
    life        users whose sessions begin, change and end by a seeded plan
    faults      what breaks meanwhile, by a seeded plan too
    world       the Redis, the service, the wires between, and the clients
    rounds      runs histories, many at once, and counts
"""
