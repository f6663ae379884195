"""Passwords: hashing them in bounded time and space, and knowing the common ones.

Owns the choice of hash and its parameters, the formats that may be brought from elsewhere, and
the threads that hash. Depends on passlib (``libpass``) and on the domain's ports; knows no
Redis: the directory of users lives in ``storage``.
"""
