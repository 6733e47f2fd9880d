"""A keyring for tests that run the CLI: its entries are the JSON object in the file LRVMOTION_TEST_KEYRING names."""

from __future__ import annotations

import json
import os
from pathlib import Path

import keyring.backend


class Kept(keyring.backend.KeyringBackend):
    """Reads; what writes is a mistake."""

    priority = 1

    def get_password(self, service, username):
        return json.loads(Path(os.environ["LRVMOTION_TEST_KEYRING"]).read_text()).get(f"{service} {username}")

    def set_password(self, service, username, password):
        raise NotImplementedError

    def delete_password(self, service, username):
        raise NotImplementedError
