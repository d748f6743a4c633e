"""What an account knows of a device, as its person sees it. Source: docs/spec/crypto.md, "Statements"."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from typing import Any, Final

from msgsync import limits
from msgsync.account.keys import PublicKeys, SecretKeys
from msgsync.errors import InvalidValue
from msgsync.ids import DeviceId, encode_text

_BIDI: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def check_device_name(name: str) -> str:
    """Return a name or a platform that can be shown in the question whether to approve a device.

    Raises:
        InvalidValue: it is empty, too long, or has characters that would make a line look like another.
    """
    if not isinstance(name, str) or not name.strip():
        raise InvalidValue("a device has a name of at least one character that shows")
    if len(encode_text(name, "a device's name")) > limits.DEVICE_NAME_BYTES:
        raise InvalidValue(
            f"the name of a device has at most {limits.DEVICE_NAME_BYTES} bytes of UTF-8"
        )
    if any(one in _BIDI or unicodedata.category(one) in ("Cc", "Cn", "Zl", "Zp") for one in name):
        raise InvalidValue("the name of a device holds no control characters")
    return name


@dataclass(frozen=True, slots=True)
class Device:
    """What the account knows of a device.

    Raises:
        InvalidValue: a name that cannot be shown, or a certificate of another key.
    """

    keys: PublicKeys
    name: str
    platform: str
    certificate: bytes = field(repr=False)
    """DER, as `certificate_of` makes it."""

    def __post_init__(self) -> None:
        check_device_name(self.name)
        check_device_name(self.platform)
        from msgsync.account.certificate import check_certificate  # see `of`

        check_certificate(self.certificate, self.keys.signing)

    @property
    def id(self) -> DeviceId:
        """The id of the device."""
        return self.keys.device_id

    @classmethod
    def of(cls, keys: SecretKeys, name: str, platform: str) -> Device:
        """Describe the device with these keys."""
        # An eighth of what it takes to import `msgsync` is X.509, and who opens a replica to read needs none of it.
        from msgsync.account.certificate import certificate_of

        return cls(keys.public, name, platform, certificate_of(keys))

    def plain(self) -> list[Any]:
        """As CBOR writes it."""
        return [self.keys.signing, self.keys.hpke, self.name, self.platform, self.certificate]

    @classmethod
    def read(cls, plain: Any) -> Device:
        """The device that `plain` wrote.

        Raises:
            InvalidValue: it wrote none.
        """
        if type(plain) is not list or len(plain) != 5:
            raise InvalidValue("a device is a list of five")
        signing, hpke, name, platform, certificate = plain
        return cls(PublicKeys(signing, hpke), name, platform, certificate)
