"""The services of the API, one file each: read the request, do it, answer."""
