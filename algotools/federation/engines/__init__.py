"""Runs of a federation on the workers of an engine, such as a process pool or a Dask cluster."""
