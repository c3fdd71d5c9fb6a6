"""The report: one HTML page about a trained run, its proof, its place on a chip and its energy.

:mod:`~bitspike.reports.findings` runs everything once; each section's module turns findings into plain text, tables and
figures (:mod:`~bitspike.reports.parts`), and :mod:`~bitspike.reports.page` puts them into one template.
"""
