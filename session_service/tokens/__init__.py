"""Signs and verifies access and refresh tokens; owns the key ring.

The only package that imports PyJWT and cryptography. It proves who signed a token and what it says;
whether the session behind it is alive is the store's to tell.
"""
