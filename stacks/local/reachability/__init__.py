"""Who can reach whom: a proof from the captured graph, before anything is deployed.

`traffic.py` is a set of ports, `network.py` the model, `reading.py` makes the model from resources,
`paths.py` finds every connection, `promises.py` says which may exist, `drawing.py` draws them.
Nothing here imports Pulumi but `__main__.py`, which captures the graph.
"""
