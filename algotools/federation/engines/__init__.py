"""Run rpcs on an engine: any ``concurrent.futures.Executor``, such as a pool of processes or a cluster of Dask.

The federation's process does everything for an rpc that it does with runner ``process``, except for the worker itself.
A process of the engine starts that worker, and relays: its exit code, its prints and its stack. The worker's channel is
its own TCP connection to the federation. So results, statuses and exit codes are those of runner ``process``.
"""
