"""Write the number of rows of each answer of Spark to the file in ``PYTHONCOUNTEDROWS``.

Python imports this module at its start. Spark has no counter of the rows that it has sent. Only the run of
``engines.py`` that counts rows sets the variable.
"""

import os

if _FILE := os.environ.get("PYTHONCOUNTEDROWS"):
    from typing import Any

    from wrapt import register_post_import_hook

    def _count(module: Any) -> None:
        client, name = module.SparkConnectClient, "_execute_and_fetch_as_iterator"
        fetch = getattr(client, name)

        def fetch_counted(*arguments: Any, **options: Any) -> Any:
            for item in fetch(*arguments, **options):
                if hasattr(item, "num_rows"):
                    with open(str(_FILE), "a", encoding="ascii") as file:
                        file.write(f"{item.num_rows}\n")
                yield item

        setattr(client, name, fetch_counted)

    register_post_import_hook(_count, "pyspark.sql.connect.client.core")
