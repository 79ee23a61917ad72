"""The forms beside pandas' in which a function may ask for its data: one module each, imported when a function asks.

A module has a function for each source that its library reads by itself, by the source's name. Any other source is
read as pandas reads it and handed to ``of_pandas``. So every form can be had of every source.
"""
