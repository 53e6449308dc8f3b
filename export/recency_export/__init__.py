"""The offline exporter: from what the store holds to a published release. Importing it imports no torch."""
