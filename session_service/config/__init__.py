"""The configuration: a YAML file, overridden by the environment, checked whole before use.

Raw text (``documents``) becomes validated, immutable sections (``sections``, ``redis``), which are
checked against each other (``checks``); ``reference`` tells every key for the manual. Depends on
pydantic, PyYAML and the domain's values. Nothing here opens what the configuration names.
"""

from session_service.config.checks import conflicts, missing_store, missing_to_serve
from session_service.config.documents import ConfigError
from session_service.config.loading import load_config
from session_service.config.reference import ConfigKey, config_reference
from session_service.config.sections import Config

__all__ = [
    "Config",
    "ConfigError",
    "ConfigKey",
    "config_reference",
    "conflicts",
    "load_config",
    "missing_store",
    "missing_to_serve",
]
