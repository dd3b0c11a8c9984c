"""The lab's SSH key, which set-up made before the program runs."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from components.lab.layout import CHECKOUT, Layout


@dataclass(frozen=True)
class Login:
    """How root logs in on the lab's hosts. private_key: OpenSSH text, a secret.

    key_file: its path, relative to the checkout where it lies inside.
    """

    public_key: str
    private_key: pulumi.Output[str]
    key_file: str


def login(layout: Layout) -> Login:
    """Read the lab's key. Raises RunError when there is none."""
    path = layout.key_file
    try:
        public, private = path.with_suffix(".pub").read_text(), path.read_text()
    except OSError as error:
        raise pulumi.RunError(
            f"the lab's SSH key {path} can't be read ({error.strerror}): `make lab` makes it"
        ) from None
    shown = path.relative_to(CHECKOUT) if path.is_relative_to(CHECKOUT) else path
    return Login(public.strip(), pulumi.Output.secret(private), str(shown))
