"""Speed, measured on the product as it is run: ratios within one run, because machines and neighbours differ.

`./amos bench` lists the benchmarks; each prints its figures and exits 1 if a promise is not kept.
"""
