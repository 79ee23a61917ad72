"""Everything that runs in a container, from a node's environment to the output file."""
