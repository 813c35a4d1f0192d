"""Puts the model store into wheels, so that an installed package has its default model.

Not into editable installs: those find model_store/ in the checkout.
"""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ModelStoreHook(BuildHookInterface):  # type: ignore[misc,type-arg]  # hatchling is there only while building
    """model_store/ in the checkout -> service/virtual_codec/_model_store/ in the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it builds; `version` is "standard" or "editable"."""
        store = Path(self.root, "model_store")
        if version == "standard" and store.is_dir():
            build_data["force_include"][str(store)] = "virtual_codec/_model_store"
