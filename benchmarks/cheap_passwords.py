"""The service, but for argon2id at its least: what a login costs beside hashing its password.

Hashing is all but a hundredth of a login's CPU time, on purpose and the same on every engine. To subtract it
would leave the noise, so the same service is run with hashes of 8 KiB and one pass: some 60 µs.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from session_service import app
from session_service.cli.main import main
from session_service.users.password_hashes import Argon2Profile, PasswordHashes

CHEAP: Final = Argon2Profile(memory_kib=8, passes=1)

if __name__ == "__main__":
    vars(app)["PasswordHashes"] = partial(PasswordHashes, CHEAP)
    main()
