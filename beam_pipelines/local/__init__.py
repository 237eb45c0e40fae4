"""Running shards on this machine or on a Dask cluster."""
