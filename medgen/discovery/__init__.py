"""The verb `scan`: folders as they are, to a table of cases and a list of what is wrong."""

from medgen.discovery.findings import Finding
from medgen.discovery.identities import KeyedNames, Names, read_key
from medgen.discovery.scanning import Scan, scan
from medgen.discovery.summary import summarise

__all__ = ["Finding", "KeyedNames", "Names", "Scan", "read_key", "scan", "summarise"]
