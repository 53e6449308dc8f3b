"""The durable state that gateway and exporter share: event log, items, users, releases, leases."""
