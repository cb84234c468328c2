"""What an environment costs before it is deployed: the captured graph times a dated table of list prices.

`prices.json` holds the figures, `prices.py` reads them, `meters.py` says what each resource type is charged
by, `estimate.py` multiplies. A type that nobody entered is listed as having no known price, never as zero.
"""
