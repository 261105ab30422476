"""Import helpers under the paths that they had before tests/support. Temporary: until every test is converted."""

import importlib
import importlib.abc
import importlib.machinery
import sys
from types import ModuleType
from typing import Any

NEW = {
    "clocks": "support.clocks",
    "faults": "support.aws.faulty",
    "virtual_aws": "support.aws.virtual",
    "serving": "support.http",
    "scripts": "support.scripts",
    "audit_lines": "support.audit_lines",
    "integration.aws_double": "support.aws.moto_proxy",
    "integration.stack": "support.stack",
    "integration.commands": "support.commands",
    "integration.token_readers": "support.token_readers",
}


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, fullname: str, path: Any, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        return importlib.machinery.ModuleSpec(fullname, self) if fullname in NEW else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        module = importlib.import_module(NEW[spec.name])
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec


sys.meta_path.insert(0, _Finder())
