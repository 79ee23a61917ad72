"""A Spark Connect server for ``engines.py``, with a table ``engine_rows``; arguments: port and number of rows.

The server stops when its input is closed.
"""

import sys

from pyspark.sql import SparkSession


def main() -> None:
    """Start the server, create the table, print a line, and wait."""
    port, rows = map(int, sys.argv[1:])
    settings = {
        "spark.plugins": "org.apache.spark.sql.connect.SparkConnectPlugin",
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.connect.grpc.binding.port": port,
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.memory": "2g",
        "spark.ui.enabled": False,
        "spark.sql.warehouse.dir": "warehouse",
    }
    builder = SparkSession.builder.master("local[*]")
    for name, value in settings.items():
        builder = builder.config(name, str(value))
    session = builder.getOrCreate()
    columns = ["CAST(20 + (id * 37) % 70 AS INT) AS age", "CAST(id % 2 AS INT) AS sex", "id AS visit"]
    session.range(rows).selectExpr(*columns).write.saveAsTable("engine_rows")
    print("ready", flush=True)
    sys.stdin.read()
    session.stop()


main()
