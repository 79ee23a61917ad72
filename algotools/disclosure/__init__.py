"""The disclosure gate: decide which results and messages of the author's code may leave a node.

The supervisor judges the encoded result of each function that reads a table (``gate``). The node's owner sets the
limits (``policy``). The worker, which has the data, reports facts about the tables and the result (``facts``).
"""
