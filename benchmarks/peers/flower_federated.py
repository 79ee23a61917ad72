"""Flower's simulation for ``federation.py``: the average of a column over clients, in a pool of Ray actors."""

import time

import pandas as pd
from flwr.app import Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.simulation import run_simulation
from timing import PARAMETERS, measure_task

DATABASES, COLUMN = PARAMETERS["databases"], PARAMETERS["column"]
client_app = ClientApp()
server_app = ServerApp()


@client_app.query()
def average_partial(message: Message, context: Context) -> Message:
    """Return sum and count of a numeric column at one client."""
    values = pd.read_csv(DATABASES[int(context.node_config["partition-id"])])[COLUMN].dropna()
    record = MetricRecord({"sum": float(values.sum()), "count": int(values.size)})
    return Message(RecordDict({"partial": record}), reply_to=message)


@server_app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the query at all clients. The time starts when all clients are registered."""
    del context
    while len(clients := list(grid.get_node_ids())) < len(DATABASES):
        time.sleep(0.01)

    def average() -> float:
        messages = [Message(RecordDict(), message_type="query", dst_node_id=node) for node in clients]
        partials = [reply.content["partial"] for reply in grid.send_and_receive(messages)]
        return float(sum(partial["sum"] for partial in partials) / sum(partial["count"] for partial in partials))

    measure_task(average)


run_simulation(
    server_app, client_app, len(DATABASES), backend_config={"client_resources": {"num_cpus": 1, "num_gpus": 0.0}}
)
