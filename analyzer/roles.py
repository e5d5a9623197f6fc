"""Who speaks on which channel, and whom the network may listen to."""

from dataclasses import dataclass

#: The role of a channel on which everybody speaks, where roles are known.
MIXED = "mixed"


@dataclass(frozen=True)
class Roles:
    """Who speaks on which channel.

    Attributes
    ----------
    speakers : roles by channel, such as agent and customer; empty where nothing is known.
    only : roles whose emotions may be inferred; empty for all.
    """

    speakers: tuple[str, ...] = ()
    only: frozenset[str] = frozenset()

    def of(self, channels: int, alike: bool = False) -> tuple[str, ...]:
        """What the speaker of each channel is called; `alike` where two channels carry one sound."""
        if (channels == 1 or alike) and len(self.speakers) > 1:
            return (MIXED,) * channels
        named = self.speakers[:channels]
        return (*named, *(f"channel {k}" for k in range(len(named) + 1, channels + 1)))

    def is_masked(self, speaker: str) -> bool:
        """Whether the emotions of a speaker are not to be inferred."""
        return bool(self.only) and speaker not in self.only


#: Nothing is known of who speaks, and everybody may be listened to.
EVERYBODY = Roles()


def parse_roles(text: str) -> tuple[str, ...]:
    """Roles as --speakers and --only take them; raises ValueError with what is wrong."""
    roles = tuple(part.strip() for part in text.split(","))
    if not all(roles):
        raise ValueError(f"{text!r} holds an empty role: give some such as agent,customer")
    if wrong := next((role for role in roles if not role.isprintable() or len(role) > 40), None):
        raise ValueError(f"{wrong!r} is no role: give up to 40 letters")
    if twice := next((role for role in roles if roles.count(role) > 1), None):
        raise ValueError(f"the role {twice!r} is given twice")
    return roles
