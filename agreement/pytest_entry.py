"""What pytest loads by itself where this package is installed, under the name "agreement".

It only names the plugin. pytest imports a plugin named so once, whoever else has named it
(``-p agreement.pytest_plugin``, a conftest.py), while an entry point that *is* the plugin could
not be registered beside them.
"""

from __future__ import annotations

pytest_plugins = ("agreement.pytest_plugin",)
