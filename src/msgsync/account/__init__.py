"""An account: devices that trust each other, and nobody else. Pure: bytes and values in, bytes and values out.

Source: docs/spec/crypto.md. Each file is one idea:

- `suite`: every primitive, as we call it; nothing else here imports one.
- `keys`: the secret and public keys of a device or a recovery phrase; `passphrase`: keys under a passphrase.
- `certificate`: how a device shows its signing key in TLS.
- `statements`: what devices sign about the account; `roster`: a set of statements, and who is a member by it.
- `epochs`: the secrets that members share, and how they forget them.
- `padding`, `seal`: objects for places that nobody trusts; `keyobject`: how a device gets roster and epochs there.
- `recovery`: the phrase of 24 words.
- `code`, `pairing`: how a new device joins.
"""
