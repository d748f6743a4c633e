"""The verbs of a replica about its account: whom it trusts, and what is left when all are gone. Source: design 10."""

from __future__ import annotations

from collections.abc import Mapping

from msgsync.ids import DeviceId
from msgsync.replica import account
from msgsync.replica.account import AccountStatus, Revocation
from msgsync.replica.opened import Opened
from msgsync.replica.values import Change


class Trust(Opened):
    """`Replica` has these verbs, and those about what is in it."""

    def account_status(self) -> AccountStatus:
        """The state of the account, as this device knows it."""
        return account.status(self._replica)

    @property
    def revoked(self) -> bool:
        """Whether this device was revoked, as far as it has heard.

        It takes part in no exchange any more (`DeviceRevoked`), and gets nothing that is written elsewhere. What it had
        it still has: keep it, or `wipe` it.
        """
        return self._replica.device in self._replica.membership.roster().state.revoked

    def revoke(self, device: DeviceId | str, *, even_without_recovery: bool = False) -> Revocation:
        """Trust a device no more: it is lost, stolen or sold.

        A new epoch begins at once. Nothing written from now on can be read on it; no device that has heard of this
        takes anything from it, and it is told when it meets one. What others accepted from it before stays. It cannot
        come back by itself: somebody has to add it again. If two devices revoke each other before either hears of it,
        both are out.

        Args:
            device: which one.
            even_without_recovery: do it in an account of two although nobody has confirmed the recovery phrase.

        Raises:
            UnknownDevice: it is not in the account, as far as is known here.
            DeviceRevoked: this device was revoked itself.
            InvalidValue: it is this one.
            RecoveryUnconfirmed: see ``even_without_recovery``; nothing was done.
            ReadOnly: the replica was opened for reading.
        """
        return account.revoke(self._replica, device, even_without_recovery=even_without_recovery)

    def accepted_from(self, device: DeviceId | str) -> tuple[Change, ...]:
        """What a device brought here that nobody has changed since: to be looked through after it was revoked.

        It stays; delete or erase what should not. Nobody signs single messages: what the device passed on for others is
        listed as well, and what it wrote and others passed on is listed with those, on the devices that got it from it.
        Of the last 65,536 commits here, in their order. A file that was repaired knows what can still be read in the
        damaged one.
        """
        return account.accepted(self._replica, device)

    def rotate(self) -> None:
        """Begin a new epoch: what is sealed from now on cannot be read with secrets that may be in other hands."""
        account.rotate(self._replica)

    def recovery_phrase(self) -> str | None:
        """The 24 words that make a device of a backup when all others are gone; to be written down, not to be stored.

        None once they are confirmed, and on every device but the one that made them: nobody can be shown them again.
        """
        return account.phrase(self._replica)

    def recovery_places(self) -> tuple[int, ...]:
        """Three places of words, from 1 on, to ask for before `confirm_recovery`; others each time."""
        return account.places(self._replica)

    def confirm_recovery(self, answers: Mapping[int, str]) -> None:
        """Show that the recovery phrase was written down, by three of its words; then it is erased here.

        Args:
            answers: the words by their places, from 1 on; four letters of a word are enough.

        Raises:
            WrongPhrase: a word is wrong, and it says at which places; nothing was done.
            InvalidValue: other than three places, or there is no phrase here to be confirmed.
        """
        account.confirm(self._replica, answers)

    def replace_recovery_phrase(self) -> str:
        """Make a new recovery phrase: a device that has heard of it takes the one before no more.

        Devices hear of it when they sync, here or in a mailbox; until then they take the old one still, so sync them
        all. A device that came in with it meanwhile is out again as soon as they hear, and with it what it added.

        Returns:
            The 24 words; `recovery_phrase` gives them again until they are confirmed.
        """
        return account.replace_phrase(self._replica)
