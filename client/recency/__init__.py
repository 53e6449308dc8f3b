"""What other services install to call Recency: generated stubs and a thin typed client."""
