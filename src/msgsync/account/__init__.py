"""An account: devices that trust each other, and nobody else. Pure: bytes and values in, bytes and values out.

Source: docs/spec/crypto.md. Each file is one idea:

- `suite`: every primitive, as we call it; only `certificate` besides it imports one.
- `keys`: the secret and public keys of a device or a recovery phrase; `passphrase`: keys under a passphrase.
- `certificate`: how a device shows its signing key in TLS; `device`: what the account knows of it.
- `statements`: what devices sign about the account; `fold`: which of them count; `roster`: a set of them, and what it
  says.
- `epochs`: the secrets that members share, and how they forget them.
- `padding`, `head`, `seal`: objects for places that nobody trusts; `keyobject`: how a device gets roster and epochs
  there.
- `recovery`: the phrase of 24 words.
- `code`, `handshake`, `host`, `joiner`: how a new device joins.

The seams, for the layers above:

- *Randomness and time come in.* 64 bytes for `SecretKeys`, 32 for an epoch, a phrase, each object's salt and each
  host's nonce, 64 for each attempt to join, 16 for an incarnation and for wrapping, 8 or 16 for a code; milliseconds
  of the clock for statements and invitations. Only HPKE draws its ephemeral keys itself.
- *What is to be stored*: `SecretKeys.export` (or `wrap` of it), `Roster.raws`, `Keyring.export`,
  `RecoveryPhrase.export` until it is confirmed; and with the objects, in the transaction of what they did, the
  `Position` of each log read and of the own one written.
- *After a revocation*: draw a secret, `say` an `Epoch` with its commitment, put the secret into the keyring, give
  each of `State.recipients` a key object. Until then nothing is sealed (`RotationDue`).
- *TLS*: trust the certificates of `State.members`, with partial chains, and ask
  `State.member_of(signing_key_in(...))` of what the peer showed, since a certificate that is trusted could vouch for
  others. Refuse who is not a member, before a statement of theirs is looked at.
- *Pairing*: a machine's events say what to ask and what to store; after storing, `stored`.
"""
