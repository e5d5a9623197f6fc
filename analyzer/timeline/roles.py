"""Speaker roles per channel, and the roles whose emotions may be inferred."""

from dataclasses import dataclass

#: Role of a channel that carries all speakers, if several roles are given.
MIXED = "mixed"


@dataclass(frozen=True)
class Roles:
    """Speaker roles per channel.

    Attributes
    ----------
    speakers : roles by channel, such as agent and customer; empty if unknown.
    only : roles whose emotions may be inferred; empty for all.
    """

    speakers: tuple[str, ...] = ()
    only: frozenset[str] = frozenset()

    def of(self, channels: int, alike: bool = False) -> tuple[str, ...]:
        """Return the name of the speaker of each channel; `alike` if two channels carry the same conversation."""
        if (channels == 1 or alike) and len(self.speakers) > 1:
            return (MIXED,) * channels
        named = self.speakers[:channels]
        return (*named, *(f"channel {k}" for k in range(len(named) + 1, channels + 1)))

    def is_masked(self, speaker: str) -> bool:
        """Whether the emotions of a speaker must not be inferred."""
        return bool(self.only) and speaker not in self.only


#: Unknown roles; the emotions of all speakers may be inferred.
EVERYBODY = Roles()


def parse_roles(text: str) -> tuple[str, ...]:
    """Parse the roles given to --speakers or --only; raises ValueError with the reason if they are invalid."""
    roles = tuple(part.strip() for part in text.split(","))
    if not all(roles):
        raise ValueError(f"{text!r} holds an empty role: give some such as agent,customer")
    if wrong := next((role for role in roles if not role.isprintable() or len(role) > 40), None):
        raise ValueError(f"{wrong!r} is no role: give up to 40 letters")
    if twice := next((role for role in roles if roles.count(role) > 1), None):
        raise ValueError(f"the role {twice!r} is given twice")
    return roles
